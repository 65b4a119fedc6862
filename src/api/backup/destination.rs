//! Where backups are kept.

use serde::{Deserialize, Serialize};

#[cfg(feature = "schema")]
use crate::api::names::OBJECT_NAME;

/// Scheme, host and port of a server, as a pattern.
#[cfg(feature = "schema")]
const ADDRESS: &str = r"^https?://[A-Za-z0-9.\[\]:_-]+$";

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
    #[cfg_attr(feature = "schema", schemars(length(max = 500), regex(pattern = ADDRESS)))]
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
        schemars(length(min = 1, max = 253), regex(pattern = OBJECT_NAME))
    )]
    pub secret_name: Option<String>,
    /// A Secret with the key ca.crt, the certificate authorities that the server is checked against, as PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        schemars(length(min = 1, max = 253), regex(pattern = OBJECT_NAME))
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
    #[cfg_attr(feature = "schema", schemars(length(max = 500), regex(pattern = ADDRESS)))]
    pub endpoint: Option<String>,
    /// A Secret with the key service-account.json. Without it the pod's service account has the rights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        schemars(length(min = 1, max = 253), regex(pattern = OBJECT_NAME))
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
    #[cfg_attr(feature = "schema", schemars(length(max = 500), regex(pattern = ADDRESS)))]
    pub endpoint: Option<String>,
    /// A Secret with the key AZURE_STORAGE_ACCOUNT_KEY, or AZURE_STORAGE_SAS_TOKEN, or AZURE_CLIENT_ID,
    /// AZURE_CLIENT_SECRET and AZURE_TENANT_ID. Without it the pod's service account has the rights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        schemars(length(min = 1, max = 253), regex(pattern = OBJECT_NAME))
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
        schemars(length(min = 1, max = 253), regex(pattern = OBJECT_NAME))
    )]
    pub claim_name: String,
}
