//! The fence: who may send right now, and the sockets that are cut when nobody may any more.
//!
//! A cut has to work while the gate's own thread is busy, frozen or between its check and its send. So everything here
//! is atomics and system calls, without allocation or locks, and may be called from any thread and from a signal
//! handler.
//!
//! Cutting disconnects a socket (`connect` to no address): the kernel throws away what it had queued, sends a reset and
//! never sends for it again. The descriptor stays open and with its owner, so that no number is used for something else
//! in the meantime.

use std::os::fd::RawFd;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::super::clock;
use super::super::unsent::has_sent_its_end;
use crate::core::gate::Passage;
use crate::core::time::Mono;

/// How many connections to outside there can be at once.
pub(in crate::agent) const SOCKETS: usize = 4096;

const CLOSED: u32 = 0;
const STANDBY: u32 = 1;
const OPEN: u32 = 2;
const ENDING: u32 = 3;

/// A slot without a socket.
const FREE: i32 = -1;
/// A slot that is being filled.
const TAKEN: i32 = -2;
/// A slot whose socket was cut and is still to be given up by its owner.
const CUT: i32 = i32::MIN;

/// For which hosts a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::agent) enum Kind {
    /// Where every pod may connect to.
    Standby,
    /// Where orders can be placed.
    Trading,
}

/// One for the whole life of the agent.
pub(in crate::agent) struct Fence {
    passage: AtomicU32,
    /// The deadline on both clocks, while open.
    first: AtomicU64,
    second: AtomicU64,
    /// A descriptor, [`FREE`], [`TAKEN`], [`CUT`], or, while somebody works on it, the descriptor as `-3 - fd`.
    sockets: [AtomicI32; SOCKETS],
    cuts: AtomicU64,
    /// When bytes were last thrown away that nobody had acknowledged, nanoseconds of the first clock; 0: never.
    lost: AtomicU64,
}

impl Fence {
    pub(in crate::agent) const fn new() -> Fence {
        Fence {
            passage: AtomicU32::new(CLOSED),
            first: AtomicU64::new(0),
            second: AtomicU64::new(0),
            sockets: [const { AtomicI32::new(FREE) }; SOCKETS],
            cuts: AtomicU64::new(0),
            lost: AtomicU64::new(0),
        }
    }

    /// Opens or closes. Returns when whatever no longer passes has been cut.
    pub(in crate::agent) fn set(&self, passage: Passage) {
        match passage {
            Passage::Open(deadline) => {
                let at = deadline.unwrap_or(Mono::both(u64::MAX));
                self.first.store(at.first, Ordering::SeqCst);
                self.second.store(at.second, Ordering::SeqCst);
                self.passage.store(OPEN, Ordering::SeqCst);
            }
            Passage::Standby => {
                if matches!(self.passage.swap(STANDBY, Ordering::SeqCst), OPEN | ENDING) {
                    self.cut();
                }
            }
            Passage::Ending => {
                self.passage.store(ENDING, Ordering::SeqCst);
                if self.is_past() {
                    self.cut();
                } else {
                    self.visit(|fd| unacknowledged_bytes(fd) == 0 && disconnect(fd));
                }
            }
            Passage::Closed => {
                self.passage.store(CLOSED, Ordering::SeqCst);
                self.cut();
            }
        }
    }

    /// Whether bytes for such a host may be sent at this moment. Asked right before each of them is.
    pub(in crate::agent) fn may_send(&self, kind: Kind) -> bool {
        match self.passage.load(Ordering::SeqCst) {
            OPEN => kind == Kind::Standby || !self.is_past(),
            STANDBY => kind == Kind::Standby,
            _ => false,
        }
    }

    /// The deadline, while there is one.
    pub(in crate::agent) fn deadline(&self) -> Option<Mono> {
        let at = Mono { first: self.first.load(Ordering::SeqCst), second: self.second.load(Ordering::SeqCst) };
        (self.passage.load(Ordering::SeqCst) == OPEN && at.first != u64::MAX).then_some(at)
    }

    /// Cuts everything if the deadline has passed: for guards and the alarm.
    pub(in crate::agent) fn cut_if_past(&self) {
        if matches!(self.passage.load(Ordering::SeqCst), OPEN | ENDING) && self.is_past() {
            self.cut();
        }
    }

    /// For how long already nobody has been able to send what was thrown away unacknowledged; `None`: nothing ever was.
    pub(in crate::agent) fn lost_since(&self) -> Option<Duration> {
        let at = self.lost.load(Ordering::SeqCst);
        (at != 0).then(|| Duration::from_nanos(clock::now().first.saturating_sub(at)))
    }

    /// A socket was closed with bytes that nobody has acknowledged.
    pub(super) fn note_lost(&self) {
        self.lost.store(clock::now().first, Ordering::SeqCst);
    }

