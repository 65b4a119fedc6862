//! Proves backups: reads them, decrypts them, and tries to put them back.

use std::sync::Arc;

use jiff::Timestamp;

use super::catalogue::{Catalogue, catalogue};
use super::make::made;
use super::pipeline::{Identities, arrival, read_through, unsealed};
use super::run::Run;
use super::store::{Object, Store, refuse_others};
use super::target;
use crate::api::backup::Verify;
use crate::api::backup_config::{BackupConfig, Selection};
use crate::core::backup::report::{Failure, FailureReason, Report};
use crate::core::backup::{BackupId, Manifest};

/// Proves the newest good backup of the first destination again.
pub async fn verify(run: &Run, report: &mut Report) -> Result<(), Failure> {
    let store = run.first()?;
    let mut found = look(run, store).await?;
    report.catalogue = Some(found.summary());
    // Otherwise an older one would be proven while nobody hears that the newest is lost.
    let lost: Vec<_> = found.spoiled.iter().rev().filter(|(_, spoiled)| !spoiled.told).collect();
    let mut told = None;
    for (id, spoiled) in lost {
        let what = format!("The backup {id} in {} {}.", store.name(), spoiled.why);
        let failure = mark(run, store, id, Failure::new(FailureReason::Damaged, what), report).await;
        told.get_or_insert(failure);
    }
    if let Some(failure) = told {
        return Err(failure);
    }
    report.warnings.extend(found.warnings(store));
    let manifest = found.select(&Selection::default(), store)?.clone();
    report.backup = Some(made(&manifest));
    tracing::info!("Verifying {} in {}", manifest.id, store.name());
    let proven = match run.config.verify {
        Verify::Read => read(store, &manifest).await,
        Verify::Restore => match read(store, &manifest).await {
            Ok(()) => consume(run, store, &manifest, Use::Rehearse).await,
            failed => failed,
        },
    };
    match proven {
        Ok(()) => {
            let now = Some(Timestamp::now());
            report.verified_time = now;
            report.restored_time = if run.config.verify == Verify::Restore { now } else { None };
            Ok(())
        }
        Err(failure) if is_lost(failure.reason) => {
            found.good.remove(&manifest.id);
            report.catalogue = Some(found.summary());
            Err(mark(run, store, &manifest.id, failure, report).await)
        }
        Err(failure) => Err(failure),
    }
}

/// Finds the backup that a restore asks for and reads all of it, also decrypted and unpacked.
pub async fn check(run: &Run, report: &mut Report) -> Result<(), Failure> {
    let (_, manifest) = good_one(run, report, Use::Discard).await?;
    report.backup = Some(made(&manifest));
    report.verified_time = Some(Timestamp::now());
    Ok(())
}

/// Puts a backup back. It is read to its end first: nothing is changed for one that turns out damaged half-way.
pub async fn restore(run: &Run, report: &mut Report) -> Result<(), Failure> {
    let (store, manifest) = good_one(run, report, Use::Discard).await?;
    report.backup = Some(made(&manifest));
    report.verified_time = Some(Timestamp::now());
    tracing::info!("Putting {} back from {}", manifest.id, store.name());
    consume(run, store, &manifest, Use::Restore).await?;
    report.restored_time = Some(Timestamp::now());
    Ok(())
}

async fn look(run: &Run, store: &Store) -> Result<Catalogue, Failure> {
    refuse_others(store, &run.config).await?;
    catalogue(store, &run.config).await
}

/// The selected backup, from the first destination that has it whole. Copies come in when those before failed; why, is
/// in the warnings then.
async fn good_one<'a>(run: &'a Run, report: &mut Report, how: Use) -> Result<(&'a Store, Manifest), Failure> {
    let mut selection = run.config.selection.clone();
    let mut failures: Vec<Failure> = Vec::new();
    for opened in &run.stores {
        let attempt = async {
            let store = opened.as_ref().map_err(Clone::clone)?;
            let manifest = look(run, store).await?.select(&selection, store)?.clone();
            Ok::<_, Failure>((store, manifest))
        };
        let result = match attempt.await {
            Ok((store, manifest)) => {
                // The same one is looked for in the copies: an older one would lose more than was asked for.
                selection.id.get_or_insert_with(|| manifest.id.clone());
                tracing::info!("Reading {} from {}", manifest.id, store.name());
                consume(run, store, &manifest, how).await.map(|()| (store, manifest))
            }
            Err(failure) => Err(failure),
        };
        match result {
            Ok(found) => {
                report.warnings.extend(failures.into_iter().map(|failure| failure.message));
                return Ok(found);
            }
            // No other copy would do better.
            Err(failure) if matches!(failure.reason, FailureReason::CannotDecrypt | FailureReason::Interrupted) => {
                return Err(failure);
            }
            Err(failure) => {
                tracing::warn!("{failure}");
                failures.push(failure);
            }
        }
    }
    let mut failures = failures.into_iter();
    let first = failures
        .next()
        .unwrap_or_else(|| Failure::new(FailureReason::Misconfigured, "There is no destination to read from."));
    report.warnings.extend(failures.map(|failure| failure.message));
    Err(first)
}

