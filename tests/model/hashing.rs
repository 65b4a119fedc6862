//! Hashing of what is looked up millions of times.

use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher};

use foldhash::quality::FixedState;

/// The same for equal values, in every run.
pub fn digest<T: Hash + ?Sized>(value: &T) -> u64 {
    FixedState::default().hash_one(value)
}

/// A longer digest of several, for what is compared by it alone: the sum of what each comes to with a factor of its own.
/// Where one of them alone differs, so does the sum.
pub fn combined<const N: usize>(digests: [u64; N]) -> u128 {
    let factors = const { factors::<N>() };
    digests
        .into_iter()
        .zip(factors)
        .fold(0, |sum, (digest, factor)| sum.wrapping_add(factor.wrapping_mul(digest.into())))
}

/// Odd numbers that look random (splitmix64).
const fn factors<const N: usize>() -> [u128; N] {
    let mut factors = [0; N];
    let mut state = 0_u64;
    let mut at = 0;
    while at < 2 * N {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        factors[at / 2] = factors[at / 2] << 64 | (mixed ^ (mixed >> 31)) as u128 | 1;
        at += 1;
    }
    factors
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
