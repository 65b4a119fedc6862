//! The active stands still without knowing it.

use std::time::Duration;

use kube::ResourceExt;
use tradingbot::api::bot_status::Evidence;

use crate::harness::verdict::Rule;
use crate::harness::*;

/// An order that stood frozen between its check and its send; without the order gate nothing can stop it.
const MAY_GET_THROUGH: usize = 1;

#[test]
fn frozen_active_does_not_trade_on_when_it_thaws() {
    scenario("frozen_and_thawed", Turn::Shared, async |world| {
        let manifest = bot().hot().lease(4, 1, 2);
        let bot = world.apply_judged_without(manifest, &[Rule::I1, Rule::I2]).await;
        let before = bot.until_trading().await;
        let old = bot.active().await;
        let round = bot.begin_round("freeze").await;
        let frozen = world.faults().freeze(&old.uid().expect("pods have uids"));
        let began = std::time::Instant::now();
        let first = bot.first_order_of_next(&round).await;
        let step = bot.until_moved_beyond(before.epoch).await;
        assert_eq!(step.evidence, Some(Evidence::LeaseExpired), "{step:?}");
        world.note("s to trade again", seconds_between(&round.marker, &first));

        let three_leases = Duration::from_secs(12);
        until("three lease times have passed", seconds(30), async || (began.elapsed() >= three_leases).then_some(()))
            .await;
        let thawed = bot.mark("thaw").await;
        frozen.heal();
        until("the old active has stopped and is a standby again", SOON, async || {
            let pod = bot.pod(&old.name_any()).await;
            let Some(pod) = pod.filter(|p| p.uid() == old.uid()) else { return Some(()) };
            let ready = pod.status?.conditions?.into_iter().find(|c| c.type_ == "Ready" && c.status == "True")?;
            let since = ready.last_transition_time?.0.as_second();
            (u64::try_from(since).ok()? >= thawed.wall_milliseconds / 1000).then_some(())
        })
        .await;
        let late = bot.orders_since(&thawed).await;
        let late: Vec<_> = late.iter().filter(|o| o.token == Some(round.token())).collect();
        world.note("orders that were frozen between check and send", late.len());
        assert!(late.len() <= MAY_GET_THROUGH, "the old active traded on: {late:#?}");
        let verdict = bot.exchange.audit(&bot.account, false).await;
        assert!(verdict.violations.len() <= 2 * late.len(), "more than the late order: {:?}", verdict.violations);
        assert_eq!(bot.status().await.failover.total, 1, "the thaw moved trading");
    });
}

#[test]
fn stopped_agent_is_outlived_by_its_guard() {
    scenario("agent_stopped", Turn::Shared, async |world| {
        let bot = world.apply(bot().hot()).await;
        let before = bot.until_trading().await;
        let aim = bot.aim(&before.active.expect("one trades").pod).await;
        let round = bot.begin_round("SIGSTOP to the agent alone").await;
        // The bot's own process runs on: only the guard process can stop it in time.
        aim.signal("STOP");
        let first = bot.first_order_of_next(&round).await;
        let last = bot.exchange.last_order_of(&round).await;
        let step = bot.until_moved_beyond(before.epoch).await;
        assert_eq!(step.evidence, Some(Evidence::LeaseExpired), "{step:?}");
        let traded_on = seconds_between(&round.marker, &last);
        assert!(traded_on > 1.0, "the bot stopped with its agent, so this proves nothing");
        world.note("s the bot traded on", traded_on);
        world.note("s to trade again", seconds_between(&round.marker, &first));
        aim.signal("CONT");
        bot.until_trading().await;
        assert_eq!(bot.status().await.failover.total, 1);
    });
}
