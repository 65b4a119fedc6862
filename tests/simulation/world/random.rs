//! Random numbers that come from the seed, one stream a purpose, so that a draw more in one place changes nothing in
//! the others.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fastrand::Rng;

/// A stream of random numbers. Clones share it.
#[derive(Clone, Debug)]
pub struct Random(Arc<Mutex<Rng>>);

impl Random {
    /// The stream of this seed for one purpose.
    pub fn new(seed: u64, purpose: &str) -> Self {
        // FNV-1a: purposes far apart get streams far apart.
        let mixed = purpose.bytes().fold(0xcbf2_9ce4_8422_2325_u64 ^ seed, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self(Arc::new(Mutex::new(Rng::with_seed(mixed))))
    }

    /// A number below `end`, which is not zero.
    pub fn below(&self, end: u64) -> u64 {
        self.lock().u64(..end)
    }

    /// Milliseconds, both ends included.
    pub fn millis(&self, from: u64, to: u64) -> Duration {
        Duration::from_millis(self.lock().u64(from..=to))
    }

    /// Whether something happens that does so this often of a hundred times.
    pub fn percent(&self, of_hundred: u64) -> bool {
        self.below(100) < of_hundred
    }

    /// One of a list; `None` of an empty one.
    pub fn pick<T: Clone>(&self, list: &[T]) -> Option<T> {
        let length = u64::try_from(list.len()).ok().filter(|length| *length > 0)?;
        let at = usize::try_from(self.below(length)).ok()?;
        list.get(at).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Rng> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
