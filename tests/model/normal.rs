//! One form for states that differ only in names that nothing depends on: versions, numbers of requests, and times that
//! lie too far back to matter.

use std::collections::BTreeSet;

use decisions::core::agent::Process;
use decisions::core::failover::Memory;
use decisions::core::lease::LeaseRecord;
use decisions::core::time::Mono;

use crate::agents;
use crate::shared::Shared;
use crate::world::*;

/// A tick passes: everything that was noted moves into the past.
pub fn age(world: &mut World) {
    for operator in &mut world.operators {
        let operator = &mut **operator;
        age_one(&mut operator.alive_since, WAIT_TICKS);
        if let Some(sighting) = &mut operator.memory.sighting {
            age_one(&mut sighting.at, WAIT_TICKS);
        }
    }
    for agent in &mut world.agents {
        let state = &mut agent.state;
        // A process may overrun its deadline where that is what is looked for.
        state.guarded.iter_mut().for_each(|at| age_one(at, WAIT_TICKS));
        if let Process::Waiting(at) | Process::Terminating(at) = &mut state.process {
            age_one(at, 0);
        }
        if let Some(hold) = &mut state.hold {
            // The renew deadline and the deadline are both a tick after it.
            hold.renewed.iter_mut().for_each(|at| age_one(at, 1));
            hold.sent.iter_mut().for_each(|(_, at)| age_one(at, 1));
            age_one(&mut hold.next_write, 0);
        }
    }
}

fn age_one(at: &mut Mono, oldest: u32) {
    let (aged, oldest) = (at.minus(TICK), NOW.minus(TICK * oldest));
    *at = if aged.first < oldest.first { oldest } else { aged };
}

pub fn form(world: &mut World) {
    forget_what_cannot_happen(world);
    for agent in &mut world.agents {
        // Both only tell how long a standby ran before it ended.
        let runs = matches!(agent.state.process, Process::Running { since, .. } if since != NOW);
        if agent.state.crashes != 0 || runs {
            agent.state.crashes = 0;
            if let Process::Running { since, .. } = &mut agent.state.process {
                *since = NOW;
            }
        }
    }
    renumber_lease_versions(world);
    renumber_status_versions(world);
    for i in 0..AGENTS {
        renumber_requests(world, i);
    }
    // Operators differ in nothing but what they know.
    world.operators.sort_by_key(Shared::digest);
}

/// Versions never come back, so a write that depends on an old one comes to nothing, whenever it is tried. An operator
/// whose next write will be refused may as well begin its next round: one that waits just does not act.
fn forget_what_cannot_happen(world: &mut World) {
    let (record_version, lease) = (world.record_version, world.lease.clone());
    let lease_version = lease.as_ref().map(|l| l.version.as_str());
    let hopeless = |pending: &Pending| match pending {
        Pending::Status { version, .. } => *version != record_version,
        Pending::Lease { lease, create, .. } => (!create).then_some(lease.version.as_str()) != lease_version,
    };
    for operator in &mut world.operators {
        if operator.late.as_ref().is_some_and(hopeless) {
            operator.late = None;
        }
        if let Round::Writing(writes) = &operator.round
            && writes.first().is_some_and(hopeless)
        {
            operator.round = Round::Idle;
        }
        let read = match &operator.round {
            Round::ReadRest { lease, .. } => lease.as_ref().map(|l| l.version.clone()),
            _ => None,
        };
        let known = |version: Option<&str>| version == lease_version || (read.is_some() && version == read.as_deref());
        if operator.memory.sighting.as_ref().is_some_and(|s| !known(s.version.as_deref())) {
            operator.memory.sighting = None;
        }
        if operator.memory.fenced_version.as_ref().is_some_and(|(_, version)| !known(Some(version))) {
            operator.memory.fenced_version = None;
        }
    }
    for (i, agent) in world.agents.iter_mut().enumerate() {
        let matters = |request: &Request| {
            request.awaited || lease.as_ref().is_some_and(|lease| agents::can_be_stored(lease, i, request))
        };
        if !agent.requests.iter().all(matters) {
            agent.requests.retain(matters);
        }
    }
}

/// Every version of the Lease that somebody still knows, in order.
pub fn lease_versions(world: &World) -> Vec<u64> {
    let mut all = Vec::new();
    let mut note = |version: &str| {
        if !version.is_empty() {
            all.push(number(version));
        }
    };
    world.lease.iter().for_each(|lease| note(&lease.version));
    for operator in &world.operators {
        if let Round::ReadRest { lease: Some(lease), .. } = &operator.round {
            note(&lease.version);
        }
        let writing = match &operator.round {
            Round::Writing(writes) => writes.as_slice(),
            _ => &[],
        };
        for pending in writing.iter().chain(&operator.late) {
            if let Pending::Lease { lease, .. } = pending {
                note(&lease.version);
            }
        }
        let Memory { sighting, fenced_version, .. } = &operator.memory;
        sighting.iter().filter_map(|s| s.version.as_ref()).for_each(|version| note(version));
        fenced_version.iter().for_each(|(_, version)| note(version));
    }
    all.sort_unstable();
    all.dedup();
    all
}

