//! What somebody asks for once.

use tradingbot::api::bot_status::{Evidence, Phase, Reason, Trigger};
use tradingbot::api::operation::OperationPhase;

use crate::harness::*;

#[test]
fn switchover_moves_trading_to_the_named_pod() {
    scenario("switchover", Turn::Shared, async |world| {
        let bot = world.apply(bot().hot().reconciled().replicas(3)).await;
        let before = bot.until_trading().await;
        let to = bot.standby().await;
        let round = bot.begin_round("switchover").await;
        let operation = bot.ask("Switchover", Some(&to)).await;
        let first = bot.first_order_of_next(&round).await;
        let ended = bot.until_ended(&operation).await;
        assert_eq!(ended.phase, OperationPhase::Succeeded, "{ended:?}");
        assert!(ended.started_time.is_some() && ended.finished_time.is_some() && ended.message.is_some(), "{ended:?}");
        let step = bot.until_moved_beyond(before.epoch).await;
        assert_eq!((step.trigger, step.reason), (Trigger::Switchover, Reason::Requested));
        assert_eq!((step.evidence, step.to.as_deref()), (Some(Evidence::Released), Some(to.as_str())));
        super::crash::assert_told(&step);
        let last = bot.exchange.last_order_of(&round).await;
        world.note("s without trading", seconds_between(&last, &first));
    });
}

#[test]
fn forced_failover_moves_trading_to_the_named_pod() {
    scenario("forced_failover", Turn::Shared, async |world| {
        let bot = world.apply(bot().hot()).await;
        let before = bot.until_trading().await;
        let to = bot.standby().await;
        let round = bot.begin_round("forced failover").await;
        let operation = bot.ask("Failover", Some(&to)).await;
        bot.first_order_of_next(&round).await;
        let ended = bot.until_ended(&operation).await;
        assert_eq!(ended.phase, OperationPhase::Succeeded, "{ended:?}");
        let step = bot.until_moved_beyond(before.epoch).await;
        assert_eq!((step.trigger, step.to.as_deref()), (Trigger::Failover, Some(to.as_str())));
        assert!(step.evidence.is_some());
    });
}

#[test]
fn operation_to_a_pod_that_is_not_ready_is_refused_and_trading_goes_on() {
    scenario("switchover_to_unready", Turn::Shared, async |world| {
        let bot = world.apply(bot()).await;
        let before = bot.until_trading().await;
        let round = bot.begin_round("operations that cannot be done").await;
        for kind in ["Switchover", "Failover"] {
            let operation = bot.ask(kind, Some("doge-9")).await;
            let ended = bot.until_ended(&operation).await;
            assert_eq!(ended.phase, OperationPhase::Failed, "{kind}: {ended:?}");
            assert_eq!(ended.reason.as_deref(), Some("TargetNotReady"), "{kind}: {ended:?}");
            assert!(ended.message.is_some_and(|m| m.ends_with('.')), "{kind}");
        }
        // To the pod that trades already there is nothing to do.
        let active = before.active.expect("one trades").pod;
        let operation = bot.ask("Switchover", Some(&active)).await;
        assert_eq!(bot.until_ended(&operation).await.phase, OperationPhase::Succeeded);
        bot.assert_undisturbed_since(&round).await;
        assert_eq!(bot.status().await.epoch, before.epoch);
    });
}

#[test]
fn of_two_switchovers_at_once_one_is_done() {
    scenario("two_switchovers", Turn::Shared, async |world| {
        let bot = world.apply(bot().hot().replicas(3)).await;
        let before = bot.until_trading().await;
        let round = bot.begin_round("two switchovers").await;
        let (one, two) = tokio::join!(bot.ask("Switchover", None), bot.ask("Switchover", None));
        bot.first_order_of_next(&round).await;
        let ended = [bot.until_ended(&one).await, bot.until_ended(&two).await];
        let done = ended.iter().filter(|e| e.phase == OperationPhase::Succeeded).count();
        assert!(done >= 1, "{ended:?}");
        for refused in ended.iter().filter(|e| e.phase == OperationPhase::Failed) {
            let known = ["AnotherOperationRuns", "ActiveNotSteady", "NobodyTrades"];
            assert!(refused.reason.as_deref().is_some_and(|r| known.contains(&r)), "{refused:?}");
        }
        let after = bot.until_trading().await;
        assert_eq!(
            after.failover.total,
            before.failover.total + done as u64,
            "a move for each that was done, and no other"
        );
    });
}

#[test]
fn suspended_bot_does_not_trade_until_it_is_resumed() {
    scenario("suspend_and_resume", Turn::Shared, async |world| {
        let bot = world.apply(bot().hot().reconciled()).await;
        let before = bot.until_trading().await;
        let round = bot.begin_round("suspend").await;
        bot.change(serde_json::json!({"spec": {"suspend": true}})).await;
        let suspended = bot.until_phase(Phase::Suspended).await;
        assert!(suspended.trading.is_none(), "the ledger still names somebody");
        let available = suspended.conditions.iter().find(|c| c.type_ == "Available").expect("a condition");
        assert_eq!((available.status.as_str(), available.reason.as_str()), ("False", "Suspended"));
        let quiet = bot.mark("suspended").await;
        let still = bot.exchange.try_wait(seconds(3), &bot.at(&format!("since={}", quiet.seq))).await;
        assert!(still.is_none(), "somebody trades while the bot is suspended: {still:?}");

        bot.change(serde_json::json!({"spec": {"suspend": false}})).await;
        bot.first_order_of_next(&round).await;
        let after = bot.until_trading().await;
        assert_eq!(after.failover.history[0].trigger, Trigger::Resume, "{:?}", after.failover.history[0]);
        assert_eq!(after.failover.total, before.failover.total + 1);
    });
}
