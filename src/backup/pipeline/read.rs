//! Reads an artefact: to the end for its sum, or as a stream for who wants its content.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Buf, Bytes};
use tokio::sync::mpsc;

use super::upload::Progress;
use crate::backup::digest::Digester;
use crate::backup::store::Store;
use crate::core::backup::BackupId;
use crate::core::backup::manifest::Digest;
use crate::core::backup::report::{Failure, FailureReason};

/// Chunks that wait for who reads.
const WAITING: usize = 16;

/// Reads an artefact to its end and compares it; `each` gets what was read.
pub async fn read_through(
    store: &Store,
    id: &BackupId,
    stored: &Digest,
    differs: FailureReason,
    mut each: impl AsyncFnMut(Bytes),
) -> Result<(), Failure> {
    let Some(mut stream) = store.artefact(id).await? else {
        return Err(store.fault(FailureReason::NotFound, id, "is not there"));
    };
    let (mut digester, mut progress) = (Digester::default(), Progress::default());
    while let Some(bytes) = store.next(id, &mut stream).await? {
        digester.update(&bytes);
        if digester.bytes() > stored.bytes {
            break;
        }
        if let Some(so_far) = progress.line(digester.bytes()) {
            tracing::info!("Reading {id} from {}: {so_far}", store.name());
        }
        each(bytes).await;
    }
    let found = digester.finish();
    match found == *stored {
        true => Ok(()),
        false => Err(differing(store, id, &found, stored, differs)),
    }
}

fn differing(store: &Store, id: &BackupId, found: &Digest, stored: &Digest, reason: FailureReason) -> Failure {
    let what = match found.bytes == stored.bytes {
        true => "has another SHA-256 than its manifest says".to_owned(),
        false => format!("does not have the {} bytes that were stored", stored.bytes),
    };
    store.fault(reason, id, &format!("is damaged: it {what}"))
}

/// An artefact on its way to a thread that reads it. What went wrong with the way is in the slot.
pub struct Arrival {
    chunk: Bytes,
    from: mpsc::Receiver<Result<Bytes, Failure>>,
    slot: Arc<Mutex<Option<Failure>>>,
}

impl Arrival {
    /// Where the failure of the way is found when reading failed.
    pub fn slot(&self) -> Arc<Mutex<Option<Failure>>> {
        Arc::clone(&self.slot)
    }
}

impl Read for Arrival {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            match self.from.blocking_recv() {
                None => return Ok(0),
                Some(Ok(chunk)) => self.chunk = chunk,
                Some(Err(failure)) => {
                    let error = io::Error::other(failure.message.clone());
                    *self.slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
                    return Err(error);
                }
            }
        }
        let taken = into.len().min(self.chunk.len());
        self.chunk.copy_to_slice(&mut into[..taken]);
        Ok(taken)
    }
}

/// A reader for a thread, and what has to run beside it: it reads the artefact and compares it at its end, so that a
/// damaged one ends with an error and never with an end of file.
pub fn arrival<'a>(store: &'a Store, id: &'a BackupId, stored: &'a Digest) -> (Arrival, impl Future<Output = ()> + 'a) {
    let (to, from) = mpsc::channel(WAITING);
    let drive = async move {
        let each = async |bytes| drop(to.send(Ok(bytes)).await);
        if let Err(failure) = read_through(store, id, stored, FailureReason::Damaged, each).await {
            // Nobody reads any more where this fails.
            let _ = to.send(Err(failure)).await;
        }
    };
    (Arrival { chunk: Bytes::new(), from, slot: Arc::default() }, drive)
}
