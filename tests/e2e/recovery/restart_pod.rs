//! `RestartPod`: a pod whose check fails is made anew, and no other.

use std::collections::BTreeSet;
use std::time::Duration;

use kube::ResourceExt;
use serde_json::{Value, json};
use tradingbot::api::bot_status::{Evidence, MoveStatus, Phase, Reason, Remedy};

use super::cases::until_passing;
use super::{checked, price, quick};
use crate::harness::*;

/// A bot whose rule about its price has these actions.
fn with_actions(name: &str, actions: Value) -> BotManifest {
    let rules = json!([{"name": "blind", "checks": ["price"], "actions": actions}]);
    checked(json!([quick(price())])).named(name).with("/spec/recovery", json!({"rules": rules, "pauseSeconds": 2}))
}

async fn uids(bot: &Bot) -> BTreeSet<String> {
    bot.pods().await.iter().filter_map(ResourceExt::uid).collect()
}

/// Waits until this pod is gone and there are as many pods as before; the uid of the one that is new.
async fn made_anew(bot: &Bot, before: &BTreeSet<String>, sick: &str) -> String {
    until("the pod is made anew", SOON, async || {
        let now = uids(bot).await;
        (now.len() == before.len() && !now.contains(sick)).then(|| now.difference(before).next().cloned())?
    })
    .await
}

/// The active's check fails, and trading goes on under a later token. The pod that was sick, by uid, and the move.
async fn falls_ill(world: &World, bot: &Bot, remedy: Remedy) -> (String, MoveStatus) {
    let before = bot.until_trading().await;
    until_passing(bot).await;
    let sick = bot.active().await;
    let round = bot.begin_round("blind").await;
    bot.tell(&sick.name_any(), "blind").await;
    let first = bot.first_order_of_next(&round).await;
    world.note(&format!("{}: s to trade again, {remedy:?}", bot.name), seconds_between(&round.marker, &first));
    let step = bot.until_moved_beyond(before.epoch).await;
    assert_eq!((step.reason, step.evidence), (Reason::HealthFailed, Some(Evidence::Released)), "{step:?}");
    let taken = step.recovery.clone().expect("the move says what it remedies");
    assert_eq!((&*taken.rule, &*taken.check, taken.remedy), ("blind", "price", remedy), "{step:?}");
    assert_eq!(step.from_uid, sick.uid(), "{step:?}");
    assert_ne!(step.to_uid, step.from_uid, "the sick pod trades on");
    let told = bot.until_event("HealthFailed").await;
    assert!(told.contains("the check price of the rule blind fails"), "{told}");
    (sick.uid().expect("it has a uid"), step)
}

/// Trading moves to the standby, and the sick pod is made anew meanwhile. What follows is about another pod, and leaves
/// this one alone.
async fn with_a_standby(world: &World) {
    let actions = json!([{"type": "RestartPod"}, {"type": "Failover"}]);
    let bot = world.apply(with_actions("paired", actions)).await;
    bot.until_trading().await;
    let before = uids(&bot).await;
    let (sick, step) = falls_ill(world, &bot, Remedy::RestartPod).await;
    assert!(step.to_uid.as_ref().is_some_and(|to| before.contains(to)), "it did not go to the standby: {step:?}");
    let new = made_anew(&bot, &before, &sick).await;
    let after = bot.until_trading().await;
    assert_eq!(after.active.map(|active| active.pod), step.to, "trading moved on");
    let pods = uids(&bot).await;

    // Whatever comes next is about the one that trades now: it is not restarted, and neither is the new one.
    let (second, step) = falls_ill(world, &bot, Remedy::Failover).await;
    assert_eq!((step.to_uid.as_deref(), step.from_uid.as_deref()), (Some(&*new), Some(&*second)));
    let after = bot.until_trading().await;
    let round = bot.begin_round("all is well").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    bot.assert_undisturbed_since(&round).await;
    assert_eq!(uids(&bot).await, pods, "a pod was restarted that was not to be");
    assert_eq!((after.failover.total, after.blocked), (2, None));
}

/// Nobody trades until the new pod is there.
async fn without_a_standby(world: &World) {
    let bot = world.apply(with_actions("alone", json!([{"type": "RestartPod"}])).replicas(1)).await;
    bot.until_trading().await;
    let before = uids(&bot).await;
    let waits = async {
        let waiting = bot.until("it waits for the new pod", SOON, |status| {
            status.phase == Phase::Electing && status.active.is_none() && status.message.ends_with("yet.")
        });
        let waiting = waiting.await;
        assert!(waiting.message.contains("the check price of the rule blind fails"), "{}", waiting.message);
        assert_eq!(waiting.blocked, None, "nobody has to do anything");
    };
    let ((sick, step), ()) = tokio::join!(falls_ill(world, &bot, Remedy::RestartPod), waits);
    let new = made_anew(&bot, &before, &sick).await;
    assert_eq!(step.to_uid.as_deref(), Some(&*new), "{step:?}");
    assert_eq!(bot.until_trading().await.failover.total, 1);
}

#[test]
fn sick_pod_is_made_anew_and_no_other() {
    scenario("recovery_restart_pod", Turn::Shared, async |world| {
        tokio::join!(with_a_standby(world), without_a_standby(world));
    });
}
