//! Removes what retention lets go, the artefact before the manifest: a half removal is a backup that is known to be lost.

use jiff::Timestamp;

use super::catalogue::Catalogue;
use super::store::{Object, Removal, Store};
use crate::api::backup_config::BackupConfig;
use crate::core::backup::BackupId;
use crate::core::backup::report::Failure;
use crate::core::backup::retention::expired;

/// What retention did at one destination.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retained {
    /// How many backups were removed.
    pub removed: u32,
    /// Those that should have been and are kept by the store, and what it says of the last one.
    pub locked: u32,
    /// A sentence about them.
    pub warning: Option<String>,
}

/// Removes from the store and the catalogue what the policies let go.
pub async fn retain(
    store: &Store,
    config: &BackupConfig,
    catalogue: &mut Catalogue,
    now: Timestamp,
) -> Result<Retained, Failure> {
    let good: Vec<BackupId> = catalogue.good.keys().cloned().collect();
    let mut let_go = expired(&good, &config.retention, now);
    // One that is spoiled goes when it would have gone as a good one, and never counts as one that is kept.
    for id in catalogue.spoiled.keys() {
        let with: Vec<BackupId> = good.iter().chain([id]).cloned().collect();
        let_go.extend(expired(&with, &config.retention, now).into_iter().filter(|expired| expired == id));
    }
    let mut retained = Retained::default();
    for id in let_go {
        match remove(store, &id).await? {
            Removal::Removed => {
                tracing::info!("Removed {id} from {}: its retention is over", store.name());
                catalogue.good.remove(&id);
                catalogue.spoiled.remove(&id);
                retained.removed += 1;
            }
            Removal::Locked(why) => {
                retained.locked += 1;
                retained.warning = Some(format!(
                    "{} of the backups whose retention is over are kept by {}, such as {id} ({why}): a lock, or no \
                     right to delete.",
                    retained.locked,
                    store.name()
                ));
            }
        }
    }
    Ok(retained)
}

async fn remove(store: &Store, id: &BackupId) -> Result<Removal, Failure> {
    for object in [Object::Artefact(id), Object::Manifest(id), Object::Damaged(id)] {
        if let Removal::Locked(why) = store.remove(object).await? {
            return Ok(Removal::Locked(why));
        }
    }
    Ok(Removal::Removed)
}
