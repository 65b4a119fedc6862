//! The operator's process: what is around one [`Replica`].

use std::net::SocketAddr;

use kube::Config;
use tracing::{info, warn};

use super::metrics::Metrics;
use super::replica::Replica;
use super::scope::Scope;
use crate::runtime::telemetry::LogFormat;
use crate::runtime::{admin, client, shutdown, skew};

/// What the operator is told by its environment.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its pod's name.
    pub pod: String,
    /// Its pod's namespace, where the election Lease is.
    pub namespace: String,
    /// Its pod's uid, so that its presence Lease goes with it.
    pub pod_uid: Option<String>,
    /// The image that agents are copied from: its own.
    pub image: String,
    /// Whose bots it looks after.
    pub scope: Scope,
    /// Where `/live`, `/ready` and `/metrics` are served.
    pub admin: SocketAddr,
    /// How logs are written.
    pub log_format: LogFormat,
    /// Which are.
    pub log_filter: String,
}

impl Settings {
    /// Reads them.
    ///
    /// # Errors
    /// A sentence that names the variable that is missing or wrong.
    pub fn from_environment(get: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let needed = |name: &str| {
            let value = get(name).filter(|text| !text.is_empty());
            value.ok_or_else(|| {
                format!("The environment variable {name} is not set; the Deployment in manifests/install.yaml sets it.")
            })
        };
        let admin = get("ADMIN_ADDRESS").unwrap_or_else(|| "0.0.0.0:8080".into());
        Ok(Self {
            pod: needed("POD_NAME")?,
            namespace: needed("POD_NAMESPACE")?,
            pod_uid: get("POD_UID").filter(|text| !text.is_empty()),
            image: needed("OPERATOR_IMAGE")?,
            scope: Scope::parse(&get("WATCH_NAMESPACES").unwrap_or_default())?,
            admin: admin.parse().map_err(|_| {
                format!("ADMIN_ADDRESS '{admin}' is not an address and a port; use for example 0.0.0.0:8080.")
            })?,
            log_format: match get("LOG_FORMAT").as_deref() {
                None | Some("" | "text") => LogFormat::Text,
                Some("json") => LogFormat::Json,
                Some(other) => return Err(format!("LOG_FORMAT '{other}' is not known; use text or json.")),
            },
            log_filter: get("LOG").filter(|text| !text.is_empty()).unwrap_or_else(|| "info".into()),
        })
    }
}

/// Runs until SIGTERM.
///
/// # Errors
/// A sentence when the process cannot start.
pub async fn run(settings: Settings) -> Result<(), String> {
    if let Some(told) = skew::told() {
        warn!("{told}");
    }
    let config = Config::infer().await.map_err(|error| {
        format!("There is no cluster to work in: neither a service account nor a kubeconfig ({error}).")
    })?;
    let metrics = Metrics::new().map_err(|error| format!("The metrics cannot be set up: {error}."))?;
    let unusable = |error: kube::Error| format!("The cluster's configuration cannot be used: {error}.");
    let requests = client::requests(config.clone(), metrics.on_write()).map_err(unusable)?;
    let watching = client::watches(config).map_err(unusable)?;
    let mut replica = Replica::new(requests, watching, &settings, metrics)?;
    let admin = tokio::spawn(admin::serve(settings.admin, replica.readiness(), replica.page()));
    let end = tokio::select! {
        biased;
        () = shutdown::requested() => Ok(()),
        why = replica.operate() => Err(why),
        ended = admin => Err(match ended {
            Ok(Err(error)) => format!("{} cannot be listened on: {error}. Set ADMIN_ADDRESS to a free one.", settings.admin),
            other => format!("The admin server ended: {other:?}."),
        }),
    };
    // The workers are gone by now, so nothing is written any more: the other replica need not wait.
    replica.release().await;
    info!("the operator ends");
    end
}
