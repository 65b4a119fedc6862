//! Orderly stops: the steps of `spec.lifecycle.shutdown`, judged at what the exchange saw before anybody else traded.

mod failing;
mod planned;

use serde_json::{Value, json};
use tradingbot::api::bot_status::{StepReport, StepResult};

use crate::harness::entry::Entry;
use crate::harness::*;

/// The recommended steps, as the paper bot takes them.
const NAMES: [&str; 4] = ["stop-new-orders", "cancel-orders", "close-positions", "flush-writes"];

/// One step that runs the paper bot's program.
fn runs(name: &str, argument: &str, timeout: u32) -> Value {
    json!({"name": name, "exec": {"command": ["/paper-bot", argument]}, "timeoutSeconds": timeout})
}

/// The paper bot has neither positions to close nor writes to flush; these two only succeed.
fn steps() -> Value {
    json!([
        {"name": NAMES[0], "http": {"port": 9000, "path": "/control/pause"}, "timeoutSeconds": 5},
        runs(NAMES[1], "cancel", 10),
        runs(NAMES[2], "demote", 5),
        runs(NAMES[3], "demote", 5),
    ])
}

/// A bot with these steps.
fn with(steps: Value) -> BotManifest {
    bot().hot().with("/spec/lifecycle", json!({"shutdown": steps}))
}

/// Names and results.
fn results(steps: &[StepReport]) -> Vec<(&str, StepResult)> {
    steps.iter().map(|step| (step.name.as_str(), step.result)).collect()
}

fn all(result: StepResult) -> Vec<(&'static str, StepResult)> {
    NAMES.into_iter().map(|name| (name, result)).collect()
}

/// The cancellation that a step sent under the old token: after its last order, so that none is left open.
async fn cancelled(bot: &Bot, round: &Round) -> Entry {
    let filter = bot.at(&format!("kind=cancelMany&token={}&since={}", round.token(), round.marker.seq));
    let entry = bot.exchange.wait("a step cancels what is open", SOON, &filter).await;
    assert!(entry.count.is_some_and(|count| count >= 1), "nothing was open any more: {entry:?}");
    let last = bot.exchange.last_order_of(round).await;
    assert!(last.seq < entry.seq, "an order (entry {}) followed the cancellation (entry {})", last.seq, entry.seq);
    entry
}
