//! The alarm: a timer of the kernel that interrupts the gate's own thread at the deadline, wherever it is.
//!
//! Without it a thread that is stopped between its check and its send, by a freezer, a full CPU quota or a busy machine,
//! would send when it goes on. The kernel delivers a pending signal before it lets a thread go on in its own code, so
//! the sockets are cut before the send can be reached.

use std::io::{Error, Result};
use std::sync::atomic::{AtomicPtr, Ordering};

use super::fence::Fence;
use crate::core::time::Mono;

/// The first signal that neither the system's library nor the runtime uses.
fn number() -> i32 {
    libc::SIGRTMIN() + 5
}

/// What the handler cuts.
static FENCE: AtomicPtr<Fence> = AtomicPtr::new(std::ptr::null_mut());

/// A timer for one thread.
pub(super) struct Alarm(libc::timer_t);

// SAFETY: a timer belongs to the process; any thread may set it.
unsafe impl Send for Alarm {}
// SAFETY: as above, and the kernel serialises the calls.
unsafe impl Sync for Alarm {}

impl Alarm {
    /// An alarm that interrupts the calling thread.
    pub(super) fn for_this_thread(fence: &'static Fence) -> Result<Alarm> {
        FENCE.store(std::ptr::from_ref(fence).cast_mut(), Ordering::SeqCst);
        // SAFETY: all structures are valid and initialised; the handler only uses what a handler may.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = on_alarm as *const () as usize;
            action.sa_flags = libc::SA_RESTART;
            libc::sigemptyset(&raw mut action.sa_mask);
            if libc::sigaction(number(), &raw const action, std::ptr::null_mut()) != 0 {
                return Err(Error::last_os_error());
            }
            let mut event: libc::sigevent = std::mem::zeroed();
            event.sigev_notify = libc::SIGEV_THREAD_ID;
            event.sigev_signo = number();
            // Not the library's function, which is not there in the shipped agent (see clippy.toml).
            event.sigev_notify_thread_id = libc::syscall(libc::SYS_gettid) as libc::pid_t;
            let mut timer: libc::timer_t = std::ptr::null_mut();
            if libc::timer_create(libc::CLOCK_BOOTTIME, &raw mut event, &raw mut timer) != 0 {
                return Err(Error::last_os_error());
            }
            Ok(Alarm(timer))
        }
    }

    /// Rings at this time; `None`: not at all.
    pub(super) fn set(&self, at: Option<Mono>) {
        let nanos = at.map_or(0, |at| at.first.max(1));
        let value = libc::timespec {
            tv_sec: i64::try_from(nanos / 1_000_000_000).unwrap_or(i64::MAX),
            tv_nsec: i64::try_from(nanos % 1_000_000_000).unwrap_or_default(),
        };
        let none = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let time = libc::itimerspec { it_interval: none, it_value: value };
        // SAFETY: the timer is ours and `time` is valid.
        unsafe { libc::timer_settime(self.0, libc::TIMER_ABSTIME, &raw const time, std::ptr::null_mut()) };
    }
}

extern "C" fn on_alarm(_: i32) {
    // SAFETY: the address of this thread's `errno` is valid; it is put back as it was. The fence lives for ever.
    unsafe {
        let errno = *libc::__errno_location();
        if let Some(fence) = FENCE.load(Ordering::SeqCst).as_ref() {
            fence.cut_if_past();
        }
        *libc::__errno_location() = errno;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;
    use std::time::Duration;

    use super::super::super::clock;
    use super::*;
    use crate::core::gate::Passage;

    #[test]
    fn a_thread_that_never_looks_up_is_cut_off_at_the_deadline() {
        let fence: &'static Fence = Box::leak(Box::new(Fence::new()));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let _admission = fence.admit(near.as_raw_fd());
        let alarm = Alarm::for_this_thread(fence).unwrap();
        let deadline = clock::now().plus(Duration::from_millis(20));
        fence.set(Passage::Open(Some(deadline)));
        alarm.set(Some(deadline));
        // It neither sleeps nor asks, as a thread that was interrupted after its check.
        let end = clock::now().plus(Duration::from_secs(5));
        while !clock::now().has_possibly_reached(deadline.plus(Duration::from_millis(1))) {
            assert!(!clock::now().has_possibly_reached(end));
        }
        assert!(near.write(b"an order").is_err());
    }
}
