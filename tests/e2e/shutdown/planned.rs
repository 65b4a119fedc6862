//! Every planned end of an epoch takes the steps.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, EvictParams};
use serde_json::json;
use tradingbot::api::bot_status::{Evidence, MoveStatus, Phase, StepResult, Trigger};

use super::{all, cancelled, results, steps, with};
use crate::harness::*;

fn pods(world: &World) -> Api<Pod> {
    Api::namespaced(world.cluster.client.clone(), &world.namespace)
}

/// Trading moved in good order: orders cancelled, then the next one trades, and the record says so.
async fn moved_in_order(world: &World, bot: &Bot, round: &Round, epoch: u64) -> MoveStatus {
    let first = bot.first_order_of_next(round).await;
    let cancellation = cancelled(bot, round).await;
    assert!(cancellation.seq < first.seq, "the next one traded before the old one's orders were cancelled");
    let step = bot.until_moved_beyond(epoch).await;
    assert_eq!(results(&step.shutdown), all(StepResult::Succeeded), "{step:?}");
    assert_eq!(step.evidence, Some(Evidence::Released), "{step:?}");
    world.note("s until orders were cancelled", seconds_between(&round.marker, &cancellation));
    world.note("s to trade elsewhere", seconds_between(&round.marker, &first));
    step
}

#[test]
fn switchover_cancels_orders_before_the_next_one_trades() {
    scenario("shutdown_switchover", Turn::Shared, async |world| {
        let bot = world.apply(with(steps()).reconciled()).await;
        let before = bot.until_trading().await;
        let grace = bot.active().await.spec.and_then(|spec| spec.termination_grace_period_seconds);
        assert_eq!(grace, Some(3 + 25 + 10), "to stop, for the steps, to release");
        let round = bot.begin_round("switchover").await;
        bot.ask("Switchover", None).await;
        let step = moved_in_order(world, &bot, &round, before.epoch).await;
        let after = bot.until_trading().await;
        let last = after.last_shutdown.expect("the last stop is kept");
        assert_eq!((&last.steps, last.epoch, Some(last.pod)), (&step.shutdown, before.epoch, step.from));
    });
}

#[test]
fn rolling_update_takes_the_steps_of_the_pod_that_stops() {
    scenario("shutdown_rolling_update", Turn::Shared, async |world| {
        let bot = world.apply(with(steps())).await;
        let before = bot.until_trading().await;
        let round = bot.begin_round("rolling update").await;
        let variable = json!({"name": "VERSION", "value": "2"});
        bot.change_by(json!([{"op": "add", "path": "/spec/template/spec/containers/0/env/-", "value": variable}]))
            .await;
        let step = moved_in_order(world, &bot, &round, before.epoch).await;
        assert_eq!(step.trigger, Trigger::RollingUpdate, "{step:?}");
    });
}

#[test]
fn suspended_bot_has_cancelled_its_orders_and_says_how_it_stopped() {
    scenario("shutdown_suspend", Turn::Shared, async |world| {
        let bot = world.apply(with(steps())).await;
        let before = bot.until_trading().await;
        let round = bot.begin_round("suspend").await;
        bot.change(json!({"spec": {"suspend": true}})).await;
        let suspended = bot.until_phase(Phase::Suspended).await;
        cancelled(&bot, &round).await;
        let last = suspended.last_shutdown.expect("no move follows, so it is kept here");
        assert_eq!((results(&last.steps), last.epoch), (all(StepResult::Succeeded), before.epoch));
        bot.change(json!({"spec": {"suspend": false}})).await;
        let again = bot.until_moved_beyond(before.epoch).await;
        assert_eq!((again.trigger, again.shutdown), (Trigger::Resume, Vec::new()));
    });
}

#[test]
fn deleted_bot_has_cancelled_its_orders() {
    scenario("shutdown_delete", Turn::Shared, async |world| {
        let bot = world.apply(with(steps())).await;
        bot.until_trading().await;
        let round = bot.begin_round("delete").await;
        bot.delete().await;
        let cancellation = cancelled(&bot, &round).await;
        bot.until_gone().await;
        let gone = bot.mark("gone").await;
        assert!(cancellation.seq < gone.seq);
        let late = bot.orders_since(&cancellation).await;
        assert!(late.is_empty(), "a deleted bot trades: {late:?}");
    });
}

#[test]
fn deleted_pod_takes_its_steps_within_its_grace_period() {
    scenario("shutdown_pod_deleted", Turn::Shared, async |world| {
        let bot = world.apply(with(steps())).await;
        let before = bot.until_trading().await;
        let old = bot.active().await;
        let round = bot.begin_round("the pod is deleted").await;
        pods(world).delete(&old.name_any(), &DeleteParams::default()).await.expect("the pod is deleted");
        let step = moved_in_order(world, &bot, &round, before.epoch).await;
        assert_eq!(step.trigger, Trigger::Eviction, "{step:?}");
    });
}

#[test]
fn drained_node_cancels_orders_before_trading_moves() {
    scenario("shutdown_drain", Turn::Alone, async |world| {
        let bot = world.apply(with(steps())).await;
        let before = bot.until_trading().await;
        let active = before.active.clone().expect("one trades");
        let round = bot.begin_round("drain").await;
        // What `kubectl drain` does: first it cordons the node, then it evicts.
        let cordon = world.faults().cordon(&active.node.expect("the active has a node"));
        let evicted = async || pods(world).evict(&active.pod, &EvictParams::default()).await.ok();
        until("the pod is evicted", SOON, evicted).await;
        let step = moved_in_order(world, &bot, &round, before.epoch).await;
        assert_eq!(step.trigger, Trigger::Eviction, "{step:?}");
        cordon.heal();
        let after = bot.until_trading().await;
        assert_eq!(after.failover.total, before.failover.total + 1, "trading moved more than once");
    });
}
