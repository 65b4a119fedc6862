//! Times as exchanges and bots write them, and how old they are.

use std::time::Duration;

use super::Decimal;
use crate::core::time::Wall;

/// How far a time lies from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// It is this old.
    Old(Duration),
    /// It lies this far ahead, by the clock of this machine.
    Ahead(Duration),
}

/// Milliseconds since the Unix epoch: RFC 3339, or a number of seconds, milliseconds, microseconds or nanoseconds, told
/// apart by how large it is. `None`: it is no time.
pub fn moment(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Some(time.as_millisecond());
    }
    Decimal::parse(text)?;
    // To the whole unit: what is behind the point of seconds are milliseconds, and of anything smaller nothing.
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let number: i64 = whole.parse().ok()?;
    let millis = match number.unsigned_abs() {
        // The year 5138 in seconds, or 1973 in milliseconds.
        0..100_000_000_000 => {
            let fraction: String = fraction.chars().chain("000".chars()).take(3).collect();
            let fraction: i64 = fraction.parse().ok()?;
            number.checked_mul(1_000)?.checked_add(if text.starts_with('-') { -fraction } else { fraction })?
        }
        100_000_000_000..100_000_000_000_000 => number,
        100_000_000_000_000..100_000_000_000_000_000 => number / 1_000,
        _ => number / 1_000_000,
    };
    Some(millis)
}

/// How old something is that happened at `millis` since the Unix epoch.
pub fn age(millis: i64, now: Wall) -> Age {
    let now = i64::try_from(now.0).unwrap_or(i64::MAX);
    let apart = Duration::from_millis(now.abs_diff(millis));
    if now >= millis { Age::Old(apart) } else { Age::Ahead(apart) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_whatever_its_unit() {
        let noon = 1_795_521_600_000;
        for text in [
            "2026-11-24T12:00:00Z",
            "2026-11-24T21:00:00+09:00",
            "1795521600",
            "1795521600.000",
            "1795521600000",
            "1795521600000000",
            " 1795521600000000000\n",
        ] {
            assert_eq!(moment(text), Some(noon), "{text}");
        }
        assert_eq!((moment("1795521600.25"), moment("1795521600.1234567")), (Some(noon + 250), Some(noon + 123)));
        for text in ["", "never", "12:00", "1e9", "2026-11-24", "99999999999999999999"] {
            assert_eq!(moment(text), None, "{text}");
        }
    }

    #[test]
    fn an_age_is_never_below_zero() {
        assert_eq!(age(1_000, Wall(4_000)), Age::Old(Duration::from_secs(3)));
        assert_eq!(age(4_000, Wall(1_000)), Age::Ahead(Duration::from_secs(3)));
        assert_eq!(age(i64::MIN, Wall(u64::MAX)), Age::Old(Duration::from_millis(u64::MAX)));
    }
}
