//! The first bot is suspended, deleted, or has nobody left.

use tradingbot::api::bot_status::{AccountState, Block, Phase};

use super::{assert_nobody_else_trades, assert_waits_for, second_of, tell_the_judge};
use crate::harness::*;

/// From the order to stop to the next one's first order: 3 s to stop, the rest in writes and a start.
const HANDOVER: f64 = 6.0;
/// The silence of 5 s and its tolerance, the 10 s in which somebody may come back, and a start.
const LOST: f64 = 5.25 + 10.0 + 5.0;

#[test]
fn suspended_bot_hands_its_account_over_and_waits_when_it_comes_back() {
    scenario("account_suspended", Turn::Shared, async |world| {
        let first = world.apply(bot().account("suspended")).await;
        first.until_trading().await;
        let second = second_of(world, &first, bot().account("suspended")).await;
        let round = first.begin_round("the first is suspended").await;
        tell_the_judge(&first).await;
        first.change(serde_json::json!({"spec": {"suspend": true}})).await;
        let order = second.first_order_of_next(&round).await;
        let took = seconds_between(&round.marker, &order);
        let last = first.exchange.last_order_of(&round).await;
        world.note("s from suspend to the second's first order", took);
        world.note("s without trading", seconds_between(&last, &order));
        assert!(took <= HANDOVER, "it took {took} s");
        let status = second.until_trading().await;
        assert_eq!(status.account.map(|account| account.state), Some(AccountState::Held));

        first.until_phase(Phase::Suspended).await;
        let round = second.begin_round("the first wants to trade again").await;
        first.change(serde_json::json!({"spec": {"suspend": false}})).await;
        first.until("it waits", SOON, |s| s.blocked == Some(Block::AccountHeld)).await;
        assert_waits_for(&first, &second).await;
        assert_nobody_else_trades(&second, &round).await;

        let round = second.begin_round("the second is suspended").await;
        tell_the_judge(&first).await;
        second.change(serde_json::json!({"spec": {"suspend": true}})).await;
        let order = first.first_order_of_next(&round).await;
        world.note("s back", seconds_between(&round.marker, &order));
        first.until_trading().await;
    });
}

#[test]
fn deleted_bot_gives_its_account_back_before_it_goes() {
    scenario("account_deleted", Turn::Shared, async |world| {
        let first = world.apply(bot().hot().reconciled().account("deleted")).await;
        first.until_trading().await;
        let second = second_of(world, &first, bot().hot().reconciled().account("deleted")).await;
        let round = first.begin_round("the first is deleted").await;
        tell_the_judge(&first).await;
        first.delete().await;
        let order = second.first_order_of_next(&round).await;
        let took = seconds_between(&round.marker, &order);
        world.note("s from delete to the second's first order", took);
        assert!(took <= HANDOVER + 2.0, "it took {took} s");
        first.until_gone().await;
        second.until_trading().await;
    });
}

#[test]
fn bot_that_lost_its_only_node_gives_its_account_up_and_does_not_come_back_beside() {
    scenario("account_lost", Turn::Alone, async |world| {
        let leader = world.operator().leaders_node().await;
        let node = world.cluster.node_other_than(&[&leader]).await;
        world.exchange_on(&leader).await;
        let first = world.apply(bot().replicas(1).only_on(&node).account("lost")).await;
        first.until_trading().await;
        let second = second_of(world, &first, bot().not_on(&node).account("lost")).await;
        let round = first.begin_round("the first's only node is cut off").await;
        tell_the_judge(&first).await;
        let cut = world.faults().cut_api(&node);
        let order = second.first_order_of_next(&round).await;
        let took = seconds_between(&round.marker, &order);
        let last = first.exchange.last_order_of(&round).await;
        world.note("s the old one traded on", seconds_between(&round.marker, &last));
        world.note("s to the second's first order", took);
        assert!(took <= LOST, "it took {took} s");
        cut.heal();
        let after = second.begin_round("the node is back").await;
        first.until("it waits", SOON, |s| s.blocked == Some(Block::AccountHeld)).await;
        assert_waits_for(&first, &second).await;
        assert_nobody_else_trades(&second, &after).await;
    });
}
