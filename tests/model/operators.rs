//! Operators: the very `decide` of production. One round reads everything at once, or in halves with something in
//! between; each of its writes is a step of its own, and may be carried out late, or never.

use std::hash::{Hash, Hasher};

use crate::core::failover::{LeaseWrite, Record};
use crate::core::ids::Epoch;
use crate::core::lease::LeaseRecord;
use crate::core::wrong::{self, Wrong};
use crate::counts::Counts;
use crate::events::Model;
use crate::exchange::Grant;
use crate::interned::Interned;
use crate::jobs::{self, Job};
use crate::rounds::{Sight, decide_on};
use crate::world::*;

/// One operator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Operator {
    pub remembered: Remembered,
    pub round: Round,
    /// A write that it gave up on and that may still be carried out.
    pub late: Option<Pending>,
}

/// What an operator goes by beside what a round reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Remembered {
    /// Its own fencing write for this epoch is the Lease's present version.
    pub fenced: Option<Epoch>,
    /// Ticks since it was started, as far as they matter. Since then its link to the API server is proven, and its waits
    /// run: for the Lease from when a version is stored, for a Job from when the status names it. A watch or a round that
    /// notes them later starts its wait later, which an operator that acts later does as well.
    pub up: u8,
    /// Its watch hangs, and shows a version that is not the Lease's any more; for so many ticks.
    pub watch_hangs: Option<u8>,
    /// For [`Wrong::TimerKeptOverRestart`]: the timer of the operator before it, whatever the Lease has become.
    pub kept_timer: Option<u8>,
}

/// How far an operator's round has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Round {
    #[default]
    Idle,
    /// The status was read, the rest was not.
    ReadStatus { record: Interned<Record>, fresh: bool },
    /// The Lease, the pods and the Jobs were read, the status was not.
    ReadRest { lease: Option<Interned<LeaseRecord>>, age: u8, fresh: bool, pods: PodsSeen, jobs: Interned<Vec<Job>> },
    /// It decided; these writes are to be made, in order.
    Writing(Vec<Pending>),
}

/// A write of an operator. Those that depend on a version are kept only while it is the present one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pending {
    Status(Interned<Record>),
    Lease {
        lease: Interned<LeaseRecord>,
        purpose: LeaseWrite,
        creates: bool,
    },
    /// A reconciliation, so many ticks after it was decided on.
    Job(Grant, u8),
    DeletePod(u8),
    /// The switchover is told how it ended.
    Told,
}

/// What becomes of an operator by itself, whatever the world is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Turn {
    Ticks,
    /// It decides on these writes; whether the Lease is still as it has fenced it.
    Decides(Interned<Vec<Pending>>, bool),
    LeaseChanges,
    StatusChanges,
    /// Its next write leaves it.
    Writes,
    /// Its next write leaves it, and it will not hear of it.
    GivesUpWrite,
    /// What it gave up on arrives.
    LateWriteArrives,
    /// It makes no more writes.
    Stops,
    /// It has written its fence.
    Fences(Epoch),
    /// It has been up for long.
    IsUpForLong,
}

/// An operator after a turn.
pub fn after(model: &Model, operator: Interned<Operator>, turn: Turn) -> Interned<Operator> {
    model.turns.get((operator, turn), || {
        let mut next = (*operator).clone();
        match turn {
            Turn::Decides(writes, fenced) => {
                (next.remembered.watch_hangs, next.remembered.kept_timer) = (None, None);
                next.round = if writes.is_empty() { Round::Idle } else { Round::Writing(writes.to_vec()) };
                next.remembered.fenced = next.remembered.fenced.filter(|_| fenced);
            }
            Turn::Ticks => tick(&mut next, model.bounds.wait_ticks()),
            Turn::LeaseChanges => lease_changes(&mut next),
            Turn::StatusChanges => status_changes(&mut next),
            Turn::Writes => drop(take_first(&mut next)),
            Turn::GivesUpWrite => (next.late, next.round) = (take_first(&mut next), Round::Idle),
            Turn::LateWriteArrives => next.late = None,
            Turn::Stops => next.round = Round::Idle,
            Turn::Fences(epoch) => next.remembered.fenced = Some(epoch),
            Turn::IsUpForLong => next.remembered.up = LONG_UP,
        }
        Interned::new(next)
    })
}

fn take_first(operator: &mut Operator) -> Option<Pending> {
    let Round::Writing(writes) = &mut operator.round else { return None };
    let first = writes.remove(0);
    if writes.is_empty() {
        operator.round = Round::Idle;
    }
    Some(first)
}

impl Operator {
    /// Its next write.
    fn first(&self) -> Option<Pending> {
        if let Round::Writing(writes) = &self.round { writes.first().copied() } else { None }
    }

