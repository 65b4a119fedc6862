//! The first bot is removed by force while it trades: nobody is left to say that its agent has stopped.

use super::{second_of, tell_the_judge};
use crate::harness::*;

/// The wait for the first bot's Lease: its duration and the tolerance.
const SILENCE: f64 = 5.25;

#[test]
fn bot_removed_by_force_is_waited_for_until_its_agent_has_stopped() {
    scenario("account_removed_by_force", Turn::Shared, async |world| {
        let first = world.apply(bot().account("removed")).await;
        first.until_trading().await;
        let second = second_of(world, &first, bot().account("removed")).await;
        let round = first.begin_round("the first is removed by force").await;
        tell_the_judge(&first).await;
        first.remove_by_force().await;
        let order = second.first_order_of_next(&round).await;
        let last = first.exchange.last_order_of(&round).await;
        let (traded_on, without) = (seconds_between(&round.marker, &last), seconds_between(&last, &order));
        world.note("s the old one traded on", traded_on);
        world.note("s from its last order to the second's first", without);
        // Its last renewal is at most a period older than its last order.
        assert!(without >= SILENCE - 1.5, "the silence was not waited out: {without} s");
        assert!(without <= SILENCE + 6.0, "it took {without} s");
        second.until_trading().await;
        assert!(first.lease().await.is_none(), "what the first left behind is removed");
    });
}

#[test]
fn bot_removed_by_force_on_a_node_that_is_cut_off_is_waited_for_too() {
    scenario("account_removed_on_cut_node", Turn::Alone, async |world| {
        let leader = world.operator().leaders_node().await;
        let node = world.cluster.node_other_than(&[&leader]).await;
        world.exchange_on(&leader).await;
        let first = world.apply(bot().replicas(1).only_on(&node).account("cut-off")).await;
        first.until_trading().await;
        let second = second_of(world, &first, bot().not_on(&node).account("cut-off")).await;
        let round = first.begin_round("the first's node is cut off and the bot removed by force").await;
        tell_the_judge(&first).await;
        let cut = world.faults().cut_api(&node);
        first.remove_by_force().await;
        let order = second.first_order_of_next(&round).await;
        let took = seconds_between(&round.marker, &order);
        let last = first.exchange.last_order_of(&round).await;
        world.note("s the old one traded on", seconds_between(&round.marker, &last));
        world.note("s to the second's first order", took);
        assert!((SILENCE - 1.5..=SILENCE + 3.0).contains(&took), "it took {took} s");
        cut.heal();
        second.until_trading().await;
    });
}
