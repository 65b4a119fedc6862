//! From a destination in the spec to a client of it.

use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, Checksum};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::local::LocalFileSystem;
use object_store::path::{Path, PathPart};
use object_store::{Attribute, Attributes, BackoffConfig, Certificate, ClientOptions, ObjectStore, RetryConfig};

use super::Store;
use crate::api::backup::{AzureBlob, Destination, GoogleCloudStorage, S3, ServerSideEncryptionType};
use crate::api::backup_config::BackupConfig;
use crate::backup::places::{Places, trimmed};
use crate::backup::stop::Stop;
use crate::core::backup::report::{Failure, FailureReason};

/// The most parts of an upload that S3 takes; others take more.
const MOST_PARTS: usize = 10_000;
/// A server that cannot be connected to in this time is not there.
const CONNECT: Duration = Duration::from_secs(10);
/// One that says nothing for so long has died. A slow one has this long for a part.
const SILENCE: Duration = Duration::from_secs(100);
/// No request is tried again when so much time is over.
const TRY_AGAIN: Duration = Duration::from_secs(60);
const MOST_TRIES: usize = 12;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How Amazon's platforms tell a pod who it is. Nothing else is taken from the environment, which may be the bot's.
const AMAZON_IDENTITY: [&str; 7] = [
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ENDPOINT_URL_STS",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
];
/// How Azure does.
const AZURE_IDENTITY: [&str; 4] =
    ["AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_FEDERATED_TOKEN_FILE", "AZURE_AUTHORITY_HOST"];

/// Opens the n-th destination of a run. Nothing is sent yet.
pub fn open(config: &BackupConfig, number: usize, places: &Places, stop: &Stop) -> Result<Store, Failure> {
    let destination = config.destinations.get(number).ok_or_else(|| wrong("There is no destination."))?;
    let Destination { prefix, s3, google_cloud_storage, azure_blob, persistent_volume_claim } = destination;
    let mounted = Mounted { places, number };
    let mut attributes = Attributes::new();
    let mut most_parts = MOST_PARTS;
    let (name, object) = match (s3, google_cloud_storage, azure_blob, persistent_volume_claim) {
        (Some(s3), None, None, None) => {
            if let Some(class) = &s3.storage_class {
                attributes.insert(Attribute::StorageClass, class.clone().into());
            }
            let at = s3.endpoint.as_ref().map(|endpoint| format!(" at {endpoint}")).unwrap_or_default();
            let name = format!("the S3 bucket '{}'{at}", s3.bucket);
            let object = amazon(s3, mounted).map_err(|why| unusable(&name, &why))?;
            (name, object)
        }
        (None, Some(google), None, None) => {
            let at = google.endpoint.as_ref().map(|endpoint| format!(" at {endpoint}")).unwrap_or_default();
            let name = format!("the Google Cloud Storage bucket '{}'{at}", google.bucket);
            let object = google_cloud(google, mounted).map_err(|why| unusable(&name, &why))?;
            (name, object)
        }
        (None, None, Some(azure), None) => {
            let at = azure.endpoint.as_ref().map(|endpoint| format!(" at {endpoint}")).unwrap_or_default();
            let name = format!("the Azure container '{}' of the account '{}'{at}", azure.container, azure.account);
            let object = azure_blobs(azure, mounted).map_err(|why| unusable(&name, &why))?;
            (name, object)
        }
        (None, None, None, Some(claim)) => {
            most_parts = usize::MAX;
            let name = format!("the volume claim '{}'", claim.claim_name);
            // Without it a manifest could reach the disk before its artefact does.
            let object = LocalFileSystem::new_with_prefix(places.claim(number))
                .map(|files| Arc::new(files.with_fsync(true)) as Arc<dyn ObjectStore>)
                .map_err(|error| unusable(&name, &error.to_string()))?;
            (name, object)
        }
        _ => {
            return Err(wrong(
                "A destination has to be exactly one of s3, googleCloudStorage, azureBlob and persistentVolumeClaim.",
            ));
        }
    };
    let folders = prefix.split('/').filter(|part| !part.is_empty()).chain([&*config.namespace, &*config.bot]);
    let folder = Path::from_iter(folders.map(PathPart::from));
    Ok(Store { name, object, folder, attributes, most_parts, stop: stop.clone() })
}

fn wrong(message: impl Into<String>) -> Failure {
    Failure::new(FailureReason::Misconfigured, message)
}

fn unusable(name: &str, why: &str) -> Failure {
    wrong(format!("{name} cannot be used: {}.", why.trim_end_matches('.')))
}

/// What is mounted for one destination.
#[derive(Clone, Copy)]
struct Mounted<'a> {
    places: &'a Places,
    number: usize,
}

impl Mounted<'_> {
    /// A key that its Secret has to have.
    fn needed(&self, key: &str) -> Result<String, String> {
        self.key(key)?.ok_or_else(|| format!("its Secret has no key {key}"))
    }

    /// A key that its Secret may have.
    fn key(&self, key: &str) -> Result<Option<String>, String> {
        match trimmed(&self.places.secret(self.number).join(key)) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!("the key {key} of its Secret cannot be read: {error}")),
        }
    }

    fn client(&self, endpoint: Option<&str>) -> Result<ClientOptions, String> {
        let mut options = ClientOptions::new()
            .with_connect_timeout(CONNECT)
            .with_timeout_disabled()
            .with_read_timeout(SILENCE)
            .with_http1_only()
            .with_allow_http(endpoint.is_some_and(|endpoint| endpoint.starts_with("http://")));
        let mut certificates = authorities(&self.places.certificates(self.number))?;
        if certificates.is_empty() {
            // An image may have none, as the operator's has, and without any no client can be made.
            let known = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().map(|der| Certificate::from_der(der));
            certificates = known.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
        }
        for certificate in certificates {
            options = options.with_root_certificate(certificate);
        }
        Ok(options)
    }
}

