//! Makes a backup. Its manifest is written last, after all of it was read back: what a run leaves that ends earlier is
//! no backup.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::future::join_all;
use jiff::Timestamp;
use tokio::sync::mpsc;

use super::catalogue::catalogue;
use super::manifest::sealed;
use super::pipeline::{PART, Parts, Piece, Sealed, Sealer, compression_name, pieces, read_through, upload};
use super::retain::{Retained, retain};
use super::run::Run;
use super::source::{self, Produced};
use super::store::{Object, Store, claim};
use crate::api::backup_config::BackupConfig;
use crate::core::backup::manifest::{Digest, Manifest, VERSION};
use crate::core::backup::report::{Failure, FailureReason, Made, Report};
use crate::core::backup::{BackupId, ON_DEMAND};

/// Parts on their way to the first destination at once.
const AT_ONCE: usize = 2;
/// And to a copy: they share memory.
const AT_ONCE_TO_COPY: usize = 1;

/// Makes a backup, copies it, and removes what retention lets go.
pub async fn make(run: &Run, report: &mut Report) -> Result<(), Failure> {
    let first = run.first()?;
    claim(first, &run.config).await?;
    let copies = copies(run, report).await;

    // To the second, as in the id: what was committed before that is in it.
    let started = Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default();
    let schedule = if run.config.schedule.is_empty() { ON_DEMAND } else { &run.config.schedule };
    let id = BackupId::new(started, schedule, random()?);
    let id: BackupId = id.as_str().parse().map_err(|_| {
        Failure::new(FailureReason::Misconfigured, format!("'{schedule}' cannot be the name of a schedule."))
    })?;
    tracing::info!("Making the backup {id} of {}/{}", run.config.namespace, run.config.bot);

    let (produced, content, stored) = store_content(run, first, &id).await?;
    let copied = match read_back(first, &id, &stored, &copies).await {
        Ok(copied) => copied,
        Err(failure) => {
            // Without a manifest it is no backup, and nobody would ever remove it.
            discard(first, &id).await;
            return Err(failure);
        }
    };
    let manifest = describe(&run.config, &id, started, produced, content, stored);
    let bytes = sealed(manifest.clone());
    write_manifest(first, &id, bytes.clone()).await?;
    tracing::info!("The backup {id} is complete: {} bytes, {} stored", manifest.content.bytes, manifest.stored.bytes);
    report.backup = Some(made(&manifest));
    report.verified_time = Some(manifest.finished_time);

    for (store, copied) in copied {
        let written = match copied {
            Ok(()) => write_manifest(store, &id, bytes.clone()).await,
            Err(failure) => Err(failure),
        };
        if let Err(failure) = written {
            report.warnings.push(format!("The copy to {} failed: {failure}", store.name()));
        }
    }
    tidy(run, report).await;
    Ok(())
}

/// What a report says of a backup.
pub fn made(manifest: &Manifest) -> Made {
    Made {
        id: manifest.id.clone(),
        started_time: manifest.started_time,
        finished_time: manifest.finished_time,
        bytes: manifest.content.bytes,
        stored_bytes: manifest.stored.bytes,
    }
}

/// The copies that can be written. One that cannot fails no backup.
async fn copies<'a>(run: &'a Run, report: &mut Report) -> Vec<&'a Store> {
    let mut usable = Vec::new();
    for opened in run.stores.iter().skip(1) {
        let claimed = match opened {
            Ok(store) => claim(store, &run.config).await.map(|()| store),
            Err(failure) => Err(failure.clone()),
        };
        match claimed {
            Ok(store) => usable.push(store),
            Err(failure) => report.warnings.push(format!("No copy was made: {failure}")),
        }
    }
    usable
}

fn random() -> Result<u16, Failure> {
    let mut bytes = [0; 2];
    getrandom::fill(&mut bytes).map_err(|error| {
        Failure::new(FailureReason::Misconfigured, format!("The kernel gives no random numbers: {error}."))
    })?;
    Ok(u16::from_ne_bytes(bytes))
}

/// From the source to the first destination. What is left when it fails is nothing.
async fn store_content(run: &Run, store: &Store, id: &BackupId) -> Result<(Produced, Digest, Digest), Failure> {
    let (to, from) = pieces();
    let sealer = Sealer::new(&run.config, Parts::new(to.clone()))?;
    drop(to);
    let config = Arc::clone(&run.config);
    let source = tokio::task::spawn_blocking(move || content(&config, sealer));
    let uploaded = upload(store, id, from, AT_ONCE).await;
    let uploaded = match uploaded {
        // The source says itself what is wrong with it; everything else ended the source, too.
        Err(failure) if failure.reason != FailureReason::SourceFailed => return Err(failure),
        uploaded => uploaded,
    };
    let produced = source.await.unwrap_or_else(|error| {
        Err(Failure::new(
            FailureReason::SourceFailed,
            format!("Reading the source ended in an error of ours: {error}."),
        ))
    });
    let (produced, sealed) = produced?;
    let stored = uploaded?;
    Ok((produced, sealed.content.unwrap_or_else(|| stored.clone()), stored))
}

/// On a thread of its own.
fn content(config: &BackupConfig, mut sealer: Sealer) -> Result<(Produced, Sealed), Failure> {
    let produced = source::produce(config, &mut sealer)?;
    let sealed = sealer.finish().map_err(|error| {
        Failure::new(FailureReason::Interrupted, format!("The end of the content could not be handed on: {error}."))
    })?;
    Ok((produced, sealed))
}

