//! How long limits, the cool-down and pauses hold a move back, to the millisecond.

use std::time::Duration;

use super::world::*;
use crate::core::failover::*;
use crate::core::ids::Epoch;
use crate::core::time::{Mono, Wall};

const S: fn(u64) -> Duration = Duration::from_secs;

/// Epoch 2 trades after a failover, which is remembered as `remember` has it by the next look; then the active leaves.
/// For how long the next grant is held back.
fn held_back(spec: Spec, leaving: &'static str, remember: impl FnOnce(&mut Move, Wall)) -> Option<Duration> {
    let mut world = World::trading(spec);
    world.pod("doge-0").leaving = Some("ProcessExited: the bot ended.");
    world.until_active(S(5));
    world.run(S(1));
    let next_look = Wall(world.millis + 100);
    remember(&mut world.record.history[0], next_look);
    world.pod("doge-1").leaving = Some(leaving);
    world.run(Duration::from_millis(100));
    assert_eq!(world.millis, next_look.0);
    let held = world.record.epoch == Epoch(2);
    held.then(|| decide(&world.spec, &world.record, &world.memory, &world.observe(), world.now()).wake_after.unwrap())
}

#[test]
fn a_failover_counts_towards_the_limit_for_its_window_and_no_longer() {
    let limited = |remember: fn(&mut Move, Wall)| {
        held_back(Spec { max_failovers: 1, rate_period: S(600), ..spec() }, "ProcessExited: again.", remember)
    };
    assert_eq!(limited(|done, now| done.active = Some(now)), Some(S(600)));
    assert_eq!(limited(|done, now| done.active = Some(Wall(now.0 - 590_000))), Some(S(10)));
    assert_eq!(limited(|done, now| done.active = Some(Wall(now.0 - 600_000))), None);
    // What moved nothing, or was asked for, does not count.
    assert_eq!(limited(|done, _| done.trigger = Trigger::Switchover), None);
    assert_eq!(limited(|done, _| done.reason = Reason::RenewDeadline), None);
    assert_eq!(limited(|done, _| done.to = done.from.clone()), None);
}

#[test]
fn the_cool_down_runs_from_the_last_failover_and_ends_in_time() {
    let cooling = |leaving, remember: fn(&mut Move, Wall)| held_back(spec(), leaving, remember);
    let failed = "PromotionFailed: the promote hook answered 500.";
    assert_eq!(cooling(failed, |done, now| done.active = Some(Wall(now.0 - 59_000))), Some(S(1)));
    assert_eq!(cooling(failed, |done, now| done.active = Some(Wall(now.0 - 60_000))), None);
    assert_eq!(cooling(failed, |done, _| done.trigger = Trigger::Switchover), None);
    assert_eq!(cooling("ProcessExited: again.", |done, now| done.active = Some(now)), None);
}

/// Nobody trades, both pods are ready, and `tried` attempts of this move failed, the last one `ago`.
fn pause(tried: usize, attempts: u32, ago: Duration) -> Option<Duration> {
    let mut world = World::trading(spec());
    for pod in &mut world.pods {
        pod.ready_at = Mono::both(u64::MAX);
    }
    world.pod("doge-0").leaving = Some("ProcessExited: the bot ended.");
    world.run(S(1));
    let mut seen = world.observe();
    seen.pods.iter_mut().for_each(|pod| pod.ready = true);
    let current = world.record.current.as_mut().unwrap();
    (current.tried, current.attempts) = (vec!["u1".into(); tried], attempts);
    world.memory.last_grant = Some(world.now().minus(ago));
    let decision = decide(&world.spec, &world.record, &world.memory, &seen, world.now());
    (decision.record.epoch == Epoch(1)).then(|| decision.wake_after.unwrap())
}

#[test]
fn when_everybody_has_failed_attempts_come_at_growing_distances() {
    for (tried, attempts, expected) in [
        (0, 0, None),
        (1, 0, None),
        (2, 0, Some(S(1))),
        (3, 0, Some(S(2))),
        (6, 0, Some(S(16))),
        (7, 0, Some(S(30))),
        (20, 0, Some(S(30))),
        (0, 1, Some(S(1))),
        (3, 3, Some(S(4))),
    ] {
        assert_eq!(pause(tried, attempts, S(0)), expected, "{tried} tried, {attempts} reconciliations failed");
        assert_eq!(pause(tried, attempts, expected.unwrap_or_default()), None, "that is over");
    }
    assert_eq!(pause(3, 0, S(1)), Some(S(1)));
}
