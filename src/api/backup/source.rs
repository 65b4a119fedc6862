//! What is backed up.

use serde::{Deserialize, Serialize};

#[cfg(feature = "schema")]
use crate::api::names::OBJECT_NAME;

/// What is backed up: exactly one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// What a command writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<CommandSource>,
    /// A PostgreSQL database, by pg_dump in its custom format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgresql: Option<PostgresqlSource>,
    /// A directory on a volume claim that the bot's container mounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<DirectorySource>,
    /// An SQLite database on a volume claim that the bot's container mounts, also while it is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sqlite: Option<SqliteSource>,
}

/// A command that writes a stream or files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct CommandSource {
    /// Program and arguments, no shell involved. It runs as the bot's container would: its environment, volumes, user.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 100)))]
    pub command: Vec<String>,
    /// What the command writes.
    #[serde(default)]
    pub output: Output,
    /// The image; the bot's own where it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 1000)))]
    pub image: Option<String>,
}

/// What a backup's command writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Output {
    /// The backup, to its standard output.
    #[default]
    Stream,
    /// Files, into the directory that `TRADINGBOT_BACKUP_DIR` names.
    Files,
}

/// A PostgreSQL database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PostgresqlSource {
    /// A Secret with libpq's variables as keys: PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE and others.
    #[cfg_attr(
        feature = "schema",
        schemars(length(min = 1, max = 253), regex(pattern = OBJECT_NAME))
    )]
    pub secret_name: String,
    /// An image with pg_dump and pg_restore of the server's version or a later one; the bot's own where it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 1000)))]
    pub image: Option<String>,
}

/// A directory of the bot's container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct DirectorySource {
    /// Its path in the bot's container, at or below where a volume claim is mounted.
    #[cfg_attr(feature = "schema", schemars(length(max = 1000), regex(pattern = r"^/[^/\x00]+(/[^/\x00]+)*$")))]
    pub path: String,
    /// How the volume is read.
    #[serde(default)]
    pub read: VolumeRead,
}

/// An SQLite database of the bot's container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct SqliteSource {
    /// The path of its file in the bot's container, below where a volume claim is mounted.
    #[cfg_attr(feature = "schema", schemars(length(max = 1000), regex(pattern = r"^/[^/\x00]+(/[^/\x00]+)+$")))]
    pub path: String,
    /// How the volume is read.
    #[serde(default)]
    pub read: VolumeRead,
}

/// How the volume of a pod that trades is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum VolumeRead {
    /// The claim itself, on the active's node. Not for claims of the mode ReadWriteOncePod.
    #[default]
    Shared,
    /// A clone of the claim that lives as long as the backup's pod, by a storage driver that can clone.
    Clone,
}
