//! For tests alone (feature `simulation`): the clocks and the random numbers of operators and agents that run in virtual
//! time on one thread.
//!
//! Time is what tokio's clock says, which a test pauses. All state belongs to the thread. Without the feature nothing of
//! this is in a program.

use std::cell::RefCell;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::core::time::Mono;

/// The time of day at which every simulation begins: 2026-01-01T00:00:00Z.
const BEGINNING: Duration = Duration::from_secs(1_767_225_600);
/// Monotonic clocks do not begin at zero: a time before the beginning can be named, too.
const FIRST_READING: u64 = 1_000_000_000_000;

type Network = Box<dyn Fn(SocketAddr) -> bool>;

struct State {
    /// When virtual time began: at [`start`], or at the first look.
    origin: Option<Instant>,
    random: u64,
    /// Added to the operator's time of day, milliseconds.
    wall_skew: i64,
    operator: Clock,
    network: Option<Network>,
}

thread_local! {
    static STATE: RefCell<State> = const { RefCell::new(State::new(0)) };
}

impl State {
    const fn new(seed: u64) -> State {
        State { origin: None, random: seed, wall_skew: 0, operator: Clock::new(), network: None }
    }
}

fn with<T>(use_it: impl FnOnce(&mut State) -> T) -> T {
    STATE.with_borrow_mut(use_it)
}

/// Begins anew on this thread, with random numbers from this seed and clocks that run right. To be called in the runtime
/// whose clock is paused.
pub fn start(seed: u64) {
    with(|state| *state = State { origin: Some(Instant::now()), ..State::new(seed) });
}

/// Virtual time since [`start`].
pub fn elapsed() -> Duration {
    with(|state| state.origin.get_or_insert_with(Instant::now).elapsed())
}

/// The next random number (splitmix64).
pub fn random() -> u64 {
    with(|state| {
        state.random = state.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state.random ^ (state.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    })
}

/// The operators' time of day is wrong by this many milliseconds from now on.
pub fn operator_wall_skew(milliseconds: i64) {
    with(|state| state.wall_skew = milliseconds);
}

/// The operators' monotonic clocks are too fast by so many parts in a million from now on, or too slow.
pub fn operator_rate(ppm: i64) {
    let now = elapsed();
    with(|state| state.operator.run_at(ppm, now));
}

/// Who accepts a connection, for whoever tries only that; at first nobody does.
pub fn network(accepts: impl Fn(SocketAddr) -> bool + 'static) {
    with(|state| state.network = Some(Box::new(accepts)));
}

/// The time of day, which agents have.
pub fn timestamp() -> Timestamp {
    at(BEGINNING + elapsed(), 0)
}

pub(crate) fn operator_timestamp() -> Timestamp {
    at(BEGINNING + elapsed(), with(|state| state.wall_skew))
}

pub(crate) fn operator_mono() -> Mono {
    let now = elapsed();
    Mono::both(with(|state| state.operator.at(now)))
}

/// Connects; where nobody accepts there is no answer either.
pub(crate) async fn connect(address: SocketAddr) -> io::Result<()> {
    match with(|state| state.network.as_ref().is_some_and(|accepts| accepts(address))) {
        true => Ok(()),
        false => pending().await,
    }
}

fn at(since_epoch: Duration, skew: i64) -> Timestamp {
    let micros = i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX).saturating_add(skew.saturating_mul(1000));
    Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MAX)
}

/// A monotonic clock of a machine. It may run too fast or too slow, and never jumps.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// Since this virtual time it has run at its present rate; what it showed then.
    since: Duration,
    reading: u64,
    ppm: i64,
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock {
    /// One that runs right.
    pub const fn new() -> Clock {
        Clock { since: Duration::ZERO, reading: FIRST_READING, ppm: 0 }
    }

    /// What it shows, in nanoseconds.
    pub fn now(&self) -> u64 {
        self.at(elapsed())
    }

    /// It is too fast by so many parts in a million from now on, or too slow.
    pub fn set_rate(&mut self, ppm: i64) {
        self.run_at(ppm, elapsed());
    }

    fn run_at(&mut self, ppm: i64, now: Duration) {
        *self = Clock { since: now, reading: self.at(now), ppm };
    }

    fn at(&self, now: Duration) -> u64 {
        let passed = i128::try_from(now.saturating_sub(self.since).as_nanos()).unwrap_or(i128::MAX);
        let shown = passed + passed * i128::from(self.ppm) / 1_000_000;
        self.reading.saturating_add(u64::try_from(shown).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn time_passes_only_when_it_is_told_to_and_clocks_run_as_they_are_set() {
        start(1);
        let second = Duration::from_secs(1);
        assert_eq!(timestamp().to_string(), "2026-01-01T00:00:00Z");
        let before = operator_mono();
        let mut own = Clock::new();
        own.set_rate(-1_000);
        operator_rate(500);
        operator_wall_skew(-3_600_000);
        tokio::time::advance(second).await;
        assert_eq!(timestamp().to_string(), "2026-01-01T00:00:01Z");
        assert_eq!(operator_timestamp().to_string(), "2025-12-31T23:00:01Z");
        assert_eq!(operator_mono().surely_elapsed_since(before).as_nanos(), 1_000_500_000);
        assert_eq!(own.now() - FIRST_READING, 999_000_000);
        operator_rate(0);
        tokio::time::advance(second).await;
        assert_eq!(operator_mono().surely_elapsed_since(before).as_nanos(), 2_000_500_000, "it did not jump");
    }

    #[tokio::test(start_paused = true)]
    async fn a_seed_gives_the_same_numbers_again() {
        let drawn = |seed| {
            start(seed);
            [random(), random(), random()]
        };
        let first = drawn(7);
        assert_eq!(drawn(7), first);
        assert_ne!(drawn(8), first);
        assert_ne!(first[0], first[1]);
    }
}
