//! Times and words that no decision depends on any more. Where the world is reduced they are blanked, and states that
//! differ in them alone are one.

use crate::canonical;
use crate::core::failover::{Evidence, Record};
use crate::core::ids::FencingToken;
use crate::core::wrong::{self, Wrong};
use crate::events::Model;
use crate::exchange::Grant;
use crate::interned::Interned;
use crate::jobs::{self, Job, Told};
use crate::operators::{self, Pending, Round, Turn};
use crate::pods;
use crate::world::*;

pub fn forget(model: &Model, world: &mut World) {
    // Who hears late of the Lease or of a Job may yet go by what it was.
    if model.bounds.faults.late == 0 {
        lease_age(world);
        waits(world);
    }
    late_jobs(model, world);
    uptimes(model, world);
    reports(model, world);
}

/// Where there is a Job already, a late request to make it does nothing, and it stays as long as that is on its way.
fn late_jobs(model: &Model, world: &mut World) {
    let is_there = |grant: Grant| world.jobs.iter().any(|job| job.grant.token == grant.token);
    for operator in &mut world.operators {
        if matches!(operator.late, Some(Pending::Job(grant, _)) if is_there(grant)) {
            *operator = operators::after(model, *operator, Turn::LateWriteArrives);
        }
    }
    // Nobody may ask for it any more.
    jobs::forget(world);
}

/// What no decision depends on that comes up within bounds. Of evidence it is only asked whether the holder released, or
/// whether there is none; a reconciliation is tried again more often than grants are allowed.
pub fn forget_in(record: &mut Record) {
    let Some(current) = &mut record.current else { return };
    current.attempts = 0;
    if current.evidence.is_some_and(|evidence| evidence != Evidence::Released) {
        current.evidence = Some(Evidence::LeaseExpired);
    }
}

/// The same in every record of a state that was reached without it.
pub fn forget_in_all(world: &mut World) {
    let forget = |record: &mut Interned<Record>| {
        let mut without = (**record).clone();
        forget_in(&mut without);
        *record = Interned::new(without);
    };
    forget(&mut world.record);
    for operator in &mut world.operators {
        let mut without = (**operator).clone();
        let writes = if let Round::Writing(writes) = &mut without.round { writes.as_mut_slice() } else { &mut [] };
        for pending in writes.iter_mut().chain(&mut without.late) {
            if let Pending::Status(record) = pending {
                forget(record);
            }
        }
        if let Round::ReadStatus { record, .. } = &mut without.round {
            forget(record);
        }
        *operator = Interned::new(without);
    }
}

/// The reported end of a start of a container is looked up by who else names that start: ledger, Lease, requests. Once
/// nobody does, nobody will: whoever notes a start notes the one that runs, as far as the kubelet has reported.
fn reports(model: &Model, world: &mut World) {
    if wrong::is(Wrong::TerminatedWithoutBoot) {
        return;
    }
    for i in 0..AGENTS {
        let before = world.agents[i];
        let Some(ended) = before.reported else { continue };
        world.agents[i] = pods::after(model, before, pods::Turn::ForgetsReport);
        if canonical::used_in(world).has_start(i, ended) {
            world.agents[i] = before;
        }
    }
}

/// Silence is asked for only of somebody whom the status names, or the Lease. Whoever the Lease names next begins anew,
/// and the status names only whom the Lease names.
fn lease_age(world: &mut World) {
    let names_one = |pending: &Pending| matches!(pending, Pending::Status(record) if record.trading.is_some());
    let will = world.operators.iter().any(|operator| operator.late.as_ref().is_some_and(names_one));
    let named = world.record.trading.is_some() || world.lease.is_some_and(|lease| lease.holder.is_some());
    if !named && !will {
        world.lease_age = 0;
    }
}

/// A Job that is known to have ended is not waited for.
fn waits(world: &mut World) {
    let ended = |job: &&Job| !job.acts && job.told != Told::Running;
    let is_over = |token: &FencingToken| {
        world.jobs.iter().filter(ended).any(|job| FencingToken(job.grant.token.into()) == *token)
    };
    if world.waits.iter().any(|(token, age)| *age > 0 && is_over(token)) {
        let blank = |(token, age): &(FencingToken, u8)| (*token, if is_over(token) { 0 } else { *age });
        world.waits = Interned::new(world.waits.iter().map(blank).collect());
    }
}

/// How long an operator has been up matters only while something that it waits for is older: of the two, the shorter
/// time counts. What is younger stays younger. (It may then also give up waiting sooner, which is more than can happen.)
fn uptimes(model: &Model, world: &mut World) {
    if wrong::is(Wrong::TimerKeptOverRestart) {
        return;
    }
    let waits = world.waits.iter().map(|(_, age)| *age).max().unwrap_or(0);
    for operator in &mut world.operators {
        let read = if let Round::ReadRest { age, .. } = operator.round { age } else { 0 };
        let oldest = waits.max(world.lease_age).max(read).max(operator.remembered.watch_hangs.unwrap_or(0));
        if operator.remembered.up >= oldest && operator.remembered.up < LONG_UP {
            *operator = operators::after(model, *operator, Turn::IsUpForLong);
        }
    }
}
