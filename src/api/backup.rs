//! What is wanted of a bot's backups: `spec.backup`. The program in a backup's pod gets the same types in its
//! configuration, so they know neither Kubernetes nor schemas.

use serde::{Deserialize, Serialize};

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
    #[cfg_attr(feature = "schema", schemars(length(max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")))]
    pub service_account_name: Option<String>,
    /// What a backup pod may use. The memory limit is 256Mi where none is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<k8s_openapi::api::core::v1::ResourceRequirements>,
}

fn hour() -> u32 {
    3600
}

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
        schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))
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

/// Where backups are kept: exactly one of s3, googleCloudStorage, azureBlob and persistentVolumeClaim. Below the prefix
/// every bot has a folder of its own, `<namespace>/<name>`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Destination {
    /// A folder for all of it, without a slash at either end.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[cfg_attr(
        feature = "schema",
        schemars(
            length(max = 200),
            regex(pattern = r"^([A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*)?$")
        )
    )]
    pub prefix: String,
    /// Amazon S3, or any server that speaks its protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3>,
    /// Google Cloud Storage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub google_cloud_storage: Option<GoogleCloudStorage>,
    /// Azure Blob Storage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub azure_blob: Option<AzureBlob>,
    /// A volume claim of the bot's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent_volume_claim: Option<ClaimDestination>,
}

/// An S3 bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct S3 {
    /// The bucket.
    #[cfg_attr(
        feature = "schema",
        schemars(length(min = 3, max = 63), regex(pattern = r"^[a-z0-9][-a-z0-9.]*[a-z0-9]$"))
    )]
    pub bucket: String,
    /// The region; us-east-1 where neither it nor the environment says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 63), regex(pattern = r"^[-a-z0-9]+$")))]
    pub region: Option<String>,
    /// The address of a server that is not Amazon's, such as `https://minio.example.com:9000`. The bucket is then part of
    /// the path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(max = 500), regex(pattern = r"^https?://[A-Za-z0-9.\[\]:_-]+$")))]
    pub endpoint: Option<String>,
    /// The storage class of artefacts, such as STANDARD_IA. Manifests are always in the bucket's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 63), regex(pattern = r"^[A-Z0-9_]+$")))]
    pub storage_class: Option<String>,
    /// How the server encrypts; as the bucket says where it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_side_encryption: Option<ServerSideEncryption>,
    /// A Secret with the keys AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, where there is one, AWS_SESSION_TOKEN.
    /// Without it the pod's service account has the rights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))
    )]
    pub secret_name: Option<String>,
    /// A Secret with the key ca.crt, the certificate authorities that the server is checked against, as PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))
    )]
    pub ca_secret_name: Option<String>,
}

/// How an S3 server encrypts what it keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ServerSideEncryption {
    /// By whose key.
    #[serde(rename = "type", default)]
    pub type_: ServerSideEncryptionType,
    /// The key, for AwsKms; the account's own where it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 2048)))]
    pub kms_key_id: Option<String>,
}

/// By whose key an S3 server encrypts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum ServerSideEncryptionType {
    /// The server's own.
    #[default]
    Aes256,
    /// One of the key management service.
    AwsKms,
}

/// A bucket of Google Cloud Storage.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct GoogleCloudStorage {
    /// The bucket.
    #[cfg_attr(
        feature = "schema",
        schemars(length(min = 3, max = 222), regex(pattern = r"^[a-z0-9][-a-z0-9._]*[a-z0-9]$"))
    )]
    pub bucket: String,
    /// The address of a server that is not Google's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(max = 500), regex(pattern = r"^https?://[A-Za-z0-9.\[\]:_-]+$")))]
    pub endpoint: Option<String>,
    /// A Secret with the key service-account.json. Without it the pod's service account has the rights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))
    )]
    pub secret_name: Option<String>,
}

/// A container of Azure Blob Storage.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct AzureBlob {
    /// The storage account.
    #[cfg_attr(feature = "schema", schemars(length(min = 3, max = 24), regex(pattern = r"^[a-z0-9]+$")))]
    pub account: String,
    /// The container.
    #[cfg_attr(feature = "schema", schemars(length(min = 3, max = 63), regex(pattern = r"^[a-z0-9](-?[a-z0-9])*$")))]
    pub container: String,
    /// The address of a server that is not Azure's; the account is then part of the path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(max = 500), regex(pattern = r"^https?://[A-Za-z0-9.\[\]:_-]+$")))]
    pub endpoint: Option<String>,
    /// A Secret with the key AZURE_STORAGE_ACCOUNT_KEY, or AZURE_STORAGE_SAS_TOKEN, or AZURE_CLIENT_ID,
    /// AZURE_CLIENT_SECRET and AZURE_TENANT_ID. Without it the pod's service account has the rights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))
    )]
    pub secret_name: Option<String>,
}

/// A volume claim that holds backups.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ClaimDestination {
    /// The claim, which is none of the bot's own.
    #[cfg_attr(
        feature = "schema",
        schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))
    )]
    pub claim_name: String,
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
        schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))
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
        schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))
    )]
    pub secret_name: Option<String>,
    /// After this long it has failed.
    #[serde(default = "hour")]
    #[cfg_attr(feature = "schema", schemars(range(min = 10, max = 604_800)))]
    pub deadline_seconds: u32,
}
