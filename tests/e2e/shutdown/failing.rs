//! Steps that fail or hang hold nothing up, and a forced failover waits for none.

use serde_json::{Value, json};
use tradingbot::api::bot_status::{MoveStatus, StepResult};

use super::{NAMES, all, cancelled, results, runs, steps, with};
use crate::harness::*;

/// Switches over from a bot whose step `odd` is replaced by one that does this, and gives the move's record.
async fn with_one_odd_step(world: &World, odd: usize, does: Value, timed_out: bool) -> MoveStatus {
    let mut list = steps();
    list[odd] = does;
    // Each under a name of its own: the exchange knows bots by their names, and epochs of one only grow.
    let bot = world.apply(with(list).named(&format!("doge-{odd}"))).await;
    let before = bot.until_trading().await;
    let round = bot.begin_round(&format!("switchover with an odd step {}", NAMES[odd])).await;
    bot.ask("Switchover", None).await;
    let first = bot.first_order_of_next(&round).await;
    // Its role alone has kept the bot from new orders where the first step did nothing.
    if NAMES[odd] != "cancel-orders" {
        assert!(cancelled(&bot, &round).await.seq < first.seq);
    }
    let step = bot.until_moved_beyond(before.epoch).await;
    let result = if timed_out { StepResult::TimedOut } else { StepResult::Failed };
    let expected: Vec<_> = NAMES
        .iter()
        .enumerate()
        .map(|(n, name)| (*name, if n == odd { result } else { StepResult::Succeeded }))
        .collect();
    assert_eq!(results(&step.shutdown), expected, "{step:?}");
    assert!(!step.shutdown[odd].message.is_empty(), "{step:?}");
    let took = seconds_between(&round.marker, &first);
    world.note(&format!("s to trade elsewhere, odd step {}", NAMES[odd]), took);
    assert!(took < 15.0, "a step of 1 s held trading up for {took} s");
    bot.delete().await;
    bot.until_gone().await;
    step
}

#[test]
fn step_that_fails_does_not_hold_the_rest() {
    scenario("shutdown_step_fails", Turn::Shared, async |world| {
        for (odd, name) in NAMES.into_iter().enumerate() {
            let step = with_one_odd_step(world, odd, runs(name, "no-such-command", 1), false).await;
            assert!(step.shutdown[odd].message.contains("ended with exit code 2"), "{step:?}");
        }
    });
}

#[test]
fn step_that_hangs_costs_its_time_alone() {
    scenario("shutdown_step_hangs", Turn::Shared, async |world| {
        for (odd, name) in NAMES.into_iter().enumerate() {
            let step = with_one_odd_step(world, odd, runs(name, "hang", 1), true).await;
            let took = step.shutdown[odd].milliseconds;
            assert!((1_000..3_000).contains(&took), "{took} ms");
        }
    });
}

#[test]
fn forced_failover_takes_no_step() {
    scenario("shutdown_forced", Turn::Shared, async |world| {
        let bot = world.apply(with(steps())).await;
        let before = bot.until_trading().await;
        let round = bot.begin_round("forced failover").await;
        bot.ask("Failover", None).await;
        let first = bot.first_order_of_next(&round).await;
        let step = bot.until_moved_beyond(before.epoch).await;
        assert_eq!(results(&step.shutdown), all(StepResult::Skipped), "{step:?}");
        world.note("s to trade elsewhere", seconds_between(&round.marker, &first));
    });
}

#[test]
fn step_that_hangs_ends_with_its_container() {
    scenario("shutdown_hangs_and_is_killed", Turn::Shared, async |world| {
        let list = json!([runs("cancel-orders", "cancel", 5), runs("close-positions", "hang", 300)]);
        let bot = world.apply(with(list)).await;
        let before = bot.until_trading().await;
        let round = bot.begin_round("suspend while a step hangs").await;
        bot.change(json!({"spec": {"suspend": true}})).await;
        let cancellation = cancelled(&bot, &round).await;
        // The last step would take five minutes. Its pod is deleted by force, for which the kubelet waits no longer than it is told.
        world.faults().force_delete(&world.namespace, &before.active.expect("one trades").pod).await;
        bot.until_phase(tradingbot::api::bot_status::Phase::Suspended).await;
        let late = bot.orders_since(&cancellation).await;
        assert!(late.is_empty(), "it traded after its orders were cancelled: {late:?}");
    });
}