    /// How many connections were cut since the start.
    pub(in crate::agent) fn cuts(&self) -> u64 {
        self.cuts.load(Ordering::Relaxed)
    }

    fn is_past(&self) -> bool {
        // A deadline that is moved while it is read is taken for the earlier one on one of the clocks: never for a later.
        let at = Mono { first: self.first.load(Ordering::SeqCst), second: self.second.load(Ordering::SeqCst) };
        clock::now().has_possibly_reached(at)
    }

    /// Puts a socket under the fence; `None`: there are too many. Whoever does that asks [`Fence::may_send`] afterwards:
    /// a cut that comes in between is then noticed by one of the two.
    pub(in crate::agent) fn admit(&self, socket: RawFd) -> Option<Admission<'_>> {
        let slot = self
            .sockets
            .iter()
            .find(|slot| slot.compare_exchange(FREE, TAKEN, Ordering::SeqCst, Ordering::SeqCst).is_ok())?;
        slot.store(socket, Ordering::SeqCst);
        Some(Admission { slot })
    }

    /// Cuts everything.
    pub(in crate::agent) fn cut(&self) {
        self.visit(|fd| {
            if unacknowledged_bytes(fd) > 0 {
                self.note_lost();
            }
            disconnect(fd)
        });
        // Another cut may be under way; whoever asked for this one relies on its end.
        for slot in &self.sockets {
            while is_worked_on(slot.load(Ordering::SeqCst)) {
                std::hint::spin_loop();
            }
        }
    }

    /// Does something to every socket that is not cut and that nobody else works on; answers whether it is cut then.
    fn visit(&self, work: impl Fn(RawFd) -> bool) {
        for slot in &self.sockets {
            let fd = slot.load(Ordering::SeqCst);
            if fd >= 0 && slot.compare_exchange(fd, -3 - fd, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
                let is_cut = work(fd);
                self.cuts.fetch_add(u64::from(is_cut), Ordering::Relaxed);
                slot.store(if is_cut { CUT } else { fd }, Ordering::SeqCst);
            }
        }
    }
}

fn is_worked_on(slot: i32) -> bool {
    slot <= -3 && slot != CUT
}

/// A socket's place under the fence. Must be given up before the socket is closed.
pub(in crate::agent) struct Admission<'a> {
    slot: &'a AtomicI32,
}

impl Admission<'_> {
    /// Whether the socket was cut: it will never send again.
    pub(super) fn is_cut(&self) -> bool {
        self.slot.load(Ordering::SeqCst) == CUT
    }
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        loop {
            let fd = self.slot.load(Ordering::SeqCst);
            // While it is being cut the number must stay ours.
            if !is_worked_on(fd) && self.slot.compare_exchange(fd, FREE, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
                return;
            }
            std::hint::spin_loop();
        }
    }
}

/// How many bytes the kernel holds that the other side has not acknowledged; an end counts as one. Where that cannot be
/// told, one.
pub(super) fn unacknowledged(fd: RawFd) -> i32 {
    let mut bytes = 0;
    // SAFETY: the call writes one `int`; TIOCOUTQ of a socket is its SIOCOUTQ.
    let result = unsafe { libc::ioctl(fd, libc::TIOCOUTQ, &raw mut bytes) };
    if result == 0 { bytes } else { 1 }
}

/// As [`unacknowledged`], without the end of the connection: that is no byte of anybody's.
pub(super) fn unacknowledged_bytes(fd: RawFd) -> i32 {
    // Asked first: an end that comes in between counts as a byte, never a byte as an end.
    let end = i32::from(state(fd).is_some_and(has_sent_its_end));
    unacknowledged(fd).saturating_sub(end).max(0)
}

/// The state of a connection; `None`: it cannot be told.
fn state(fd: RawFd) -> Option<u8> {
    // The first byte of the kernel's `tcp_info`; it writes no more than there is room for.
    let mut state = 0_u8;
    let mut length: libc::socklen_t = 1;
    // SAFETY: the call writes one byte.
    let result =
        unsafe { libc::getsockopt(fd, libc::IPPROTO_TCP, libc::TCP_INFO, (&raw mut state).cast(), &raw mut length) };
    (result == 0).then_some(state)
}

