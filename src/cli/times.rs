//! Times as people read them.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

/// `09:14:03.123`, in UTC.
pub fn clock(at: Timestamp) -> String {
    at.strftime("%H:%M:%S%.3f").to_string()
}

/// How long ago, in the largest unit that fits.
pub fn ago(time: &MicroTime, now: Timestamp) -> String {
    let seconds = now.as_second().saturating_sub(time.0.as_second()).max(0);
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// Milliseconds as seconds.
pub fn seconds(millis: u64) -> String {
    format!("{}.{:03} s", millis / 1_000, millis % 1_000)
}

/// From one time to a later one.
pub fn between(from: &MicroTime, to: &MicroTime) -> String {
    let millis = to.0.as_millisecond().saturating_sub(from.0.as_millisecond());
    seconds(u64::try_from(millis).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_use_the_largest_unit_that_fits() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let age = |s: i64| ago(&MicroTime(Timestamp::from_second(1_000_000 - s).unwrap()), now);
        assert_eq!(
            [age(0), age(119), age(120), age(7_200), age(172_800), age(-5)],
            ["0 s", "119 s", "2 min", "2 h", "2 d", "0 s"]
        );
        assert_eq!(seconds(9_200), "9.200 s");
    }
}
