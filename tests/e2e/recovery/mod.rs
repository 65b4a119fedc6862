//! Health checks and what is done about those that fail, judged at the exchange: how soon a bot that is well trades again,
//! and that nothing moves which need not.

mod bench;
mod cases;
mod ladder;
mod maintenance;
mod restart_pod;
mod shared;
mod standbys;

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::entry::Entry;
use crate::harness::*;

/// A check of the paper bot, with this target, on the schedule that is the default.
fn check(name: &str, target: Value) -> Value {
    let mut check = target;
    check["name"] = json!(name);
    check["startupGraceSeconds"] = json!(5);
    check
}

/// The same, on a schedule for the impatient.
fn quick(mut check: Value) -> Value {
    check["periodSeconds"] = json!(2);
    check["timeoutSeconds"] = json!(1);
    check
}

/// How a case runs.
#[derive(Clone, Copy)]
pub struct Pace {
    /// The schedule of its checks.
    schedule: fn(Value) -> Value,
    /// The fault begins so long after the checks were seen to pass; a cause that ends by itself lasts so much longer.
    wait: Duration,
}

impl Pace {
    fn of(self, check: Value) -> Value {
        (self.schedule)(check)
    }
}

/// Its checks run often, and the fault begins at once.
const QUICK: Pace = Pace { schedule: quick, wait: Duration::ZERO };

/// The price is there and above zero.
fn price() -> Value {
    let there = json!([{"path": "$.currentPrice", "operator": "GreaterThan", "value": "0"}]);
    check("price", json!({"http": {"port": 9000, "path": "/vitals", "json": there}}))
}

/// The price is of the last ten seconds.
fn fresh_data() -> Value {
    let source = json!({"port": 9000, "path": "/vitals", "jsonPath": "$.updatedMilliseconds"});
    check("data", json!({"freshness": {"http": source, "maxAgeSeconds": 10}}))
}

/// The bot has placed an order in the last five seconds.
fn fresh_orders() -> Value {
    let source = json!({"port": 9000, "path": "/vitals", "jsonPath": "$.orderedMilliseconds"});
    check("orders", json!({"freshness": {"http": source, "maxAgeSeconds": 5}}))
}

/// A bot with these checks.
fn checked(checks: Value) -> BotManifest {
    bot().with("/spec/health", json!({"checks": checks}))
}

/// Waits for the first order of another process of the bot, under whatever token.
async fn first_of_another_process(bot: &Bot, round: &Round) -> Entry {
    let is_other = |order: &Entry| order.instance != round.order.instance;
    until("another process of the bot trades", SOON, async || {
        bot.orders_since(&round.marker).await.into_iter().find(is_other)
    })
    .await
}

/// The bot trades on in the epoch of the round, on its pod: nothing has moved.
async fn has_stayed(bot: &Bot, round: &Round, first: &Entry) {
    assert_eq!(first.token, round.order.token, "trading has moved");
    assert_eq!(bot.until_trading().await.failover.total, 0);
}
