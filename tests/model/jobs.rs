//! Reconciliation Jobs: a program that may act at the exchange, and what its objects say of it.
//!
//! A Job that does nothing for a while, starts late or reports late is here one that goes on for longer. The kubelet
//! ends it at its deadline, also on a node that is cut off.

use crate::core::failover::{self, JobState};
use crate::core::ids::FencingToken;
use crate::core::report::Report;
use crate::core::wrong::{self, Wrong};
use crate::exchange::Grant;
use crate::interned::Interned;
use crate::world::{JOB_TICKS, World};

/// One Job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Job {
    pub grant: Grant,
    /// Its program may act at the exchange.
    pub acts: bool,
    /// What the API server says.
    pub told: Told,
    /// Ticks since it was made.
    pub age: u8,
}

/// What the API server says of a Job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Told {
    Running,
    Succeeded,
    Failed,
}

/// As an operator reads it.
pub fn observed(job: &Job) -> failover::Job {
    failover::Job {
        token: FencingToken(job.grant.token.into()),
        state: match job.told {
            Told::Running => JobState::Running,
            Told::Succeeded => JobState::Succeeded(Report::default()),
            Told::Failed => JobState::Failed(String::new()),
        },
        ended: job.told != Told::Running,
    }
}

/// The program of a new Job may act from now on.
pub fn made(world: &mut World, grant: Grant) {
    // One that is there already under its name is as good.
    let taken = |job: &Job| job.grant.token == grant.token || wrong::is(Wrong::JobNameWithoutEpoch);
    if world.jobs.iter().any(taken) {
        return;
    }
    let mut jobs = world.jobs.to_vec();
    jobs.push(Job { grant, acts: true, told: Told::Running, age: 0 });
    jobs.sort_unstable();
    world.jobs = Interned::new(jobs);
    waits_anew(world, grant);
    world.exchange.acts(grant);
}

/// Every operator waits for it from now on, however long it has been meant to be made: whoever tries to make it, whoever
/// sees it for the first time, and whoever leads next, as it only begins to wait then.
pub fn waits_anew(world: &mut World, grant: Grant) {
    let is_it = |token: FencingToken| token.0 == u64::from(grant.token);
    if world.waits.iter().any(|(token, age)| is_it(*token) && *age > 0) {
        let anew = world.waits.iter().map(|(token, age)| (*token, if is_it(*token) { 0 } else { *age }));
        world.waits = Interned::new(anew.collect());
    }
}

/// Ends the Job at `position`; what it tells, or `None`: its node died with it, and nobody tells.
pub fn ends(world: &mut World, position: usize, tells: Option<Told>) -> bool {
    let mut jobs = world.jobs.to_vec();
    let Some(job) = jobs.get_mut(position).filter(|job| job.acts) else { return false };
    (job.acts, job.age) = (false, JOB_TICKS);
    job.told = tells.unwrap_or(Told::Running);
    if tells == Some(Told::Succeeded) {
        world.exchange.reconciles(job.grant);
    }
    world.jobs = Interned::new(jobs);
    true
}

/// The Job's controller finds a Job that ended without a word.
pub fn is_found(world: &mut World, position: usize) -> bool {
    let mut jobs = world.jobs.to_vec();
    let Some(job) = jobs.get_mut(position).filter(|job| !job.acts && job.told == Told::Running) else { return false };
    job.told = Told::Failed;
    world.jobs = Interned::new(jobs);
    true
}

pub fn tick(world: &mut World) {
    if world.jobs.iter().all(|job| job.age == JOB_TICKS) {
        return;
    }
    let aged = |job: &Job| {
        let age = (job.age + 1).min(JOB_TICKS);
        Job { age, acts: job.acts && age < JOB_TICKS, ..*job }
    };
    world.jobs = Interned::new(world.jobs.iter().map(aged).collect());
}

/// What no decision depends on any more is left out: Jobs that are known to have ended and whose token nobody will ask
/// for, or make a Job for, again. Production keeps their objects for longer than requests are on their way.
pub fn forget(world: &mut World) {
    let matters = |job: &&Job| {
        let token = FencingToken(job.grant.token.into());
        let named = world.record.jobs.contains(&token) || token >= world.record.token;
        let ends = !job.acts && job.told != Told::Running;
        let asked_for = world.operators.iter().any(|operator| operator.may_make(job.grant));
        !ends || named || asked_for || wrong::is(Wrong::JobNameWithoutEpoch)
    };
    if !world.jobs.iter().all(|job| matters(&job)) {
        world.jobs = Interned::new(world.jobs.iter().filter(matters).copied().collect());
    }
    let runs = |token: &FencingToken| {
        let is_it = |job: &Job| FencingToken(job.grant.token.into()) == *token && job.told == Told::Running;
        world.jobs.iter().any(is_it)
    };
    let awaited = |(token, _): &&(FencingToken, u8)| world.record.jobs.contains(token) || runs(token);
    if !world.waits.iter().all(|wait| awaited(&wait)) {
        world.waits = Interned::new(world.waits.iter().filter(awaited).copied().collect());
    }
}
