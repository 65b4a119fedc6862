//! Connections of checks: to whatever may be at the other end, and for as many bytes as an honest answer has.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::agent::resolve::Resolver;
use crate::core::gate::Host;

/// What is read of one connection, at most: a larger answer is given up, whatever is still to come.
pub(super) const MOST_BYTES: usize = 256 * 1024;

/// A connection that says no more than [`MOST_BYTES`].
pub(super) type Stream = Limited<TcpStream>;

/// Connects to the first address that answers. A host's name is looked up as the pod is configured to.
///
/// # Errors
/// A sentence.
pub(super) async fn connect(resolver: &Resolver, host: &str, port: u16) -> Result<Stream, String> {
    let addresses = match host {
        "localhost" => vec![IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)],
        host => {
            let host = host.parse().map_or_else(|_| Host::Name(host.to_owned()), Host::Address);
            resolver.addresses(&host).await.map_err(|cause| format!("{host} cannot be resolved: {cause}."))?
        }
    };
    let mut failure = format!("{host} has no address.");
    for address in addresses {
        match TcpStream::connect(SocketAddr::new(address, port)).await {
            Ok(stream) => {
                // Closed at once when it is dropped: nothing of a check waits to be sent when a bot was killed, and
                // the Lease shall be released.
                let _ = stream.set_zero_linger();
                return Ok(Limited { inner: stream, left: MOST_BYTES });
            }
            Err(cause) => failure = format!("No connection to {host} at port {port}: {cause}."),
        }
    }
    Err(failure)
}

/// Fails when more has come in than there shall.
#[derive(Debug)]
pub(super) struct Limited<S> {
    inner: S,
    left: usize,
}

impl<S: AsyncRead + Unpin> AsyncRead for Limited<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let most = self.left.min(buf.remaining());
        if most == 0 && buf.remaining() > 0 {
            return Poll::Ready(Err(io::Error::other(format!("more than {} KiB were sent", MOST_BYTES / 1024))));
        }
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(most));
        ready!(Pin::new(&mut self.inner).poll_read(cx, &mut part))?;
        let got = part.filled().len();
        buf.advance(got);
        self.left -= got;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Limited<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    #[tokio::test]
    async fn no_more_is_read_than_the_limit() {
        let mut endless = Limited { inner: tokio::io::repeat(b'x'), left: 10_000 };
        let mut read = Vec::new();
        let error = endless.read_to_end(&mut read).await.unwrap_err();
        assert_eq!((read.len(), error.to_string().as_str()), (10_000, "more than 256 KiB were sent"));
        let mut short = Limited { inner: &b"all of it"[..], left: 9 };
        let mut text = String::new();
        short.read_exact(&mut [0; 3]).await.unwrap();
        assert!(short.read_to_string(&mut text).await.is_err(), "whether it ends there is not looked at");
    }
}