/// Cuts one socket; true.
fn disconnect(fd: RawFd) -> bool {
    let nobody = libc::sockaddr { sa_family: libc::AF_UNSPEC as libc::sa_family_t, sa_data: [0; 14] };
    // SAFETY: the address is valid and the descriptor is its owner's until the slot is given up.
    let result = unsafe { libc::connect(fd, &raw const nobody, size_of::<libc::sockaddr>() as libc::socklen_t) };
    if result != 0 {
        // The kernel refuses that for a socket that is waited for in a blocking call, which ours never are. Then it is
        // closed in place: with its linger time of zero that throws the queue away as well.
        // SAFETY: as above; `dup3` replaces the descriptor in one step.
        unsafe {
            let other = libc::open(c"/proc/self/cmdline".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
            if other >= 0 {
                libc::dup3(other, fd, libc::O_CLOEXEC);
                libc::close(other);
            }
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;

    use super::*;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (near, listener.accept().unwrap().0)
    }

    fn soon() -> Passage {
        Passage::Open(Some(clock::now().plus(Duration::from_secs(9))))
    }

    #[test]
    fn what_passes_follows_the_passage_and_the_deadline() {
        let fence = Fence::new();
        assert!(!fence.may_send(Kind::Trading) && !fence.may_send(Kind::Standby));
        fence.set(Passage::Standby);
        assert!(!fence.may_send(Kind::Trading) && fence.may_send(Kind::Standby));
        fence.set(soon());
        assert!(fence.may_send(Kind::Trading) && fence.may_send(Kind::Standby));
        fence.set(Passage::Open(Some(clock::now())));
        assert!(!fence.may_send(Kind::Trading));
        fence.set(Passage::Open(None));
        assert!(fence.may_send(Kind::Trading));
        assert_eq!(fence.deadline(), None);
    }

    #[test]
    fn closing_resets_what_is_connected_and_throws_its_queue_away() {
        let fence = Fence::new();
        fence.set(soon());
        let (mut near, mut far) = pair();
        let admission = fence.admit(near.as_raw_fd()).unwrap();
        near.write_all(b"an order").unwrap();
        // More than the other side takes: the rest is queued in the kernel.
        near.set_nonblocking(true).unwrap();
        while near.write(&[0; 65536]).is_ok() {}
        fence.set(Passage::Closed);
        assert!(near.write(b"another").is_err());
        drop(admission);
        drop(near);
        far.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut rest = Vec::new();
        let end = far.read_to_end(&mut rest).unwrap_err();
        assert_eq!(end.kind(), std::io::ErrorKind::ConnectionReset);
        assert_eq!(fence.cuts(), 1);
    }

    #[test]
    fn an_end_cuts_what_is_quiet_and_leaves_what_is_on_its_way_until_the_deadline() {
        let fence = Fence::new();
        let deadline = clock::now().plus(Duration::from_secs(2));
        fence.set(Passage::Open(Some(deadline)));
        let ((quiet, _a), (mut busy, _b)) = (pair(), pair());
        let (first, second) = (fence.admit(quiet.as_raw_fd()).unwrap(), fence.admit(busy.as_raw_fd()).unwrap());
        busy.set_nonblocking(true).unwrap();
        while busy.write(&[0; 65536]).is_ok() {}
        fence.set(Passage::Ending);
        assert!(!fence.may_send(Kind::Trading) && !fence.may_send(Kind::Standby));
        assert!(first.is_cut() && !second.is_cut());
        assert_eq!(fence.lost_since(), None);
        while !clock::now().has_possibly_reached(deadline) {
            std::thread::yield_now();
        }
        fence.cut_if_past();
        assert!(second.is_cut() && fence.lost_since().is_some());
    }

    #[test]
    fn the_end_of_a_connection_is_no_byte_that_is_lost() {
        let (mut near, _far) = pair();
        near.set_nonblocking(true).unwrap();
        while near.write(&[0; 65536]).is_ok() {}
        let bytes = unacknowledged_bytes(near.as_raw_fd());
        assert!(bytes > 0 && bytes == unacknowledged(near.as_raw_fd()));
        near.shutdown(std::net::Shutdown::Write).unwrap();
        // The other side has no room for the bytes, nor for the end behind them.
        assert_eq!(unacknowledged(near.as_raw_fd()), bytes + 1);
        assert_eq!(unacknowledged_bytes(near.as_raw_fd()), bytes);
    }

    #[test]
    fn a_deadline_that_was_moved_cuts_nothing() {
        let fence = Fence::new();
        let (mut near, _far) = pair();
        fence.set(soon());
        let _admission = fence.admit(near.as_raw_fd()).unwrap();
        fence.cut_if_past();
        assert!(near.write(b"an order").is_ok());
        fence.set(Passage::Open(Some(clock::now())));
        fence.cut_if_past();
        assert!(near.write(b"an order").is_err());
    }

    #[test]
    fn there_is_a_place_for_so_many_and_no_more() {
        let fence = Box::new(Fence::new());
        // Descriptors that nobody has: nothing is cut here.
        let all: Vec<_> = (0..SOCKETS).map(|n| fence.admit(1_000_000 + n as i32).unwrap()).collect();
        assert!(fence.admit(5).is_none());
        drop(all);
        assert!(fence.admit(5).is_some());
    }
}
