//! Times and words that no decision depends on any more. Where the world is reduced they are blanked, and states that
//! differ in them alone are one.

use crate::core::ids::FencingToken;
use crate::core::wrong::{self, Wrong};
use crate::events::Model;
use crate::interned::Interned;
use crate::jobs::{Job, Told};
use crate::operators::{self, Pending, Round, Turn};
use crate::world::*;

pub fn forget(model: &Model, world: &mut World) {
    // Who hears late of the Lease or of a Job may yet go by what it was.
    if model.bounds.faults.late == 0 {
        lease_age(world);
        waits(world);
    }
    uptimes(model, world);
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
        let oldest = waits.max(world.lease_age).max(read).max(operator.watch_hangs.unwrap_or(0));
        if operator.up >= oldest && operator.up < LONG_UP {
            *operator = operators::after(model, *operator, Turn::IsUpForLong);
        }
    }
}
