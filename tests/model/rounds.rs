//! One round of an operator: from what it has read to the writes that it will make.

use std::time::Duration;

use crate::bounds::Bounds;
use crate::core::failover::*;
use crate::core::ids::FencingToken;
use crate::core::lease::LeaseRecord;
use crate::core::silence::{Link, Sighting};
use crate::core::time::Mono;
use crate::core::wrong::{self, Wrong};
use crate::dead;
use crate::exchange::Grant;
use crate::interned::Interned;
use crate::jobs::{self, Job};
use crate::operators::{Operator, Pending, PodSeen, PodsSeen, Remembered, Round, pods};
use crate::world::*;

/// The Lease's version, while it is the present one.
pub const PRESENT: &str = "present";
/// Any version before it.
const PAST: &str = "past";

/// The deadline of reconciliations: with the grace of 45 s that the core adds, it is waited out in [`JOB_WAIT_TICKS`].
const JOB_DEADLINE: Duration = Duration::from_secs(15);
const JOB_TICK: Duration = Duration::from_secs(60 / JOB_WAIT_TICKS as u64);

/// What a round has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sight {
    record: Interned<Record>,
    /// The status still has that version.
    record_fresh: bool,
    lease: Option<Interned<LeaseRecord>>,
    age: u8,
    /// The Lease still has that version.
    lease_fresh: bool,
    pods: PodsSeen,
    jobs: Interned<Vec<Job>>,
    waits: Interned<Vec<(FencingToken, u8)>>,
    asked: bool,
}

/// What a round comes to.
#[derive(Clone, Copy, Debug)]
pub struct Decided {
    /// None: it is idle.
    pub writes: Interned<Vec<Pending>>,
    /// The Lease is still as the operator has fenced it.
    pub fenced: bool,
    pub phase: Phase,
}

impl Sight {
    /// What this operator's round is decided on; `None`: it has decided.
    pub fn of(world: &World, operator: Interned<Operator>) -> Option<Sight> {
        let now = Sight {
            record: world.record,
            record_fresh: true,
            lease: world.lease,
            age: world.lease_age,
            lease_fresh: true,
            pods: pods(world),
            jobs: world.jobs,
            waits: world.waits,
            asked: world.asked,
        };
        match &operator.round {
            Round::Idle => Some(now),
            Round::ReadStatus { record, fresh } => Some(Sight { record: *record, record_fresh: *fresh, ..now }),
            Round::ReadRest { lease, age, fresh, pods, jobs } => {
                Some(Sight { lease: *lease, age: *age, lease_fresh: *fresh, pods: *pods, jobs: *jobs, ..now })
            }
            Round::Writing(_) => None,
        }
    }
}

fn spec(bounds: &Bounds) -> Spec {
    Spec {
        replicas: u32::try_from(bounds.agents).expect("few agents"),
        suspend: false,
        deleting: false,
        manual: false,
        terms: terms(),
        max_failovers: 0,
        rate_period: Duration::ZERO,
        cooldown: Duration::ZERO,
        target: Duration::ZERO,
        restarts: 0,
        stop_time: TICK,
        promotion_time: TICK,
        reconciliation: bounds.reconciles.then(|| Reconciliation {
            run_on: vec![MoveKind::FirstStart, MoveKind::Failover, MoveKind::Switchover, MoveKind::Restart],
            on_failure: OnFailure::Retry,
            retries: 20,
            proceed_on_discrepancy: true,
            deadline: JOB_DEADLINE,
        }),
        revision: String::new(),
        account: None,
        restore: None,
        recovery: Default::default(),
    }
}

/// The round's decision, by the `decide` of production.
pub fn decide_on(bounds: &Bounds, operator: Remembered, sight: &Sight, overdue: bool) -> Decided {
    let seen = observation(bounds, operator, sight, overdue);
    // One that was waited out before it was started, a restarted operator does not know.
    let known = |(token, age): &&(FencingToken, u8)| sight.record.jobs.contains(token) || operator.up >= *age;
    let mut memory = Memory {
        sighting: Some(sighting(bounds, operator, sight)),
        fenced_version: operator.fenced.map(|epoch| (epoch, PRESENT.to_owned())),
        unfinished_jobs: sight
            .waits
            .iter()
            .filter(known)
            .map(|(token, age)| (*token, waited(operator, *age)))
            .collect(),
        jobs_seen: sight.jobs.iter().map(|job| FencingToken(job.grant.token.into())).collect(),
        ..Memory::default()
    };
    if overdue {
        nothing_is_waited_for(&mut memory, sight);
    }
    let mut decision = decide(&spec(bounds), &sight.record, &memory, &seen, NOW);
    let phase = decision.record.phase;
    without_words(&mut decision.record);
    if bounds.reduced {
        dead::forget_in(&mut decision.record);
    }
    let writes = Interned::new(writing(sight, &decision));
    Decided { writes, fenced: decision.memory.fenced_version.is_some(), phase }
}