    /// Whether it still has this Job to make, or reads what may have it make one.
    pub fn may_make(&self, grant: Grant) -> bool {
        let this = |pending: &Pending| matches!(pending, Pending::Job(wanted, _) if *wanted == grant);
        self.late.as_ref().is_some_and(this)
            || match &self.round {
                Round::Idle => false,
                Round::Writing(writes) => writes.iter().any(this),
                Round::ReadStatus { .. } | Round::ReadRest { .. } => true,
            }
    }
}

/// What an operator reads of each pod.
pub type PodsSeen = [PodSeen; AGENTS];

/// What an operator reads of one pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PodSeen {
    pub there: bool,
    pub terminating: bool,
    /// Which start of the container runs, as the kubelet reports it.
    pub container: u8,
    /// Which start is reported as ended.
    pub ended: Option<u8>,
}

impl Hash for PodSeen {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let PodSeen { there, terminating, container, ended } = *self;
        state.write_u32(u32::from_le_bytes([
            u8::from(there) | u8::from(terminating) << 1,
            container,
            u8::from(ended.is_some()),
            ended.unwrap_or(0),
        ]));
    }
}

pub fn pods(world: &World) -> PodsSeen {
    world.agents.map(|agent| agent.observed())
}

pub fn reads_status(world: &mut World, i: usize) -> bool {
    set_round(world, i, Round::ReadStatus { record: world.record, fresh: true })
}

pub fn reads_rest(world: &mut World, i: usize) -> bool {
    let (lease, age) = (world.lease, world.lease_age);
    set_round(world, i, Round::ReadRest { lease, age, fresh: true, pods: pods(world), jobs: world.jobs })
}

fn set_round(world: &mut World, i: usize, round: Round) -> bool {
    world.operators[i] = Interned::new(Operator { round, ..(*world.operators[i]).clone() });
    true
}

pub fn watch_hangs(world: &mut World, i: usize) -> bool {
    let mut next = (*world.operators[i]).clone();
    next.remembered.watch_hangs = Some(world.lease_age);
    world.operators[i] = Interned::new(next);
    true
}

/// Decides; `overdue`: every step that it waits for has taken too long.
pub fn decides(model: &Model, world: &mut World, i: usize, overdue: bool, counts: Option<&Counts>) -> bool {
    let operator = world.operators[i];
    let Some(sight) = Sight::of(world, operator) else { return false };
    let wait = model.bounds.wait_ticks();
    if overdue && operator.remembered.up < wait {
        return false;
    }
    let outcome = |overdue: bool| {
        let known = operator.remembered;
        let decided = model.decisions.get((known, sight, overdue), || decide_on(&model.bounds, known, &sight, overdue));
        (decided, after(model, operator, Turn::Decides(decided.writes, decided.fenced)))
    };
    let (decided, next) = outcome(overdue);
    counts.inspect(|counts| counts.phase(decided.phase));
    if overdue && next == outcome(false).1 {
        return false;
    }
    world.operators[i] = next;
    let makes = |pending: &Pending| if let Pending::Job(grant, _) = pending { Some(*grant) } else { None };
    decided.writes.iter().find_map(makes).into_iter().for_each(|grant| jobs::waits_anew(world, grant));
    true
}

/// Its next write is carried out and answered.
pub fn writes(model: &Model, world: &mut World, i: usize) -> bool {
    let before = world.operators[i];
    let Some(write) = before.first() else { return false };
    world.operators[i] = after(model, before, Turn::Writes);
    if !carry_out(model, world, write) {
        world.operators[i] = after(model, world.operators[i], Turn::Stops);
    } else if let Pending::Lease { purpose: LeaseWrite::Fence { epoch }, .. } = write {
        world.operators[i] = after(model, world.operators[i], Turn::Fences(epoch));
    }
    true
}

/// So many of its writes, or all.
pub fn writes_up_to(model: &Model, world: &mut World, i: usize, most: u8) -> bool {
    (0..most).all(|_| !is_writing(world, i) || writes(model, world, i))
}

pub fn is_writing(world: &World, i: usize) -> bool {
    matches!(world.operators[i].round, Round::Writing(_))
}

pub fn write_times_out(model: &Model, world: &mut World, i: usize) -> bool {
    if !is_writing(world, i) {
        return false;
    }
    world.operators[i] = after(model, world.operators[i], Turn::GivesUpWrite);
    true
}

pub fn late_write(model: &Model, world: &mut World, i: usize) -> bool {
    let Some(write) = world.operators[i].late else { return false };
    world.operators[i] = after(model, world.operators[i], Turn::LateWriteArrives);
    carry_out(model, world, write);
    true
}

