//! One replica of the operator: watches from the start, workers while it leads.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Client;
use kube::runtime::events::{Recorder, Reporter};
use tokio::task::JoinSet;
use tracing::warn;

use super::board::Board;
use super::election::Election;
use super::events::Publisher;
use super::metrics::Metrics;
use super::observe::Revisions;
use super::run::Settings;
use super::watches::{self, World};
use super::worker::Operator;
use crate::runtime::admin::Readiness;
use crate::runtime::{clock, random};

/// Everything of the operator that needs nothing but an API server. Dropped, it is gone at once, as by a crash: no task of
/// it goes on.
pub struct Replica {
    watches: JoinSet<()>,
    readiness: Readiness,
    election: Election,
    operator: Operator,
}

impl Replica {
    /// Begins to watch. `requests` and `watching` are clients as [`crate::runtime::client`] makes them.
    ///
    /// # Errors
    /// A sentence where there are no random numbers for its name.
    pub fn new(requests: Client, watching: Client, settings: &Settings, metrics: Metrics) -> Result<Self, String> {
        let world = World::default();
        let readiness = Readiness::default();
        let revisions = Arc::new(Revisions::default());
        let watches = watches::start(&watching, &settings.namespace, &settings.scope, &world, &readiness, &revisions);
        let owner = settings.pod_uid.clone().map(|uid| OwnerReference {
            api_version: "v1".into(),
            kind: "Pod".into(),
            name: settings.pod.clone(),
            uid,
            ..OwnerReference::default()
        });
        let election =
            Election::new(requests.clone(), &settings.namespace, identity(&settings.pod)?, owner, revisions.clone());
        let reporter = Reporter { controller: "tradingbot-operator".into(), instance: Some(settings.pod.clone()) };
        let operator = Operator {
            client: requests.clone(),
            leadership: election.leadership(),
            world,
            revisions,
            metrics,
            events: Publisher::new(Recorder::new(requests, reporter)),
            agent_image: settings.image.clone(),
            namespace: settings.namespace.clone(),
            scope: settings.scope.clone(),
            board: Arc::new(Board::default()),
            policies: Arc::default(),
        };
        Ok(Self { watches, readiness, election, operator })
    }

    /// What it waits for before it is ready.
    pub fn readiness(&self) -> Readiness {
        self.readiness.clone()
    }

    /// What writes the page of metrics.
    pub fn page(&self) -> impl Fn() -> String + Clone + Send + Sync + use<> {
        let Operator { metrics, board, world, .. } = self.operator.clone();
        move || {
            board.show(&metrics);
            metrics.renewal_age.set(world.sightings.longest_renewal_age(clock::mono()).as_secs_f64());
            metrics.page()
        }
    }

    /// Looks after the bots whenever it leads, until dropped. Returns only when a watch has ended, which none ever
    /// should, with a sentence that says so.
    pub async fn operate(&mut self) -> String {
        tokio::select! {
            biased;
            ended = self.watches.join_next() => format!("A watch ended, which none ever should: {ended:?}."),
            why = serve(&mut self.election, &self.operator) => why,
        }
    }

    /// Gives the lead back, so that the other replica need not wait. To be called when [`Replica::operate`] was dropped:
    /// nothing is being written any more.
    pub async fn release(&mut self) {
        self.election.release().await;
    }
}

/// Never ends by itself.
async fn serve(election: &mut Election, operator: &Operator) -> String {
    loop {
        election.campaign().await;
        operator.metrics.leading.set(1);
        tokio::select! {
            biased;
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
    Ok(format!("{pod}-{:08x}", random::number()? >> 32))
}
