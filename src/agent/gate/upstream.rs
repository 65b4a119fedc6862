//! Connections to outside: opened with nothing that the kernel would send on by itself, written to only while that is
//! allowed.

use std::io;
use std::mem::ManuallyDrop;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::spawn_local;
use tokio::time::sleep;

use super::super::clock;
use super::fence::{Admission, Fence, Kind, unacknowledged, unacknowledged_bytes};
use super::metrics::Metrics;
use super::relay::Side;
use crate::core::time::Mono;

/// What the kernel may hold unsent, in bytes; it takes the double for its own accounts. Orders are small.
const SEND_BUFFER: u32 = 32 * 1024;
/// Without a deadline, how long the kernel tries to deliver.
const DELIVERY_TIME: Duration = Duration::from_secs(30);
/// For bytes of a connection that is over when nothing may be sent any more, to be acknowledged.
const PATIENCE: Duration = Duration::from_millis(500);
/// How soon, and later how often, to look whether they were.
const FIRST_LOOK: Duration = Duration::from_millis(1);
const LAST_LOOK: Duration = Duration::from_millis(64);
/// Ends connections whose other side is gone: after this long without a word, then this often, so many times.
const KEEP_ALIVE: (i32, i32, i32) = (60, 15, 4);

/// A connection to outside. Every write asks the fence first.
pub(super) struct Upstream {
    held: ManuallyDrop<Held>,
    fence: &'static Fence,
    kind: Kind,
    /// The deadline that the kernel's own limit was last set by.
    limited_by: Option<Mono>,
    metrics: Arc<Metrics>,
}

/// A socket under the fence. Its place is given up before it is closed: fields are dropped in their order.
struct Held {
    admission: Admission<'static>,
    stream: TcpStream,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoConnection {
    /// The gate closed, or was closed all along.
    #[error("the gate closed")]
    Closed,
    /// There are as many connections as there may be.
    #[error("there are {} connections already", super::fence::SOCKETS)]
    TooMany,
    /// The address is this pod's own.
    #[error("{0} is an address of this pod")]
    Own(SocketAddr),
    /// The system said no.
    #[error("{0}")]
    Failed(#[from] io::Error),
}

impl Upstream {
    pub(super) async fn connect(
        address: SocketAddr,
        kind: Kind,
        fence: &'static Fence,
        metrics: Arc<Metrics>,
    ) -> Result<Upstream, NoConnection> {
        if is_own(address) {
            return Err(NoConnection::Own(address));
        }
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        let limited_by = fence.deadline();
        prepare(&socket, time_left(limited_by))?;
        // From here on a cut reaches it, also while it connects. Declared after the socket, it goes before it.
        let admission = fence.admit(socket.as_raw_fd()).ok_or(NoConnection::TooMany)?;
        if !fence.may_send(kind) {
            return Err(NoConnection::Closed);
        }
        let mut connecting = Connecting { admission: Some(admission), connect: Box::pin(socket.connect(address)) };
        let stream = connecting.connect.as_mut().await;
        let stream = match stream {
            Ok(stream) => stream,
            Err(_) if !fence.may_send(kind) => return Err(NoConnection::Closed),
            Err(error) => return Err(error.into()),
        };
        let Some(admission) = connecting.admission.take() else { return Err(NoConnection::Closed) };
        Ok(Upstream { held: ManuallyDrop::new(Held { admission, stream }), fence, kind, limited_by, metrics })
    }

    /// Whether bytes may be sent now. Follows the deadline with the kernel's own limit, for when this process is stopped.
    fn may_send(&mut self) -> io::Result<()> {
        if !self.fence.may_send(self.kind) {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the gate closed"));
        }
        let deadline = self.fence.deadline();
        if deadline != self.limited_by {
            limit_delivery(self.held.stream.as_raw_fd(), time_left(deadline))?;
            self.limited_by = deadline;
        }
        Ok(())
    }
}

impl Side for Upstream {
    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.held.stream.poll_read_ready(context)
    }

    fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.held.stream.poll_write_ready(context)
    }

    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.held.stream.try_read(buffer)?;
        self.metrics.received(read);
        Ok(read)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let begun = Instant::now();
        self.may_send()?;
        let sent = self.held.stream.try_write(bytes)?;
        self.metrics.sent(sent, begun.elapsed());
        Ok(sent)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.held.stream.finish()
    }
}

