//! Switchovers, forced failovers and drained nodes.

use std::time::Duration;

use super::world::*;
use crate::core::failover::*;

const S: fn(u64) -> Duration = Duration::from_secs;

#[test]
fn a_switchover_goes_to_the_pod_that_was_named() {
    let mut world = World::trading(Spec { replicas: 3, ..spec() });
    world.ask("s", OperationKind::Switchover, Some("doge-2"));
    let took = world.until_active(S(5));
    assert!(took <= 300, "{took} ms");
    world.run(S(1));
    let done = world.last_move();
    assert_eq!(
        (done.trigger, done.evidence, done.kind()),
        (Trigger::Switchover, Some(Evidence::Released), MoveKind::Switchover)
    );
    assert_eq!(world.trader().as_deref(), Some("doge-2"));
    let told: Vec<_> = world.told.iter().map(|(_, u)| u).collect();
    assert!(matches!(told[..], [OperationUpdate::Running { .. }, OperationUpdate::Succeeded { .. }]), "{told:?}");
    assert_eq!(world.record.operation, None);
    world.assert_at_rest();
}

#[test]
fn a_switchover_to_a_pod_that_is_not_ready_leaves_the_active_alone() {
    let mut world = World::trading(spec());
    world.pod("doge-1").ready_at = crate::core::time::Mono::both(u64::MAX);
    for (name, kind) in [("s", OperationKind::Switchover), ("f", OperationKind::Failover)] {
        world.ask(name, kind, Some("doge-1"));
        world.run(S(5));
        assert!(matches!(world.last_told(name), Some(OperationUpdate::Failed { reason: "TargetNotReady", .. })));
    }
    assert_eq!((world.trader().as_deref(), world.record.epoch.0), (Some("doge-0"), 1));
    world.ask("g", OperationKind::Failover, Some("doge-9"));
    world.run(S(5));
    assert!(matches!(world.last_told("g"), Some(OperationUpdate::Failed { reason: "TargetNotReady", .. })));
}

#[test]
fn of_two_operations_at_once_the_second_is_refused() {
    let mut world = World::trading(Spec { replicas: 3, ..spec() });
    world.ask("a", OperationKind::Switchover, Some("doge-1"));
    world.ask("b", OperationKind::Failover, Some("doge-2"));
    world.round();
    assert!(matches!(world.last_told("b"), Some(OperationUpdate::Failed { reason: "AnotherOperationRuns", .. })));
    world.until_active(S(5));
    world.run(S(2));
    assert!(matches!(world.last_told("a"), Some(OperationUpdate::Succeeded { .. })));
    assert!(matches!(world.last_told("b"), Some(OperationUpdate::Failed { reason: "AnotherOperationRuns", .. })));
    assert_eq!((world.trader().as_deref(), world.record.epoch.0), (Some("doge-1"), 2));
}

#[test]
fn an_operation_to_the_pod_that_trades_is_done_already() {
    let mut world = World::trading(spec());
    world.ask("s", OperationKind::Switchover, Some("doge-0"));
    world.run(S(2));
    assert!(matches!(world.last_told("s"), Some(OperationUpdate::Succeeded { .. })));
    assert_eq!(world.record.epoch.0, 1);
}

#[test]
fn a_forced_failover_does_not_ask_nicely() {
    let mut world = World::trading(spec());
    world.pod("doge-0").faults.ignores_graceful_stop = true;
    world.ask("f", OperationKind::Failover, None);
    let took = world.until_active(S(5));
    assert!(took <= 300, "{took} ms");
    assert_eq!(world.last_move().trigger, Trigger::Failover);
}

#[test]
fn an_active_that_does_not_stop_gracefully_is_stopped_at_once_in_the_end() {
    let mut world = World::trading(spec());
    world.pod("doge-0").faults.ignores_graceful_stop = true;
    world.ask("s", OperationKind::Switchover, None);
    let took = world.until_active(S(60));
    assert!((30_000..31_000).contains(&took), "stop time and slack: {took} ms");
    assert_eq!(world.trader().as_deref(), Some("doge-1"));
}

