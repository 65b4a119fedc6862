//! What an agent says of the steps by which it stopped its bot, and of the hook by which it was promoted, is kept.

use std::time::Duration;

use super::world::*;
use crate::core::failover::*;
use crate::core::shutdown::{Shutdown, StepReport, StepResult};

const S: fn(u64) -> Duration = Duration::from_secs;

fn steps(result: StepResult) -> Vec<StepReport> {
    let step = |name: &str| StepReport { name: name.into(), result, milliseconds: 12, message: String::new() };
    vec![step("cancel-orders"), step("demote")]
}

fn with_steps() -> World {
    let mut world = World::trading(spec());
    world.pod("doge-0").steps = steps(StepResult::TimedOut);
    world.pod("doge-1").steps = steps(StepResult::Succeeded);
    world
}

#[test]
fn the_record_of_a_move_says_how_the_old_active_was_stopped() {
    let mut world = with_steps();
    world.ask("s", OperationKind::Switchover, None);
    world.until_active(S(5));
    assert_eq!(world.last_move().shutdown, steps(StepResult::TimedOut));
    let last = world.record.last_shutdown.clone().unwrap();
    assert_eq!((last.pod.as_str(), last.epoch.0, last.steps), ("doge-0", 1, steps(StepResult::TimedOut)));
    assert_eq!(world.lease.as_ref().unwrap().shutdown, [], "the next grant begins anew");
    // Back again: the newest stop is the last one, and each move keeps its own.
    world.ask("t", OperationKind::Switchover, None);
    world.until_active(S(5));
    assert_eq!(world.last_move().shutdown, steps(StepResult::Succeeded));
    assert_eq!(world.record.history[1].shutdown, steps(StepResult::TimedOut));
    assert_eq!(world.record.last_shutdown.as_ref().unwrap().epoch.0, 2);
}

#[test]
fn a_pod_that_is_deleted_says_how_its_bot_was_stopped() {
    let mut world = with_steps();
    world.pod("doge-0").pod.terminating = true;
    world.until_active(S(5));
    assert_eq!(
        (world.last_move().trigger, &world.last_move().shutdown),
        (Trigger::Eviction, &steps(StepResult::TimedOut))
    );
}

#[test]
fn where_no_move_follows_the_last_stop_is_kept() {
    let mut world = with_steps();
    world.spec.suspend = true;
    world.run(S(5));
    assert_eq!((world.record.phase, &world.record.current), (Phase::Suspended, &None));
    let Shutdown { at, pod, epoch, steps: kept } = world.record.last_shutdown.clone().unwrap();
    assert_eq!((pod.as_str(), epoch.0, kept), ("doge-0", 1, steps(StepResult::TimedOut)));
    assert!(at >= world.record.history[0].active.unwrap());
    world.spec.suspend = false;
    world.until_active(S(5));
    assert_eq!(world.last_move().shutdown, [], "it was no part of this move");
    assert_eq!(world.record.last_shutdown.as_ref().unwrap().epoch.0, 1);
}

#[test]
fn who_fell_silent_has_said_nothing_of_its_steps() {
    let mut world = with_steps();
    world.pod("doge-0").faults.dead = true;
    world.until_active(S(30));
    assert_eq!(world.last_move().evidence, Some(Evidence::LeaseExpired));
    assert_eq!((world.last_move().shutdown.len(), &world.record.last_shutdown), (0, &None));
}

fn promoted(result: StepResult) -> StepReport {
    StepReport { name: "promote".into(), result, milliseconds: 12, message: String::new() }
}

#[test]
fn the_record_of_a_move_says_what_the_promote_hook_came_to() {
    let mut world = World::trading(spec());
    assert_eq!(world.last_move().promote_hook, None, "there was none");
    world.pod("doge-0").promote_hook = Some(promoted(StepResult::Succeeded));
    world.pod("doge-1").promote_hook = Some(promoted(StepResult::Succeeded));
    world.ask("s", OperationKind::Switchover, None);
    world.until_active(S(5));
    assert_eq!(world.last_move().promote_hook, Some(promoted(StepResult::Succeeded)));
    world.pod("doge-0").promote_hook = None;
    world.ask("t", OperationKind::Switchover, None);
    world.until_active(S(5));
    assert_eq!(world.last_move().promote_hook, None, "each move keeps its own");
}

#[test]
fn a_move_that_failed_because_of_the_promote_hook_says_so_until_another_call_succeeds() {
    let after = |of_the_next: Option<StepReport>| {
        let mut world = World::trading(spec());
        world.pod("doge-1").promote_hook = Some(promoted(StepResult::Failed));
        world.pod("doge-0").promote_hook = of_the_next;
        world.ask("s", OperationKind::Switchover, None);
        world.until_active(S(5));
        assert_eq!((world.last_move().tried.len(), world.trader().as_deref()), (1, Some("doge-0")));
        world.last_move().promote_hook.clone()
    };
    assert_eq!(after(None), Some(promoted(StepResult::Failed)));
    assert_eq!(after(Some(promoted(StepResult::Succeeded))), Some(promoted(StepResult::Succeeded)));
}
