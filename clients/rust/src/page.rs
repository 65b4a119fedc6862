//! The layout of the page and its protocol, for both sides. Documented in docs/reference/leadership-page.md; a change
//! of either needs another [`VERSION`].
//!
//! The writer is the agent; this module is no part of the client's interface.

use std::sync::atomic::{AtomicU64, Ordering, fence};

use crate::Role;

/// The length of the file, bytes.
pub const SIZE: usize = 4096;
/// `TBLEADER` in the order of the bytes.
pub const MAGIC: u64 = u64::from_le_bytes(*b"TBLEADER");
/// Of layout and protocol.
pub const VERSION: u64 = 1;
/// Bytes for the writer's boot.
const BOOT_LENGTH: usize = 128;
/// Many times what a write takes. When they are not enough the writer is stopped in the middle of one.
const ATTEMPTS: usize = 100;

/// What is in the file. All numbers are little endian; what changes together is on one line of the cache.
#[repr(C)]
pub struct Page {
    magic: AtomicU64,
    version: AtomicU64,
    header: [AtomicU64; 6],

    sequence: AtomicU64,
    role: AtomicU64,
    epoch: AtomicU64,
    fencing_token: AtomicU64,
    deadline_boottime: AtomicU64,
    deadline_monotonic_raw: AtomicU64,
    reserved: [AtomicU64; 2],

    boot: [AtomicU64; BOOT_LENGTH / 8],
    rest: [AtomicU64; (SIZE - 256) / 8],
}

const _: () = assert!(size_of::<Page>() == SIZE && std::mem::offset_of!(Page, boot) == 128);

/// A reading of both clocks, nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instant {
    /// `CLOCK_BOOTTIME`.
    pub boottime: u64,
    /// `CLOCK_MONOTONIC_RAW`.
    pub monotonic_raw: u64,
}

impl Instant {
    /// No clock reaches it.
    pub const NEVER: Instant = Instant { boottime: u64::MAX, monotonic_raw: u64::MAX };
    /// Always past.
    pub const PAST: Instant = Instant { boottime: 0, monotonic_raw: 0 };

    /// Now.
    pub fn now() -> Instant {
        Instant { boottime: read_clock(libc::CLOCK_BOOTTIME), monotonic_raw: read_clock(libc::CLOCK_MONOTONIC_RAW) }
    }

    /// How long from `now` until the first of the clocks gets here; 0: one has.
    pub fn nanos_from(self, now: Instant) -> u64 {
        let boottime = self.boottime.saturating_sub(now.boottime);
        let monotonic_raw = self.monotonic_raw.saturating_sub(now.monotonic_raw);
        boottime.min(monotonic_raw)
    }
}

/// Without a system call where the kernel offers it (vDSO).
pub fn read_clock(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid to write to.
    if unsafe { libc::clock_gettime(clock, &raw mut time) } != 0 {
        // A clock that cannot be read has passed every deadline.
        return u64::MAX;
    }
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

/// What the page says at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// The pod's role.
    pub role: Role,
    /// Its epoch, or 0.
    pub epoch: u64,
    /// Its fencing token, or 0.
    pub fencing_token: u64,
    /// Until when an active may trade.
    pub deadline: Instant,
}

fn get(word: &AtomicU64) -> u64 {
    u64::from_le(word.load(Ordering::Relaxed))
}

fn put(word: &AtomicU64, value: u64) {
    word.store(value.to_le(), Ordering::Relaxed);
}

impl Page {
    /// Whether it is a page of this layout; what else it is.
    pub(crate) fn recognise(&self) -> Result<(), String> {
        match (get(&self.magic), get(&self.version)) {
            (MAGIC, VERSION) => Ok(()),
            (MAGIC, other) => Err(format!("its layout has version {other} instead of {VERSION}")),
            _ => Err("it does not begin with TBLEADER".to_owned()),
        }
    }

    /// What the page says; `None`: it was being written at every attempt.
    pub fn read(&self) -> Option<View> {
        for _ in 0..ATTEMPTS {
            let before = u64::from_le(self.sequence.load(Ordering::Acquire));
            let view = View {
                role: role(get(&self.role)),
                epoch: get(&self.epoch),
                fencing_token: get(&self.fencing_token),
                deadline: Instant {
                    boottime: get(&self.deadline_boottime),
                    monotonic_raw: get(&self.deadline_monotonic_raw),
                },
            };
            // What was read above is read before the sequence is read again.
            fence(Ordering::Acquire);
            if before & 1 == 0 && get(&self.sequence) == before {
                return Some(view);
            }
            std::hint::spin_loop();
        }
        None
    }

    /// Fills a page that nobody reads yet.
    pub fn begin(&self, boot: &str) {
        put(&self.magic, MAGIC);
        put(&self.version, VERSION);
        let mut bytes = [0; BOOT_LENGTH];
        let length = boot.len().min(BOOT_LENGTH);
        bytes[..length].copy_from_slice(&boot.as_bytes()[..length]);
        for (word, chunk) in self.boot.iter().zip(bytes.chunks_exact(8)) {
            word.store(u64::from_ne_bytes(chunk.try_into().unwrap_or_default()), Ordering::Relaxed);
        }
        self.write(&View { role: Role::Standby, epoch: 0, fencing_token: 0, deadline: Instant::PAST });
    }

    /// Says something else. There is one writer.
    pub fn write(&self, view: &View) {
        let sequence = self.open();
        put(&self.role, number(view.role));
        put(&self.epoch, view.epoch);
        put(&self.fencing_token, view.fencing_token);
        put(&self.deadline_boottime, view.deadline.boottime);
        put(&self.deadline_monotonic_raw, view.deadline.monotonic_raw);
        // What was written above is seen before the even sequence is.
        self.sequence.store(sequence.wrapping_add(1).to_le(), Ordering::Release);
    }

    /// The first half of a write: the sequence is odd until its end.
    #[doc(hidden)]
    pub fn open(&self) -> u64 {
        let odd = get(&self.sequence) | 1;
        put(&self.sequence, odd);
        // The odd sequence is seen before anything that is written below.
        fence(Ordering::Release);
        odd
    }

    pub(crate) fn boot(&self) -> String {
        let bytes: Vec<u8> = self.boot.iter().flat_map(|word| word.load(Ordering::Relaxed).to_ne_bytes()).collect();
        String::from_utf8_lossy(&bytes).trim_end_matches('\0').to_owned()
    }
}

fn role(number: u64) -> Role {
    match number {
        0 => Role::Standby,
        1 => Role::Candidate,
        2 => Role::Active,
        3 => Role::Demoting,
        4 => Role::Paused,
        _ => Role::Unknown,
    }
}

fn number(role: Role) -> u64 {
    match role {
        Role::Standby => 0,
        Role::Candidate => 1,
        Role::Active => 2,
        Role::Demoting => 3,
        Role::Paused => 4,
        Role::Unknown => u64::MAX,
    }
}
