//! Which pods there are: scaling, new templates, broken templates.

use std::time::Duration;

use super::world::*;
use crate::core::failover::*;

const S: fn(u64) -> Duration = Duration::from_secs;

#[test]
fn a_new_template_reaches_the_standbys_first_and_then_moves_the_active_once() {
    for replicas in [1, 2, 3] {
        let mut world = World::trading(Spec { replicas, ..spec() });
        world.spec.revision = "r2".into();
        let before = world.record.epoch;
        world.until_active(S(60));
        let name = world.trader().unwrap();
        assert_eq!(world.pod(&name).pod.revision, "r2", "replicas {replicas}");
        assert_eq!(
            (world.last_move().trigger, world.last_move().reason),
            (Trigger::RollingUpdate, Reason::RollingUpdate)
        );
        world.run(S(60));
        assert!(world.pods.iter().all(|p| p.pod.revision == "r2"));
        assert_eq!((world.pods.len(), world.record.epoch.0), (replicas as usize, before.0 + 1));
        world.assert_at_rest();
    }
}

#[test]
fn a_broken_template_never_takes_the_active() {
    let mut world = World::trading(spec());
    world.spec.revision = "r2".into();
    for _ in 0..600 {
        for pod in world.pods.iter_mut().filter(|p| p.pod.revision == "r2") {
            pod.ready_at = crate::core::time::Mono::both(u64::MAX);
        }
        world.run(Duration::from_millis(100));
    }
    assert_eq!((world.trader().as_deref(), world.record.epoch.0), (Some("doge-0"), 1));
    assert_eq!(world.record.message, "doge-0 trades.", "nobody has to do anything");
    // Mended: the broken pod is replaced although it never was ready.
    world.spec.revision = "r3".into();
    world.run(S(60));
    assert!(world.pods.iter().all(|p| p.pod.revision == "r3"));
    world.assert_at_rest();
}

#[test]
fn scaling_up_and_down_never_touches_the_active() {
    let mut world = World::trading(spec());
    world.ask("s", OperationKind::Switchover, None);
    world.until_active(S(5));
    assert_eq!(world.trader().as_deref(), Some("doge-1"));
    world.spec.replicas = 3;
    world.run(S(10));
    assert_eq!(world.pods.len(), 3);
    for replicas in [2, 1] {
        world.spec.replicas = replicas;
        world.run(S(10));
        assert_eq!(world.pods.len(), replicas as usize);
        assert_eq!((world.trader().as_deref(), world.record.epoch.0), (Some("doge-1"), 2));
        world.assert_at_rest();
    }
}

#[test]
fn a_finished_pod_is_replaced_and_a_slot_is_used_once() {
    let mut world = World::trading(spec());
    world.pod("doge-1").pod.finished = true;
    world.pod("doge-1").faults.dead = true;
    world.run(S(10));
    assert_eq!(world.pods.len(), 2);
    assert!(world.pods.iter().all(|p| !p.pod.finished));
    world.assert_at_rest();
}

#[test]
fn a_standby_on_a_lost_node_is_replaced_without_waiting_for_that_node() {
    let mut world = World::trading(spec());
    world.pod("doge-1").faults.cut = true;
    world.pod("doge-1").pod.node_lost = true;
    world.run(S(5));
    assert_eq!(world.pods.iter().filter(|p| p.pod.ready && !p.pod.node_lost).count(), 2);
    assert_eq!(world.pods.len(), 3);
    world.pod("doge-1").faults.cut = false;
    world.pod("doge-1").pod.node_lost = false;
    world.run(S(10));
    assert_eq!((world.pods.len(), world.record.epoch.0), (2, 1));
    world.assert_at_rest();
}

#[test]
fn refused_pods_keep_nothing_else_from_being_done() {
    let mut world = World::trading(spec());
    world.creates_refused = true;
    world.spec.replicas = 3;
    world.pod("doge-0").leaving = Some("ProcessExited: the bot ended.");
    world.until_active(S(5));
    world.run(S(5));
    assert_eq!(world.pod("doge-1").pod.role, Some(Role::Active));
    assert_eq!(world.pod("doge-0").pod.role, Some(Role::Standby));
}

#[test]
fn of_standbys_that_are_ready_one_of_the_present_template_trades_next() {
    let mut world = World::trading(Spec { replicas: 3, ..spec() });
    world.spec.revision = "r2".into();
    world.pod("doge-2").pod.revision = "r2".into();
    world.pod("doge-0").leaving = Some("ProcessExited: the bot ended.");
    world.until_active(S(5));
    assert_eq!((world.trader().as_deref(), world.record.epoch.0), (Some("doge-2"), 2));
}