fn authorities(path: &FilePath) -> Result<Vec<Certificate>, String> {
    match std::fs::read(path) {
        Ok(pem) => match Certificate::from_pem_bundle(&pem) {
            Ok(all) if !all.is_empty() => Ok(all),
            _ => Err("the key ca.crt of its caSecretName has no certificates as PEM".into()),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(format!("its certificate authorities cannot be read: {error}")),
    }
}

fn patience() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig { init_backoff: FIRST_PAUSE, max_backoff: LONGEST_PAUSE, base: 3.0 },
        max_retries: MOST_TRIES,
        retry_timeout: TRY_AGAIN,
    }
}

fn from_environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn amazon(s3: &S3, mounted: Mounted<'_>) -> Result<Arc<dyn ObjectStore>, String> {
    let S3 { bucket, region, endpoint, storage_class: _, server_side_encryption, secret_name, ca_secret_name: _ } = s3;
    let region = region
        .clone()
        .or_else(|| from_environment("AWS_REGION"))
        .or_else(|| from_environment("AWS_DEFAULT_REGION"))
        .unwrap_or_else(|| "us-east-1".into());
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_region(region)
        // A bucket with object lock takes nothing without a checksum.
        .with_checksum_algorithm(Checksum::SHA256)
        // Each removal is answered by itself, and every server can do it.
        .with_disable_bulk_delete(true)
        .with_retry(patience());
    if let Some(endpoint) = endpoint {
        builder = builder.with_endpoint(endpoint).with_virtual_hosted_style_request(false);
    }
    if let Some(encryption) = server_side_encryption {
        let algorithm = match encryption.type_ {
            ServerSideEncryptionType::Aes256 => "AES256",
            ServerSideEncryptionType::AwsKms => "aws:kms",
        };
        let key = "aws_server_side_encryption".parse::<AmazonS3ConfigKey>().map_err(|error| error.to_string())?;
        builder = builder.with_config(key, algorithm);
        if let (ServerSideEncryptionType::AwsKms, Some(key)) = (encryption.type_, &encryption.kms_key_id) {
            builder = builder.with_sse_kms_encryption(key);
        }
    }
    match secret_name {
        Some(_) => {
            builder = builder
                .with_access_key_id(mounted.needed("AWS_ACCESS_KEY_ID")?)
                .with_secret_access_key(mounted.needed("AWS_SECRET_ACCESS_KEY")?);
            if let Some(token) = mounted.key("AWS_SESSION_TOKEN")? {
                builder = builder.with_token(token);
            }
        }
        None => {
            for name in AMAZON_IDENTITY {
                let key = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>();
                if let (Some(value), Ok(key)) = (from_environment(name), key) {
                    builder = builder.with_config(key, value);
                }
            }
        }
    }
    let client = mounted.client(endpoint.as_deref())?;
    let built = builder.with_client_options(client).build();
    built.map(|store| Arc::new(store) as _).map_err(|error| error.to_string())
}

fn google_cloud(google: &GoogleCloudStorage, mounted: Mounted<'_>) -> Result<Arc<dyn ObjectStore>, String> {
    let GoogleCloudStorage { bucket, endpoint, secret_name } = google;
    let mut builder = GoogleCloudStorageBuilder::new().with_bucket_name(bucket).with_retry(patience());
    if let Some(endpoint) = endpoint {
        builder = builder.with_base_url(endpoint);
    }
    match secret_name {
        Some(_) => builder = builder.with_service_account_key(mounted.needed("service-account.json")?),
        None => {
            if let Some(file) = from_environment("GOOGLE_APPLICATION_CREDENTIALS") {
                builder = builder.with_application_credentials(file);
            }
        }
    }
    let client = mounted.client(endpoint.as_deref())?;
    let built = builder.with_client_options(client).build();
    built.map(|store| Arc::new(store) as _).map_err(|error| error.to_string())
}

fn azure_blobs(azure: &AzureBlob, mounted: Mounted<'_>) -> Result<Arc<dyn ObjectStore>, String> {
    let AzureBlob { account, container, endpoint, secret_name } = azure;
    let mut builder = MicrosoftAzureBuilder::new()
        .with_account(account)
        .with_container_name(container)
        .with_retry(patience())
        .with_client_options(mounted.client(endpoint.as_deref())?);
    if let Some(endpoint) = endpoint {
        builder = builder.with_endpoint(format!("{endpoint}/{account}"));
    }
    match secret_name {
        Some(_) => {
            let key = mounted.key("AZURE_STORAGE_ACCOUNT_KEY")?;
            let token = mounted.key("AZURE_STORAGE_SAS_TOKEN")?;
            builder = match (key, token) {
                (Some(key), _) => builder.with_access_key(key),
                (None, Some(token)) => builder.with_config(AzureConfigKey::SasKey, token),
                (None, None) => builder.with_client_secret_authorization(
                    mounted.needed("AZURE_CLIENT_ID").map_err(|why| {
                        format!("{why}, and no AZURE_STORAGE_ACCOUNT_KEY and no AZURE_STORAGE_SAS_TOKEN")
                    })?,
                    mounted.needed("AZURE_CLIENT_SECRET")?,
                    mounted.needed("AZURE_TENANT_ID")?,
                ),
            };
        }
        None => {
            for name in AZURE_IDENTITY {
                let key = name.to_ascii_lowercase().parse::<AzureConfigKey>();
                if let (Some(value), Ok(key)) = (from_environment(name), key) {
                    builder = builder.with_config(key, value);
                }
            }
        }
    }
    builder.build().map(|store| Arc::new(store) as _).map_err(|error| error.to_string())
}
