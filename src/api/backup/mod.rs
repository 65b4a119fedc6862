//! What is wanted of a bot's backups: `spec.backup`. The program in a backup's pod gets the same types in its
//! configuration, so they know neither Kubernetes nor schemas.

mod destination;
mod source;

use serde::{Deserialize, Serialize};

#[cfg(feature = "schema")]
use crate::api::names::OBJECT_NAME;

pub use destination::*;
pub use source::*;

pub use crate::core::backup::retention::Retention;

/// What is backed up, where to and when.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Backup {
    /// What is backed up: exactly one of command, postgresql, directory and sqlite.
    pub source: Source,
    /// Where backups are kept.
    pub destination: Destination,
    /// Further places that every backup is copied to, in another bucket, region or account.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(max = 3)))]
    pub copies: Vec<Destination>,
    /// When backups are made, by name.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 10)))]
    pub schedules: Vec<Schedule>,
    /// True: no scheduled backup and no scheduled verification begins.
    #[serde(default)]
    pub suspend: bool,
    /// How artefacts are compressed.
    #[serde(default)]
    pub compression: Compression,
    /// Artefacts are encrypted before they leave the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Encryption>,
    /// The newest backup is read, or restored into a scratch place, on a schedule of its own. Every backup is read back
    /// once without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification: Option<Verification>,
    /// How a backup is put back. Without it, the way that belongs to the source; a command has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore: Option<Runner>,
    /// The newest good backup must never be older than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 60, max = 34_560_000)))]
    pub recovery_point_objective_seconds: Option<u32>,
    /// A backup that takes longer is ended and counts as failed.
    #[serde(default = "hour")]
    #[cfg_attr(feature = "schema", schemars(range(min = 10, max = 604_800)))]
    pub deadline_seconds: u32,
    /// The uid of a TradingBot that is gone and whose backups this bot goes on with. Without it backups of another
    /// TradingBot, also of one with the same name, are left alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(max = 63), regex(pattern = r"^[-0-9a-zA-Z]+$")))]
    pub take_over_from: Option<String>,
    /// The service account of backup pods, for clouds that give rights to accounts. Without it they have no token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(max = 253), regex(pattern = OBJECT_NAME)))]
    pub service_account_name: Option<String>,
    /// What a backup pod may use. The memory limit is 256Mi where none is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<k8s_openapi::api::core::v1::ResourceRequirements>,
}

impl Backup {
    /// How long the program of a restore may take. Decisions wait as long for a Job that nobody reports the end of, so it
    /// is the one that the Job is made with.
    pub fn restore_deadline_seconds(&self) -> u32 {
        self.restore.as_ref().map_or(self.deadline_seconds, |runner| runner.deadline_seconds)
    }
}

fn hour() -> u32 {
    3600
}
/// When backups are made, and how long they are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Schedule {
    /// Its name, such as daily. The CronJob is `<bot>-b-<name>`.
    #[cfg_attr(
        feature = "schema",
        schemars(length(min = 1, max = 40), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))
    )]
    pub name: String,
    /// When, in cron's five fields, such as `0 2 * * *`, or one of @hourly, @daily, @weekly, @monthly and @yearly.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 200)))]
    pub schedule: String,
    /// The time zone of the schedule, such as Asia/Tokyo; UTC where it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 100), regex(pattern = r"^[A-Za-z0-9_+/-]+$")))]
    pub time_zone: Option<String>,
    /// How long its backups are kept. Where it is not set: 30 days, and for schedules of the names weekly and monthly 12
    /// weeks and 12 months. The newest good one is always kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
    /// True: this schedule pauses.
    #[serde(default)]
    pub suspend: bool,
    /// A backup that could not begin for this long is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 10, max = 604_800)))]
    pub starting_deadline_seconds: Option<u32>,
}

/// How artefacts are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Compression {
    /// Zstandard.
    #[default]
    Zstd,
    /// Not at all.
    None,
}

/// Encryption in the pod, by age (age-encryption.org).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Encryption {
    /// The public keys of those who can decrypt, each `age1…`.
    #[cfg_attr(
        feature = "schema",
        schemars(length(min = 1, max = 10), inner(length(max = 100), regex(pattern = r"^age1[a-z0-9]{50,90}$")))
    )]
    pub recipients: Vec<String>,
    /// A Secret with the key identity, the private key of one of them. Only verifications and restores get it; without
    /// it artefacts are verified as they are stored, and none can be restored by the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        schemars(length(min = 1, max = 253), regex(pattern = OBJECT_NAME))
    )]
    pub identity_secret_name: Option<String>,
}

/// The newest good backup is proven again, on a schedule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Verification {
    /// When, as in schedules.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 200)))]
    pub schedule: String,
    /// The time zone of the schedule; UTC where it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 100), regex(pattern = r"^[A-Za-z0-9_+/-]+$")))]
    pub time_zone: Option<String>,
    /// How far it goes.
    #[serde(default)]
    pub verify: Verify,
    /// For Restore: how, where the source has no way of its own. Without it a directory is unpacked, an SQLite database
    /// checked for integrity, and a dump of PostgreSQL restored into the database of this Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runner: Option<Runner>,
    /// True: this verification pauses.
    #[serde(default)]
    pub suspend: bool,
}

/// How far a verification goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Verify {
    /// Everything that is stored of the backup is read and compared with its manifest.
    #[default]
    Read,
    /// It is also decrypted, unpacked and restored into a scratch place.
    Restore,
}

/// A command that puts a backup somewhere. It gets a stream on its standard input, files in the directory that
/// `TRADINGBOT_RESTORE_DIR` names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Runner {
    /// Program and arguments, no shell involved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(max = 100)))]
    pub command: Vec<String>,
    /// The image; the source's where it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 1000)))]
    pub image: Option<String>,
    /// A Secret whose keys become environment variables: where to restore to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        schemars(length(min = 1, max = 253), regex(pattern = OBJECT_NAME))
    )]
    pub secret_name: Option<String>,
    /// After this long it has failed.
    #[serde(default = "hour")]
    #[cfg_attr(feature = "schema", schemars(range(min = 10, max = 604_800)))]
    pub deadline_seconds: u32,
}
