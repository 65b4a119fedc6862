//! Outcomes of decisions, by what went into them: the same decision comes up in thousands of states.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use crate::hashing::{ByDigest, Hashed, shard};

const SHARDS: usize = 64;

/// A memory of outcomes, shared by all threads of one search.
pub struct Cache<K, V>(Vec<Mutex<HashMap<Hashed<K>, V, ByDigest>>>);

impl<K, V> Default for Cache<K, V> {
    fn default() -> Self {
        Self((0..SHARDS).map(|_| Mutex::default()).collect())
    }
}

impl<K: Hash + Eq, V: Clone> Cache<K, V> {
    /// The outcome for `key`, worked out at most once, or a few times where threads race.
    pub fn get(&self, key: K, work_out: impl FnOnce() -> V) -> V {
        let key = Hashed::new(key);
        let shard = &self.0[shard(key.digest(), SHARDS)];
        if let Some(known) = shard.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return known.clone();
        }
        let value = work_out();
        shard.lock().unwrap_or_else(PoisonError::into_inner).insert(key, value.clone());
        value
    }
}