/// What is done with content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Discard,
    Rehearse,
    Restore,
}

async fn read(store: &Store, manifest: &Manifest) -> Result<(), Failure> {
    read_through(store, &manifest.id, &manifest.stored, FailureReason::Damaged, async |_| {}).await
}

/// Reads, decrypts, unpacks and compares an artefact, and does something with its content.
async fn consume(run: &Run, store: &Store, manifest: &Manifest, how: Use) -> Result<(), Failure> {
    let identities = Identities::from_file(&run.places.identity())?;
    let (stored, drive) = arrival(store, &manifest.id, &manifest.stored);
    let slot = stored.slot();
    let (config, wanted) = (Arc::clone(&run.config), manifest.clone());
    let reader = tokio::task::spawn_blocking(move || {
        let mut content = unsealed(stored, &wanted, &identities)?;
        put(&config, &wanted, how, &mut content)
    });
    // Reading ends when the reader does, and the other way round.
    let ((), used) = tokio::join!(drive, reader);
    let used = used.unwrap_or_else(|error| {
        Err(Failure::new(
            FailureReason::RestoreFailed,
            format!("Reading the content ended in an error of ours: {error}."),
        ))
    });
    let on_the_way = slot.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
    match (used, on_the_way) {
        (Err(used), Some(cause)) => Err(Failure { target_changed: used.target_changed, ..cause }),
        (used, _) => used,
    }
}

fn put(config: &BackupConfig, manifest: &Manifest, how: Use, content: &mut dyn std::io::Read) -> Result<(), Failure> {
    match how {
        Use::Discard => {}
        Use::Rehearse => target::rehearse(config, manifest.format, &manifest.id, content)?,
        Use::Restore => target::restore(config, manifest.format, &manifest.id, content)?,
    }
    // Who puts it somewhere may not have needed its end, where it is compared.
    std::io::copy(content, &mut std::io::sink()).map(drop).map_err(|error| {
        let what = format!("The backup {} is damaged: {error}.", manifest.id);
        Failure { target_changed: how == Use::Restore, ..Failure::new(FailureReason::Damaged, what) }
    })
}

fn is_lost(reason: FailureReason) -> bool {
    matches!(reason, FailureReason::Damaged | FailureReason::NotFound)
}

/// Remembers at the destination that a backup is damaged, and looks for a copy of it.
async fn mark(run: &Run, store: &Store, id: &BackupId, failure: Failure, report: &mut Report) -> Failure {
    report.damaged.push(id.clone());
    if let Err(failure) = store.replace(Object::Damaged(id), failure.message.clone().into_bytes()).await {
        report.warnings.push(format!("That {id} is damaged could not be written down: {failure}"));
    }
    let mut whole = Vec::new();
    for copy in run.stores.iter().skip(1).flatten() {
        let selection = Selection { id: Some(id.clone()), before: None };
        let good = async {
            let found = look(run, copy).await?.select(&selection, copy)?.clone();
            read(copy, &found).await
        };
        match good.await {
            Ok(()) => whole.push(copy.name().to_owned()),
            Err(failure) => report.warnings.push(failure.message),
        }
    }
    let copies = match (run.stores.len(), whole.as_slice()) {
        (..=1, _) => "There are no copies.".to_owned(),
        (_, []) => "No copy of it is good.".to_owned(),
        (_, whole) => format!("Its copy in {} is good, and a restore takes it from there.", whole.join(" and in ")),
    };
    Failure::new(FailureReason::Damaged, format!("{} {copies}", failure.message))
}
