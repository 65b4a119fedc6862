//! The pod that gave its epoch back goes on with a new one: after an outage, and to be restarted.

use std::time::Duration;

use super::agent::SimPod;
use super::world::*;
use crate::core::failover::*;
use crate::core::time::Mono;

const S: fn(u64) -> Duration = Duration::from_secs;

/// `doge-0` asks for a restart, and is reported ready again after `late`.
fn wants_restart(world: &mut World, late: Duration) {
    let ready_at = world.now().plus(late);
    let pod = world.pod("doge-0");
    pod.leaving = Some("RestartWanted: the bot ended.");
    (pod.ready_at, pod.pod.ready) = (ready_at, late.is_zero());
}

#[test]
fn a_pod_that_wants_a_restart_goes_on_also_under_manual_and_gets_a_moment_to_be_ready() {
    for (manual, late) in [(false, S(0)), (false, S(10)), (true, S(0)), (true, S(10))] {
        let mut world = World::trading(Spec { manual, ..spec() });
        wants_restart(&mut world, late);
        world.until_active(late + S(1));
        assert_eq!((world.trader().as_deref(), world.record.epoch.0), (Some("doge-0"), 2));
        assert_eq!(world.last_move().kind(), MoveKind::Restart);
    }
}

#[test]
fn under_manual_an_outage_ends_on_the_same_pod_without_a_person() {
    let mut world = World::trading(Spec { manual: true, ..spec() });
    world.api_up = false;
    world.run(S(60));
    // Kubelets report late.
    for pod in &mut world.pods {
        (pod.ready_at, pod.pod.ready) = (Mono::both(u64::MAX), false);
    }
    world.api_up = true;
    world.until_active(S(2));
    assert_eq!((world.trader().as_deref(), world.record.epoch.0), (Some("doge-0"), 2));
}

#[test]
fn one_that_is_not_ready_in_time_is_waited_for_no_longer() {
    for manual in [false, true] {
        let mut world = World::trading(Spec { manual, ..spec() });
        wants_restart(&mut world, S(600));
        world.run(S(14));
        assert_eq!((world.trader(), world.record.blocked, world.record.epoch.0), (None, None, 1));
        assert!(world.record.message.contains("not ready yet"), "{}", world.record.message);
        world.run(S(3));
        let moved = (!manual).then_some("doge-1");
        assert_eq!(world.trader().as_deref(), moved);
        assert_eq!(world.record.blocked, manual.then_some(Block::ManualFailover));
    }
}

#[test]
fn one_that_goes_away_is_not_waited_for() {
    for trouble in [|pod: &mut SimPod| pod.pod.terminating = true, |pod: &mut SimPod| pod.pod.finished = true] {
        let mut world = World::trading(spec());
        wants_restart(&mut world, S(600));
        trouble(world.pod("doge-0"));
        world.until_active(S(1));
        assert_eq!(world.trader().as_deref(), Some("doge-1"));
    }
}

/// Where somebody deleted the Lease its silence says nothing about the pod, unless that was called silent before.
#[test]
fn one_that_was_lost_is_not_waited_for() {
    let took = |lost: bool| {
        let mut world = World::trading(spec());
        let pod = world.pod("doge-0");
        (pod.ready_at, pod.pod.ready) = (Mono::both(u64::MAX), false);
        if lost {
            let container_id = world.pod("doge-0").pod.container_id.clone();
            world.record.lost.push(Lost { pod_uid: "u1".into(), container_id });
        }
        world.lease = None;
        world.until_active(S(60))
    };
    let (known, lost) = (took(false), took(true));
    assert!((14_000..16_000).contains(&(known - lost)), "{known} ms and {lost} ms");
}
