//! The agent's clocks.

use jiff::Timestamp;

use crate::core::time::{Mono, Wall};

/// The two that deadlines are kept by (design, rule 8): `CLOCK_BOOTTIME`, which goes on while the machine is suspended,
/// and `CLOCK_MONOTONIC_RAW`, which nobody slews. Neither allocates nor locks, so that guards may call it.
pub(super) fn now() -> Mono {
    Mono { first: read(libc::CLOCK_BOOTTIME), second: read(libc::CLOCK_MONOTONIC_RAW) }
}

/// The time of day, for people.
pub(super) fn timestamp() -> Timestamp {
    #[cfg(feature = "simulation")]
    return crate::simulation::timestamp();
    #[cfg(not(feature = "simulation"))]
    Timestamp::now()
}

/// The same, as the core has it.
pub(super) fn wall() -> Wall {
    Wall(u64::try_from(timestamp().as_millisecond()).unwrap_or_default())
}

fn read(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec to write to. Both clocks exist on every Linux we run on.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}