fn observation(bounds: &Bounds, operator: Remembered, sight: &Sight, overdue: bool) -> Observation {
    let version = if sight.lease_fresh { PRESENT } else { PAST };
    let alive_since = if overdue { LONG_AGO } else { ago(operator.up, bounds) };
    let switchover = Operation { name: "s".into(), uid: "s".into(), kind: OperationKind::Switchover, to: None };
    let pods = sight.pods.iter().enumerate().filter(|(_, pod)| pod.there);
    Observation {
        lease: sight.lease.map(|lease| LeaseRecord { version: version.to_owned(), ..(*lease).clone() }),
        pods: pods.map(|(index, pod)| observed(index, pod)).collect(),
        jobs: sight.jobs.iter().map(jobs::observed).collect(),
        operations: Vec::from_iter(sight.asked.then_some(switchover)),
        link: Some(Link::new(alive_since, Duration::MAX)),
        wall: WALL,
        ..Observation::default()
    }
}

fn observed(index: usize, seen: &PodSeen) -> Pod {
    let reference = pod(index);
    Pod {
        name: reference.name,
        uid: reference.uid,
        slot: u32::try_from(index).expect("few pods"),
        ready: !seen.terminating,
        terminating: seen.terminating,
        container_id: Some(seen.container.to_string()),
        terminated_boots: seen.ended.iter().map(|starts| boot(index, *starts)).collect(),
        ..Pod::default()
    }
}

fn sighting(bounds: &Bounds, operator: Remembered, sight: &Sight) -> Sighting {
    // A wall clock that is ahead finds every renewal old that is not of this very moment.
    if wrong::is(Wrong::ExpiryByWallClock) && sight.age > 0 {
        return Sighting { version: sight.lease.map(|_| PRESENT.to_owned()), at: LONG_AGO };
    }
    if let Some(age) = operator.kept_timer {
        return Sighting { version: sight.lease.map(|_| PRESENT.to_owned()), at: ago(age, bounds) };
    }
    if let Some(age) = operator.watch_hangs {
        return Sighting { version: Some("before".to_owned()), at: ago(age, bounds) };
    }
    let version = if sight.lease_fresh { PRESENT } else { PAST };
    Sighting { version: sight.lease.map(|_| version.to_owned()), at: ago(sight.age, bounds) }
}

/// Every step that the core may wait for has taken too long. Otherwise their deadlines are not counted: a step may be
/// waited for for ever, or be given up as a fault.
fn nothing_is_waited_for(memory: &mut Memory, sight: &Sight) {
    let epochs = [Some(sight.record.epoch), sight.record.trading.as_ref().map(|ledger| ledger.epoch)];
    for epoch in epochs.into_iter().flatten() {
        let steps: [fn(_) -> Step; 6] =
            [Step::Claim, Step::Reconcile, Step::Promote, Step::Stop, Step::StopNow, Step::Return];
        memory.steps.extend(steps.map(|step| (step(epoch), LONG_AGO)));
    }
    memory.seen_alive = sight.record.lost.iter().map(|lost| (lost.pod_uid.clone(), LONG_AGO)).collect();
}

/// Since when it has waited for a Job that the status has named for `age` ticks, and the Job's deadline.
fn waited(operator: Remembered, age: u8) -> (Mono, Duration) {
    (NOW.minus(JOB_TICK * u32::from(age.min(operator.up))), JOB_DEADLINE)
}

/// The writes that can succeed, up to the first that cannot.
fn writing(sight: &Sight, decision: &Decision) -> Vec<Pending> {
    let changed = decision.record != *sight.record;
    let mut writes = Vec::new();
    for action in &decision.actions {
        match action {
            Action::WriteStatus if !changed => {}
            Action::WriteStatus if sight.record_fresh => {
                writes.push(Pending::Status(Interned::new(decision.record.clone())));
            }
            Action::WriteStatus => break,
            Action::CreateLease { purpose, .. } | Action::PutLease { purpose, .. }
                if !(sight.lease_fresh || *purpose == LeaseWrite::Grant && wrong::is(Wrong::GrantWithoutVersion)) =>
            {
                break;
            }
            Action::CreateLease { lease, purpose } | Action::PutLease { lease, purpose } => {
                let stored = stored(lease.clone());
                let creates = matches!(action, Action::CreateLease { .. });
                writes.push(Pending::Lease { lease: Interned::new(stored), purpose: *purpose, creates });
            }
            Action::CreateJob { token, context } => {
                let small = |number: u64| u8::try_from(number).unwrap_or(u8::MAX);
                writes.push(Pending::Job(Grant { epoch: small(context.epoch.0), token: small(token.0) }, 0));
            }
            Action::DeletePod(pod) => {
                let index = pod.uid.trim_start_matches('u').parse().expect("uids are numbered");
                writes.push(Pending::DeletePod(index));
            }
            Action::UpdateOperation { update: OperationUpdate::Running { .. }, .. } => {}
            Action::UpdateOperation { .. } => writes.push(Pending::Told),
            // Labels, accounts and restores are not modelled, nor are new pods: a pod made again is as good as one that
            // was there and is taken for the first time.
            _ => {}
        }
    }
    writes
}

/// A Lease as [`World`] keeps it.
fn stored(lease: LeaseRecord) -> LeaseRecord {
    let counts = wrong::is(Wrong::EpochFromTransitions);
    let transitions = if counts { lease.transitions } else { 0 };
    LeaseRecord { version: String::new(), renew: String::new(), transitions, ..lease }
}