/// Reads the artefact back, compares it, and copies what was read; each copy is read back, too.
async fn read_back<'a>(
    store: &Store,
    id: &BackupId,
    stored: &Digest,
    copies: &[&'a Store],
) -> Result<Vec<(&'a Store, Result<(), Failure>)>, Failure> {
    let (senders, receivers): (Vec<_>, Vec<_>) = copies.iter().map(|_| pieces()).unzip();
    let mut tee = Tee { part: BytesMut::new(), to: senders.into_iter().map(Some).collect() };
    let read = async {
        let differs = FailureReason::ReadBackDiffers;
        let read = read_through(store, id, stored, differs, async |bytes| tee.take(bytes).await).await;
        // Copies of what differs are given up.
        if read.is_ok() {
            tee.end().await;
        }
        drop(tee);
        read
    };
    let copying = copies.iter().zip(receivers).map(|(copy, from)| async move {
        let sent = upload(copy, id, from, AT_ONCE_TO_COPY).await?;
        match sent == *stored {
            true => read_through(copy, id, stored, FailureReason::ReadBackDiffers, async |_| {}).await,
            false => Err(copy.fault(FailureReason::ReadBackDiffers, id, "is not what was read")),
        }
    });
    let (read, copied) = tokio::join!(read, join_all(copying));
    match read {
        Err(failure) => {
            for copy in copies {
                discard(copy, id).await;
            }
            Err(failure)
        }
        Ok(()) => {
            for (copy, result) in copies.iter().zip(&copied) {
                if result.is_err() {
                    discard(copy, id).await;
                }
            }
            Ok(copies.iter().copied().zip(copied).collect())
        }
    }
}

/// Hands what was read to several uploads.
struct Tee {
    part: BytesMut,
    /// `None`: that upload gave up.
    to: Vec<Option<mpsc::Sender<Piece>>>,
}

impl Tee {
    async fn take(&mut self, mut bytes: Bytes) {
        if self.to.iter().all(Option::is_none) {
            return;
        }
        while !bytes.is_empty() {
            if self.part.capacity() == 0 {
                self.part.reserve(PART);
            }
            let chunk = bytes.split_to(bytes.len().min(PART - self.part.len()));
            self.part.extend_from_slice(&chunk);
            if self.part.len() == PART {
                let part = std::mem::take(&mut self.part).freeze();
                self.send(Piece::Part(part)).await;
            }
        }
    }

    async fn end(&mut self) {
        if !self.part.is_empty() {
            let part = std::mem::take(&mut self.part).freeze();
            self.send(Piece::Part(part)).await;
        }
        self.send(Piece::End).await;
    }

    async fn send(&mut self, piece: Piece) {
        for slot in &mut self.to {
            let gave_up = match slot {
                Some(to) => to.send(piece.clone()).await.is_err(),
                None => false,
            };
            if gave_up {
                *slot = None;
            }
        }
    }
}

/// Takes away an artefact of this very run that never became a backup.
async fn discard(store: &Store, id: &BackupId) {
    if let Err(failure) = store.remove(Object::Artefact(id)).await {
        tracing::warn!("The artefact of {id}, which is no backup, may be left in {}: {failure}", store.name());
    }
}

fn describe(
    config: &BackupConfig,
    id: &BackupId,
    started: Timestamp,
    produced: Produced,
    content: Digest,
    stored: Digest,
) -> Manifest {
    let Produced { format, mut tools } = produced;
    tools.insert("tradingbot-backup".into(), env!("CARGO_PKG_VERSION").into());
    Manifest {
        version: VERSION,
        id: id.clone(),
        namespace: config.namespace.clone(),
        bot: config.bot.clone(),
        bot_uid: config.bot_uid.clone(),
        epoch: config.epoch,
        schedule: id.schedule().to_owned(),
        format,
        started_time: started,
        finished_time: Timestamp::now(),
        content,
        stored,
        compression: compression_name(config.compression).into(),
        recipients: config.encryption.as_ref().map(|encryption| encryption.recipients.clone()).unwrap_or_default(),
        tools,
        checksum: String::new(),
    }
}

async fn write_manifest(store: &Store, id: &BackupId, bytes: Vec<u8>) -> Result<(), Failure> {
    if store.create(Object::Manifest(id), bytes.clone()).await? {
        return Ok(());
    }
    // A request whose answer was lost was sent again.
    match store.document(Object::Manifest(id)).await? {
        Some(there) if there[..] == bytes[..] => Ok(()),
        _ => Err(Failure::new(
            FailureReason::ReadBackDiffers,
            format!("There is another manifest of {id} in {}.", store.name()),
        )),
    }
}

/// Retention everywhere, and what is there then. The backup stands, whatever comes of it.
async fn tidy(run: &Run, report: &mut Report) {
    let now = Timestamp::now();
    let usable: BTreeMap<usize, &Store> =
        run.stores.iter().enumerate().filter_map(|(n, store)| Some((n, store.as_ref().ok()?))).collect();
    for (number, store) in usable {
        let tidied = async {
            super::store::refuse_others(store, &run.config).await?;
            let mut found = catalogue(store, &run.config).await?;
            let retained = retain(store, &run.config, &mut found, now).await?;
            Ok::<_, Failure>((found, retained))
        };
        match tidied.await {
            Err(failure) => report.warnings.push(format!("Looking after older backups failed: {failure}")),
            Ok((found, Retained { removed, locked, warning })) => {
                report.warnings.extend(warning.into_iter().chain(found.warnings(store)));
                if number == 0 {
                    let summary = found.summary();
                    report.catalogue = Some(crate::core::backup::report::Catalogue { removed, locked, ..summary });
                }
            }
        }
    }
}
