//! What the operator tells the program in the pod of a backup, a verification or a restore, as JSON in one environment
//! variable.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::backup::{Compression, Destination, Encryption, Retention, Source, Verify};
use crate::core::backup::BackupId;

/// The environment variable with the configuration.
pub const BACKUP_CONFIG_ENV: &str = "TRADINGBOT_BACKUP_CONFIG";
/// Where the program is in such a pod, in the folder of `AGENT_DIR`.
pub const BACKUP_PATH: &str = "/.tradingbot/tradingbot-backup";
/// Where the Secret of the n-th destination is mounted, one file a key: `<dir>/<n>`. 0 is `destination`, then `copies`.
pub const DESTINATION_SECRETS_DIR: &str = "/.tradingbot-backup/secrets";
/// Where its certificate authorities are: `<dir>/<n>/ca.crt`.
pub const DESTINATION_CA_DIR: &str = "/.tradingbot-backup/ca";
/// Where the claim of the n-th destination is mounted: `<dir>/<n>`.
pub const DESTINATION_CLAIMS_DIR: &str = "/.tradingbot-backup/claims";
/// The folder with the file `identity`, in verifications and restores of encrypted artefacts.
pub const IDENTITY_DIR: &str = "/.tradingbot-backup/identity";
/// An `emptyDir` on the node's disk, for what cannot be streamed.
pub const SCRATCH_DIR: &str = "/.tradingbot-backup/scratch";

/// The configuration of one run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BackupConfig {
    /// What is to be done.
    pub action: Action,
    /// The bot's namespace.
    pub namespace: String,
    /// The bot.
    pub bot: String,
    /// Its uid.
    pub bot_uid: String,
    /// The epoch in which the run was asked for.
    pub epoch: u64,
    /// The schedule of a backup; [`ON_DEMAND`] for one that belongs to none.
    ///
    /// [`ON_DEMAND`]: crate::core::backup::ON_DEMAND
    pub schedule: String,
    /// What is backed up.
    pub source: Source,
    /// Where to, the first one first.
    pub destinations: Vec<Destination>,
    /// How artefacts are compressed.
    pub compression: Compression,
    /// How they are encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Encryption>,
    /// How long the backups of each schedule are kept.
    pub retention: BTreeMap<String, Retention>,
    /// The uid whose backups this bot goes on with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub take_over_from: Option<String>,
    /// For [`Action::Verify`]: how far.
    #[serde(default)]
    pub verify: Verify,
    /// For a restore, scratch or not: the user's command. Empty: the way that belongs to the source.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Which backup a check or a restore is about.
    #[serde(default)]
    pub selection: Selection,
}

/// What a run does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Action {
    /// Makes a backup, reads it back, copies it, and removes what retention lets go.
    #[default]
    Backup,
    /// Proves the newest good backup again.
    Verify,
    /// Finds the backup that a restore asks for and reads all of it, while the bot trades on.
    Check,
    /// Puts a backup back.
    Restore,
}

/// Which backup is meant: the one of this id, or the newest good one, or the newest good one before a time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Selection {
    /// Its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<BackupId>,
    /// It was begun before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Timestamp>,
}
