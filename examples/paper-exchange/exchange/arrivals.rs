//! Connections of which nothing that has arrived is lost. The kernel throws away what it has received but not handed out
//! as soon as an answer reaches a sender that is gone, and a judge would not see the orders that such a sender left in
//! its own kernel. So everything there is to be read is read before anything is written, and the server, which drops what
//! it has not begun when a connection ends, is told of the end a little later.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Sleep, sleep};

/// So much later. What is to be carried out takes microseconds.
const LATER: Duration = Duration::from_secs(1);

/// Takes connections of this kind.
pub struct Arrivals(pub TcpListener);

/// The address that a connection came from.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

impl Listener for Arrivals {
    type Io = Arrived;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Arrived, SocketAddr) {
        let (stream, peer) = Listener::accept(&mut self.0).await;
        // A failed option costs latency only.
        let _ = stream.set_nodelay(true);
        (Arrived { stream, kept: Vec::new(), gone: false, end: None }, peer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

impl Connected<IncomingStream<'_, Arrivals>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Arrivals>) -> Self {
        Self(*stream.remote_addr())
    }
}

/// A connection.
pub struct Arrived {
    stream: TcpStream,
    /// What was read before its time.
    kept: Vec<u8>,
    /// Nobody is there to be answered.
    gone: bool,
    /// When the end is told.
    end: Option<Pin<Box<Sleep>>>,
}

impl Arrived {
    /// Reads what is there. An end or an error comes back at the next read in its time.
    fn keep(&mut self) {
        let mut part = [0; 16 * 1024];
        while let Ok(read @ 1..) = self.stream.try_read(&mut part) {
            self.kept.extend_from_slice(&part[..read]);
        }
    }

    /// Answers to nobody count as given, so that the requests behind them have their turn.
    fn written(&mut self, result: io::Result<usize>, length: usize) -> io::Result<usize> {
        self.gone |= result.is_err();
        if self.gone { Ok(length) } else { result }
    }
}

impl AsyncRead for Arrived {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Some(end) = &mut this.end {
            return end.as_mut().poll(cx).map(Ok);
        }
        if this.kept.is_empty() {
            let before = into.filled().len();
            let read = if this.gone { Ok(()) } else { ready!(Pin::new(&mut this.stream).poll_read(cx, into)) };
            if read.is_ok() && into.filled().len() > before {
                return Poll::Ready(Ok(()));
            }
            // An end by an error is an end.
            let end = this.end.insert(Box::pin(sleep(LATER)));
            return end.as_mut().poll(cx).map(Ok);
        }
        let length = self.kept.len().min(into.remaining());
        into.put_slice(&self.kept[..length]);
        self.kept.drain(..length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Arrived {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.keep();
        let result = if self.gone { Ok(0) } else { ready!(Pin::new(&mut self.stream).poll_write(cx, bytes)) };
        Poll::Ready(self.written(result, bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
