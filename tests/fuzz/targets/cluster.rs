//! What an operator looks at, made up: few pods, Jobs and operations, that say what no cluster would say.

use std::collections::BTreeSet;
use std::time::Duration;

use super::records;
use crate::product::core::account::{AccountRecord, BotRef, Holder};
use crate::product::core::failover::*;
use crate::product::core::ids::{Epoch, FencingToken};
use crate::product::core::lease::{AgentState, LeaseRecord, Terms};
use crate::product::core::recovery::Remedy;
use crate::product::core::report::Report;
use crate::product::core::silence::Link;
use crate::product::core::time::{Mono, Wall};
use crate::source::Source;

/// Two proofs of a link further apart than this are no chain.
const GAP: Duration = Duration::from_millis(2_500);
/// A morning in 2026, milliseconds.
const MORNING: u64 = 1_795_000_000_000;

const REASONS: [&str; 5] = [
    "Revoked: x.",
    "ProcessExited: x.",
    "RestartWanted: x.",
    "RenewDeadline: x.",
    "HealthFailed: the check price of the rule blind fails: x.",
];

pub fn spec(s: &mut Source<'_>) -> Spec {
    let seconds = Duration::from_secs;
    let runs_on = [MoveKind::FirstStart, MoveKind::Failover, MoveKind::Switchover, MoveKind::Restart];
    let lease_duration = seconds(s.one_of(&[10, 4, 60]));
    Spec {
        replicas: s.one_of(&[2, 1, 3, 10]),
        suspend: s.seldom(8),
        deleting: false,
        manual: s.seldom(4),
        terms: Terms {
            lease_duration,
            renew_period: seconds(1),
            renew_deadline: lease_duration - seconds(2),
            on_api_server_loss: records::loss(s),
        },
        max_failovers: s.one_of(&[5, 0, 1, 20]),
        rate_period: seconds(s.one_of(&[3600, 1])),
        cooldown: seconds(s.one_of(&[60, 0])),
        target: seconds(30),
        restarts: s.one_of(&[1, 0, 100]),
        stop_time: seconds(s.one_of(&[5, 300])),
        promotion_time: seconds(s.one_of(&[10, 300])),
        reconciliation: s.maybe(|s| Reconciliation {
            run_on: runs_on.into_iter().take(s.below(5)).collect(),
            on_failure: s.one_of(&[OnFailure::Retry, OnFailure::Block, OnFailure::Proceed]),
            retries: s.one_of(&[2, 0, 10]),
            proceed_on_discrepancy: s.flag(),
            deadline: seconds(s.one_of(&[60, 1, 86_400])),
        }),
        revision: s.one_of(&["r1", "r1", "r2"]).into(),
        account: s.seldom(3).then(|| s.one_of(&["kraken-main", "kraken-main", "other"]).into()),
        restore: s.maybe(|s| RestorePolicy { deadline: seconds(s.one_of(&[60, 3600])) }),
        recovery: RecoveryPolicy {
            rules: vec![RecoveryRule {
                name: "blind".into(),
                remedies: [Remedy::RestartPod, Remedy::Failover, Remedy::Suspend]
                    .into_iter()
                    .take(s.below(4))
                    .collect(),
                on_standbys: s.flag(),
            }],
            period: seconds(s.one_of(&[3600, 60])),
        },
    }
}

/// The objects, as they stand.
pub struct Cluster {
    pub now: Mono,
    wall: u64,
    lease: Option<LeaseRecord>,
    versions: u64,
    pods: Vec<Pod>,
    jobs: Vec<Job>,
    operations: Vec<Operation>,
    account: Option<AccountRecord>,
    link: Option<Link>,
    /// The version that the operator saw last, and since when: kept apart from what it remembers itself.
    sighting: Option<(Option<String>, Mono)>,
}

