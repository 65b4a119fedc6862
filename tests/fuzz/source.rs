//! Makes values out of the bytes of an input. An input that is used up gives zeros, so that every input is a whole one.

use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

use arbitrary::Unstructured;

pub struct Source<'a>(Unstructured<'a>);

impl<'a> Source<'a> {
    pub fn new(data: &'a [u8]) -> Self {
        Self(Unstructured::new(data))
    }

    pub fn is_used_up(&self) -> bool {
        self.0.is_empty()
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0.int_in_range(0..=bound - 1).unwrap_or_default()
    }

    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        self.0.int_in_range(least..=most).unwrap_or(least)
    }

    pub fn flag(&mut self) -> bool {
        self.below(2) == 1
    }

    /// True once in `n`.
    pub fn seldom(&mut self, n: usize) -> bool {
        self.below(n) == n - 1
    }

    pub fn one_of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }

    pub fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.flag().then(|| make(self))
    }

    pub fn some<T>(&mut self, most: usize, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.below(most + 1)).map(|_| make(self)).collect()
    }

    /// Small ones, and those at which something could go wrong.
    pub fn number(&mut self) -> u64 {
        match self.below(8) {
            0..=4 => self.between(0, 9),
            5 => (1 << 53) - 1 - self.between(0, 2),
            6 => u64::MAX - self.between(0, 2),
            _ => self.0.arbitrary().unwrap_or_default(),
        }
    }

    /// Zero, some milliseconds, seconds, or as long as it gets.
    pub fn duration(&mut self) -> Duration {
        match self.below(8) {
            0 => Duration::ZERO,
            1 | 2 => Duration::from_millis(self.between(1, 999)),
            3..=6 => Duration::from_secs(self.between(1, 70)),
            _ => Duration::from_secs(self.one_of(&[3600, 604_800, u64::from(u32::MAX), u64::MAX])),
        }
    }

    /// A text of a few characters, of all kinds.
    pub fn text(&mut self) -> String {
        const PIECES: [&str; 16] =
            ["a", "Z", "0", "-", ".", "/", ":", " ", "\n", "\0", "\"", "{", "é", "\u{202e}", "Trade", "Revoke"];
        self.some(6, |s| s.one_of(&PIECES)).concat()
    }
}

/// Tells what an input leads to, step by step, where `FUZZ_TRACE` is set: for whoever looks into a failure.
pub fn trace(what: &str, step: &dyn fmt::Debug) {
    static WANTED: OnceLock<bool> = OnceLock::new();
    if *WANTED.get_or_init(|| std::env::var_os("FUZZ_TRACE").is_some()) {
        eprintln!("{what}: {step:?}");
    }
}
