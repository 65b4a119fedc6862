//! Orders on the way: they are written to one connection without waiting for the answers to those before, so that there
//! is hardly a moment at which none is in a kernel or on the wire.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::tcp::OwnedWriteHalf;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::http::{Answers, Connection, Http, send_if};

/// A connection on which something was asked and nothing was answered for this long is given up.
const PATIENCE: Duration = Duration::from_secs(10);

/// One connection, whose answers another task reads.
pub struct Pipeline {
    http: Http,
    limit: usize,
    open: Option<Open>,
}

struct Open {
    requests: OwnedWriteHalf,
    unanswered: Arc<AtomicUsize>,
    reader: JoinHandle<()>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Pipeline {
    /// At most `limit` requests are left without an answer.
    pub fn new(http: Http, limit: usize) -> Self {
        Self { http, limit, open: None }
    }

    /// Connects unless there is a connection already.
    pub async fn connect(&mut self) -> io::Result<()> {
        if self.open.as_ref().is_some_and(|open| !open.reader.is_finished()) {
            return Ok(());
        }
        self.open = None;
        let Connection { requests, answers } = self.http.dial().await?;
        let unanswered = Arc::new(AtomicUsize::new(0));
        let reader = tokio::spawn(read(answers, unanswered.clone()));
        self.open = Some(Open { requests, unanswered, reader });
        Ok(())
    }

    /// Writes a request if `go` still says so when the socket is ready; whether it did. With too many unanswered it does
    /// not, as a bot that cannot know its position would not.
    pub async fn send_if(&mut self, bytes: &[u8], go: impl Fn() -> bool) -> io::Result<bool> {
        self.connect().await?;
        let open = self.open.as_mut().expect("there is a connection");
        if open.unanswered.load(Ordering::Relaxed) >= self.limit {
            return Ok(false);
        }
        open.unanswered.fetch_add(1, Ordering::Relaxed);
        let sent = match timeout(PATIENCE, send_if(&mut open.requests, bytes, go)).await {
            Ok(sent) => sent,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        };
        match sent {
            Ok(true) => {}
            Ok(false) => drop(open.unanswered.fetch_sub(1, Ordering::Relaxed)),
            // A half of it may be written: nothing can follow.
            Err(_) => self.open = None,
        }
        sent
    }
}

/// Reads answers until the connection ends.
async fn read(mut answers: Answers, unanswered: Arc<AtomicUsize>) {
    loop {
        match timeout(PATIENCE, answers.next()).await {
            Ok(Ok(answer)) => {
                unanswered.fetch_sub(1, Ordering::Relaxed);
                if !answer.is_success() {
                    eprintln!("the exchange did not take an order: {} {}", answer.status, answer.body.trim());
                }
                if answer.closes {
                    return;
                }
            }
            Ok(Err(error)) => return eprintln!("the connection to the exchange ended: {error}"),
            // Nothing was asked, so nothing of an answer can have been cut off by the end of the wait.
            Err(_) if unanswered.load(Ordering::Relaxed) == 0 => {}
            Err(_) => return eprintln!("the exchange has answered nothing for {} s", PATIENCE.as_secs()),
        }
    }
}
