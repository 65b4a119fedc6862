//! What Kubernetes does around the product: nodes with their kubelets, the scheduler, the controllers of Jobs and nodes. Times are those measured on a real cluster (docs/concepts/simulation.md).

mod containers;
mod controllers;
mod jobs;
mod kubelet;
mod pod;
mod status;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tradingbot_simulation::api_server::ApiServer;

use super::exchange::Exchange;
use super::ledger::Ledger;
use super::network::Network;
use super::random::Random;
use super::trace::Trace;
pub use containers::{Container, Misbehaviour};
use controllers::Controllers;
use jobs::JobController;
use kubelet::Node;
use pod::Local;

/// What every part of the world can reach.
#[derive(Clone)]
pub struct Site {
    /// The API server, directly.
    pub api: ApiServer,
    /// The way to it.
    pub network: Network,
    /// Where bots trade.
    pub exchange: Exchange,
    /// What is written down.
    pub ledger: Ledger,
    /// What happened.
    pub trace: Trace,
    /// For delays.
    pub random: Random,
    /// How the next reconciliations misbehave.
    pub misbehaviour: Misbehaviour,
    /// Tells the cluster that there is something to do.
    pub poke: Arc<Notify>,
    /// Between two orders of a bot that trades.
    pub order_every: Duration,
    /// By how much clocks run wrong at most, parts in a million.
    pub rate: i64,
    /// Processes of bots do not end when they are asked to.
    pub deaf: bool,
}

impl Site {
    /// The rate of the clock of one machine with an agent.
    pub fn agent_rate(&self) -> i64 {
        if self.rate == 0 { 0 } else { super::drift(&self.random, self.rate) }
    }
}

/// The cluster. Clones share it.
#[derive(Clone)]
pub struct Cluster {
    state: Arc<Mutex<State>>,
    poke: Arc<Notify>,
    api: ApiServer,
}

pub(super) struct State {
    pub site: Site,
    pub nodes: BTreeMap<String, Node>,
    /// All pods, at which version they were read, and how often.
    pods: Vec<Value>,
    pods_version: u64,
    reads: u64,
    controllers: Controllers,
    jobs: JobController,
}

impl Cluster {
    /// A cluster with so many nodes.
    pub fn new(site: Site, nodes: usize) -> Self {
        let names = ["node-a", "node-b", "node-c", "node-d"];
        let nodes = names.iter().take(nodes).map(|name| ((*name).to_owned(), Node::new(&site, name))).collect();
        let (api, poke) = (site.api.clone(), site.poke.clone());
        let state = State {
            site,
            nodes,
            pods: Vec::new(),
            pods_version: u64::MAX,
            reads: 0,
            controllers: Controllers::default(),
            jobs: JobController::default(),
        };
        Self { state: Arc::new(Mutex::new(state)), poke, api }
    }

    /// Works for as long as the world lasts.
    pub async fn run(self) {
        loop {
            let due = self.lock().step();
            tokio::select! {
                biased;
                () = self.poke.notified() => {}
                () = self.api.changed() => {}
                () = sleep_until(due) => {}
            }
        }
    }

    /// Does something to a node; `None`: there is none of that name.
    pub fn with_node<T>(&self, name: &str, what: impl FnOnce(&mut Node) -> T) -> Option<T> {
        let done = self.lock().nodes.get_mut(name).map(what);
        self.poke.notify_one();
        done
    }

    /// The names of all nodes.
    pub fn nodes(&self) -> Vec<String> {
        self.lock().nodes.keys().cloned().collect()
    }

    /// Does something to the container of a pod, by the pod's uid; `None`: none runs.
    pub fn with_container<T>(&self, pod_uid: &str, what: impl FnOnce(&Container) -> T) -> Option<T> {
        let state = self.lock();
        let container = state.nodes.values().find_map(|node| node.pods.get(pod_uid)?.container())?;
        Some(what(container))
    }

    /// A node on which a reconciliation runs.
    pub fn node_of_job(&self) -> Option<String> {
        let state = self.lock();
        let runs = |node: &Node| node.pods.values().any(|pod| pod.is_of_job() && pod.container().is_some());
        state.nodes.iter().find(|(_, node)| runs(node)).map(|(name, _)| name.clone())
    }

    /// Doubles the pod of the next Job, as Kubernetes may.
    pub fn double_next_job(&self) {
        self.lock().jobs.double = true;
    }

    /// Whether that is still to come.
    pub fn will_double_job(&self) -> bool {
        self.lock().jobs.double
    }

    /// Puts everything right that a fault has broken: nodes have power, kubelets run.
    pub fn heal(&self) {
        for node in self.lock().nodes.values_mut() {
            node.heal();
        }
        self.poke.notify_one();
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Does what is due and answers when to look again.
    fn step(&mut self) -> Instant {
        let now = Instant::now();
        let mut due = Due(now + Duration::from_secs(5));
        let traders = |account: &str| {
            let containers = self.nodes.values().flat_map(|node| node.pods.values()).filter_map(Local::container);
            containers.filter_map(Container::trader).filter(|trader| trader.account == account).collect()
        };
        self.site.ledger.look(&self.site.api, &self.site.exchange, traders);
        let version = self.site.api.changes("pods");
        if version != self.pods_version {
            self.pods = self.site.api.all("pods");
            self.pods_version = version;
            self.reads += 1;
        }
        if self.site.network.api_answers() {
            self.controllers.step(&self.site, &self.pods, &mut self.nodes, now, &mut due);
            self.jobs.step(&self.site, &self.pods, now, &mut due);
        }
        for node in self.nodes.values_mut() {
            node.step(&self.site, &self.pods, self.reads, now, &mut due);
        }
        due.0
    }
}

/// When to look again: the earliest of all that was named.
pub(super) struct Due(Instant);

impl Due {
    /// Not later than then.
    pub fn by(&mut self, at: Instant) {
        self.0 = self.0.min(at);
    }

    /// Whether something is due at `at`; if not, it is looked at again then.
    pub fn reached(&mut self, at: Instant, now: Instant) -> bool {
        if now < at {
            self.by(at);
        }
        now >= at
    }
}

/// A string within an object, empty where it is not there.
pub fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The uid of an object's controller, empty where it has none.
pub fn controller(object: &Value) -> &str {
    let owners = object.pointer("/metadata/ownerReferences").and_then(Value::as_array).into_iter().flatten();
    owners.filter(|owner| owner["controller"] == true).map(|owner| text(owner, "/uid")).next().unwrap_or_default()
}
