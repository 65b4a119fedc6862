//! Which states were reached, by their digests, and with which faults.
//!
//! A state takes 16 bytes, and what a table leaves free. States whose digests agree in 96 bits would be taken for one: with
//! a billion states that happens once in 10^11 explorations.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::{Mutex, PoisonError, RwLock};

use crate::bounds::packed_within;
use crate::cache::Cache;
use crate::hashing::{ByDigest, shard};

const SHARDS: usize = 256;

/// How a state was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    New,
    /// With less of some kind of faults than ever before.
    Cheaper,
    Before,
}

/// What was reached.
pub struct Known {
    states: Vec<Mutex<HashMap<Short, u32, ByDigest>>>,
    costs: Costs,
}

/// 96 bits of a digest.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Short([u32; 3]);

impl Short {
    pub fn of(digest: u128) -> Self {
        Self([digest as u32, (digest >> 32) as u32, (digest >> 64) as u32])
    }
}

impl Hash for Short {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(u64::from(self.0[1]) << 32 | u64::from(self.0[0]));
    }
}

impl Default for Known {
    fn default() -> Self {
        Self { states: (0..SHARDS).map(|_| Mutex::default()).collect(), costs: Costs::default() }
    }
}

impl Known {
    /// Notes that a state was reached with these faults.
    pub fn reach(&self, digest: u128, spent: u64) -> Reached {
        let mut states = self.states[shard(digest as u64, SHARDS)].lock().unwrap_or_else(PoisonError::into_inner);
        let known = states.entry(Short::of(digest)).or_insert(Costs::NONE);
        let (number, reached) = self.costs.with(*known, spent);
        *known = number;
        reached
    }

    /// Whether nothing cheaper was found since.
    pub fn is_cheapest(&self, digest: u128, spent: u64) -> bool {
        let states = self.states[shard(digest as u64, SHARDS)].lock().unwrap_or_else(PoisonError::into_inner);
        states.get(&Short::of(digest)).is_some_and(|known| self.costs.contains(*known, spent))
    }
}

/// Sets of faults, none of which needs all of another's. There are few different ones, so they are numbered.
struct Costs {
    sets: RwLock<Sets>,
    /// By a set and more faults: the set of both, and what those faults are beside it.
    known: Cache<(u32, u64), (u32, Reached)>,
}

#[derive(Default)]
struct Sets {
    all: Vec<Vec<u64>>,
    numbers: HashMap<Vec<u64>, u32>,
}

impl Sets {
    fn number(&mut self, set: Vec<u64>) -> u32 {
        let next = u32::try_from(self.all.len()).expect("few different sets");
        *self.numbers.entry(set).or_insert_with_key(|set| {
            self.all.push(set.clone());
            next
        })
    }
}

impl Default for Costs {
    fn default() -> Self {
        let mut sets = Sets::default();
        assert_eq!(sets.number(Vec::new()), Costs::NONE);
        Self { sets: RwLock::new(sets), known: Cache::default() }
    }
}

impl Costs {
    /// The empty set.
    const NONE: u32 = 0;

    fn with(&self, number: u32, spent: u64) -> (u32, Reached) {
        self.known.get((number, spent), || {
            let mut sets = self.sets.write().unwrap_or_else(PoisonError::into_inner);
            let mut set = sets.all[number as usize].clone();
            if set.iter().any(|other| packed_within(*other, spent)) {
                return (number, Reached::Before);
            }
            set.retain(|other| !packed_within(spent, *other));
            set.push(spent);
            set.sort_unstable();
            let reached = if number == Costs::NONE { Reached::New } else { Reached::Cheaper };
            (sets.number(set), reached)
        })
    }

    fn contains(&self, number: u32, spent: u64) -> bool {
        let sets = self.sets.read().unwrap_or_else(PoisonError::into_inner);
        sets.all[number as usize].contains(&spent)
    }
}