fn number(version: &str) -> u64 {
    version.parse().expect("versions are numbers")
}

fn renumber_lease_versions(world: &mut World) {
    let used = lease_versions(world);
    if used.iter().zip(1..).all(|(version, place)| *version == place) {
        return;
    }
    let renumber = |version: &mut String| {
        if !version.is_empty() {
            let place = used.partition_point(|known| *known < number(version)) as u64 + 1;
            if place != number(version) {
                *version = place.to_string();
            }
        }
    };
    world.lease.iter_mut().for_each(|lease| renumber(&mut lease.version));
    for operator in &mut world.operators {
        let operator = &mut **operator;
        if let Round::ReadRest { lease: Some(lease), .. } = &mut operator.round {
            renumber(&mut lease.version);
        }
        let writing = match &mut operator.round {
            Round::Writing(writes) => writes.as_mut_slice(),
            _ => &mut [],
        };
        for pending in writing.iter_mut().chain(operator.late.as_mut()) {
            if let Pending::Lease { lease, .. } = pending {
                renumber(&mut lease.version);
            }
        }
        let Memory { sighting, fenced_version, .. } = &mut operator.memory;
        sighting.iter_mut().filter_map(|s| s.version.as_mut()).for_each(renumber);
        fenced_version.iter_mut().for_each(|(_, version)| renumber(version));
    }
}

/// Only the present version is still of use to anyone, but to a round that has read half.
fn renumber_status_versions(world: &mut World) {
    let mut used = vec![world.record_version];
    for operator in &world.operators {
        if let Round::ReadStatus { version, .. } = &operator.round {
            used.push(*version);
        }
        let writing = match &operator.round {
            Round::Writing(writes) => writes.as_slice(),
            _ => &[],
        };
        for pending in writing.iter().chain(&operator.late) {
            if let Pending::Status { version, .. } = pending {
                used.push(*version);
            }
        }
    }
    used.sort_unstable();
    used.dedup();
    if used.iter().zip(1..).all(|(version, place)| *version == place) {
        return;
    }
    let renumber = |version: &mut u64| *version = used.partition_point(|known| known < version) as u64 + 1;
    renumber(&mut world.record_version);
    for operator in &mut world.operators {
        let Operator { round, late, .. } = &mut **operator;
        if let Round::ReadStatus { version, .. } = round {
            renumber(version);
        }
        let writing = match round {
            Round::Writing(writes) => writes.as_mut_slice(),
            _ => &mut [],
        };
        for pending in writing.iter_mut().chain(late) {
            if let Pending::Status { version, .. } = pending {
                renumber(version);
            }
        }
    }
}

/// Numbers of requests are compared with each other and with the Lease's `renew` alone.
fn renumber_requests(world: &mut World, i: usize) {
    let prefix = format!("{}/", boot(i, world.agents[i].starts));
    let shown = |lease: &LeaseRecord| lease.renew.strip_prefix(&prefix).and_then(|n| n.parse::<u64>().ok());
    let agent = &world.agents[i];
    let mut used: BTreeSet<u64> = world.lease.as_deref().and_then(shown).into_iter().collect();
    used.extend(agent.state.in_flight);
    used.extend(agent.state.hold.iter().filter_map(|hold| hold.sent).map(|(number, _)| number));
    let starts = agent.starts;
    used.extend(agent.requests.iter().filter(|r| r.sender == starts).map(|r| r.write.number));
    let used: Vec<u64> = used.into_iter().collect();
    let stale = agent.requests.iter().any(|r| r.sender != starts && r.write.number != 0);
    let in_order = used.iter().zip(1..).all(|(number, place)| *number == place);
    if in_order && !stale && agent.state.writes == used.len() as u64 {
        return;
    }
    let agent = &mut *world.agents[i];
    let renumbered = |number: u64| used.partition_point(|known| *known < number) as u64 + 1;
    agent.state.writes = used.len() as u64;
    agent.state.in_flight = agent.state.in_flight.map(renumbered);
    if let Some(hold) = &mut agent.state.hold {
        hold.sent.iter_mut().for_each(|(number, _)| *number = renumbered(*number));
    }
    for request in &mut agent.requests {
        request.write.number = if request.sender == starts { renumbered(request.write.number) } else { 0 };
    }
    if let Some(lease) = &mut world.lease
        && let Some(number) = shown(lease)
    {
        lease.renew = format!("{prefix}{}", renumbered(number));
    }
}
