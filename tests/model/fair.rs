//! What must follow: from every state, when faults stop, somebody trades again within a bounded number of fair steps.
//!
//! A checker's `eventually` misses cycles, so this is a property of each state by itself: one fair schedule without
//! faults is run from it. Schedules soon meet, and where one has been before is remembered.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::core::agent::Stage;
use crate::core::lease::Permit;
use crate::events::{Event, Model};
use crate::hashing::{self, ByDigest, combined, shard};
use crate::interned::Interned;
use crate::known::Short;
use crate::operators::Round;
use crate::world::*;

/// Fair steps within which one must trade: events that change something, ticks among them.
pub const MOST_STEPS: u16 = 250;
/// A step of an operator that takes too long is given up in every round of the schedule whose number this divides.
const GIVES_UP_EVERY: u16 = 4;
/// More turns than this are not taken within a tick.
const MOST_TURNS: usize = 10;
const SHARDS: usize = 64;

/// What is known of schedules.
pub struct Fair {
    /// One state in so many is looked at, by its digest; 0: none.
    pub one_in: u64,
    known: Vec<Mutex<HashMap<Short, u16, ByDigest>>>,
    pub looked_at: AtomicU64,
    pub longest: AtomicU64,
}

impl Default for Fair {
    fn default() -> Self {
        let known = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { one_in: 1, known, looked_at: AtomicU64::new(0), longest: AtomicU64::new(0) }
    }
}

/// A state's digest, whatever went wrong on the way to it.
pub fn digest(world: &World) -> u128 {
    let World { lease, lease_age, record, operators, agents, jobs, waits, exchange, asked, spent: _ } = world;
    combined([
        lease.map_or(0, Interned::digest),
        record.digest(),
        operators[0].digest(),
        operators[1].digest(),
        agents[0].digest(),
        agents[1].digest(),
        agents[2].digest(),
        jobs.digest(),
        waits.digest(),
        hashing::digest(&(lease_age, exchange, asked)),
    ])
}

impl Fair {
    /// Whether one trades again; of states that are not looked at, that is assumed.
    pub fn resumes(&self, model: &Model, world: &World) -> bool {
        if self.one_in == 0 || !(digest(world) as u64).is_multiple_of(self.one_in) {
            return true;
        }
        self.looked_at.fetch_add(1, Ordering::Relaxed);
        let Some(steps) = self.steps(model, world) else { return false };
        self.longest.fetch_max(steps.into(), Ordering::Relaxed);
        true
    }

    fn steps(&self, model: &Model, world: &World) -> Option<u16> {
        let mut walk = Walk { model, world: *world, steps: 0, told: None };
        let mut met: Vec<(u128, u16)> = Vec::new();
        let mut round = 0;
        let all = loop {
            if walk.is_settled() {
                break walk.steps;
            }
            // Not within rounds, in which everybody has a turn.
            model.stands_for(&mut walk.world);
            let here = digest(&walk.world);
            if let Some(left) = self.recall(here) {
                break walk.steps + left;
            }
            if walk.steps > MOST_STEPS {
                return None;
            }
            met.push((here, walk.steps));
            round += 1;
            walk.round(round % GIVES_UP_EVERY == 0);
        };
        for (place, steps) in met {
            self.shard(place).insert(Short::of(place), all - steps);
        }
        (all <= MOST_STEPS).then_some(all)
    }

    /// The first rounds of the schedule from `world`, for people, and where they lead.
    pub fn tell(&self, model: &Model, world: &World, rounds: u16) -> (Vec<Event>, World) {
        let mut walk = Walk { model, world: *world, steps: 0, told: Some(Vec::new()) };
        for round in 1..=rounds {
            model.stands_for(&mut walk.world);
            walk.round(round % GIVES_UP_EVERY == 0);
        }
        (walk.told.unwrap_or_default(), walk.world)
    }

    fn recall(&self, place: u128) -> Option<u16> {
        self.shard(place).get(&Short::of(place)).copied()
    }

