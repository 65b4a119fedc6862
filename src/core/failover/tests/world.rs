//! The world that the scenarios play in, and what must hold after every round.

use std::time::Duration;

use super::agent::SimPod;
use super::restore_jobs::RestoreJobs;
use super::shared_account::SharedAccount;
use crate::core::failover::*;
use crate::core::ids::Epoch;
use crate::core::lease::{LeaseRecord, OnApiServerLoss, Terms};
use crate::core::report::Report;
use crate::core::silence::{Link, Sighting};
use crate::core::time::{Mono, Wall};

/// What happens to one of the operator's writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// The operator dies right before it.
    CrashBefore,
    /// The operator dies right after it.
    CrashAfter,
    /// It happens, and no answer comes.
    AnswerLost,
    /// It does not happen, and no answer comes.
    RequestLost,
}

/// What a reconciliation Job does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobFate {
    Succeeds(Report),
    Fails,
    Hangs,
}

pub struct World {
    pub spec: Spec,
    pub record: Record,
    pub memory: Memory,
    pub lease: Option<LeaseRecord>,
    pub pods: Vec<SimPod>,
    pub jobs: Vec<Job>,
    pub job_fate: JobFate,
    pub operations: Vec<Operation>,
    /// Progress of operations, by name.
    pub told: Vec<(String, OperationUpdate)>,
    pub finalized: bool,
    pub millis: u64,
    pub api_up: bool,
    pub operator_up: bool,
    pub creates_refused: bool,
    /// The operator's own Lease cannot be written.
    pub link_frozen: bool,
    pub restored_at: Option<Mono>,
    pub template_error: Option<String>,
    /// The n-th of the operator's writes from now on, and what happens to it.
    pub mishap: Option<(usize, Mishap)>,
    /// Every write of the operator, oldest first.
    pub log: Vec<Action>,
    pub rounds: usize,
    link: Option<Link>,
    wake_at: Option<u64>,
    silence_limit: Option<Duration>,
    /// The silence that the last round knew of.
    acted_on: Option<Sighting>,
    versions: u64,
    uids: u64,
    pub last_traded: Epoch,
    seen_world: Option<(Spec, Observation)>,
    /// Jobs of restores.
    pub restores: RestoreJobs,
    /// What it shares with the bots of its account.
    pub shared: Option<SharedAccount>,
}

pub const START: u64 = 1_000_000;

pub fn spec() -> Spec {
    Spec {
        replicas: 2,
        suspend: false,
        deleting: false,
        manual: false,
        terms: Terms {
            lease_duration: Duration::from_secs(10),
            renew_period: Duration::from_secs(2),
            renew_deadline: Duration::from_secs(6),
            on_api_server_loss: OnApiServerLoss::Stop,
        },
        max_failovers: 0,
        rate_period: Duration::from_secs(3600),
        cooldown: Duration::from_secs(60),
        target: Duration::from_secs(30),
        restarts: 1,
        stop_time: Duration::from_secs(20),
        promotion_time: Duration::from_secs(20),
        reconciliation: None,
        revision: "r1".into(),
        account: None,
        restore: None,
        recovery: RecoveryPolicy::default(),
    }
}

pub fn reconciled(on_failure: OnFailure) -> Spec {
    Spec {
        reconciliation: Some(Reconciliation {
            run_on: vec![MoveKind::FirstStart, MoveKind::Failover, MoveKind::Switchover],
            on_failure,
            retries: 2,
            proceed_on_discrepancy: false,
            deadline: Duration::from_secs(60),
        }),
        ..spec()
    }
}

impl World {
    pub fn new(spec: Spec) -> Self {
        Self {
            spec,
            record: Record::default(),
            memory: Memory::default(),
            lease: None,
            pods: Vec::new(),
            jobs: Vec::new(),
            job_fate: JobFate::Succeeds(Report::default()),
            operations: Vec::new(),
            told: Vec::new(),
            finalized: false,
            millis: START,
            api_up: true,
            operator_up: true,
            creates_refused: false,
            link_frozen: false,
            restored_at: None,
            template_error: None,
            mishap: None,
            log: Vec::new(),
            rounds: 0,
            link: None,
            wake_at: None,
            silence_limit: None,
            acted_on: None,
            versions: 0,
            uids: 0,
            last_traded: Epoch(0),
            seen_world: None,
            restores: RestoreJobs::default(),
            shared: None,
        }
    }