impl Drop for Upstream {
    /// Closing throws away what the other side does not have yet, which its bot believes sent. So it is closed when that
    /// has arrived.
    fn drop(&mut self) {
        // SAFETY: taken once, here.
        let held = unsafe { ManuallyDrop::take(&mut self.held) };
        if unacknowledged(held.stream.as_raw_fd()) > 0 && !held.admission.is_cut() {
            spawn_local(settle(held, self.fence, self.kind));
        }
    }
}

/// Keeps a connection that is over until the other side has everything, its end included, or is not getting anything for
/// as long as the kernel would try; when nothing may be sent any more, for a moment only. The fence can cut it all the
/// while.
async fn settle(held: Held, fence: &'static Fence, kind: Kind) {
    let fd = held.stream.as_raw_fd();
    let (mut pause, mut known, mut since) = (FIRST_LOOK, unacknowledged(fd), Instant::now());
    let mut open = fence.may_send(kind);
    while !held.admission.is_cut() {
        let left = unacknowledged(fd);
        if left == 0 {
            return;
        }
        // Also when the gate closes, the moment begins anew.
        let still_open = fence.may_send(kind);
        if (left, still_open) != (known, open) {
            (known, open, since) = (left, still_open, Instant::now());
        }
        if since.elapsed() > if open { DELIVERY_TIME } else { PATIENCE } {
            if unacknowledged_bytes(fd) > 0 {
                fence.note_lost();
            }
            return;
        }
        sleep(pause).await;
        pause = (pause * 2).min(if open { LAST_LOOK } else { FIRST_LOOK });
    }
}

impl AsyncRead for Upstream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.held.stream).poll_read(context, buffer);
        self.metrics.received(buffer.filled().len() - before);
        result
    }
}

impl AsyncWrite for Upstream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let begun = Instant::now();
        if let Err(error) = self.may_send() {
            return Poll::Ready(Err(error));
        }
        let result = Pin::new(&mut self.held.stream).poll_write(context, bytes);
        if let Poll::Ready(Ok(sent)) = result {
            self.metrics.sent(sent, begun.elapsed());
        }
        result
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.held.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.held.stream).poll_shutdown(context)
    }
}

/// A socket that connects: its place under the fence is given up first, also when the attempt is abandoned.
struct Connecting<F> {
    admission: Option<Admission<'static>>,
    connect: Pin<Box<F>>,
}

impl<F> Drop for Connecting<F> {
    fn drop(&mut self) {
        self.admission = None;
    }
}

/// Nothing of this socket outlives its owner: it has no linger time and a small queue, and delivers small writes at
/// once.
fn prepare(socket: &TcpSocket, left: Duration) -> io::Result<()> {
    let fd = socket.as_raw_fd();
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.set_nodelay(true)?;
    socket.set_keepalive(true)?;
    set(fd, libc::SOL_SOCKET, libc::SO_LINGER, &libc::linger { l_onoff: 1, l_linger: 0 })?;
    set(fd, libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, &KEEP_ALIVE.0)?;
    set(fd, libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, &KEEP_ALIVE.1)?;
    set(fd, libc::IPPROTO_TCP, libc::TCP_KEEPCNT, &KEEP_ALIVE.2)?;
    limit_delivery(fd, left)
}

/// The kernel gives up on bytes that were not acknowledged for so long.
fn limit_delivery(fd: RawFd, left: Duration) -> io::Result<()> {
    let milliseconds = u32::try_from(left.as_millis()).unwrap_or(u32::MAX).max(1);
    set(fd, libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT, &milliseconds)
}

fn time_left(deadline: Option<Mono>) -> Duration {
    let Some(at) = deadline else { return DELIVERY_TIME };
    let now = clock::now();
    let left = at.first.saturating_sub(now.first).min(at.second.saturating_sub(now.second));
    Duration::from_nanos(left).min(DELIVERY_TIME)
}

fn set<T>(fd: RawFd, level: i32, name: i32, value: &T) -> io::Result<()> {
    let size = libc::socklen_t::try_from(size_of::<T>()).unwrap_or_default();
    // SAFETY: the value is valid for its size, and the option takes this type.
    let result = unsafe { libc::setsockopt(fd, level, name, std::ptr::from_ref(value).cast(), size) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The kernel sends to an address of its own from that very address. Nothing is sent to find that out.
fn is_own(address: SocketAddr) -> bool {
    let any: SocketAddr = if address.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    let from = std::net::UdpSocket::bind(any).and_then(|socket| {
        socket.connect(address)?;
        socket.local_addr()
    });
    from.is_ok_and(|from| from.ip() == address.ip())
}
