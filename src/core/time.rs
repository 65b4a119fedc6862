//! Readings of clocks, as values. Only rates of clocks are ever relied upon, never that two machines agree.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One reading of two monotonic clocks of the same machine, in nanoseconds since arbitrary origins.
///
/// The agent reads `CLOCK_BOOTTIME` and `CLOCK_MONOTONIC_RAW`, the operator `CLOCK_MONOTONIC` and
/// `CLOCK_MONOTONIC_RAW`. Two clocks, because each alone can run wrong: one is slewed by NTP, the other stops while
/// the machine is suspended. Whoever must *stop* in time believes the faster of the two
/// ([`Mono::possibly_elapsed_since`]), whoever must *wait* long enough believes the slower
/// ([`Mono::surely_elapsed_since`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Mono {
    /// The first clock, nanoseconds.
    pub first: u64,
    /// The second clock, nanoseconds.
    pub second: u64,
}

impl Mono {
    /// The same reading on both clocks.
    pub const fn both(nanos: u64) -> Self {
        Self { first: nanos, second: nanos }
    }

    /// The time that has passed since `earlier` by the slower clock: at least this much has passed.
    pub fn surely_elapsed_since(self, earlier: Mono) -> Duration {
        let first = self.first.saturating_sub(earlier.first);
        let second = self.second.saturating_sub(earlier.second);
        Duration::from_nanos(first.min(second))
    }

    /// The time that has passed since `earlier` by the faster clock: at most this much has passed.
    pub fn possibly_elapsed_since(self, earlier: Mono) -> Duration {
        let first = self.first.saturating_sub(earlier.first);
        let second = self.second.saturating_sub(earlier.second);
        Duration::from_nanos(first.max(second))
    }

    /// This reading, `by` later on both clocks.
    pub fn plus(self, by: Duration) -> Self {
        let nanos = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        Self { first: self.first.saturating_add(nanos), second: self.second.saturating_add(nanos) }
    }

    /// This reading, `by` earlier on both clocks (not before their origins).
    pub fn minus(self, by: Duration) -> Self {
        let nanos = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        Self { first: self.first.saturating_sub(nanos), second: self.second.saturating_sub(nanos) }
    }

    /// Whether either clock has reached `deadline`: how the agent judges its own deadline.
    pub fn has_possibly_reached(self, deadline: Mono) -> bool {
        self.first >= deadline.first || self.second >= deadline.second
    }
}

/// Wall-clock milliseconds since the Unix epoch. Written down for people and used to make fencing tokens grow over
/// deletion and restore; never compared with another machine's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Wall(pub u64);

/// The date and time of day in UTC, to the second: `2026-11-24T12:00:00Z`.
impl fmt::Display for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = i64::try_from(self.0).ok().and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok());
        write!(f, "{}", at.unwrap_or(jiff::Timestamp::MAX).strftime("%Y-%m-%dT%H:%M:%SZ"))
    }
}

impl Wall {
    /// Milliseconds from `earlier` to this one, 0 when the clock was set back in between.
    pub fn millis_since(self, earlier: Wall) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_the_api_writes_it() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399_999, "2000-02-28T23:59:59Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (1_735_689_599_000, "2024-12-31T23:59:59Z"),
            (1_795_521_600_000, "2026-11-24T12:00:00Z"),
        ] {
            assert_eq!(Wall(millis).to_string(), text);
        }
    }

    #[test]
    fn who_stops_believes_the_faster_clock_and_who_waits_the_slower() {
        let start = Mono { first: 100, second: 5_000 };
        let now = Mono { first: 400, second: 5_200 };
        assert_eq!(now.possibly_elapsed_since(start), Duration::from_nanos(300));
        assert_eq!(now.surely_elapsed_since(start), Duration::from_nanos(200));
        assert!(now.has_possibly_reached(start.plus(Duration::from_nanos(300))));
        assert!(!now.has_possibly_reached(start.plus(Duration::from_nanos(301))));
        assert_eq!(now.minus(Duration::from_nanos(401)), Mono { first: 0, second: 4_799 });
    }
}