    /// A world in which epoch 1 trades and a standby is ready.
    pub fn trading(spec: Spec) -> Self {
        let mut world = Self::new(spec);
        world.run(Duration::from_secs(30));
        assert_eq!(world.record.phase, Phase::Active, "{}", world.record.message);
        world.log.clear();
        world
    }

    /// The active has ended, and the next one waits for a reconciliation that hangs.
    pub fn preparing(spec: Spec) -> Self {
        let mut world = Self::trading(spec);
        world.job_fate = JobFate::Hangs;
        world.pod("doge-0").leaving = Some("ProcessExited: the bot ended.");
        world.run_until("preparing", Duration::from_secs(5), |w| w.record.phase == Phase::Preparing);
        world
    }

    pub fn memory_sighting_at(&self) -> u64 {
        self.memory.sighting.as_ref().unwrap().at.first / 1_000_000
    }

    pub fn now(&self) -> Mono {
        Mono::both(self.millis * 1_000_000)
    }

    /// Lets time pass, a tenth of a second at a time.
    pub fn run(&mut self, time: Duration) {
        let end = self.millis + u64::try_from(time.as_millis()).unwrap();
        while self.millis < end {
            self.tick();
        }
    }

    /// Lets time pass until `done`, and answers how many milliseconds that took.
    pub fn run_until(&mut self, what: &str, limit: Duration, done: impl Fn(&World) -> bool) -> u64 {
        let begin = self.millis;
        while !done(self) {
            let passed = Duration::from_millis(self.millis - begin);
            assert!(passed < limit, "{what} within {limit:?}: {:?}: {}", self.record.phase, self.record.message);
            self.tick();
        }
        self.millis - begin
    }

    pub fn until_active(&mut self, limit: Duration) -> u64 {
        let epoch = self.record.history.first().map(|m| m.epoch);
        self.run_until("a new epoch trades", limit, |w| {
            w.record.phase == Phase::Active && w.record.history.first().map(|m| m.epoch) != epoch
        })
    }

    pub fn tick(&mut self) {
        self.millis += 100;
        if let Some(shared) = self.shared.clone() {
            shared.note_lease(self);
        }
        self.restores.step(self.millis);
        self.agents_step();
        if self.api_up && self.operator_up {
            let now = self.now();
            if !self.link_frozen && (self.millis.is_multiple_of(1_000) || self.link.is_none()) {
                let fresh = Link::new(now, Duration::from_millis(2_500));
                self.link = Some(self.link.map_or(fresh, |link| link.proven(now, now)));
            }
            // What the watch of Leases sees.
            let version = self.lease.as_ref().map(|l| l.version.as_str());
            self.memory.sighting = Some(Sighting::updated(self.memory.sighting.take(), version, now));
            self.rounds_until_quiet();
        }
    }

    /// Kubelets and agents look and act until nobody wants to write any more.
    fn agents_step(&mut self) {
        let now = self.now();
        for index in 0..self.pods.len() {
            let reachable = self.api_up && !self.pods[index].faults.cut;
            let cut = std::mem::replace(&mut self.pods[index].faults.cut, !reachable);
            let written = self.pods[index].step(self.lease.as_ref(), now);
            self.pods[index].faults.cut = cut;
            if let Some(mut lease) = written {
                lease.version = self.next_version();
                self.lease = Some(lease);
            }
            self.check();
        }
        self.pods.retain(|p| p.faults.cut || p.gone_at.is_none_or(|at| now.first < at.first));
    }

    /// Rounds of the operator, with agents acting in between, until a round changes nothing.
    fn rounds_until_quiet(&mut self) {
        for _ in 0..40 {
            if !self.operator_up || !self.is_due() {
                return;
            }
            self.round();
            self.agents_step();
        }
        panic!("the operator does not come to rest: {:?}", &self.log[self.log.len().saturating_sub(12)..]);
    }

