//! The order of remedies: what is done when one does not help, and that it ends.

use std::time::Duration;

use kube::ResourceExt;
use serde_json::json;
use tradingbot::api::bot_status::{Block, Phase, Reason, Remedy, RemedyResult, RemedyStatus, TradingBotStatus};

use super::cases::until_passing;
use super::{checked, first_of_another_process, price, quick};
use crate::harness::*;

/// The usual rules, with a short pause.
fn impatient() -> BotManifest {
    let actions = json!([{"type": "RestartProcess"}, {"type": "Failover"}]);
    let rules = json!([{"name": "blind", "checks": ["price"], "actions": actions}]);
    checked(json!([quick(price())])).with("/spec/recovery", json!({"rules": rules, "pauseSeconds": 2}))
}

#[test]
fn recovery_that_does_not_help_ends_with_people() {
    scenario("recovery_used_up", Turn::Shared, async |world| {
        let bot = world.apply(impatient()).await;
        let mut round = bot.begin_round("none").await;
        // Restarted once on the first pod, then moved, restarted once on the second, then nobody trades.
        for remedy in 1..=4 {
            let active = bot.until_trading().await.active.expect("one trades").pod;
            until_passing(&bot).await;
            round = bot.begin_round("blind").await;
            bot.tell(&active, "blind").await;
            if remedy < 4 {
                let first = first_of_another_process(&bot, &round).await;
                let moved = first.token != round.order.token;
                assert_eq!(moved, remedy == 2, "remedy {remedy}: {first:?}");
                if !moved {
                    let helped = |of: &RemedyStatus| of.pod == active && of.result == RemedyResult::Helped;
                    let told = |status: &TradingBotStatus| {
                        status.health.as_ref().and_then(|health| health.remedies.first()).is_some_and(helped)
                    };
                    bot.until("the status says that the restart has helped", SOON, told).await;
                }
            }
        }
        let held = bot.until_phase(Phase::Maintenance).await;
        assert_eq!(held.blocked, Some(Block::RecoveryUsedUp), "{}", held.message);
        assert!(held.message.contains("kubectl tradingbot failover"), "{}", held.message);
        let moved = &held.failover.history[0];
        assert_eq!(moved.reason, Reason::HealthFailed, "{moved:?}");
        assert_eq!(moved.recovery.as_ref().map(|step| step.remedy), Some(Remedy::Failover), "{moved:?}");
        // Each restart had helped until the next time.
        let remedies = held.health.clone().unwrap_or_default().remedies;
        let told: Vec<_> = remedies.iter().map(|of| (of.remedy, of.result, &*of.check, of.epoch)).collect();
        let helped = |epoch| (Remedy::RestartProcess, RemedyResult::Helped, "price", epoch);
        assert_eq!(told, [helped(held.epoch), helped(held.epoch - 1)], "{remedies:?}");
        let stopped = bot.mark("nobody trades").await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(bot.orders_since(&stopped).await.len(), 0, "somebody trades");
        // A person lets it go on.
        bot.ask("Failover", None).await;
        bot.first_order_of_next(&round).await;
        let again = bot.until_trading().await;
        assert_eq!((again.blocked, again.failover.history[0].approved), (None, true));
    });
}

/// A check that fails and passes in turn, each time for long enough to count.
#[test]
fn recovery_of_a_check_that_flaps_is_no_storm() {
    scenario("recovery_flapping", Turn::Shared, async |world| {
        // It fails for 4 of every 8 seconds of the wall clock.
        let flaps = json!({"name": "flaps", "exec": {"command": ["/paper-bot", "flap"]}, "startupGraceSeconds": 0});
        let bot = world.apply(checked(json!([quick(flaps)]))).await;
        let before = bot.until_trading().await;
        let began = bot.mark("it flaps").await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        let after = bot.status().await;
        let mut flaps = 0;
        for pod in bot.pods().await {
            flaps += bot.log(&pod.name_any()).await.matches("Check flaps fails").count();
        }
        world.note("failures", flaps);
        world.note("failovers", after.failover.total - before.failover.total);
        assert!(flaps >= 6, "it failed {flaps} times only");
        assert!(after.failover.total <= before.failover.total + 1, "{} failovers", after.failover.total);
        let mut processes: Vec<_> = bot.orders_since(&began).await.into_iter().filter_map(|o| o.instance).collect();
        processes.sort();
        processes.dedup();
        assert!(processes.len() <= 4, "{} processes in a minute", processes.len());
    });
}
