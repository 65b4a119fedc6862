//! A bot's folder is its own: another bot's backups, also those of an earlier bot of the same name, are left alone.

use serde::{Deserialize, Serialize};

use super::{Object, Store};
use crate::api::backup_config::BackupConfig;
use crate::core::backup::report::{Failure, FailureReason};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Owner {
    namespace: String,
    bot: String,
    uid: String,
}

impl Owner {
    fn ours(config: &BackupConfig) -> Owner {
        Owner { namespace: config.namespace.clone(), bot: config.bot.clone(), uid: config.bot_uid.clone() }
    }

    fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// Whose a folder is.
enum Held {
    Nobody,
    Us,
    /// A bot whose backups this one goes on with.
    Predecessor,
}

/// Makes sure, before a backup, that the folder is this bot's, and takes it where it may.
pub async fn claim(store: &Store, config: &BackupConfig) -> Result<(), Failure> {
    match held(store, config).await? {
        Held::Us => return Ok(()),
        Held::Nobody => drop(store.create(Object::Owner, Owner::ours(config).bytes()).await?),
        Held::Predecessor => {
            tracing::info!("Taking over the backups of an earlier bot in {}", store.name());
            store.replace(Object::Owner, Owner::ours(config).bytes()).await?;
        }
    }
    // Another bot may have been faster, and some servers know no conditions.
    match held(store, config).await? {
        Held::Us => Ok(()),
        Held::Nobody | Held::Predecessor => Err(Failure::new(
            FailureReason::PrefixTaken,
            format!("{} did not keep whose folder it is. See whether something removes objects there.", store.name()),
        )),
    }
}

/// Fails when the folder is another bot's; writes nothing.
pub async fn refuse_others(store: &Store, config: &BackupConfig) -> Result<(), Failure> {
    held(store, config).await.map(drop)
}

async fn held(store: &Store, config: &BackupConfig) -> Result<Held, Failure> {
    let Some(bytes) = store.document(Object::Owner).await? else { return Ok(Held::Nobody) };
    let ours = Owner::ours(config);
    let path = store.path(Object::Owner);
    let taken = |what: &str| {
        Failure::new(
            FailureReason::PrefixTaken,
            format!("{path} in {} {what}. Nothing was written there.", store.name()),
        )
    };
    let owner: Owner = serde_json::from_slice(&bytes)
        .map_err(|_| taken("does not say whose backups these are. Use another prefix, or move that file away"))?;
    if owner == ours {
        return Ok(Held::Us);
    }
    let same_name = owner.namespace == ours.namespace && owner.bot == ours.bot;
    match config.take_over_from.as_deref() == Some(owner.uid.as_str()) && same_name {
        true => Ok(Held::Predecessor),
        false => Err(taken(&format!(
            "says that these are the backups of the bot {} in {} with the uid {}. Use another prefix, or set \
             spec.backup.takeOverFrom to that uid if this bot goes on with them",
            owner.bot, owner.namespace, owner.uid
        ))),
    }
}
