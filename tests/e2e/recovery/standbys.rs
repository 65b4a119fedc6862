//! Standbys whose own checks fail.

use kube::ResourceExt;
use serde_json::json;
use tradingbot::api::bot_status::Reason;
use tradingbot::api::operation::OperationPhase;

use super::cases::until_passing;
use super::{checked, price, quick};
use crate::harness::*;

#[test]
fn standby_whose_check_fails_is_not_chosen_and_left_alone() {
    scenario("recovery_sick_standby", Turn::Shared, async |world| {
        let mut everywhere = quick(price());
        everywhere["appliesTo"] = json!("Both");
        let bot = world.apply(checked(json!([everywhere])).hot().replicas(3)).await;
        let before = bot.until_trading().await;
        until_passing(&bot).await;
        let active = before.active.expect("one trades").pod;
        // The first of two that are as good as each other is the one that would be chosen.
        let mut standbys: Vec<_> = bot.pods().await.iter().map(ResourceExt::name_any).collect();
        standbys.retain(|pod| *pod != active);
        standbys.sort();
        let [sick, well] = &standbys[..] else { panic!("two standbys: {standbys:?}") };
        let uid = bot.pod(sick).await.and_then(|pod| pod.uid());

        let round = bot.begin_round("a standby is ill").await;
        bot.tell(sick, "blind").await;
        bot.until("the sick one is not ready", SOON, |status| status.standbys.ready == 1).await;
        let (ready, _, message) = bot.condition("StandbyReady").await.expect("a condition");
        assert!(ready == "False" && message.contains(&format!("{sick} runs and is not ready")), "{message}");
        let asked = bot.ask("Switchover", Some(sick)).await;
        let refused = bot.until_ended(&asked).await;
        assert_eq!((refused.phase, refused.reason.as_deref()), (OperationPhase::Failed, Some("TargetNotReady")));
        bot.assert_undisturbed_since(&round).await;

        let round = bot.begin_round("crash").await;
        bot.tell(&active, "crash").await;
        let first = bot.first_order_of_next(&round).await;
        world.note("s to trade elsewhere", seconds_between(&round.marker, &first));
        let step = bot.until_moved_beyond(before.epoch).await;
        assert_eq!((step.reason, step.to.as_deref(), step.tried.len()), (Reason::ProcessExited, Some(&**well), 1));
        let now = bot.pod(sick).await.expect("only the active is helped");
        let containers = now.status.as_ref().and_then(|status| status.container_statuses.as_ref());
        let restarts = containers.map(|all| all.iter().map(|container| container.restart_count).sum::<i32>());
        assert_eq!((now.uid(), restarts), (uid, Some(0)));
    });
}