    fn is_due(&self) -> bool {
        let mut seen = self.observe();
        let strip = |o: &mut Observation| {
            (o.wall, o.link) = (Wall(0), None);
            if let Some(lease) = &mut o.lease {
                (lease.version, lease.renew) = (String::new(), String::new());
            }
        };
        strip(&mut seen);
        let mut before = self.seen_world.clone();
        before.iter_mut().for_each(|(_, seen)| strip(seen));
        let silent = self.memory.sighting.as_ref().map(|s| self.now().surely_elapsed_since(s.at)).unwrap_or_default();
        let timer = self.wake_at.is_some_and(|at| self.millis >= at);
        before != Some((self.spec.clone(), seen))
            || timer
            || self.silence_limit.is_some_and(|limit| silent >= limit) && self.acted_on != self.memory.sighting
    }

    pub fn observe(&self) -> Observation {
        Observation {
            lease: self.lease.clone(),
            pods: self.pods.iter().map(|p| p.pod.clone()).collect(),
            jobs: self.jobs.clone(),
            restores: self.restores.seen(),
            operations: self.operations.clone(),
            link: self.link,
            template_error: self.template_error.clone(),
            restored_at: self.restored_at,
            account: self.shared.as_ref().and_then(|shared| shared.observed(self)),
            wall: Wall(self.millis),
        }
    }

    /// One round: read, decide, write until something does not plainly succeed.
    pub fn round(&mut self) -> Vec<Action> {
        self.rounds += 1;
        let seen = self.observe();
        let silent = self.memory.sighting.as_ref().map(|s| self.now().surely_elapsed_since(s.at)).unwrap_or_default();
        if self.silence_limit.is_some_and(|limit| silent >= limit) {
            self.acted_on = self.memory.sighting.clone();
        }
        let decision = decide(&self.spec, &self.record, &self.memory, &seen, self.now());
        self.check_decision(&seen, &decision);
        self.seen_world = Some((self.spec.clone(), seen));
        self.wake_at = decision.wake_after.map(|after| self.millis + u64::try_from(after.as_millis()).unwrap());
        self.silence_limit = decision.silence_limit;
        self.memory = decision.memory.clone();
        let mut done = Vec::new();
        for action in &decision.actions {
            let mishap = match &mut self.mishap {
                Some((0, mishap)) => Some(*mishap),
                Some((n, _)) => {
                    *n -= 1;
                    None
                }
                None => None,
            };
            if mishap.is_some() {
                self.mishap = None;
            }
            if mishap == Some(Mishap::CrashBefore) {
                self.restart_operator();
                return done;
            }
            if mishap == Some(Mishap::RequestLost) {
                break;
            }
            if !self.apply(action, &decision.record, mishap.is_some()) {
                break;
            }
            done.push(action.clone());
            self.log.push(action.clone());
            self.check();
            match mishap {
                Some(Mishap::CrashAfter) => {
                    self.restart_operator();
                    return done;
                }
                Some(_) => break,
                None => {}
            }
        }
        // What was not reached, or not answered, is tried again soon.
        if done.len() < decision.actions.len() || mishap_left(&decision, &done) {
            self.wake_at = Some(self.millis + 100);
        }
        done
    }

    /// The operator's process ends and another one begins: it remembers nothing.
    pub fn restart_operator(&mut self) {
        self.memory = Memory::default();
        (self.link, self.wake_at, self.seen_world, self.acted_on) = (None, None, None, None);
    }

