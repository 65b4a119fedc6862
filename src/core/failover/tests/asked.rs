//! What people are answered who asked for something.

use std::time::Duration;

use super::world::*;
use crate::core::failover::*;
use crate::core::ids::Epoch;
use crate::core::lease::OnApiServerLoss;
use crate::core::time::Mono;

const S: fn(u64) -> Duration = Duration::from_secs;

fn refused(world: &World, name: &str) -> &'static str {
    match world.last_told(name) {
        Some(OperationUpdate::Failed { reason, .. }) => reason,
        other => panic!("{name}: {other:?}"),
    }
}

fn confirm(epoch: u64) -> OperationKind {
    OperationKind::Confirm { epoch: Epoch(epoch), by: "kate".into() }
}

#[test]
fn a_confirmation_counts_for_the_epoch_that_may_be_trading_and_for_no_other() {
    let mut spec = spec();
    spec.terms.on_api_server_loss = OnApiServerLoss::Continue;
    let mut world = World::trading(spec);
    world.pod("doge-0").faults.dead = true;
    world.run(S(60));
    world.ask("other", confirm(2), None);
    world.run(S(5));
    assert_eq!((refused(&world, "other"), world.record.epoch), ("OtherEpoch", Epoch(1)));
    world.ask("right", confirm(1), None);
    world.until_active(S(5));
    world.ask("late", confirm(1), None);
    world.run(S(1));
    assert!(matches!(world.last_told("late"), Some(OperationUpdate::Succeeded { .. })));
    world.spec.suspend = true;
    world.run(S(5));
    world.ask("nobody", confirm(9), None);
    world.run(S(1));
    assert_eq!(refused(&world, "nobody"), "NobodyTrades");
}

#[test]
fn who_named_a_pod_learns_that_another_one_trades() {
    let mut world = World::trading(Spec { replicas: 3, ..spec() });
    world.pod("doge-2").faults.deaf = true;
    world.ask("s", OperationKind::Switchover, Some("doge-2"));
    world.run_until("the candidate", S(5), |w| w.record.epoch == Epoch(2));
    world.pod("doge-2").ready_at = Mono::both(u64::MAX);
    world.until_active(S(20));
    world.run(S(1));
    assert_eq!(refused(&world, "s"), "TradesElsewhere");
    assert_ne!(world.trader().as_deref(), Some("doge-2"));
    world.assert_at_rest();
}

#[test]
fn who_asked_for_a_move_that_only_people_can_bring_on_is_told_so() {
    let mut world = World::trading(reconciled(OnFailure::Block));
    world.job_fate = JobFate::Fails;
    world.ask("blocked", OperationKind::Switchover, None);
    world.run(S(10));
    assert_eq!((refused(&world, "blocked"), world.record.operation.clone()), ("Blocked", None));

    let mut world = World::trading(spec());
    world.pod("doge-0").faults.ignores_graceful_stop = true;
    world.ask("suspended", OperationKind::Switchover, None);
    world.run(S(1));
    world.spec.suspend = true;
    world.run(S(1));
    assert_eq!(refused(&world, "suspended"), "Blocked");
}

#[test]
fn a_switchover_without_a_name_needs_a_standby_that_is_ready() {
    let mut world = World::trading(spec());
    world.pod("doge-1").ready_at = Mono::both(u64::MAX);
    world.ask("s", OperationKind::Switchover, None);
    world.run(S(1));
    assert_eq!((refused(&world, "s"), world.trader().as_deref()), ("TargetNotReady", Some("doge-0")));
}
