//! What a seed's world looks like: drawn before it begins.

use std::time::Duration;

use serde_json::{Value, json};
use tradingbot::api::bot::TradingBot;

use super::random::Random;

/// The namespace of the bots.
pub const NAMESPACE: &str = "money";
/// For how long a reconciliation may run, seconds.
const DEADLINE: u32 = 20;

/// A world before it begins.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many nodes there are.
    pub nodes: usize,
    /// The bots.
    pub bots: Vec<BotPlan>,
    /// Between two orders of a bot that trades.
    pub order_every: Duration,
    /// By how much clocks run wrong at most, parts in a million.
    pub rate: i64,
    /// Processes of bots do not end when they are asked to.
    pub deaf: bool,
}

/// A bot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BotPlan {
    /// Its name, which is also its account at the exchange.
    pub name: String,
    /// How many pods it has.
    pub replicas: u32,
    /// Duration of its Lease, period and deadline of renewals, seconds.
    pub lease: (u32, u32, u32),
    /// A reconciliation runs before every epoch.
    pub reconciled: bool,
    /// Its standbys run already.
    pub hot: bool,
    /// Restarts by its agent before trading moves.
    pub in_place_restarts: u32,
}

impl Plan {
    /// The world of a seed.
    pub fn draw(seed: u64) -> Self {
        let random = Random::new(seed, "plan");
        let names = ["doge", "shiba"];
        let count = if random.percent(15) { 2 } else { 1 };
        let bot = |name: &&str| BotPlan {
            name: (*name).to_owned(),
            replicas: if random.percent(70) { 2 } else { 3 },
            lease: match random.below(10) {
                0..4 => (5, 1, 3),
                4..6 => (4, 1, 2),
                _ => (10, 2, 6),
            },
            reconciled: random.percent(60),
            hot: random.percent(25),
            in_place_restarts: if random.percent(60) { 0 } else { 1 },
        };
        Self {
            nodes: 3,
            bots: names.iter().take(count).map(bot).collect(),
            order_every: Duration::from_millis(100),
            // Operator and agents together stay within the tolerance of 5 %.
            rate: if random.percent(50) { 0 } else { 20_000 },
            deaf: random.percent(25),
        }
    }

    /// One bot that behaves as the scenarios of the crash sweep need it.
    pub fn steady() -> Self {
        let bot = BotPlan {
            name: "doge".to_owned(),
            replicas: 2,
            lease: (5, 1, 3),
            reconciled: true,
            hot: false,
            in_place_restarts: 0,
        };
        Self { nodes: 3, bots: vec![bot], order_every: Duration::from_millis(100), rate: 0, deaf: false }
    }
}

impl BotPlan {
    /// Its object, with every default written out as the API server does.
    pub fn object(&self) -> Value {
        let (duration, period, deadline) = self.lease;
        let reconciliation = json!({
            "command": ["/bot", "reconcile"], "deadlineSeconds": DEADLINE,
            "runOn": ["FirstStart", "Failover", "Switchover"],
        });
        let mut object = json!({
            "apiVersion": "tradingbot.io/v1alpha1",
            "kind": "TradingBot",
            "metadata": {"name": self.name, "namespace": NAMESPACE},
            "spec": {
                "replicas": self.replicas,
                "standbyMode": if self.hot { "Hot" } else { "Warm" },
                "template": {"spec": {
                    "terminationGracePeriodSeconds": 3,
                    "containers": [{"name": "bot", "image": "example/bot:1", "command": ["/bot"]}],
                }},
                "leadership": {
                    "leaseDurationSeconds": duration, "renewPeriodSeconds": period, "renewDeadlineSeconds": deadline,
                },
                "failover": {
                    "inPlaceRestarts": self.in_place_restarts, "cooldownSeconds": 0,
                    "rateLimit": {"maxFailovers": 0},
                },
            },
        });
        if self.reconciled {
            object["spec"]["reconciliation"] = reconciliation;
        }
        let complete: TradingBot = serde_json::from_value(object).expect("it is as the schema says");
        serde_json::to_value(complete).expect("an object is always JSON")
    }
}
