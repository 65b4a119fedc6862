//! A process that can be stopped and goes on later, as by SIGSTOP and SIGCONT.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// Until when a process is stopped. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Freeze(Arc<Mutex<Option<Instant>>>);

impl Freeze {
    /// Stops it for so long.
    pub fn begin(&self, time: Duration) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + time);
    }

    /// Until when it is stopped; `None`: it runs.
    pub fn until(&self) -> Option<Instant> {
        let until = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        until.filter(|until| Instant::now() < *until)
    }

    /// Runs a process that this can stop. What the process has spawned goes on; its network is to be held too.
    pub fn run<F: Future>(&self, process: F) -> Freezable<F> {
        Freezable { freeze: self.clone(), thaw: None, process: Box::pin(process) }
    }
}

/// See [`Freeze::run`].
pub struct Freezable<F> {
    freeze: Freeze,
    thaw: Option<Pin<Box<Sleep>>>,
    process: Pin<Box<F>>,
}

impl<F: Future> Future for Freezable<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        while let Some(until) = self.freeze.until() {
            let mut thaw = Box::pin(sleep_until(until));
            if thaw.as_mut().poll(context).is_pending() {
                self.thaw = Some(thaw);
                return Poll::Pending;
            }
        }
        self.thaw = None;
        self.process.as_mut().poll(context)
    }
}
