//! The active's node is cut off, or loses its power.

use kube::ResourceExt;
use serde_json::json;
use tradingbot::api::bot_status::{Block, Evidence, Reason, Trigger};

use crate::harness::*;

/// Seconds after which the operator's other replica leads at the latest.
const OPERATOR_LEASE: f64 = 6.0;
const LEASE: u32 = 5;

/// A bot whose active is on `node`, with the exchange elsewhere.
async fn bot_with_active_on(world: &World, node: &str, exchange_on: &str) -> Bot {
    world.exchange_on(exchange_on).await;
    let bot = world.apply(bot().hot().lease(LEASE, 1, 3).not_on(exchange_on)).await;
    let status = bot.until_trading().await;
    let active = status.active.expect("one trades");
    if active.node.as_deref() != Some(node) {
        bot.ask("Switchover", None).await;
        bot.until_moved_beyond(status.epoch).await;
        bot.until_trading().await;
    }
    let active = bot.status().await.active.expect("one trades");
    assert_eq!(active.node.as_deref(), Some(node), "the bot's pods are not spread over the two nodes left for them");
    bot
}

#[test]
fn active_cut_off_from_the_api_server_stops_before_another_trades() {
    scenario("node_cut", Turn::Alone, async |world| {
        let leader = world.operator().leaders_node().await;
        let node = world.cluster.node_other_than(&[&leader]).await;
        let bot = bot_with_active_on(world, &node, &leader).await;
        let before = bot.status().await;
        let round = bot.begin_round("the node is cut off").await;
        let cut = world.faults().cut_api(&node);
        let first = bot.first_order_of_next(&round).await;
        let last = bot.exchange.last_order_of(&round).await;
        let step = bot.until_moved_beyond(before.epoch).await;
        assert_eq!(step.evidence, Some(Evidence::LeaseExpired), "{step:?}");
        assert_eq!(step.reason, Reason::LeaseNotRenewed, "{step:?}");
        super::super::crash::assert_told(&step);
        world.note("s the old one traded on", seconds_between(&round.marker, &last));
        world.note("s to trade again", seconds_between(&round.marker, &first));
        let bound = f64::from(LEASE) * 1.05 + 1.5;
        assert!(seconds_between(&round.marker, &first) <= bound, "it took longer than {bound} s");
        cut.heal();
        let after = bot.until_trading().await;
        assert_eq!(after.failover.total, before.failover.total + 1, "the return of the node caused an epoch");
    });
}

#[test]
fn active_cut_off_together_with_the_leading_operator_is_replaced() {
    scenario("node_cut_with_operator", Turn::Alone, async |world| {
        let node = world.operator().leaders_node().await;
        let exchange_on = world.cluster.node_other_than(&[&node]).await;
        let bot = bot_with_active_on(world, &node, &exchange_on).await;
        let before = bot.status().await;
        let identity = world.operator().identity().await;
        let round = bot.begin_round("the node of active and leading operator is cut off").await;
        let cut = world.faults().cut_api(&node);
        let first = bot.first_order_of_next(&round).await;
        let took = seconds_between(&round.marker, &first);
        world.note("s to trade again", took);
        let step = bot.until_moved_beyond(before.epoch).await;
        assert_eq!(step.evidence, Some(Evidence::LeaseExpired), "{step:?}");
        assert_ne!(world.operator().identity().await, identity, "the cut-off operator leads still");
        let bound = OPERATOR_LEASE + f64::from(LEASE) + 1.5;
        assert!(took <= bound, "it took {took} s, longer than {bound} s");
        cut.heal();
        bot.until_trading().await;
        world.operator().until_ready().await;
    });
}

#[test]
fn pod_force_deleted_on_a_cut_off_node_still_counts_as_trading() {
    scenario("force_deleted_on_cut_node", Turn::Alone, async |world| {
        let leader = world.operator().leaders_node().await;
        let node = world.cluster.node_other_than(&[&leader]).await;
        let bot = bot_with_active_on(world, &node, &leader).await;
        let before = bot.status().await;
        let old = bot.active().await;
        let round = bot.begin_round("the node is cut off and the pod force-deleted").await;
        let cut = world.faults().cut_api(&node);
        world.faults().force_delete(&world.namespace, &old.name_any()).await;
        let first = bot.first_order_of_next(&round).await;
        let last = bot.exchange.last_order_of(&round).await;
        assert!(seconds_between(&round.marker, &last) > 0.2, "the container had stopped before its pod was deleted");
        let step = bot.until_moved_beyond(before.epoch).await;
        assert_eq!(step.evidence, Some(Evidence::LeaseExpired), "a pod object that is gone proves nothing: {step:?}");
        world.note("s the old one traded on", seconds_between(&round.marker, &last));
        world.note("s to trade again", seconds_between(&round.marker, &first));
        cut.heal();
        bot.until_trading().await;
    });
}

#[test]
fn under_continue_silence_is_no_evidence_and_a_person_decides() {
    scenario("continue_and_confirm", Turn::Alone, async |world| {
        let leader = world.operator().leaders_node().await;
        world.exchange_on(&leader).await;
        let manifest =
            bot().hot().lease(4, 1, 2).not_on(&leader).with("/spec/leadership/onApiServerLoss", json!("Continue"));
        let bot = world.apply(manifest).await;
        let before = bot.until_trading().await;
        let node = before.active.and_then(|a| a.node).expect("the active has a node");
        let round = bot.begin_round("the node is cut off under Continue").await;
        let cut = world.faults().cut_api(&node);
        let blocked = bot.until("a person is asked", SOON, |s| s.blocked == Some(Block::SilentUnderContinue)).await;
        assert_eq!(blocked.trading.as_ref().map(|t| t.epoch), Some(before.epoch), "the ledger was cleared on silence");
        bot.assert_undisturbed_since(&round).await;

        // The person makes sure that it has stopped, and says so.
        let off = world.faults().power_off(&node);
        let confirm = json!({"epoch": before.epoch, "by": "Yamada Hanako"});
        let operation = bot.ask_for(json!({"botName": bot.name, "type": "ConfirmStopped", "confirm": confirm})).await;
        let first = bot.first_order_of_next(&round).await;
        let ended = bot.until_ended(&operation).await;
        assert_eq!(format!("{:?}", ended.phase), "Succeeded", "{ended:?}");
        let step = bot.until_moved_beyond(before.epoch).await;
        assert_eq!(step.evidence, Some(Evidence::Confirmed), "{step:?}");
        assert_eq!(step.confirmed_by.as_deref(), Some("Yamada Hanako"));
        world.note("s to trade again", seconds_between(&round.marker, &first));
        off.heal();
        cut.heal();
        world.cluster.until_nodes_are_ready().await;
        bot.until_trading().await;
    });
}

#[test]
fn cordoned_node_hands_over_before_it_is_drained() {
    scenario("node_cordoned", Turn::Alone, async |world| {
        let bot = world.apply(bot().hot()).await;
        let before = bot.until_trading().await;
        let node = before.active.and_then(|a| a.node).expect("the active has a node");
        let round = bot.begin_round("cordon").await;
        let cordon = world.faults().cordon(&node);
        bot.first_order_of_next(&round).await;
        let step = bot.until_moved_beyond(before.epoch).await;
        assert_eq!((step.trigger, step.reason), (Trigger::Eviction, Reason::NodeDrained), "{step:?}");
        assert_eq!(step.evidence, Some(Evidence::Released));
        cordon.heal();
        let after = bot.until_trading().await;
        assert_eq!(after.failover.total, before.failover.total + 1, "trading moved more than once");
    });
}
