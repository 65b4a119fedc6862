//! Faults of the bot itself, each with what the usual rules, or one of its own, do about it. Every case gives the seconds
//! from the fault to the first order of a bot that is well again.

use serde_json::json;

use super::{Pace, QUICK, checked, first_of_another_process, fresh_data, fresh_orders, has_stayed, price};
use crate::harness::*;

/// A bot with this check, whose process is told to be ill in this way and started again in its place.
async fn restarted_after(world: &World, manifest: BotManifest, fault: &str, pace: Pace) -> f64 {
    let bot = world.apply(manifest).await;
    let active = bot.until_trading().await.active.expect("one trades").pod;
    until_passing(&bot).await;
    tokio::time::sleep(pace.wait).await;
    let round = bot.begin_round(fault).await;
    bot.tell(&active, fault).await;
    let first = first_of_another_process(&bot, &round).await;
    has_stayed(&bot, &round, &first).await;
    seconds_between(&round.marker, &first)
}

/// Every check has passed: from here on a failure is one.
pub async fn until_passing(bot: &Bot) {
    bot.until("every check passes", SOON, |status| {
        status.health.as_ref().is_some_and(|health| health.checks.iter().all(|check| check.state == "Passing"))
    })
    .await;
}

pub async fn price_missing(world: &World, pace: Pace) -> f64 {
    restarted_after(world, checked(json!([pace.of(price())])), "blind", pace).await
}

pub async fn data_stale(world: &World, pace: Pace) -> f64 {
    restarted_after(world, checked(json!([pace.of(fresh_data())])), "stale", pace).await
}

/// The control port answers, and nothing is ordered any more.
pub async fn hung(world: &World, pace: Pace) -> f64 {
    restarted_after(world, checked(json!([pace.of(fresh_orders())])), "hang", pace).await
}

pub async fn memory(world: &World, pace: Pace) -> f64 {
    let used = super::check("memory", json!({"resources": {"memoryPercent": 60}}));
    let limits = json!({"limits": {"memory": "80Mi"}});
    let manifest = checked(json!([pace.of(used)])).with("/spec/template/spec/containers/0/resources", limits);
    restarted_after(world, manifest, "eat", pace).await
}

/// A bot that cannot write its books places no orders. A hook makes room.
pub async fn disk_full(world: &World, pace: Pace) -> f64 {
    let used = super::check("disk", json!({"resources": {"disk": [{"path": "/data", "usedPercent": 90}]}}));
    let clean = json!({"type": "Hook", "hook": {"http": {"port": 9000, "path": "/control/clean"}}});
    let rules = json!([{"name": "disk", "checks": ["disk"], "actions": [clean, {"type": "Failover"}]}]);
    let manifest = checked(json!([pace.of(used)]))
        .with("/spec/recovery", json!({"rules": rules}))
        .with(
            "/spec/template/spec/volumes",
            json!([{"name": "data", "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}}]),
        )
        .with("/spec/template/spec/containers/0/volumeMounts", json!([{"name": "data", "mountPath": "/data"}]))
        .with("/spec/template/spec/containers/0/args", json!(["--orders-per-second", "20", "--journal", BOOKS]));
    let bot = world.apply(manifest).await;
    let active = bot.until_trading().await.active.expect("one trades").pod;
    until_passing(&bot).await;
    tokio::time::sleep(pace.wait).await;
    let round = bot.begin_round("the disk is full").await;
    bot.tell(&active, "fill").await;
    let full = bot.mark("it is full").await;
    // One that was in the books already may have been on its way.
    let first = until("the bot trades again", SOON, async || {
        bot.orders_since(&full).await.into_iter().find(|order| order.us > full.us + 500_000)
    })
    .await;
    assert_eq!(first.instance, round.order.instance, "the process was restarted");
    has_stayed(&bot, &round, &first).await;
    seconds_between(&round.marker, &first)
}

#[test]
fn recovery_price_missing() {
    scenario("recovery_price_missing", Turn::Shared, async |world| {
        world.note("s to trade again", price_missing(world, QUICK).await);
    });
}

#[test]
fn recovery_data_stale() {
    scenario("recovery_data_stale", Turn::Shared, async |world| {
        world.note("s to trade again", data_stale(world, QUICK).await);
    });
}

#[test]
fn recovery_hung_but_pingable() {
    scenario("recovery_hung", Turn::Shared, async |world| {
        world.note("s to trade again", hung(world, QUICK).await);
    });
}

#[test]
fn recovery_memory() {
    scenario("recovery_memory", Turn::Shared, async |world| {
        world.note("s to trade again", memory(world, QUICK).await);
    });
}

#[test]
fn recovery_disk_full() {
    scenario("recovery_disk_full", Turn::Shared, async |world| {
        world.note("s to trade again", disk_full(world, QUICK).await);
    });
}