    fn apply(&mut self, action: &Action, record: &Record, answer_lost: bool) -> bool {
        match action {
            Action::WriteStatus => {
                self.record = record.clone();
                if let Some(shared) = &self.shared {
                    shared.publish(self);
                }
            }
            Action::WriteAccount { account, .. } => {
                return self.shared.as_ref().is_some_and(|shared| shared.write(account));
            }
            Action::RemoveLeaseOf { bot, version } => {
                if !self.shared.as_ref().is_some_and(|shared| shared.remove_lease_of(bot, version)) {
                    return false;
                }
                self.memory.holder_removed = (!answer_lost).then(|| bot.clone());
            }
            Action::CreateLease { lease, .. } => {
                if self.lease.is_some() || self.creates_refused {
                    return false;
                }
                let mut lease = lease.clone();
                (lease.uid, lease.version) = (self.next_version(), self.next_version());
                self.lease = Some(lease);
            }
            Action::PutLease { lease, .. } => {
                if self.lease.as_ref().map(|l| &l.version) != Some(&lease.version) {
                    return false;
                }
                let mut lease = lease.clone();
                lease.version = self.next_version();
                self.lease = Some(lease);
            }
            Action::CreatePod { slot } => {
                let name = format!("doge-{slot}");
                if self.creates_refused || self.pods.iter().any(|p| p.pod.name == name) {
                    return false;
                }
                self.uids += 1;
                let ready = Mono::both((self.millis + 1_000) * 1_000_000);
                self.pods.push(SimPod::new(
                    &name,
                    &format!("u{}", self.uids),
                    *slot,
                    &self.spec.revision.clone(),
                    ready,
                ));
            }
            Action::DeletePod(pod) => {
                let gone = Mono::both((self.millis + 2_000) * 1_000_000);
                let Some(found) = self.pods.iter_mut().find(|p| p.pod.uid == pod.uid) else { return false };
                found.pod.terminating = true;
                found.gone_at = Some(gone);
            }
            Action::SetRole { pod, role } => {
                let Some(found) = self.pods.iter_mut().find(|p| p.pod.uid == pod.uid) else { return false };
                found.pod.role = *role;
            }
            Action::CreateJob { token, .. } => {
                if self.creates_refused || self.jobs.iter().any(|j| j.token == *token) {
                    return false;
                }
                let (state, ended) = match &self.job_fate {
                    JobFate::Succeeds(report) => (JobState::Succeeded(report.clone()), true),
                    JobFate::Fails => (JobState::Failed("exit code 1.".into()), true),
                    JobFate::Hangs => (JobState::Running, false),
                };
                self.jobs.push(Job { token: *token, state, ended });
            }
            Action::CreateRestoreJob { .. } | Action::StartRestoreJob { .. } => return self.apply_restore(action),
            Action::UpdateOperation { name, update, .. } => {
                if !matches!(update, OperationUpdate::Running { .. }) {
                    self.operations.retain(|o| o.name != *name);
                }
                self.told.push((name.clone(), update.clone()));
            }
            Action::Finalize => (self.finalized, self.operator_up) = (true, false),
        }
        if let (Action::CreateLease { purpose, .. } | Action::PutLease { purpose, .. }, false) = (action, answer_lost)
            && let LeaseWrite::Fence { epoch } = purpose
        {
            self.memory.fenced_version = self.lease.as_ref().map(|l| (*epoch, l.version.clone()));
        }
        true
    }

    pub fn next_version(&mut self) -> String {
        self.versions += 1;
        self.versions.to_string()
    }

    /// Somebody else changes the Lease.
    pub fn tamper(&mut self, change: impl FnOnce(&mut LeaseRecord)) {
        let version = self.next_version();
        let lease = self.lease.as_mut().expect("there is a Lease");
        change(lease);
        lease.version = version;
    }

    pub fn pod(&mut self, name: &str) -> &mut SimPod {
        self.pods.iter_mut().find(|p| p.pod.name == name).unwrap_or_else(|| panic!("no pod {name}"))
    }

    /// The pod that trades, by what it does and not by what anyone says.
    pub fn trader(&self) -> Option<String> {
        self.pods.iter().find(|p| p.trading.is_some()).map(|p| p.pod.name.clone())
    }

    pub fn ask(&mut self, name: &str, kind: OperationKind, to: Option<&str>) {
        self.operations.push(Operation { name: name.into(), uid: format!("{name}-uid"), kind, to: to.map(Into::into) });
    }

    pub fn last_told(&self, name: &str) -> Option<&OperationUpdate> {
        self.told.iter().rev().find(|(n, _)| n == name).map(|(_, u)| u)
    }

    pub fn last_move(&self) -> &Move {
        self.record.history.first().expect("somebody came to trade")
    }

    /// Nothing changes any more however often the operator looks.
    pub fn assert_at_rest(&mut self) {
        for _ in 0..5 {
            let writes = self.round();
            assert_eq!(writes, [], "in phase {:?}", self.record.phase);
            self.millis += 700;
            let now = self.now();
            self.link = self.link.map(|link| link.proven(now, now));
        }
    }
}

fn mishap_left(decision: &Decision, done: &[Action]) -> bool {
    decision.actions.len() > done.len()
}
