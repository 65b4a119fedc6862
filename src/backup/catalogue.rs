//! What there is at a destination. A backup is good when its manifest is as it was written, its artefact is there with
//! the size that was stored, and no verification found it damaged.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt};

use super::manifest::opened;
use super::store::{Folder, Object, Store};
use crate::api::backup_config::{BackupConfig, Selection};
use crate::core::backup::report::{self, Failure, FailureReason, NEWEST};
use crate::core::backup::{BackupId, Manifest};

/// Manifests that are read at once.
const AT_ONCE: usize = 8;

/// The backups at one destination.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    /// Those that can be restored, as far as is known without reading them.
    pub good: BTreeMap<BackupId, Manifest>,
    /// Those whose manifest is right and whose artefact is not, and what is wrong with it.
    pub spoiled: BTreeMap<BackupId, Spoiled>,
    /// Manifests that are none: they are left alone. Sentences.
    pub odd: Vec<String>,
}

/// A backup that cannot be restored from here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spoiled {
    /// What is wrong, without the backup's name.
    pub why: String,
    /// A verification has told it before.
    pub told: bool,
}

/// Looks at everything in the bot's folder.
pub async fn catalogue(store: &Store, config: &BackupConfig) -> Result<Catalogue, Failure> {
    let manifests = store.list(Folder::Manifests).await?;
    let artefacts: BTreeMap<String, u64> =
        store.list(Folder::Artefacts).await?.into_iter().map(|listed| (listed.name, listed.bytes)).collect();
    let damaged: BTreeSet<String> = store.list(Folder::Damaged).await?.into_iter().map(|listed| listed.name).collect();
    let mut found = Catalogue::default();
    let mut ids = Vec::new();
    for listed in manifests {
        match listed.name.strip_suffix(".json").and_then(|name| name.parse::<BackupId>().ok()) {
            Some(id) => ids.push(id),
            None => found.odd.push(format!("{} in {} is no manifest; it is left alone.", listed.name, store.name())),
        }
    }
    let documents: Vec<_> = futures::stream::iter(ids)
        .map(|id| async {
            let document = store.document(Object::Manifest(&id)).await?;
            Ok::<_, Failure>((id, document))
        })
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    for (id, document) in documents {
        // Another run's retention may just have removed it.
        let Some(document) = document else { continue };
        match opened(&document, &id, &config.namespace, &config.bot) {
            Err(why) => found.odd.push(format!(
                "The manifest of {id} in {} {why}. This backup is neither restored nor removed.",
                store.name()
            )),
            Ok(manifest) => {
                let spoiled = match artefacts.get(id.as_str()) {
                    None => Some("has no artefact".to_owned()),
                    Some(bytes) if *bytes != manifest.stored.bytes => {
                        Some(format!("has an artefact of {bytes} bytes, not the {} stored", manifest.stored.bytes))
                    }
                    Some(_) if damaged.contains(id.as_str()) => Some("was found damaged by a verification".to_owned()),
                    Some(_) => None,
                };
                match spoiled {
                    Some(why) => {
                        let told = damaged.contains(id.as_str());
                        drop(found.spoiled.insert(id, Spoiled { why, told }));
                    }
                    None => drop(found.good.insert(id, manifest)),
                }
            }
        }
    }
    Ok(found)
}

impl Catalogue {
    /// The newest good backup that was begun before the time, or the one of the id.
    pub fn select(&self, selection: &Selection, store: &Store) -> Result<&Manifest, Failure> {
        let Selection { id, before } = selection;
        let fits = |manifest: &&Manifest| {
            id.as_ref().is_none_or(|id| manifest.id == *id)
                && before.is_none_or(|before| manifest.started_time < before)
        };
        let newest = self.good.values().filter(fits).max_by_key(|manifest| (manifest.started_time, &manifest.id));
        newest.ok_or_else(|| match id {
            Some(id) => match self.spoiled.get(id) {
                Some(Spoiled { why, told: _ }) => {
                    Failure::new(FailureReason::Damaged, format!("The backup {id} in {} {why}.", store.name()))
                }
                None if self.odd.iter().any(|odd| odd.contains(id.as_str())) => Failure::new(
                    FailureReason::Damaged,
                    format!("The manifest of {id} in {} was edited or damaged.", store.name()),
                ),
                None => missing(&format!("There is no backup {id} in {}", store.name())),
            },
            None => match before {
                Some(before) => missing(&format!("There is no good backup from before {before} in {}", store.name())),
                None => missing(&format!("There is no good backup in {}", store.name())),
            },
        })
    }

    /// What the report says of it.
    pub fn summary(&self) -> report::Catalogue {
        let mut by_time: Vec<&Manifest> = self.good.values().collect();
        by_time.sort_by_key(|manifest| (manifest.started_time, &manifest.id));
        report::Catalogue {
            count: u32::try_from(by_time.len()).unwrap_or(u32::MAX),
            stored_bytes: by_time.iter().map(|manifest| manifest.stored.bytes).sum(),
            oldest_time: by_time.first().map(|manifest| manifest.started_time),
            newest: by_time.iter().rev().take(NEWEST).map(|manifest| manifest.id.clone()).collect(),
            removed: 0,
            locked: 0,
        }
    }

    /// Sentences about what is not good.
    pub fn warnings(&self, store: &Store) -> Vec<String> {
        let spoiled = self.spoiled.iter();
        let spoiled = spoiled.map(|(id, spoiled)| format!("The backup {id} in {} {}.", store.name(), spoiled.why));
        self.odd.iter().cloned().chain(spoiled).collect()
    }
}

fn missing(what: &str) -> Failure {
    Failure::new(FailureReason::NotFound, format!("{what}. See status.backup for those that there are."))
}
