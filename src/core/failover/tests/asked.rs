//! What people are answered who asked for something.

use std::time::Duration;

use super::restore_jobs::backed_up;
use super::world::*;
use crate::core::failover::*;
use crate::core::ids::Epoch;
use crate::core::lease::{AgentState, OnApiServerLoss};
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
    world.run(S(9));
    assert_eq!((world.record.phase, world.record.blocked), (Phase::Suspect, None), "nobody is called yet");
    world.run(S(51));
    world.ask("other", confirm(2), None);
    world.run(S(5));
    assert_eq!((refused(&world, "other"), world.record.epoch), ("OtherEpoch", Epoch(1)));
    world.ask("nameless", OperationKind::Confirm { epoch: Epoch(1), by: " ".into() }, None);
    world.run(S(1));
    assert_eq!(refused(&world, "nameless"), "NameMissing");
    assert!(world.lease.as_ref().is_some_and(|lease| lease.holder.is_some()), "neither takes the Lease away");
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

#[test]
fn an_active_that_does_not_trade_yet_can_be_forced_away_and_not_switched_over() {
    let answer = |kind, to: &str| {
        let mut world = World::trading(Spec { replicas: 3, ..spec() });
        world.lease.as_mut().unwrap().state = AgentState::Promoting;
        world.ask("o", kind, Some(to));
        world.round();
        world.last_told("o").cloned()
    };
    let switched = answer(OperationKind::Switchover, "doge-1");
    assert!(matches!(switched, Some(OperationUpdate::Failed { reason: "ActiveNotSteady", .. })), "{switched:?}");
    let forced = answer(OperationKind::Failover, "doge-0");
    assert!(matches!(forced, Some(OperationUpdate::Running { .. })), "it does not trade already: {forced:?}");
}

#[test]
fn a_failover_to_a_pod_that_is_not_there_is_refused_also_when_nobody_trades() {
    let mut world = World::trading(Spec { manual: true, ..spec() });
    world.pod("doge-0").leaving = Some("ProcessExited: the bot ended.");
    world.run(S(5));
    world.ask("f", OperationKind::Failover, Some("doge-9"));
    world.run(S(1));
    assert_eq!((refused(&world, "f"), world.trader()), ("TargetNotReady", None));
}

#[test]
fn a_confirmation_for_one_that_renews_is_refused_and_one_for_another_epoch_says_which_it_is() {
    let mut world = World::trading(spec());
    world.ask("renews", confirm(1), None);
    world.ask("other", confirm(2), None);
    world.run(S(1));
    assert_eq!((refused(&world, "renews"), refused(&world, "other")), ("StillRenewing", "OtherEpoch"));
}

#[test]
fn a_restore_is_not_refused_for_an_operation_that_is_over_and_only_has_to_be_told_so() {
    let mut world = World::trading(backed_up(spec()));
    world.ask("s", OperationKind::Switchover, None);
    // The status says that it is over, and telling it failed.
    let (name, uid) = ("s".to_owned(), "s-uid".to_owned());
    world.record.operation = Some(RunningOperation { name, uid, since: Epoch(0), to: None });
    world.ask("r", OperationKind::Restore, None);
    world.round();
    assert!(matches!(world.last_told("s"), Some(OperationUpdate::Succeeded { .. })));
    assert_eq!(world.last_told("r"), None);
    world.round();
    assert!(matches!(world.last_told("r"), Some(OperationUpdate::Running { .. })));
}
