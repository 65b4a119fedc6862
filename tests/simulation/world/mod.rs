//! A cluster in which operators and agents run as they are, judged at a paper exchange.

pub mod cluster;
pub mod exchange;
pub mod freeze;
pub mod ledger;
pub mod network;
pub mod operators;
pub mod plan;
pub mod random;
pub mod trace;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::task::spawn_local;
use tokio::time::Instant;
use tradingbot::simulation;
use tradingbot_simulation::api_server::ApiServer;

use cluster::{Cluster, Site};
use exchange::Exchange;
use ledger::Ledger;
use network::Network;
use operators::Operators;
use plan::{BotPlan, NAMESPACE, Plan};
use random::Random;
use trace::Trace;

/// An account trades when its last order is younger than this.
const FRESH: Duration = Duration::from_millis(1_500);

/// The world of one seed. Clones share it.
#[derive(Clone)]
pub struct World {
    /// What every part of it can reach.
    pub site: Site,
    /// Nodes and controllers.
    pub cluster: Cluster,
    /// The operator's replicas.
    pub operators: Operators,
    /// How it was drawn.
    pub plan: Arc<Plan>,
}

impl World {
    /// A world that begins now, in a runtime whose clock is paused, within a `LocalSet`.
    pub fn new(seed: u64, plan: Plan, trace: Trace) -> Self {
        simulation::start(seed);
        let random = Random::new(seed, "cluster");
        if plan.rate != 0 {
            simulation::operator_rate(drift(&random, plan.rate));
        }
        let site = Site {
            api: ApiServer::new(seed),
            network: Network::new(Random::new(seed, "network"), trace.clone()),
            exchange: Exchange::new(trace.clone()),
            ledger: Ledger::default(),
            trace,
            random,
            misbehaviour: cluster::Misbehaviour::default(),
            poke: Arc::new(Notify::new()),
            order_every: plan.order_every,
            rate: plan.rate,
            deaf: plan.deaf,
        };
        for namespace in [NAMESPACE, operators::NAMESPACE] {
            site.api.create("namespaces", json!({"metadata": {"name": namespace}}));
        }
        let cluster = Cluster::new(site.clone(), plan.nodes);
        let operators = Operators::new(&site, 2);
        spawn_local(cluster.clone().run());
        Self { site, cluster, operators, plan: Arc::new(plan) }
    }

    /// Makes a bot, with an account at the exchange.
    pub fn apply(&self, bot: &BotPlan) {
        self.site.exchange.open(&bot.name, bot.reconciled);
        self.site.api.create("tradingbots", bot.object());
    }

    /// A bot's object.
    pub fn bot(&self, name: &str) -> Option<Value> {
        self.site.api.get("tradingbots", NAMESPACE, name)
    }

    /// A part of a bot's status, as text; empty where there is none.
    pub fn status(&self, bot: &str, pointer: &str) -> String {
        match self.bot(bot).and_then(|bot| bot["status"].pointer(pointer).cloned()) {
            Some(Value::String(text)) => text,
            Some(Value::Null) | None => String::new(),
            Some(other) => other.to_string(),
        }
    }

    /// Whether a bot trades, by the exchange, and its status says who.
    pub fn trades(&self, bot: &str) -> bool {
        let fresh = self.site.exchange.last(bot).filter(|(at, _)| at.elapsed() < FRESH);
        let Some(((_, sender), object)) = fresh.zip(self.bot(bot)) else { return false };
        object["status"]["phase"] == "Active" && object["status"]["trading"]["token"] == sender.token
    }

    /// Asks for an operation on a bot, as a person does.
    pub fn ask(&self, bot: &str, kind: &str) {
        let name = format!("{}-{:06x}", kind.to_lowercase(), self.site.random.below(1 << 24));
        self.site.api.create(
            "tradingbotoperations",
            json!({
                "apiVersion": "tradingbot.io/v1alpha1", "kind": "TradingBotOperation",
                "metadata": {"name": name, "namespace": NAMESPACE}, "spec": {"botName": bot, "type": kind},
            }),
        );
    }

    /// Waits until this is so, for at most so long; answers whether it came to be.
    pub async fn until(&self, limit: Duration, is: impl Fn(&World) -> bool) -> bool {
        let end = Instant::now() + limit;
        loop {
            if is(self) {
                return true;
            }
            if Instant::now() >= end {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// A rate that is wrong by at most so much.
fn drift(random: &Random, rate: i64) -> i64 {
    let span = u64::try_from(2 * rate).unwrap_or_default() + 1;
    i64::try_from(random.below(span)).unwrap_or_default() - rate
}
