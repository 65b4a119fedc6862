//! Nobody trades because a rule says so: when it goes on by itself, and when only people let it go on.

use std::time::Duration;

use serde_json::{Value, json};
use tradingbot::api::bot_status::{Block, Phase, Remedy, StepResult, TradingBotStatus};

use super::cases::until_passing;
use super::{check, checked, quick};
use crate::harness::entry::Entry;
use crate::harness::*;

/// How long it is looked that nobody trades.
const LOOK: Duration = Duration::from_secs(3);

/// A bot that needs a server, wherever it waits to trade too, and cancels its orders when it stops.
fn needing(server: &Server, name: &str, actions: Value) -> BotManifest {
    let mut feed = check("feed", json!({"tcp": {"host": server.address, "port": 6379}}));
    feed["appliesTo"] = json!("Both");
    let rules = json!([{"name": "feed", "checks": ["feed"], "actions": actions}]);
    let cancel = json!({"name": "cancel-orders", "exec": {"command": ["/paper-bot", "cancel"]}, "timeoutSeconds": 5});
    checked(json!([quick(feed)]))
        .named(name)
        .with("/spec/recovery", json!({"rules": rules, "pauseSeconds": 2}))
        .with("/spec/lifecycle", json!({"shutdown": [cancel]}))
}

/// Waits until nobody trades, its orders cancelled, and the status says so to whoever asks.
async fn until_stopped(bot: &Bot, round: &Round, says: &str) -> Entry {
    let status = bot.until_phase(Phase::Maintenance).await;
    assert_eq!((status.blocked, status.active.is_none()), (Some(Block::RecoveryUsedUp), true));
    assert!(status.message.contains(says) && status.message.contains("kubectl tradingbot failover"), "{status:?}");
    let (available, reason, message) = bot.condition("Available").await.expect("a condition");
    assert_eq!((&*available, &*reason, &message), ("False", "RecoveryUsedUp", &status.message));
    let told = bot.until_event("Maintenance").await;
    assert!(told.contains(says), "{told}");
    let last = status.last_shutdown.expect("the last stop is kept");
    assert_eq!((last.epoch, last.steps[0].result), (status.epoch, StepResult::Succeeded), "{last:?}");
    let cancelled = bot.at(&format!("kind=cancelMany&token={}&since={}", round.token(), round.marker.seq));
    let cancelled = bot.exchange.wait("its orders were cancelled", SOON, &cancelled).await;
    assert!(bot.exchange.last_order_of(round).await.seq < cancelled.seq, "an order followed");
    cancelled
}

/// Waits until so many pods could trade, though none does.
async fn until_ready(bot: &Bot, pods: u32) -> TradingBotStatus {
    bot.until(&format!("{pods} pods are ready"), SOON, |status| status.standbys.ready == pods).await
}

async fn assert_nobody_traded_since(bot: &Bot, stopped: &Entry) {
    let orders = bot.orders_since(stopped).await;
    assert!(orders.is_empty(), "somebody trades: {orders:?}");
}

#[test]
fn what_standbys_see_lets_trading_go_on_by_itself_unless_the_rule_suspends() {
    scenario("recovery_return", Turn::Shared, async |world| {
        let server = Server::announce(world, "feed", 6379).await;
        put_secret(world, "feed", &json!({"NOTHING": ""})).await;
        let script = "exec redis-server --save '' --dir /data --protected-mode no";
        server.start("ghcr.io/tradingbot-io/tradingbot-test-redis:7", script, "feed").await;
        let restarts = needing(&server, "returns", json!([{"type": "RestartProcess"}]));
        let suspends = needing(&server, "waits", json!([{"type": "RestartProcess"}, {"type": "Suspend"}]));
        let (returns, waits) = tokio::join!(world.apply(restarts), world.apply(suspends));
        let both = [&returns, &waits];
        for bot in both {
            bot.until_trading().await;
            until_passing(bot).await;
        }
        let (one, other) = (returns.begin_round("no feed").await, waits.begin_round("no feed").await);
        server.reachable(false).await;
        let stops = [
            until_stopped(&returns, &one, "what its rule feed allows within 3600 s is used up").await,
            until_stopped(&waits, &other, "its rule feed says that trading stops then").await,
        ];
        for bot in both {
            until_ready(bot, 0).await;
        }
        tokio::time::sleep(LOOK).await;
        for (bot, stopped) in both.into_iter().zip(&stops) {
            assert_nobody_traded_since(bot, stopped).await;
        }

        server.reachable(true).await;
        let back = returns.mark("the feed is back").await;
        let first = returns.first_order_of_next(&one).await;
        assert!(first.seq > back.seq, "it traded before the cause was gone");
        world.note("s from the end of the cause to trade by itself", seconds_between(&back, &first));
        let status = returns.until_trading().await;
        let step = &status.failover.history[0];
        let taken = step.recovery.as_ref().expect("the move says what it remedies");
        assert_eq!((taken.remedy, taken.all_failed, step.approved), (Remedy::Escalate, true, false), "{step:?}");
        assert_eq!((status.blocked, status.failover.total), (None, 1));

        // The other one's pods are all well again, and wait for a person.
        until_ready(&waits, 2).await;
        tokio::time::sleep(LOOK).await;
        assert_nobody_traded_since(&waits, &stops[1]).await;
        let status = waits.status().await;
        assert_eq!((status.phase, status.blocked), (Phase::Maintenance, Some(Block::RecoveryUsedUp)));
        let said = plugin(&world.namespace, &["failover", "waits", "--timeout", "60"]).await;
        assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
        waits.first_order_of_next(&other).await;
        let status = waits.until_trading().await;
        let step = &status.failover.history[0];
        let remedy = step.recovery.as_ref().map(|taken| taken.remedy);
        assert_eq!((remedy, step.approved, status.blocked), (Some(Remedy::Suspend), true, None), "{step:?}");
        let (available, ..) = waits.condition("Available").await.expect("a condition");
        assert_eq!(available, "True");
    });
}
