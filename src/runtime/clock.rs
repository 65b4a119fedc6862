//! The operator's clocks, read into the values that the core computes with.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::core::time::{Mono, Wall};

/// The pair that whoever *waits* for a Lease believes: `CLOCK_MONOTONIC` and `CLOCK_MONOTONIC_RAW` (design, rule 12).
pub fn mono() -> Mono {
    Mono { first: read(libc::CLOCK_MONOTONIC), second: read(libc::CLOCK_MONOTONIC_RAW) }
}

/// Wall-clock milliseconds, for people and for fencing tokens.
pub fn wall() -> Wall {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Wall(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

fn read(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for writes, and both clocks exist on every Linux that Kubernetes runs on.
    let failed = unsafe { libc::clock_gettime(clock, &raw mut time) } != 0;
    assert!(!failed, "the kernel has no clock {clock}");
    let part = |n: i64| u64::try_from(n).unwrap_or_default();
    part(time.tv_sec) * 1_000_000_000 + part(time.tv_nsec)
}