#[test]
fn a_forced_failover_from_a_silent_active_still_waits_for_evidence() {
    let mut world = World::trading(spec());
    world.pod("doge-0").faults.dead = true;
    world.run(S(7));
    world.ask("s", OperationKind::Switchover, None);
    world.run(Duration::from_millis(500));
    assert!(matches!(world.last_told("s"), Some(OperationUpdate::Failed { reason: "ActiveNotSteady", .. })));
    world.ask("f", OperationKind::Failover, None);
    world.until_active(S(10));
    world.run(S(1));
    assert_eq!(world.last_move().evidence, Some(Evidence::LeaseExpired));
    assert_eq!(world.last_move().kind(), MoveKind::Failover);
    assert!(matches!(world.last_told("f"), Some(OperationUpdate::Succeeded { .. })));
}

#[test]
fn a_switchover_whose_active_falls_silent_counts_as_a_failover() {
    let mut world = World::trading(spec());
    world.pod("doge-0").faults.ignores_graceful_stop = true;
    world.ask("s", OperationKind::Switchover, None);
    world.run(S(1));
    world.pod("doge-0").faults.dead = true;
    world.until_active(S(20));
    let done = world.last_move();
    assert_eq!(
        (done.trigger, done.evidence, done.kind()),
        (Trigger::Switchover, Some(Evidence::LeaseExpired), MoveKind::Failover)
    );
}

#[test]
fn a_forced_failover_during_a_promotion_moves_on() {
    let mut world = World::trading(Spec { replicas: 3, ..spec() });
    world.pod("doge-1").faults.hangs_in_promotion = true;
    world.pod("doge-0").leaving = Some("ProcessExited: the bot ended.");
    world.run_until("activating", S(5), |w| w.record.phase == Phase::Activating);
    world.run(S(1));
    world.ask("f", OperationKind::Failover, None);
    world.until_active(S(5));
    world.run(S(1));
    assert_ne!(world.trader().as_deref(), Some("doge-1"));
    assert!(matches!(world.last_told("f"), Some(OperationUpdate::Succeeded { .. })));
}

#[test]
fn an_operation_that_is_deleted_before_the_active_was_asked_is_forgotten() {
    let mut world = World::trading(spec());
    // The status is written, and the operator dies before it revokes the permit.
    world.mishap = Some((1, Mishap::CrashBefore));
    world.ask("s", OperationKind::Switchover, None);
    world.run(Duration::from_millis(100));
    world.operations.clear();
    world.run(S(20));
    assert_eq!(world.record.phase, Phase::Active);
    assert_eq!((world.record.operation.clone(), world.record.current.clone()), (None, None));
    world.assert_at_rest();
}

#[test]
fn a_drained_node_is_left_as_a_switchover() {
    let mut world = World::trading(spec());
    world.pod("doge-0").pod.draining = true;
    world.until_active(S(5));
    let done = world.last_move();
    assert_eq!(
        (done.trigger, done.reason, done.evidence),
        (Trigger::Eviction, Reason::NodeDrained, Some(Evidence::Released))
    );
    assert_eq!(world.trader().as_deref(), Some("doge-1"));
    world.run(S(10));
    world.assert_at_rest();
}

#[test]
fn where_every_node_is_drained_nothing_moves() {
    let mut world = World::trading(spec());
    world.pods.iter_mut().for_each(|p| p.pod.draining = true);
    world.run(S(60));
    assert_eq!((world.trader().as_deref(), world.record.epoch.0), (Some("doge-0"), 1));
}

#[test]
fn a_single_replica_on_a_drained_node_gets_a_successor_first() {
    let mut world = World::trading(Spec { replicas: 1, ..spec() });
    world.pod("doge-0").pod.draining = true;
    world.until_active(S(10));
    assert_eq!(world.trader().as_deref(), Some("doge-1"));
    world.run(S(10));
    assert_eq!(world.pods.len(), 1);
    world.assert_at_rest();
}

#[test]
fn a_deleted_pod_gives_the_lease_back_and_a_standby_goes_on() {
    let mut world = World::trading(spec());
    let gone = crate::core::time::Mono::both((world.millis + 3_000) * 1_000_000);
    world.pod("doge-0").pod.terminating = true;
    world.pod("doge-0").gone_at = Some(gone);
    let took = world.until_active(S(5));
    assert!(took <= 300, "{took} ms");
    assert_eq!((world.last_move().trigger, world.last_move().reason), (Trigger::Eviction, Reason::PodDeleted));
    world.run(S(10));
    assert_eq!(world.pods.len(), 2);
    world.assert_at_rest();
}
