//! The active's process, container or agent ends.

use tradingbot::api::bot_status::{Evidence, MoveStatus, Reason, Trigger};

use crate::harness::*;

/// The steps of a finished move are all there, in order, and add up.
pub fn assert_told(step: &MoveStatus) {
    let times = [
        Some(&step.suspected_time),
        step.fenced_time.as_ref(),
        step.elected_time.as_ref(),
        step.reconciled_time.as_ref(),
        step.active_time.as_ref(),
    ];
    let times: Vec<_> = times.into_iter().map(|t| t.expect("every step has its time").0).collect();
    assert!(times.is_sorted(), "the steps are not in order: {step:?}");
    let took = times[4].as_millisecond() - times[0].as_millisecond();
    assert_eq!(step.duration_milliseconds, u64::try_from(took).ok(), "{step:?}");
    assert_eq!(step.target_met, Some(took <= 30_000));
}

#[test]
fn crashed_active_is_replaced_and_never_trades_again() {
    scenario("process_crash", Turn::Shared, async |world| {
        let bot = world.apply(bot().hot().reconciled()).await;
        let before = bot.until_trading().await;
        let old = before.active.expect("one trades").pod;
        let round = bot.begin_round("crash").await;
        bot.tell(&old, "crash").await;
        let first = bot.first_order_of_next(&round).await;
        let step = bot.until_moved_beyond(before.epoch).await;
        assert_eq!((step.trigger, step.reason), (Trigger::Automatic, Reason::ProcessExited));
        assert_eq!(step.evidence, Some(Evidence::Released), "{step:?}");
        assert_eq!((step.from.as_deref(), first.epoch), (Some(old.as_str()), Some(step.epoch)));
        assert_ne!(step.to, step.from, "trading moved to the pod that had failed");
        assert_told(&step);
        let report = step.reconciliation.expect("the reconciliation's report");
        assert_eq!(report.open_orders_found, report.orders_cancelled);
        world.note("s to trade again", seconds_between(&round.marker, &first));
        bot.until_trading().await;
    });
}

#[test]
fn crashed_process_is_restarted_in_place_before_trading_moves() {
    scenario("process_crash_in_place", Turn::Shared, async |world| {
        let bot = world.apply(bot().in_place_restarts(1)).await;
        let before = bot.until_trading().await;
        let active = before.active.expect("one trades").pod;
        let round = bot.begin_round("first crash").await;
        bot.tell(&active, "crash").await;
        let instance = round.order.instance.clone().expect("orders name their process");
        let filter = bot.at(&format!("since={}&instance_not={instance}", round.marker.seq));
        let again = bot.exchange.wait("the restarted process trades", SOON, &filter).await;
        assert_eq!(again.token, round.order.token, "a restart in place is no new epoch");
        world.note("s to restart in place", seconds_between(&round.marker, &again));
        let status = bot.until_trading().await;
        assert_eq!((status.epoch, status.active.map(|a| a.pod)), (before.epoch, Some(active.clone())));

        let round = bot.begin_round("second crash").await;
        bot.tell(&active, "crash").await;
        let first = bot.first_order_of_next(&round).await;
        let step = bot.until_moved_beyond(before.epoch).await;
        assert_eq!((step.reason, step.evidence), (Reason::ProcessExited, Some(Evidence::Released)));
        assert_ne!(step.to.as_deref(), Some(active.as_str()));
        world.note("s to trade elsewhere", seconds_between(&round.marker, &first));
    });
}

#[test]
fn killed_container_is_replaced_on_the_kubelets_word_or_its_successors() {
    scenario("container_sigkill", Turn::Shared, async |world| {
        let bot = world.apply(bot().hot().reconciled()).await;
        let before = bot.until_trading().await;
        let aim = bot.aim(&before.active.expect("one trades").pod).await;
        let round = bot.begin_round("SIGKILL to all of the container").await;
        aim.kill_all();
        let first = bot.first_order_of_next(&round).await;
        let step = bot.until_moved_beyond(before.epoch).await;
        assert_eq!(step.trigger, Trigger::Automatic);
        let proven = [Evidence::ContainerTerminated, Evidence::ContainerRestarted];
        assert!(step.evidence.is_some_and(|e| proven.contains(&e)), "{step:?}");
        assert_told(&step);
        world.note("s to trade again", seconds_between(&round.marker, &first));
        world.note("evidence", format!("{:?}", step.evidence.expect("there is one")));
    });
}

#[test]
fn killed_agent_takes_the_bot_and_its_daemons_along() {
    scenario("agent_killed", Turn::Shared, async |world| {
        let bot = world.apply(bot()).await;
        let before = bot.until_trading().await;
        let active = before.active.expect("one trades").pod;
        bot.tell(&active, "daemonise").await;
        let aim = bot.aim(&active).await;
        let agent = aim.processes().into_iter().find(|p| p.inside == 1);
        assert!(agent.is_none_or(|a| a.command.contains("tradingbot-agent")), "PID 1 is not the agent");
        let round = bot.begin_round("SIGKILL to the agent alone").await;
        aim.kill();
        let first = bot.first_order_of_next(&round).await;
        assert!(aim.processes().is_empty(), "processes outlived the agent: {:?}", aim.processes());
        let step = bot.until_moved_beyond(before.epoch).await;
        let proven = [Evidence::ContainerTerminated, Evidence::ContainerRestarted];
        assert!(step.evidence.is_some_and(|e| proven.contains(&e)), "{step:?}");
        world.note("s to trade again", seconds_between(&round.marker, &first));
    });
}

#[test]
fn daemonised_child_in_its_own_session_stops_with_the_bot() {
    scenario("daemonised_child", Turn::Shared, async |world| {
        let bot = world.apply(bot()).await;
        let before = bot.until_trading().await;
        let active = before.active.expect("one trades").pod;
        bot.tell(&active, "daemonise").await;
        let round = bot.begin_round("the parent of a daemon crashes").await;
        bot.tell(&active, "crash").await;
        bot.first_order_of_next(&round).await;
        let step = bot.until_moved_beyond(before.epoch).await;
        assert_eq!((step.reason, step.evidence), (Reason::ProcessExited, Some(Evidence::Released)));
        // The judge reads the whole log at the end: the child, which goes on by itself, is another instance.
        bot.until_trading().await;
    });
}

#[test]
fn process_that_ignores_sigterm_is_killed_before_another_trades() {
    scenario("sigterm_ignored", Turn::Shared, async |world| {
        let bot = world.apply(bot().hot()).await;
        let before = bot.until_trading().await;
        let active = before.active.expect("one trades").pod;
        bot.tell(&active, "ignore-sigterm").await;
        let round = bot.begin_round("a switchover away from a deaf process").await;
        let operation = bot.ask("Switchover", None).await;
        let first = bot.first_order_of_next(&round).await;
        let last = bot.exchange.last_order_of(&round).await;
        // As long as the grace period: the process was there, deaf, and nobody traded beside it.
        assert!(seconds_between(&last, &first) > 2.0, "it did not ignore SIGTERM, so this proves nothing");
        let ended = bot.until_ended(&operation).await;
        assert_eq!(format!("{:?}", ended.phase), "Succeeded", "{ended:?}");
        let step = bot.until_moved_beyond(before.epoch).await;
        assert_eq!(step.evidence, Some(Evidence::Released));
        world.note("s without trading", seconds_between(&last, &first));
    });
}