impl Cluster {
    pub fn new(s: &mut Source<'_>) -> Cluster {
        let mut cluster = Cluster {
            now: Mono { first: s.between(0, 1 << 40), second: s.between(0, 1 << 40) },
            wall: MORNING,
            lease: None,
            versions: 0,
            pods: Vec::new(),
            jobs: Vec::new(),
            operations: Vec::new(),
            account: None,
            link: None,
            sighting: None,
        };
        cluster.link = Some(Link::new(cluster.now, GAP));
        cluster
    }

    /// Time passes, mostly with a link that lives.
    pub fn pass(&mut self, s: &mut Source<'_>) {
        let alive = !s.seldom(6);
        let by = match s.below(4) {
            0 => Duration::ZERO,
            1 => Duration::from_millis(s.between(1, 900)),
            2 => Duration::from_secs(s.between(1, 15)),
            _ => Duration::from_secs(s.one_of(&[11, 64, 120, 4000])),
        };
        // Wall clocks jump, the others do not.
        self.wall = if s.seldom(8) { MORNING + s.between(0, 1 << 40) } else { self.wall + by.as_millis() as u64 };
        let end = self.now.plus(by);
        if alive {
            // A proof every second; of a long time only the beginning has to be kept up.
            let step = Duration::from_secs(2).min(by.max(Duration::from_millis(1)));
            let mut at = self.now;
            while at.first < end.first {
                at = Mono { first: at.plus(step).first.min(end.first), second: at.plus(step).second.min(end.second) };
                self.link = Some(self.link.map_or(Link::new(at, GAP), |link| link.proven(at, at)));
            }
        }
        self.now = end;
        if s.seldom(8) {
            self.now.second += s.between(0, 1 << 31);
        }
    }

    /// For how long the Lease has surely not changed, with a link that was alive all the while.
    pub fn silent_for(&self) -> Duration {
        let alive = self.link.and_then(|link| link.alive_since(self.now));
        match (&self.sighting, alive) {
            (Some((_, at)), Some(alive)) => {
                self.now.surely_elapsed_since(*at).min(self.now.surely_elapsed_since(alive))
            }
            _ => Duration::ZERO,
        }
    }

    pub fn restart_operator(&mut self) {
        (self.link, self.sighting) = (None, None);
    }

    pub fn observe(&mut self, s: &mut Source<'_>) -> Observation {
        for _ in 0..s.below(4) {
            self.change(s);
        }
        // No two objects of a cluster have one name, and no two ever had one uid.
        let mut names = BTreeSet::new();
        self.pods.retain(|pod| names.insert(pod.name.clone()));
        let version = self.lease.as_ref().map(|lease| lease.version.clone());
        if self.sighting.as_ref().is_none_or(|(seen, _)| *seen != version) {
            self.sighting = Some((version, self.now));
        }
        Observation {
            lease: self.lease.clone(),
            pods: self.pods.clone(),
            jobs: self.jobs.clone(),
            restores: s.some(2, restore_job),
            operations: self.operations.clone(),
            link: self.link,
            template_error: s.seldom(8).then(|| "The quota is used up.".into()),
            restored_at: s.seldom(16).then(|| self.now.minus(s.duration())),
            account: s.flag().then(|| self.look_at_account(s)),
            wall: Wall(self.wall),
        }
    }

    /// Something happens to one of the objects.
    fn change(&mut self, s: &mut Source<'_>) {
        match s.below(12) {
            0..=4 => self.agent(s),
            5 => {
                let stranger = s.maybe(records::lease);
                self.store(stranger);
            }
            6 => {
                let lease = self.lease.clone().map(|lease| tampered(lease, s));
                self.store(lease);
            }
            7 => self.pods = s.some(4, pod),
            8 | 9 => {
                if !self.pods.is_empty() {
                    let n = s.below(self.pods.len());
                    self.pods[n] = Pod { name: self.pods[n].name.clone(), uid: self.pods[n].uid.clone(), ..pod(s) };
                }
            }
            10 => self.operations = s.some(2, |s| operation(s, self.lease.as_ref())),
            _ => {
                for job in &mut self.jobs {
                    job.state = s.one_of(&[
                        JobState::Succeeded(Report::default()),
                        JobState::Succeeded(Report { discrepancies: vec!["One order.".into()], ..Report::default() }),
                        JobState::Failed("exit code 1.".into()),
                        JobState::Running,
                    ]);
                    job.ended = s.flag();
                }
                if s.seldom(4) {
                    self.jobs.push(Job {
                        token: FencingToken(s.number() >> 11),
                        state: JobState::Running,
                        ended: s.flag(),
                    });
                }
                self.jobs.truncate(6);
            }
        }
    }

