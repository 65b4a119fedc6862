//! The operator's clocks, read into the values that the core computes with.

use jiff::Timestamp;

use crate::core::time::{Mono, Wall};
#[cfg(not(feature = "simulation"))]
use crate::runtime::skew;

/// The pair that whoever *waits* for a Lease believes: `CLOCK_MONOTONIC` and `CLOCK_MONOTONIC_RAW` (design, rule 12).
pub fn mono() -> Mono {
    #[cfg(feature = "simulation")]
    return crate::simulation::operator_mono();
    #[cfg(not(feature = "simulation"))]
    Mono { first: skew::reading(read(libc::CLOCK_MONOTONIC)), second: skew::reading(read(libc::CLOCK_MONOTONIC_RAW)) }
}

/// Wall-clock milliseconds, for people and for fencing tokens.
pub fn wall() -> Wall {
    Wall(u64::try_from(timestamp().as_millisecond()).unwrap_or_default())
}

/// The same time of day, as objects carry it.
pub fn timestamp() -> Timestamp {
    #[cfg(feature = "simulation")]
    return crate::simulation::operator_timestamp();
    #[cfg(not(feature = "simulation"))]
    skew::wall(Timestamp::now())
}

#[cfg(not(feature = "simulation"))]
fn read(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for writes, and both clocks exist on every Linux that Kubernetes runs on.
    let failed = unsafe { libc::clock_gettime(clock, &raw mut time) } != 0;
    assert!(!failed, "the kernel has no clock {clock}");
    let part = |n: i64| u64::try_from(n).unwrap_or_default();
    part(time.tv_sec) * 1_000_000_000 + part(time.tv_nsec)
}
