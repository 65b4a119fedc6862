//! Hashing of what is looked up millions of times.

use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher};

use foldhash::quality::FixedState;

/// The same for equal values, in every run.
pub fn digest<T: Hash + ?Sized>(value: &T) -> u64 {
    FixedState::default().hash_one(value)
}

/// Twice as long, for what is compared by its digest alone.
pub fn long_digest<T: Hash + ?Sized>(value: &T) -> u128 {
    let other = FixedState::with_seed(1).hash_one(value);
    u128::from(other) << 64 | u128::from(digest(value))
}

/// One of so many parts of a table, by bits of a digest that a map does not use until it is very large.
pub fn shard(digest: u64, shards: usize) -> usize {
    (digest >> 40) as usize % shards
}

/// For maps by digest, which need no hashing.
pub type ByDigest = BuildHasherDefault<AsIs>;

/// Hashes a digest to itself.
#[derive(Default)]
pub struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {
        unreachable!("only digests are hashed")
    }
    fn write_u64(&mut self, digest: u64) {
        self.0 = digest;
    }
}

/// A key that is hashed once.
#[derive(PartialEq, Eq)]
pub struct Hashed<K> {
    digest: u64,
    key: K,
}

impl<K: Hash> Hashed<K> {
    pub fn new(key: K) -> Self {
        Self { digest: digest(&key), key }
    }

    pub fn digest(&self) -> u64 {
        self.digest
    }
}

impl<K> Hash for Hashed<K> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.digest);
    }
}
