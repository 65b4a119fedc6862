//! A part of the world that is kept once, however many states contain it.
//!
//! A state of the model is then a handful of pointers, and equal parts are the same pointer. Parts are never freed: the
//! number of different ones is small beside the number of states.

use std::collections::HashMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::canonical::{self, Used};
use crate::hashing::{self, ByDigest};
use crate::names::Names;

/// A shared, immutable part.
pub struct Interned<T: 'static>(&'static Entry<T>);

/// A part with what is asked of it again and again.
pub struct Entry<T> {
    digest: u64,
    used: Used,
    value: T,
}

const SHARDS: usize = 64;

/// All parts of one type.
pub struct Table<T: 'static>(OnceLock<Vec<Shard<T>>>);

type Shard<T> = Mutex<HashMap<u64, &'static Entry<T>, ByDigest>>;

impl<T> Table<T> {
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Self {
        Self(OnceLock::new())
    }
}

/// What can be kept once.
pub trait Part: Hash + Eq + Clone + Sized + 'static {
    fn table() -> &'static Table<Self>;

    /// Has every number in it replaced.
    fn name(&mut self, names: &mut dyn Names);
}

/// A type's table.
#[macro_export]
macro_rules! table {
    ($type:ty) => {
        fn table() -> &'static $crate::interned::Table<Self> {
            static TABLE: $crate::interned::Table<$type> = $crate::interned::Table::new();
            &TABLE
        }
    };
}

impl<T: Part> Interned<T> {
    /// The one copy of this value.
    ///
    /// # Panics
    /// Where two different values have one digest of 64 bits.
    pub fn new(value: T) -> Self {
        let digest = hashing::digest(&value);
        let shards = T::table().0.get_or_init(|| (0..SHARDS).map(|_| Mutex::default()).collect());
        let shard = || shards[hashing::shard(digest, SHARDS)].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = shard().get(&digest) {
            assert!(entry.value == value, "two parts have one digest");
            return Interned(entry);
        }
        let used = canonical::used(&value);
        let entry = || &*Box::leak(Box::new(Entry { digest, used, value }));
        Interned(shard().entry(digest).or_insert_with(entry))
    }
}

impl<T> Interned<T> {
    /// The same for equal values, in every run.
    pub fn digest(self) -> u64 {
        self.0.digest
    }

    /// The numbers in it.
    pub fn used(self) -> Used {
        self.0.used
    }
}

impl<T> Clone for Interned<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Interned<T> {}

impl<T> PartialEq for Interned<T> {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

impl<T> Eq for Interned<T> {}

impl<T> Hash for Interned<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0.digest);
    }
}

impl<T> Deref for Interned<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0.value
    }
}

impl<T: fmt::Debug> fmt::Debug for Interned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.value.fmt(f)
    }
}
