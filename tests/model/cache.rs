//! Outcomes of decisions, by what went into them: the same decision comes up in thousands of states.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash};
use std::sync::{Mutex, PoisonError};

const SHARDS: usize = 64;

/// A memory of outcomes, shared by all threads of one search.
pub struct Cache<K, V>(Vec<Mutex<HashMap<K, V, Hashing>>>);

type Hashing = BuildHasherDefault<DefaultHasher>;

impl<K, V> Default for Cache<K, V> {
    fn default() -> Self {
        Self((0..SHARDS).map(|_| Mutex::default()).collect())
    }
}

impl<K: Hash + Eq, V: Clone> Cache<K, V> {
    /// The outcome for `key`, worked out at most once, or a few times where threads race.
    pub fn get(&self, key: K, work_out: impl FnOnce() -> V) -> V {
        let shard = &self.0[Hashing::default().hash_one(&key) as usize % SHARDS];
        if let Some(known) = shard.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return known.clone();
        }
        let value = work_out();
        shard.lock().unwrap_or_else(PoisonError::into_inner).insert(key, value.clone());
        value
    }
}
