//! May this bot trade right now?
//!
//! The agent in a bot's pod keeps the answer in a page of memory. [`Leadership::check`] reads it without a system call
//! and without a lock, in well under a microsecond, so that a bot can ask right before every order:
//!
//! ```no_run
//! let leadership = tradingbot_leadership::Leadership::open()?;
//! let check = leadership.check();
//! if check.may_trade {
//!     // Place the order, with check.fencing_token in its id.
//! }
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! The answer is judged by the reader's own clocks, so it turns to "no" in time also when the agent is stopped or
//! hangs. It says nothing about a process that is frozen after the check and sends when it thaws: for that there are
//! the order gate and the fencing token in order ids.

#[doc(hidden)]
pub mod page;

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;

use page::{Instant, Page, SIZE};

/// Where the agent keeps the page.
pub const PATH: &str = "/run/tradingbot/leadership";

/// A pod's role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Another trades, or nobody.
    Standby,
    /// The Lease is granted to this pod, which may not trade yet.
    Candidate,
    /// This pod may trade until its deadline.
    Active,
    /// This bot is being stopped.
    Demoting,
    /// This pod holds the permit, and shall not trade until a cause that every pod would see alike is gone.
    Paused,
    /// The page was being written at every attempt to read it, as when the agent was stopped in the middle of it; or it
    /// has a role that this version does not know.
    Unknown,
}

impl Role {
    /// In lower case, as the local API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Standby => "standby",
            Role::Candidate => "candidate",
            Role::Active => "active",
            Role::Demoting => "demoting",
            Role::Paused => "paused",
            Role::Unknown => "unknown",
        }
    }
}

/// The answer, of one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check {
    /// Whether an order may be sent now.
    pub may_trade: bool,
    /// The pod's role. `Active` without `may_trade`: its time has run out and the agent has not said so yet.
    pub role: Role,
    /// The epoch that the pod holds; 0 where it holds none.
    pub epoch: u64,
    /// The fencing token that belongs into order ids; 0 where the pod holds none.
    pub fencing_token: u64,
    /// For how long `may_trade` holds if nothing more is heard; zero where it does not, [`Duration::MAX`] where no
    /// deadline is set (`onApiServerLoss: Continue`).
    pub remaining: Duration,
}

/// The page, mapped into this process.
pub struct Leadership {
    page: &'static Page,
}

impl Leadership {
    /// Maps the page of this pod. Open it once and keep it.
    ///
    /// # Errors
    /// There is no page, which is so outside of a bot's container, or it is not one that this version can read.
    pub fn open() -> io::Result<Leadership> {
        Self::open_at(PATH)
    }

    /// Maps the page at another place.
    ///
    /// # Errors
    /// As [`Leadership::open`].
    pub fn open_at(path: impl AsRef<Path>) -> io::Result<Leadership> {
        let path = path.as_ref();
        let explain = |cause: io::Error| {
            io::Error::new(cause.kind(), format!("the leadership page {} cannot be read: {cause}", path.display()))
        };
        let file = File::open(path).map_err(explain)?;
        let length = file.metadata().map_err(explain)?.len();
        let unusable = |what: String| {
            let text = format!("{} is no leadership page for this client: {what}", path.display());
            io::Error::new(io::ErrorKind::InvalidData, text)
        };
        if length < SIZE as u64 {
            return Err(unusable(format!("it has {length} bytes instead of {SIZE}")));
        }
        // SAFETY: a new mapping of a file that is long enough. All of `Page` is atomics, so any bytes are valid and may
        // change under us.
        let page: &'static Page = unsafe {
            let memory = libc::mmap(std::ptr::null_mut(), SIZE, libc::PROT_READ, libc::MAP_SHARED, file.as_raw_fd(), 0);
            if memory == libc::MAP_FAILED {
                return Err(explain(io::Error::last_os_error()));
            }
            &*memory.cast::<Page>()
        };
        let leadership = Leadership { page };
        page.recognise().map_err(unusable)?;
        Ok(leadership)
    }

    /// Whether an order may be sent now.
    pub fn check(&self) -> Check {
        let no = Check { may_trade: false, role: Role::Unknown, epoch: 0, fencing_token: 0, remaining: Duration::ZERO };
        let Some(view) = self.page.read() else { return no };
        let known = Check { role: view.role, epoch: view.epoch, fencing_token: view.fencing_token, ..no };
        if view.role != Role::Active {
            return known;
        }
        if view.deadline == Instant::NEVER {
            return Check { may_trade: true, remaining: Duration::MAX, ..known };
        }
        let left = view.deadline.nanos_from(Instant::now());
        Check { may_trade: left > 0, remaining: Duration::from_nanos(left), ..known }
    }

    /// The start of the agent that writes this page, `<pod uid>/<random>`.
    pub fn boot(&self) -> String {
        self.page.boot()
    }
}

impl Drop for Leadership {
    fn drop(&mut self) {
        let memory = std::ptr::from_ref(self.page).cast_mut();
        // SAFETY: the mapping is ours, and no reference to it leaves this type.
        unsafe { libc::munmap(memory.cast(), SIZE) };
    }
}