    /// An agent does what it may do with the Lease that names its pod.
    fn agent(&mut self, s: &mut Source<'_>) {
        let Some(mut lease) = self.lease.clone() else { return };
        let Some(holder) = lease.holder.clone() else { return };
        let nonce = s.one_of(&["x", "x", "y"]).to_owned();
        let boot = crate::product::core::ids::BootId { pod_uid: holder.uid.clone(), nonce };
        match s.below(4) {
            0 if lease.boot.is_none() => (lease.boot, lease.state) = (Some(boot), AgentState::Claimed),
            0 | 1 => lease.state = s.one_of(&[AgentState::Active, AgentState::Promoting, AgentState::Demoting]),
            2 => {}
            _ => {
                lease.holder = None;
                lease.state = s.one_of(&[AgentState::Released, AgentState::Restarted]);
                lease.successor = (lease.state == AgentState::Restarted).then_some(boot);
                lease.reason = s.one_of(&REASONS).into();
            }
        }
        self.store(Some(lease));
    }

    fn store(&mut self, lease: Option<LeaseRecord>) {
        self.versions += 1;
        let version = self.versions.to_string();
        self.lease = lease.map(|lease| LeaseRecord { version, ..lease });
    }

    fn look_at_account(&self, s: &mut Source<'_>) -> AccountSeen {
        let me = bot(0);
        let lease = if s.seldom(4) { s.maybe(account) } else { self.account.clone() };
        let holder = match lease.as_ref().map(|lease| &lease.holder) {
            Some(Holder::Bot(holder)) if *holder != me => Some(HolderSeen {
                bot: holder.clone(),
                exists: s.flag(),
                name_taken: s.seldom(4),
                lease_version: s.maybe(|s| s.one_of(&["1", "2"]).into()),
            }),
            _ => None,
        };
        let claim = |s: &mut Source<'_>| Claim { bot: bot(1), trading: s.flag() };
        let claims = s.maybe(|s| s.some(1, claim));
        AccountSeen { name: s.one_of(&["kraken-main", "kraken-main", "other"]).into(), me, lease, claims, holder }
    }

    /// The first writes of a decision succeed.
    pub fn carry_out(&mut self, decision: &Decision, most: usize, record: &mut Record, memory: &mut Memory) {
        for action in decision.actions.iter().take(most) {
            match action {
                Action::WriteStatus => *record = decision.record.clone(),
                Action::CreateLease { lease, purpose } | Action::PutLease { lease, purpose } => {
                    self.store(Some(lease.clone()));
                    if let LeaseWrite::Fence { epoch } = purpose {
                        memory.fenced_version = Some((*epoch, self.versions.to_string()));
                    }
                }
                Action::WriteAccount { account, .. } => {
                    self.versions += 1;
                    self.account = Some(AccountRecord { version: self.versions.to_string(), ..account.clone() });
                }
                Action::RemoveLeaseOf { bot, .. } => memory.holder_removed = Some(bot.clone()),
                Action::CreatePod { slot } => {
                    let name = format!("doge-{slot}");
                    if self.pods.len() < 12 {
                        let uid = format!("u{slot}{}", if self.versions.is_multiple_of(2) { "a" } else { "b" });
                        self.pods.push(Pod {
                            name,
                            uid,
                            slot: *slot,
                            ready: true,
                            revision: "r1".into(),
                            ..Pod::default()
                        });
                    }
                }
                Action::DeletePod(pod) => self.pods.retain(|known| known.uid != pod.uid),
                Action::SetRole { pod, role } => {
                    self.pods.iter_mut().filter(|known| known.uid == pod.uid).for_each(|known| known.role = *role);
                }
                Action::CreateJob { token, .. } => {
                    self.jobs.push(Job { token: *token, state: JobState::Running, ended: false });
                }
                Action::UpdateOperation { uid, update, .. } => {
                    if !matches!(update, OperationUpdate::Running { .. }) {
                        self.operations.retain(|operation| operation.uid != *uid);
                    }
                }
                Action::CreateRestoreJob { .. } | Action::StartRestoreJob { .. } | Action::Finalize => {}
            }
        }
    }
}

