//! Carrying bytes both ways between a bot's connection and one to outside.
//!
//! One buffer serves all connections: it is filled and emptied without a pause in between, and only what the other side
//! does not take at once is kept. So a thousand quiet connections cost no buffers.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::os::fd::AsRawFd;
use std::task::{Context, Poll};

use tokio::net::TcpStream;

use super::upstream::Upstream;

/// At most what is read at once, in bytes.
const CHUNK: usize = 64 * 1024;
/// So many chunks in a row, then others get their turn.
const TURN: usize = 16;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; CHUNK].into_boxed_slice());
}

/// One direction of a connection.
#[derive(Default)]
struct Way {
    /// Read, and not taken by the other side yet.
    kept: Vec<u8>,
    taken: usize,
    /// The reading side has ended.
    ended: bool,
    /// The writing side was told so.
    finished: bool,
}

/// One side of a connection.
pub(super) trait Side {
    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>>;
    fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>>;
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize>;
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;
    /// Says that nothing more comes; what comes from the other side still does.
    fn finish(&mut self) -> io::Result<()>;
}

impl Side for TcpStream {
    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_read_ready(context)
    }
    fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_write_ready(context)
    }
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.try_read(buffer)
    }
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.try_write(bytes)
    }
    fn finish(&mut self) -> io::Result<()> {
        // SAFETY: the descriptor is the stream's.
        let result = unsafe { libc::shutdown(self.as_raw_fd(), libc::SHUT_WR) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

/// Carries until both sides have ended or one has failed. `first`: bytes of the bot that were read already.
pub(super) async fn carry(mut bot: TcpStream, mut outside: Upstream, first: &[u8]) -> io::Result<()> {
    let mut out = Way { kept: first.to_vec(), ..Way::default() };
    let mut back = Way::default();
    poll_fn(|context| {
        let there = out.step(&mut bot, &mut outside, context)?;
        let here = back.step(&mut outside, &mut bot, context)?;
        if there.is_ready() && here.is_ready() { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
    .await
}

impl Way {
    fn step<From: Side, To: Side>(
        &mut self,
        from: &mut From,
        to: &mut To,
        context: &mut Context<'_>,
    ) -> io::Result<Poll<()>> {
        for _ in 0..TURN {
            if self.taken < self.kept.len() {
                match to.write(&self.kept[self.taken..]) {
                    Ok(sent) => self.taken += sent,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => match to.poll_writable(context) {
                        Poll::Ready(ready) => ready?,
                        Poll::Pending => return Ok(Poll::Pending),
                    },
                    Err(error) => return Err(error),
                }
                continue;
            }
            // What was kept once is given back: connections are many and mostly quiet.
            (self.kept, self.taken) = (Vec::new(), 0);
            if self.ended {
                if !self.finished {
                    self.finished = true;
                    to.finish()?;
                }
                return Ok(Poll::Ready(()));
            }
            match from.poll_readable(context) {
                Poll::Ready(ready) => ready?,
                Poll::Pending => return Ok(Poll::Pending),
            }
            self.pass(from, to)?;
        }
        context.waker().wake_by_ref();
        Ok(Poll::Pending)
    }

    /// Reads once and writes what the other side takes.
    fn pass<From: Side, To: Side>(&mut self, from: &mut From, to: &mut To) -> io::Result<()> {
        BUFFER.with_borrow_mut(|buffer| {
            let read = match from.read(buffer) {
                Ok(0) => {
                    self.ended = true;
                    return Ok(());
                }
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            let sent = match to.write(&buffer[..read]) {
                Ok(sent) => sent,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                Err(error) => return Err(error),
            };
            self.kept.extend_from_slice(&buffer[sent..read]);
            Ok(())
        })
    }
}
