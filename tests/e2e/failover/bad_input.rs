//! What is wrong in a resource ends in a condition with a sentence, and the active trades on.

use serde_json::json;
use tradingbot::api::bot_status::{Phase, StepResult, TradingBotStatus};

use crate::harness::*;

fn sentence(status: &TradingBotStatus, kind: &str) -> (String, String) {
    let found = status.conditions.iter().find(|c| c.type_ == kind).cloned();
    found.map(|c| (c.status, c.message)).unwrap_or_default()
}

#[test]
fn image_that_cannot_be_pulled_does_not_stop_the_active() {
    scenario("image_cannot_be_pulled", Turn::Shared, async |world| {
        let bot = world.apply(bot().hot()).await;
        let before = bot.until_trading().await;
        let round = bot.begin_round("an image that is nowhere").await;
        let image = json!([{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "nowhere.invalid/bot:1"}]);
        bot.change_by(image).await;
        let status = bot
            .until("a condition says what is wrong", SOON, |s| {
                let (status, message) = sentence(s, "StandbyReady");
                status == "False" && message.contains("nowhere.invalid/bot:1")
            })
            .await;
        world.note("message", sentence(&status, "StandbyReady").1);
        bot.assert_undisturbed_since(&round).await;
        assert_eq!(bot.status().await.epoch, before.epoch);
    });
}

#[test]
fn command_that_does_not_exist_does_not_stop_the_active() {
    scenario("command_does_not_exist", Turn::Shared, async |world| {
        let bot = world.apply(bot().hot()).await;
        let before = bot.until_trading().await;
        let round = bot.begin_round("a command that is not there").await;
        bot.change_by(
            json!([{"op": "replace", "path": "/spec/template/spec/containers/0/command", "value": ["/no-such-bot"]}]),
        )
        .await;
        let status = bot
            .until("a condition says what is wrong", SOON, |s| {
                let (status, message) = sentence(s, "StandbyReady");
                status == "False" && message.contains("Run: kubectl logs doge-")
            })
            .await;
        let message = sentence(&status, "StandbyReady").1;
        let pod = message.rsplit(' ').next().expect("the condition names the pod");
        until("the pod's log says what is wrong", SOON, async || {
            let log = bot.log(pod).await;
            log.contains("the command '/no-such-bot' does not exist").then_some(())
        })
        .await;
        bot.assert_undisturbed_since(&round).await;
        assert_eq!(bot.status().await.epoch, before.epoch);
    });
}

#[test]
fn promote_hook_that_never_returns_is_given_up() {
    scenario("hook_never_returns", Turn::Shared, async |world| {
        let hook = json!({"exec": {"command": ["/paper-bot", "hang"]}, "timeoutSeconds": 1});
        let bot = world.apply(bot().with("/spec/hooks/promote", hook)).await;
        let status = bot
            .until("a failed promotion is told", SOON, |s| {
                s.failover.current.as_ref().is_some_and(|m| !m.tried.is_empty() && s.message.starts_with(&m.message))
                    && s.message.contains("promote hook")
            })
            .await;
        assert_ne!(status.phase, Phase::Active);
        let called = status.failover.current.as_ref().and_then(|current| current.promote_hook.as_ref());
        assert_eq!(called.map(|hook| hook.result), Some(StepResult::TimedOut), "{called:?}");
        let available = status.conditions.iter().find(|c| c.type_ == "Available").expect("a condition");
        assert_eq!((available.status.as_str(), &available.message), ("False", &status.message));
        assert!(status.message.ends_with('.'), "{}", status.message);
        world.note("message", &status.message);
        // Without the hook it trades.
        bot.change_by(json!([{"op": "remove", "path": "/spec/hooks/promote"}])).await;
        bot.until_trading().await;
    });
}

#[test]
fn demote_hook_that_never_returns_delays_a_switchover_by_its_timeout_alone() {
    scenario("demote_hook_never_returns", Turn::Shared, async |world| {
        let hook = json!({"exec": {"command": ["/paper-bot", "hang"]}, "timeoutSeconds": 1});
        let bot = world.apply(bot().hot().with("/spec/hooks/demote", hook)).await;
        let before = bot.until_trading().await;
        let round = bot.begin_round("switchover with a hook that hangs").await;
        bot.ask("Switchover", None).await;
        let first = bot.first_order_of_next(&round).await;
        bot.until_moved_beyond(before.epoch).await;
        world.note("s to trade elsewhere", seconds_between(&round.marker, &first));
    });
}

#[test]
fn template_that_the_api_server_refuses_shows_as_a_condition() {
    scenario("template_refused", Turn::Shared, async |world| {
        let bot = world.apply(bot().hot()).await;
        let before = bot.until_trading().await;
        let round = bot.begin_round("a template that is refused").await;
        // A mount of a volume that there is not.
        let mounts = json!([{"name": "no-such-volume", "mountPath": "/data"}]);
        bot.change_by(json!([{"op": "add", "path": "/spec/template/spec/containers/0/volumeMounts", "value": mounts}]))
            .await;
        let status = bot
            .until("the condition TemplateAccepted is False", SOON, |s| sentence(s, "TemplateAccepted").0 == "False")
            .await;
        let (_, message) = sentence(&status, "TemplateAccepted");
        assert!(message.contains("no-such-volume"), "{message}");
        bot.assert_undisturbed_since(&round).await;
        assert_eq!(bot.status().await.standbys.summary, "1/1", "pods stay as they are");
        assert_eq!(bot.status().await.epoch, before.epoch);
    });
}
