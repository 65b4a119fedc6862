//! The operator's process: watches from the start, workers while this replica leads, an orderly end.

use std::net::SocketAddr;
use std::sync::Arc;

use getrandom::fill;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Config;
use kube::runtime::events::{Recorder, Reporter};
use tracing::{info, warn};

use super::board::Board;
use super::election::Election;
use super::metrics::Metrics;
use super::observe::Revisions;
use super::scope::Scope;
use super::watches::{self, World};
use super::worker::Operator;
use crate::runtime::admin::{self, Readiness};
use crate::runtime::telemetry::LogFormat;
use crate::runtime::{client, clock, shutdown};

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
    let config = Config::infer().await.map_err(|error| {
        format!("There is no cluster to work in: neither a service account nor a kubeconfig ({error}).")
    })?;
    let metrics = Metrics::new().map_err(|error| format!("The metrics cannot be set up: {error}."))?;
    let unusable = |error: kube::Error| format!("The cluster's configuration cannot be used: {error}.");
    let requests = client::requests(config.clone(), metrics.on_write()).map_err(unusable)?;
    let watching = client::watches(config).map_err(unusable)?;

    let world = World::default();
    let readiness = Readiness::default();
    let mut watches = watches::start(&watching, &settings.namespace, &settings.scope, &world, &readiness);
    let board = Arc::new(Board::default());
    let page = {
        let (metrics, board, world) = (metrics.clone(), board.clone(), world.clone());
        move || {
            board.show(&metrics);
            metrics.renewal_age.set(world.sightings.longest_renewal_age(clock::mono()).as_secs_f64());
            metrics.page()
        }
    };
    let admin = tokio::spawn(admin::serve(settings.admin, readiness, page));

    let owner = settings.pod_uid.clone().map(|uid| OwnerReference {
        api_version: "v1".into(),
        kind: "Pod".into(),
        name: settings.pod.clone(),
        uid,
        ..OwnerReference::default()
    });
    let identity = identity(&settings.pod)?;
    let mut election = Election::new(requests.clone(), &settings.namespace, identity, owner);
    let reporter = Reporter { controller: "tradingbot-operator".into(), instance: Some(settings.pod.clone()) };
    let operator = Operator {
        client: requests.clone(),
        leadership: election.leadership(),
        world,
        revisions: Arc::new(Revisions::default()),
        metrics: metrics.clone(),
        recorder: Recorder::new(requests, reporter),
        agent_image: settings.image,
        namespace: settings.namespace.clone(),
        scope: settings.scope,
        board,
        policies: Arc::default(),
    };
    let end = tokio::select! {
        () = serve(&mut election, &operator) => Ok(()),
        () = shutdown::requested() => Ok(()),
        ended = watches.join_next() => Err(format!("A watch ended, which none ever should: {ended:?}.")),
        ended = admin => Err(match ended {
            Ok(Err(error)) => format!("{} cannot be listened on: {error}. Set ADMIN_ADDRESS to a free one.", settings.admin),
            other => format!("The admin server ended: {other:?}."),
        }),
    };
    // The workers are gone by now, so nothing is written any more: the other replica need not wait.
    election.release().await;
    info!("the operator ends");
    end
}

async fn serve(election: &mut Election, operator: &Operator) {
    loop {
        election.campaign().await;
        operator.metrics.leading.set(1);
        tokio::select! {
            () = election.hold() => warn!("another replica may lead now; this one goes on watching"),
            () = operator.lead() => {}
        }
        operator.metrics.leading.set(0);
        operator.board.clear();
        operator.policies.clear();
    }
}

/// The pod's name and something new: a process that starts again in the same pod is another candidate.
fn identity(pod: &str) -> Result<String, String> {
    let mut random = [0u8; 4];
    fill(&mut random).map_err(|error| format!("The kernel gives no random numbers: {error}."))?;
    Ok(format!("{pod}-{:08x}", u32::from_be_bytes(random)))
}