fn tampered(mut lease: LeaseRecord, s: &mut Source<'_>) -> LeaseRecord {
    match s.below(6) {
        0 => lease.permit = s.maybe(records::permit),
        1 => lease.holder = s.maybe(records::pod),
        2 => lease.epoch = s.maybe(|s| Epoch(s.number())),
        3 => lease.token = s.maybe(|s| FencingToken(s.number())),
        4 => lease.boot = s.maybe(records::boot),
        _ => lease.terms = s.maybe(records::terms),
    }
    lease
}

fn pod(s: &mut Source<'_>) -> Pod {
    let named = records::pod(s);
    Pod {
        slot: named.name.rsplit_once('-').and_then(|(_, slot)| slot.parse().ok()).unwrap_or_default(),
        name: named.name,
        uid: named.uid,
        revision: s.one_of(&["r1", "r2"]).into(),
        role: s.maybe(|s| s.one_of(&[Role::Active, Role::Candidate, Role::Standby])),
        ready: !s.seldom(4),
        terminating: s.seldom(6),
        finished: s.seldom(8),
        draining: s.seldom(8),
        node_lost: s.seldom(8),
        container_id: s.maybe(|s| s.one_of(&["containerd://1", "containerd://2"]).into()),
        terminated_boots: s.some(1, records::boot),
        problem: s.seldom(8).then(|| "The image cannot be pulled.".into()),
    }
}

fn operation(s: &mut Source<'_>, lease: Option<&LeaseRecord>) -> Operation {
    let epoch = lease.and_then(|lease| lease.epoch).unwrap_or_default();
    let confirm = OperationKind::Confirm { epoch, by: s.one_of(&["ann", " "]).into() };
    let n = s.below(3);
    Operation {
        name: format!("op-{n}"),
        uid: format!("op-uid-{n}"),
        kind: s.one_of(&[OperationKind::Switchover, OperationKind::Failover, confirm, OperationKind::Restore]),
        to: s.maybe(|s| records::pod(s).name),
    }
}

fn restore_job(s: &mut Source<'_>) -> RestoreJob {
    let id = "20261124T020000Z-daily-003f".parse().expect("an id");
    let failed = RestoreJobState::Failed { message: "No space.".into(), target_changed: s.flag() };
    RestoreJob {
        operation_uid: format!("op-uid-{}", s.below(3)),
        run: s.one_of(&[RestoreRun::Check, RestoreRun::Apply]),
        suspended: s.flag(),
        state: s.one_of(&[RestoreJobState::Running, RestoreJobState::Succeeded(id), failed]),
        ended: s.flag(),
    }
}

fn bot(n: usize) -> BotRef {
    BotRef { namespace: "trading".into(), name: format!("doge{n}"), uid: format!("bot-{n}") }
}

fn account(s: &mut Source<'_>) -> AccountRecord {
    AccountRecord {
        name: "kraken-main".into(),
        uid: "account-lease".into(),
        version: s.between(0, 9).to_string(),
        holder: s.one_of(&[Holder::Nobody, Holder::Bot(bot(0)), Holder::Bot(bot(1)), Holder::Unreadable]),
        epoch: s.maybe(|s| Epoch(s.number())),
        token: s.maybe(|s| FencingToken(s.number())),
        lease_duration: Duration::from_secs(s.one_of(&[10, 3600])),
        on_api_server_loss: records::loss(s),
        since: s.maybe(|_| Wall(MORNING)),
        transitions: s.one_of(&[0, 7, i32::MAX as u32]),
    }
}
