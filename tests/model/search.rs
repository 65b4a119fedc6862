//! The exploration of everything within bounds.
//!
//! Breadth first by how much went wrong, depth first within. A state that was reached before with no more faults of any
//! kind is not looked at again: whatever can follow it could follow then as well. (stateright would tell the two apart,
//! as what is left of the bounds differs; `small.rs` compares both searches without faults.)

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use stateright::Model as _;

use crate::events::Model;
use crate::exchange::Rule;
use crate::fair::digest;
use crate::known::{Known, Reached};
use crate::properties;
use crate::world::World;

/// Of a thread's own stack beyond twice this size, so many are for whoever has nothing to do.
const SHARE: usize = 2048;

/// When to give up.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub threads: usize,
    pub time: Duration,
    /// Resident memory, bytes.
    pub memory: u64,
    /// Between two lines of progress on standard output.
    pub progress: Option<Duration>,
}

/// What was found.
#[derive(Debug)]
pub struct Found {
    /// States, whatever went wrong on the way to them.
    pub states: u64,
    /// Events tried that changed something.
    pub steps: u64,
    pub seconds: f64,
    /// The most resident memory that was seen, bytes.
    pub memory: u64,
    /// A rule that was broken, and where.
    pub broken: Option<(Rule, World)>,
    /// Why it ended before everything was explored.
    pub unfinished: Option<&'static str>,
}

/// Explores.
pub fn search(model: &Model, limits: Limits) -> Found {
    search_each(model, limits, &|_| ())
}

/// The same, with a look at each state.
pub fn search_each(model: &Model, limits: Limits, look: &(dyn Fn(&World) + Sync)) -> Found {
    let search = Search {
        model,
        limits,
        look,
        began: Instant::now(),
        known: Known::default(),
        layers: (0..=model.bounds.faults.total()).map(|_| Mutex::default()).collect(),
        idle: Mutex::new(0),
        work: Condvar::new(),
        stop: AtomicBool::new(false),
        states: AtomicU64::new(0),
        steps: AtomicU64::new(0),
        memory: AtomicU64::new(0),
        told: Mutex::new(Instant::now()),
        end: Mutex::default(),
    };
    let first = model.first();
    search.reach(first);
    lock(&search.layers[0]).push(vec![first]);
    for layer in 0..search.layers.len() {
        *lock(&search.idle) = 0;
        std::thread::scope(|scope| {
            for _ in 0..limits.threads {
                scope.spawn(|| search.explore(layer));
            }
        });
        // What was not looked at is not needed any more.
        std::mem::take(&mut *lock(&search.layers[layer]));
    }
    search.note_memory();
    let (broken, unfinished) = *lock(&search.end);
    Found {
        states: search.states.into_inner(),
        steps: search.steps.into_inner(),
        seconds: search.began.elapsed().as_secs_f64(),
        memory: search.memory.into_inner(),
        broken,
        unfinished,
    }
}

/// A rule that was broken, and where; why it ended early.
type End = (Option<(Rule, World)>, Option<&'static str>);

struct Search<'a> {
    model: &'a Model,
    limits: Limits,
    look: &'a (dyn Fn(&World) + Sync),
    began: Instant,
    known: Known,
    /// States to be looked at, by how much went wrong.
    layers: Vec<Mutex<Vec<Vec<World>>>>,
    idle: Mutex<usize>,
    work: Condvar,
    stop: AtomicBool,
    states: AtomicU64,
    steps: AtomicU64,
    memory: AtomicU64,
    told: Mutex<Instant>,
    end: Mutex<End>,
}

