//! Waiting for a pipe no longer than a bound: a process that was left behind may keep its other end open for ever.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ready {
    /// There is something to read, or the other end is closed.
    Read,
    /// There is room to write, or the other end is closed.
    Write,
}

/// Whether a pipe is ready, within the time.
pub(super) fn wait_for(pipe: BorrowedFd<'_>, what: Ready, time: Duration) -> io::Result<bool> {
    let events = match what {
        Ready::Read => libc::POLLIN,
        Ready::Write => libc::POLLOUT,
    };
    let mut asked = libc::pollfd { fd: pipe.as_raw_fd(), events, revents: 0 };
    let milliseconds = i32::try_from(time.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: one descriptor, which is open for the time of the call.
    match unsafe { libc::poll(&raw mut asked, 1, milliseconds) } {
        -1 => match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::Interrupted => Ok(false),
            error => Err(error),
        },
        ready => Ok(ready > 0),
    }
}

/// Makes the pipe hold as much as an unprivileged process may ask for, so that both sides wait less for one another.
pub(super) fn enlarge(pipe: BorrowedFd<'_>) {
    // SAFETY: an open descriptor. A system that refuses leaves the pipe as it is.
    unsafe { libc::fcntl(pipe.as_raw_fd(), libc::F_SETPIPE_SZ, CAPACITY as libc::c_int) };
}

/// What a pipe holds at most.
pub(super) const CAPACITY: usize = 1024 * 1024;

/// Makes writes fail where they would wait.
pub(super) fn never_wait(pipe: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: an open descriptor.
    let flags = unsafe { libc::fcntl(pipe.as_raw_fd(), libc::F_GETFL) };
    // SAFETY: as above.
    match flags != -1 && unsafe { libc::fcntl(pipe.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK) } != -1 {
        true => Ok(()),
        false => Err(io::Error::last_os_error()),
    }
}