/// It dies and comes back; `in_write`: with its next write on its way.
pub fn restarts(world: &mut World, i: usize, in_write: bool) -> bool {
    let before = world.operators[i];
    let late = before.first().filter(|_| in_write).or(before.late);
    let kept = wrong::is(Wrong::TimerKeptOverRestart);
    let up = if kept { before.remembered.up } else { 0 };
    let kept_timer = kept.then_some(world.lease_age);
    let remembered = Remembered { up, kept_timer, ..Remembered::default() };
    world.operators[i] = Interned::new(Operator { remembered, late, ..Operator::default() });
    true
}

/// Answers whether it was stored. Whatever depends on a version that is gone was dropped before.
fn carry_out(model: &Model, world: &mut World, write: Pending) -> bool {
    match write {
        Pending::Status(record) => world.set_record(model, record),
        // What overwrites anything is a patch, which needs something to overwrite.
        Pending::Lease { creates: false, .. } if world.lease.is_none() => return false,
        Pending::Lease { lease, purpose, .. } => {
            world.set_lease(model, Some(lease));
            if purpose == LeaseWrite::Grant {
                world.shows_nobody_but(model, None);
            }
        }
        Pending::Job(grant, _) => jobs::made(world, grant),
        Pending::DeletePod(index) => return crate::pods::pod_deleted(world, index.into()),
        Pending::Told => world.asked = false,
    }
    true
}

fn is_lease(pending: &Pending) -> bool {
    matches!(pending, Pending::Lease { .. }) && !overwrites(pending)
}

/// Writes that mistakes send over whatever the Lease has become.
fn overwrites(pending: &Pending) -> bool {
    let grants = matches!(pending, Pending::Lease { purpose: LeaseWrite::Grant, creates: false, .. });
    grants && wrong::is(Wrong::GrantWithoutVersion)
}

fn is_status(pending: &Pending) -> bool {
    matches!(pending, Pending::Status(_))
}

/// The Lease has another version.
pub fn lease_changed(model: &Model, operator: Interned<Operator>) -> Interned<Operator> {
    let concerned =
        !matches!(operator.round, Round::Idle) || operator.late.is_some() || operator.remembered.fenced.is_some();
    if concerned { after(model, operator, Turn::LeaseChanges) } else { operator }
}

fn lease_changes(operator: &mut Operator) {
    operator.remembered.fenced = None;
    match &mut operator.round {
        Round::ReadRest { fresh, .. } => *fresh = false,
        round => cut(round, is_lease),
    }
    // That mistake sends what it gave up on again, over whatever is there.
    if operator.late.as_ref().is_some_and(is_lease) && !wrong::is(Wrong::UnknownWriteRetried) {
        operator.late = None;
    }
}

/// The status has another version.
pub fn status_changed(model: &Model, operator: Interned<Operator>) -> Interned<Operator> {
    let concerned = !matches!(operator.round, Round::Idle) || operator.late.is_some();
    if concerned { after(model, operator, Turn::StatusChanges) } else { operator }
}

fn status_changes(operator: &mut Operator) {
    match &mut operator.round {
        Round::ReadStatus { fresh, .. } => *fresh = false,
        round => cut(round, is_status),
    }
    if operator.late.as_ref().is_some_and(is_status) {
        operator.late = None;
    }
}

/// The first write that is refused ends a round, so what follows one that will be is never made. An operator whose next
/// write will be refused may as well begin its next round: one that waits just does not act.
fn cut(round: &mut Round, hopeless: fn(&Pending) -> bool) {
    let Round::Writing(writes) = round else { return };
    if let Some(end) = writes.iter().position(hopeless) {
        writes.truncate(end);
    }
    if writes.is_empty() {
        *round = Round::Idle;
    }
}

/// A tick passes.
fn tick(operator: &mut Operator, wait: u8) {
    let later = |ticks: &mut u8| *ticks = (*ticks + 1).min(wait);
    let remembered = &mut operator.remembered;
    remembered.up = (remembered.up + 1).min(LONG_UP);
    remembered.watch_hangs.iter_mut().chain(&mut remembered.kept_timer).for_each(later);
    if let Round::ReadRest { age, .. } = &mut operator.round {
        later(age);
    }
    let aged = |pending: &mut Pending| match pending {
        Pending::Job(_, age) => {
            *age += 1;
            *age <= JOB_SENT_TICKS
        }
        _ => true,
    };
    if let Round::Writing(writes) = &mut operator.round
        && let Some(end) = writes.iter_mut().position(|pending| !aged(pending))
    {
        writes.truncate(end);
        if writes.is_empty() {
            operator.round = Round::Idle;
        }
    }
    if operator.late.as_mut().is_some_and(|pending| !aged(pending)) {
        operator.late = None;
    }
}
