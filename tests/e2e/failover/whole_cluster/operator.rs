//! The operator dies.

use serde_json::json;
use tradingbot::api::bot_status::Phase;

use crate::harness::entry::Kind;
use crate::harness::*;

#[test]
fn operator_killed_in_the_middle_of_a_failover_is_taken_over_from() {
    scenario("operator_killed_mid_failover", Turn::Alone, async |world| {
        let slow = json!({"command": ["/paper-reconcile", "--delay", "3"], "deadlineSeconds": 20});
        let bot = world.apply(bot().hot().reconciled_by(slow)).await;
        let before = bot.until_trading().await;
        let operator = world.operator();
        let (identity, aim) = (operator.identity().await, operator.aim_at_leader().await);
        let round = bot.begin_round("crash, then SIGKILL to the operator").await;
        bot.tell(&before.active.expect("one trades").pod, "crash").await;
        let preparing =
            bot.until("the next one prepares", SOON, |s| s.phase == Phase::Preparing && s.epoch > before.epoch).await;
        aim.kill();
        let first = bot.first_order_of_next(&round).await;
        operator.until_led_by_other_than(&identity).await;
        assert_eq!(first.epoch, Some(preparing.epoch), "the new leader went on with the epoch that was begun");
        let succeeded = bot.exchange.log(round.marker.seq).await.into_iter();
        let succeeded = succeeded.filter(|e| e.kind == Kind::Reconciliation && e.state.as_deref() == Some("Succeeded"));
        assert_eq!(succeeded.count(), 1, "one reconciliation for one failover");
        world.note("s to trade again", seconds_between(&round.marker, &first));
        bot.until_trading().await;
        operator.until_ready().await;
    });
}

#[test]
fn with_two_replicas_the_leaders_death_disturbs_no_bot() {
    scenario("leader_killed", Turn::Alone, async |world| {
        let bot = world.apply(bot().hot()).await;
        let before = bot.until_trading().await;
        let operator = world.operator();
        let (identity, aim) = (operator.identity().await, operator.aim_at_leader().await);
        let round = bot.begin_round("SIGKILL to the leading operator").await;
        aim.kill();
        operator.until_led_by_other_than(&identity).await;
        operator.until_ready().await;
        bot.assert_undisturbed_since(&round).await;
        let pause = bot.longest_pause_since(&round).await;
        world.note("longest pause in s", pause);
        assert!(pause < 1.0, "the bot paused for {pause} s");
        assert_eq!(bot.status().await.epoch, before.epoch);
        // The new leader acts.
        let round = bot.begin_round("crash under the new leader").await;
        bot.tell(&before.active.expect("one trades").pod, "crash").await;
        let first = bot.first_order_of_next(&round).await;
        world.note("s to trade again", seconds_between(&round.marker, &first));
        bot.until_trading().await;
    });
}
