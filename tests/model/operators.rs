//! Operators: the very `decide` of production, with every read and every write a step of its own.

use std::time::Duration;

use decisions::core::failover::{Action, Memory, Observation, Pod, Record, Spec, decide};
use decisions::core::ids::BootId;
use decisions::core::lease::LeaseRecord;
use decisions::core::silence::Link;

use crate::shared::Shared;
use crate::world::*;

fn spec() -> Spec {
    Spec {
        replicas: 2,
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
        reconciliation: None,
        revision: String::new(),
        account: None,
        restore: None,
    }
}

pub fn reads_status(world: &mut World, i: usize) -> bool {
    world.operators[i].round = Round::ReadStatus { record: world.record.clone(), version: world.record_version };
    true
}

pub fn reads_rest(world: &mut World, i: usize) -> bool {
    world.operators[i].round = Round::ReadRest { lease: world.lease.clone(), reported: reports(world) };
    true
}

pub fn decides(world: &mut World, i: usize) -> bool {
    let round = match world.operators[i].round {
        Round::Idle => Round::Idle,
        _ => std::mem::take(&mut world.operators[i].round),
    };
    let (record, version, lease, reported) = match round {
        Round::Idle => (world.record.clone(), world.record_version, world.lease.clone(), reports(world)),
        Round::ReadStatus { record, version } => (record, version, world.lease.clone(), reports(world)),
        Round::ReadRest { lease, reported } => (world.record.clone(), world.record_version, lease, reported),
        other => {
            world.operators[i].round = other;
            return false;
        }
    };
    let operator = &mut world.operators[i];
    let seen = Observation {
        lease: lease.as_deref().cloned(),
        pods: (0..AGENTS).map(|index| observed(index, world.agents[index].starts, &reported[index])).collect(),
        link: Some(Link::new(operator.alive_since, Duration::from_secs(3_600))),
        wall: WALL,
        ..Observation::default()
    };
    let mut decision = decide(&spec(), &record, &operator.memory, &seen, NOW);
    without_words(&mut decision.record);
    without_deadlines(&mut decision.memory);
    let changed = decision.record != *record;
    let status = Pending::Status { record: Shared::new(decision.record), version };
    let mut writes = Vec::new();
    for action in &decision.actions {
        match action {
            Action::WriteStatus if changed => writes.push(status.clone()),
            Action::CreateLease { lease, purpose } | Action::PutLease { lease, purpose } => {
                let create = matches!(action, Action::CreateLease { .. });
                writes.push(Pending::Lease { lease: Shared::new(lease.clone()), purpose: *purpose, create });
            }
            // Which pods there are and what they are labelled is not modelled.
            _ => {}
        }
    }
    if operator.memory != decision.memory {
        operator.memory = decision.memory;
    }
    if !writes.is_empty() {
        operator.round = Round::Writing(writes);
    }
    true
}

/// Deadlines of steps are left out: in the model a step may be taken at any time, sooner and later than in production.
fn without_deadlines(memory: &mut Memory) {
    memory.steps.clear();
    memory.last_grant = None;
    memory.seen_alive.clear();
}

fn observed(index: usize, starts: u8, reported: &[BootId]) -> Pod {
    let reference = pod(index);
    Pod {
        name: reference.name,
        uid: reference.uid,
        slot: index as u32,
        ready: true,
        container_id: Some(starts.to_string()),
        terminated_boots: reported.to_vec(),
        ..Pod::default()
    }
}

fn reports(world: &World) -> [Vec<BootId>; AGENTS] {
    std::array::from_fn(|index| world.agents[index].reported.clone())
}

fn first_write(operator: &mut Operator) -> Option<Pending> {
    let Round::Writing(writes) = &mut operator.round else { return None };
    let first = writes.remove(0);
    if writes.is_empty() {
        operator.round = Round::Idle;
    }
    Some(first)
}

pub fn writes(world: &mut World, i: usize) -> bool {
    let Some(write) = first_write(&mut world.operators[i]) else { return false };
    match carry_out(world, &write) {
        None => world.operators[i].round = Round::Idle,
        Some(version) => {
            if let Pending::Lease { purpose: decisions::core::failover::LeaseWrite::Fence { epoch }, .. } = write {
                world.operators[i].memory.fenced_version = Some((epoch, version));
            }
        }
    }
    true
}

pub fn write_times_out(world: &mut World, i: usize) -> bool {
    let Some(write) = first_write(&mut world.operators[i]) else { return false };
    world.operators[i].late = Some(write);
    world.operators[i].round = Round::Idle;
    true
}

pub fn late_write(world: &mut World, i: usize) -> bool {
    let Some(write) = world.operators[i].late.take() else { return false };
    carry_out(world, &write);
    true
}

pub fn restarts(world: &mut World, i: usize) -> bool {
    let late = world.operators[i].late.take();
    world.operators[i] = Shared::new(Operator { alive_since: NOW, late, ..Operator::default() });
    true
}

/// Compare-and-swap; answers the version it left behind.
fn carry_out(world: &mut World, write: &Pending) -> Option<String> {
    match write {
        Pending::Status { record, version } => {
            if *version != world.record_version {
                return None;
            }
            if breaks_the_ledger(&world.record, record) {
                world.broken = Some("the ledger was replaced without having been cleared");
            }
            world.record = record.clone();
            world.record_version += 1;
            Some(String::new())
        }
        Pending::Lease { lease, create, .. } => {
            let expected = (!create).then_some(lease.version.as_str());
            if world.lease.as_ref().map(|l| l.version.as_str()) != expected {
                return None;
            }
            let version = world.next_lease_version();
            world.lease = Some(Shared::new(LeaseRecord { version: version.clone(), ..(**lease).clone() }));
            Some(version)
        }
    }
}

fn breaks_the_ledger(before: &Record, after: &Record) -> bool {
    match (&before.trading, &after.trading) {
        (Some(old), Some(new)) => (old.epoch, &old.pod) != (new.epoch, &new.pod),
        (Some(old), None) => after.fenced < old.epoch,
        _ => false,
    }
}