impl Search<'_> {
    /// Notes a state, and looks at it where it is new. Answers whether what follows it is to be looked at.
    fn reach(&self, world: World) -> bool {
        let reached = self.known.reach(digest(&world), world.spent.packed());
        if reached == Reached::New {
            self.states.fetch_add(1, Ordering::Relaxed);
            self.model.counts.state(&world);
            (self.look)(&world);
            if let Some(rule) = properties::broken(self.model, &world) {
                self.ends(|end| end.0 = end.0.or(Some((rule, world))));
            }
        }
        reached != Reached::Before
    }

    fn ends(&self, note: impl FnOnce(&mut End)) {
        note(&mut lock(&self.end));
        self.stop.store(true, Ordering::Relaxed);
        self.work.notify_all();
    }

    fn explore(&self, layer: usize) {
        let mut own: Vec<World> = Vec::new();
        let mut later: Vec<Vec<World>> = vec![Vec::new(); self.layers.len()];
        let mut events = Vec::new();
        let mut looked_at = 0_u32;
        while !self.stop.load(Ordering::Relaxed) {
            let Some(world) = own.pop().or_else(|| self.take(layer, &mut own)) else { break };
            if !self.known.is_cheapest(digest(&world), world.spent.packed()) {
                continue;
            }
            self.model.possible(&world, &mut |event| events.push(event));
            let mut steps = 0;
            for event in events.drain(..) {
                let Some(next) = self.model.next(&world, event) else { continue };
                steps += 1;
                if self.model.within_boundary(&next) && self.reach(next) {
                    let at = next.spent.total();
                    if at == layer {
                        own.push(next);
                    } else {
                        later[at].push(next);
                        if later[at].len() == SHARE {
                            lock(&self.layers[at]).push(std::mem::take(&mut later[at]));
                        }
                    }
                }
            }
            self.steps.fetch_add(steps, Ordering::Relaxed);
            if own.len() >= 2 * SHARE {
                let shared = own.drain(..SHARE).collect();
                lock(&self.layers[layer]).push(shared);
                self.work.notify_one();
            }
            looked_at = looked_at.wrapping_add(1);
            if looked_at.is_multiple_of(1 << 13) {
                self.look_around(layer);
            }
        }
        let rests = self.layers.iter().zip(later).filter(|(_, rest)| !rest.is_empty());
        rests.for_each(|(layer, rest)| lock(layer).push(rest));
    }

    /// Something of what is shared; `None`: everybody is done with this layer.
    fn take(&self, layer: usize, own: &mut Vec<World>) -> Option<World> {
        let mut idle = lock(&self.idle);
        *idle += 1;
        loop {
            let shared = lock(&self.layers[layer]).pop();
            if let Some(shared) = shared {
                *own = shared;
                *idle -= 1;
                return own.pop();
            }
            if *idle == self.limits.threads || self.stop.load(Ordering::Relaxed) {
                self.work.notify_all();
                return None;
            }
            // With a time, as whoever shares does not hold this lock.
            let waited = self.work.wait_timeout(idle, Duration::from_millis(20));
            idle = waited.unwrap_or_else(PoisonError::into_inner).0;
            if *idle == self.limits.threads && lock(&self.layers[layer]).is_empty() {
                self.work.notify_all();
                return None;
            }
        }
    }

    fn note_memory(&self) {
        self.memory.fetch_max(resident(), Ordering::Relaxed);
    }

    /// Progress, and limits.
    fn look_around(&self, layer: usize) {
        let passed = self.began.elapsed();
        if passed > self.limits.time {
            self.ends(|end| end.1 = Some("its time was over"));
        }
        let Ok(mut told) = self.told.try_lock() else { return };
        if told.elapsed() < Duration::from_secs(1) {
            return;
        }
        self.note_memory();
        if self.memory.load(Ordering::Relaxed) > self.limits.memory {
            self.ends(|end| end.1 = Some("its memory was used up"));
        }
        if let Some(every) = self.limits.progress
            && told.elapsed() >= every
        {
            *told = Instant::now();
            let states = self.states.load(Ordering::Relaxed);
            let steps = self.steps.load(Ordering::Relaxed);
            println!(
                "{:6.0} s: {layer} faults, {states} states, {steps} steps, {:.0} states/s, {} MiB, waiting {:?}",
                passed.as_secs_f64(),
                states as f64 / passed.as_secs_f64(),
                resident() >> 20,
                self.layers.iter().map(|layer| lock(layer).len() * SHARE).collect::<Vec<_>>(),
            );
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Resident memory of this process, bytes; 0 where nobody tells.
pub fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|text| text.split(' ').nth(1).and_then(|n| n.parse::<u64>().ok()));
    pages.unwrap_or(0) * 4096
}