    fn shard(&self, place: u128) -> std::sync::MutexGuard<'_, HashMap<Short, u16, ByDigest>> {
        self.known[shard(place as u64, SHARDS)].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One schedule.
struct Walk<'a> {
    model: &'a Model,
    world: World,
    steps: u16,
    /// Every step, where somebody asks for it.
    told: Option<Vec<Event>>,
}

impl Walk<'_> {
    fn does(&mut self, event: Event) -> bool {
        let Some(next) = self.model.happens(&self.world, event, None) else { return false };
        self.world = next;
        self.steps += 1;
        self.told.iter_mut().for_each(|told| told.push(event));
        true
    }

    /// Everybody gets turns until nobody has anything to do but to wait; then a tick passes.
    fn round(&mut self, gives_up: bool) {
        if gives_up {
            (0..OPERATORS).for_each(|i| self.operator(Event::GivesUp(i)));
        }
        for _ in 0..MOST_TURNS {
            let before = self.world;
            self.turn();
            if self.world == before || self.is_settled() {
                break;
            }
        }
        self.does(Event::Tick);
    }

    fn turn(&mut self) {
        for i in 0..OPERATORS {
            if self.world.operators[i].late.is_some() {
                self.does(Event::LateWrite(i));
            }
        }
        self.writes();
        for i in 0..AGENTS {
            self.arrives(i);
            for event in [Event::SeesOld(i), Event::KubeletReports(i), Event::PodGone(i)] {
                self.agent_may(i, event);
            }
        }
        (0..OPERATORS).for_each(|i| self.operator(Event::Round(i)));
        for i in 0..AGENTS {
            for event in [
                Event::Sees(i),
                Event::Looks(i),
                Event::KubeletEnds(i),
                Event::StepEnds(i),
                Event::BotStops(i),
                Event::KubeletKills(i),
            ] {
                self.agent_may(i, event);
                self.arrives(i);
            }
        }
        for position in 0..self.world.jobs.len() {
            for event in [Event::JobFound(position), Event::JobSucceeds(position)] {
                self.job_may(event);
            }
        }
    }

    fn operator(&mut self, decides: Event) {
        self.does(decides);
        self.writes();
    }

    /// Does to an agent what is possible.
    fn agent_may(&mut self, i: usize, wanted: Event) {
        let mut possible = false;
        self.model.possible_to_agent(&self.world, i, &mut |event| possible |= event == wanted);
        if possible {
            self.does(wanted);
        }
    }

    /// Does to a reconciliation what is possible.
    fn job_may(&mut self, wanted: Event) {
        let mut possible = false;
        self.model.possible_to_jobs(&self.world, &mut |event| possible |= event == wanted);
        if possible {
            self.does(wanted);
        }
    }

    fn writes(&mut self) {
        for _ in 0..20 {
            let writing = |round: &Round| matches!(round, Round::Writing(_));
            let Some(i) = self.world.operators.iter().position(|o| writing(&o.round)) else { return };
            self.does(Event::Writes(i));
        }
    }

    fn arrives(&mut self, i: usize) {
        self.agent_may(i, Event::Answers(i));
        for _ in 0..4 {
            if self.world.agents[i].requests.is_empty() || !self.does(Event::Reaches(i, 0)) {
                return;
            }
        }
    }

    /// One trades, holds the Lease for it, and is named in the status.
    fn is_settled(&self) -> bool {
        let world = &self.world;
        let Some(lease) = world.lease else { return false };
        lease.permit == Some(Permit::Trade)
            && lease.epoch == Some(world.record.epoch)
            && world.record.trading.as_ref().is_some_and(|ledger| Some(ledger.epoch) == lease.epoch)
            && world.traders().any(|agent| {
                let active = agent.state.hold.as_ref().is_some_and(|hold| hold.stage == Stage::Active);
                active && lease.is_held_by(&pod(agent.index).uid)
            })
    }
}
