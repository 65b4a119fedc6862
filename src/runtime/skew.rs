//! For tests alone (feature `wrong`): an operator whose clocks are not those of its machine, to show that nothing hangs on
//! the time of day, nor on clocks that run at the same rate. Without the feature clocks are what the kernel says.

/// The variable with the seconds that the time of day is ahead, or behind where they are negative.
pub const WALL: &str = "TRADINGBOT_SKEW_WALL_SECONDS";
/// The variable with the parts in a million by which the other clocks run too fast, or too slow.
pub const RATE: &str = "TRADINGBOT_SKEW_RATE_PPM";

#[cfg(not(feature = "wrong"))]
mod imp {
    use jiff::Timestamp;

    pub const fn wall(now: Timestamp) -> Timestamp {
        now
    }

    pub const fn reading(nanoseconds: u64) -> u64 {
        nanoseconds
    }

    pub const fn told() -> Option<String> {
        None
    }
}

#[cfg(feature = "wrong")]
mod imp {
    use std::sync::LazyLock;

    use jiff::{SignedDuration, Timestamp};

    use super::{RATE, WALL};

    /// Seconds and parts in a million.
    static SKEW: LazyLock<(i64, i64)> = LazyLock::new(|| {
        let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
        (number(WALL), number(RATE))
    });

    pub fn wall(now: Timestamp) -> Timestamp {
        now + SignedDuration::from_secs(SKEW.0)
    }

    pub fn reading(nanoseconds: u64) -> u64 {
        let scaled = i128::from(nanoseconds) * (1_000_000 + i128::from(SKEW.1)) / 1_000_000;
        u64::try_from(scaled).unwrap_or_default()
    }

    pub fn told() -> Option<String> {
        let (wall, rate) = *SKEW;
        (SKEW.0 != 0 || SKEW.1 != 0)
            .then(|| format!("this is a test: the time of day is {wall} s ahead, other clocks run {rate} ppm too fast"))
    }
}

pub use imp::{reading, told, wall};
