//! Takes parts and stores them as one artefact, a few at a time.

use std::time::{Duration, Instant};

use object_store::MultipartUpload;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{PART, Piece};
use crate::backup::digest::Digester;
use crate::backup::store::Store;
use crate::core::backup::BackupId;
use crate::core::backup::manifest::Digest;
use crate::core::backup::report::{Failure, FailureReason};

/// How long giving up may take.
const GIVE_UP: Duration = Duration::from_secs(10);
/// How often the log says how far it is.
const PROGRESS: Duration = Duration::from_secs(5);
const MIB: u64 = 1 << 20;

/// Stores what comes, `at_once` parts at a time, and says what was sent. When it fails, or what comes ends without
/// [`Piece::End`], nothing is left at the destination.
pub async fn upload(
    store: &Store,
    id: &BackupId,
    mut pieces: mpsc::Receiver<Piece>,
    at_once: usize,
) -> Result<Digest, Failure> {
    let mut sent = Sent::new(store, id);
    let Some(first) = pieces.recv().await else { return Err(given_up()) };
    let Piece::Part(first) = first else {
        store.put_artefact(id, bytes::Bytes::new()).await?;
        return Ok(sent.digester.finish());
    };
    sent.add(&first);
    // What fits into one part is one request.
    let second = if first.len() < PART { pieces.recv().await.map(Some).ok_or_else(given_up)? } else { None };
    if let Some(Piece::End) = second {
        store.put_artefact(id, first).await?;
        return Ok(sent.digester.finish());
    }
    let mut upload = store.begin_artefact(id).await?;
    let mut tasks = JoinSet::new();
    let stored = async {
        tasks.spawn(upload.put_part(first.into()));
        loop {
            while tasks.len() >= at_once {
                done(store, id, &mut tasks).await?;
            }
            let piece = tokio::select! {
                piece = pieces.recv() => piece.ok_or_else(given_up)?,
                // A part that fails while the source says nothing ends it, too.
                result = done(store, id, &mut tasks), if !tasks.is_empty() => {
                    result?;
                    continue;
                }
                failure = store.stopped() => return Err(failure),
            };
            let Piece::Part(part) = piece else { break };
            if sent.parts == store.most_parts() {
                let limit = (store.most_parts() * PART) as u64 / MIB;
                return Err(store.fault(
                    FailureReason::Misconfigured,
                    id,
                    &format!(
                        "would be larger than {limit} MiB, the most that can be stored there. Back up less at once"
                    ),
                ));
            }
            sent.add(&part);
            tasks.spawn(upload.put_part(part.into()));
        }
        while !tasks.is_empty() {
            done(store, id, &mut tasks).await?;
        }
        store.step(id, upload.complete()).await
    }
    .await;
    match stored {
        Ok(_) => Ok(sent.digester.finish()),
        Err(failure) => {
            tasks.shutdown().await;
            give_up(store, upload).await;
            Err(failure)
        }
    }
}

/// The source failed, and says itself why.
fn given_up() -> Failure {
    Failure::new(FailureReason::SourceFailed, "The source ended before it was complete.")
}

/// Waits for one of the parts that are on their way.
async fn done(store: &Store, id: &BackupId, tasks: &mut JoinSet<object_store::Result<()>>) -> Result<(), Failure> {
    match tasks.join_next().await {
        None => Ok(()),
        Some(joined) => {
            let result = joined.unwrap_or_else(|error| Err(object_store::Error::JoinError { source: error }));
            store.step(id, std::future::ready(result)).await
        }
    }
}

async fn give_up(store: &Store, mut upload: Box<dyn MultipartUpload>) {
    match tokio::time::timeout(GIVE_UP, upload.abort()).await {
        Ok(Ok(())) => tracing::info!("The upload to {} was given up; nothing of it is left", store.name()),
        Ok(Err(error)) => tracing::warn!("Giving up the upload to {} failed: {error}", store.name()),
        Err(_) => tracing::warn!("Giving up the upload to {} took too long", store.name()),
    }
}

/// What was handed to the store.
struct Sent<'a> {
    store: &'a Store,
    id: &'a BackupId,
    digester: Digester,
    parts: usize,
    progress: Progress,
}

impl<'a> Sent<'a> {
    fn new(store: &'a Store, id: &'a BackupId) -> Sent<'a> {
        Sent { store, id, digester: Digester::default(), parts: 0, progress: Progress::default() }
    }

    fn add(&mut self, part: &[u8]) {
        self.digester.update(part);
        self.parts += 1;
        if let Some(so_far) = self.progress.line(self.digester.bytes()) {
            tracing::info!("Storing {} in {}: {so_far}", self.id, self.store.name());
        }
    }
}

/// How far something is, said every few seconds.
pub(super) struct Progress {
    began: Instant,
    said: Instant,
}

impl Default for Progress {
    fn default() -> Self {
        let now = Instant::now();
        Progress { began: now, said: now }
    }
}

impl Progress {
    /// A line, if it is time for one.
    pub(super) fn line(&mut self, bytes: u64) -> Option<String> {
        (self.said.elapsed() >= PROGRESS).then(|| {
            self.said = Instant::now();
            self.so_far(bytes)
        })
    }

    /// How far it is.
    pub(super) fn so_far(&self, bytes: u64) -> String {
        let milliseconds = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
        let rate = bytes.saturating_mul(1000) / milliseconds / MIB;
        format!("{} MiB, {rate} MiB/s", bytes / MIB)
    }
}
