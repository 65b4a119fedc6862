//! Limits that people set: manual mode and the rate limit.

use serde_json::json;
use tradingbot::api::bot_status::{Block, Phase, Trigger};
use tradingbot::api::operation::OperationPhase;

use crate::harness::*;

#[test]
fn in_manual_mode_trading_moves_when_a_person_asks() {
    scenario("manual_mode", Turn::Shared, async |world| {
        let bot = world.apply(bot().hot().with("/spec/failover/mode", json!("Manual"))).await;
        let before = bot.until_trading().await;
        let round = bot.begin_round("crash in manual mode").await;
        bot.tell(&before.active.expect("one trades").pod, "crash").await;
        let blocked = bot.until_phase(Phase::Blocked).await;
        assert_eq!(blocked.blocked, Some(Block::ManualFailover));
        let available = blocked.conditions.iter().find(|c| c.type_ == "Available").expect("a condition");
        assert_eq!((available.status.as_str(), available.reason.as_str()), ("False", "ManualFailover"));
        assert!(available.message.contains("kubectl tradingbot failover"), "{}", available.message);
        let filter = bot.at(&format!("since={}&token_above={}", round.marker.seq, round.token()));
        let moved = bot.exchange.try_wait(seconds(3), &filter).await;
        assert!(moved.is_none(), "trading moved without a person: {moved:?}");

        let operation = bot.ask("Failover", None).await;
        bot.first_order_of_next(&round).await;
        assert_eq!(bot.until_ended(&operation).await.phase, OperationPhase::Succeeded);
        assert!(bot.until_moved_beyond(before.epoch).await.to.is_some());
    });
}

#[test]
fn used_up_rate_limit_asks_people() {
    scenario("rate_limit", Turn::Shared, async |world| {
        let limit = json!({"maxFailovers": 1, "periodSeconds": 3600});
        let bot = world.apply(bot().hot().with("/spec/failover/rateLimit", limit)).await;
        let before = bot.until_trading().await;
        let round = bot.begin_round("first crash").await;
        bot.tell(&before.active.expect("one trades").pod, "crash").await;
        bot.first_order_of_next(&round).await;
        bot.until_moved_beyond(before.epoch).await;
        let after = bot.until_trading().await;

        let round = bot.begin_round("second crash").await;
        bot.tell(&after.active.expect("one trades").pod, "crash").await;
        let stopped = bot.until("the limit stops it", SOON, |s| s.blocked == Some(Block::RateLimited)).await;
        assert!(matches!(stopped.phase, Phase::Maintenance | Phase::Blocked), "{:?}", stopped.phase);
        let available = stopped.conditions.iter().find(|c| c.type_ == "Available").expect("a condition");
        assert_eq!((available.status.as_str(), available.reason.as_str()), ("False", "RateLimited"));

        let operation = bot.ask("Failover", None).await;
        bot.first_order_of_next(&round).await;
        assert_eq!(bot.until_ended(&operation).await.phase, OperationPhase::Succeeded);
        let step = bot.until_moved_beyond(after.epoch).await;
        assert!(step.trigger == Trigger::Automatic && step.approved, "a person lifted the limit: {step:?}");
    });
}
