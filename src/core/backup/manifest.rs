//! What is written beside an artefact, last: without it there is no backup.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::BackupId;

/// The version of the manifest that this program writes, and the highest that it reads.
pub const VERSION: u32 = 1;

/// Everything that is known of one backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// The version of this form.
    pub version: u32,
    /// The backup; also the name of the object that this was read from.
    pub id: BackupId,
    /// The bot's namespace.
    pub namespace: String,
    /// The bot.
    pub bot: String,
    /// Its uid.
    #[serde(rename = "botUID")]
    pub bot_uid: String,
    /// The epoch in which it was made.
    pub epoch: u64,
    /// The schedule that it belongs to.
    pub schedule: String,
    /// What the content is.
    pub format: Format,
    /// When it was begun: what was committed before is in it.
    pub started_time: Timestamp,
    /// When it was read back in full and found good, right before this was written.
    pub finished_time: Timestamp,
    /// What the source gave.
    pub content: Digest,
    /// What is stored: the content, compressed and encrypted.
    pub stored: Digest,
    /// `Zstd` or `None`.
    pub compression: String,
    /// The public keys of those who can decrypt it; empty: it is not encrypted.
    pub recipients: Vec<String>,
    /// The versions of the programs that made it, by name.
    pub tools: BTreeMap<String, String>,
    /// The SHA-256 of this manifest as JSON without white space and with this field empty, in hex. It finds a manifest
    /// that was damaged or edited by hand.
    pub checksum: String,
}

/// What a backup's content is, and with it how it is put back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Format {
    /// A stream that a command wrote.
    Stream,
    /// A tar of files that a command wrote, or of a directory.
    Tar,
    /// pg_dump's custom format.
    PostgresqlCustom,
    /// An SQLite database.
    Sqlite,
}

/// How long something is, and its sum.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// Bytes.
    pub bytes: u64,
    /// SHA-256, in hex.
    pub sha256: String,
}
