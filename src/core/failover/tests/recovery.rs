//! What follows when an agent gives its Lease back because a check failed.

use std::time::Duration;

use super::world::*;
use crate::core::failover::*;
use crate::core::recovery::Remedy;
use crate::core::time::Mono;

const S: fn(u64) -> Duration = Duration::from_secs;
const BLIND: &str = "HealthFailed: the check price of the rule blind fails: $.price is missing.";

fn ladder(remedies: &[Remedy], on_standbys: bool) -> Spec {
    let rule = RecoveryRule { name: "blind".into(), remedies: remedies.to_vec(), on_standbys };
    Spec { recovery: RecoveryPolicy { rules: vec![rule], period: S(3600) }, cooldown: S(0), ..spec() }
}

/// The active finds its check failing, and nothing more that it may do about it.
fn complain(world: &mut World) {
    let active = world.trader().unwrap();
    world.pod(&active).leaving = Some(BLIND);
}

fn remedy_of_last(world: &World) -> Option<Remedy> {
    world.record.history[0].recovery.as_ref().map(|step| step.remedy)
}

#[test]
fn after_a_failover_that_did_not_help_people_are_asked() {
    let mut world = World::trading(ladder(&[Remedy::Failover], false));
    complain(&mut world);
    world.until_active(S(5));
    world.run(S(1));
    assert_eq!((world.trader().as_deref(), remedy_of_last(&world)), (Some("doge-1"), Some(Remedy::Failover)));
    complain(&mut world);
    world.run(S(60));
    assert_eq!((world.record.phase, world.record.blocked), (Phase::Maintenance, Some(Block::RecoveryUsedUp)));
    assert_eq!(world.trader(), None);
    assert!(world.record.message.contains("kubectl tradingbot failover"), "{}", world.record.message);
    // For as long as it takes, and without a write.
    let writes = world.log.len();
    world.run(S(7200));
    assert_eq!((world.log.len(), world.trader()), (writes, None));
}

#[test]
fn a_person_who_lets_it_go_on_lets_the_rule_begin_anew() {
    let mut world = World::trading(ladder(&[Remedy::Failover], false));
    for _ in 0..2 {
        complain(&mut world);
        world.run(S(10));
    }
    world.ask("f", OperationKind::Failover, None);
    world.until_active(S(5));
    world.run(S(1));
    complain(&mut world);
    world.until_active(S(5));
    world.run(S(1));
    assert_eq!(remedy_of_last(&world), Some(Remedy::Failover));
}

#[test]
fn what_was_long_ago_does_not_count() {
    let mut world = World::trading(ladder(&[Remedy::Failover], false));
    complain(&mut world);
    world.until_active(S(5));
    world.run(S(3600));
    complain(&mut world);
    world.until_active(S(5));
    assert_eq!(world.record.blocked, None);
}

#[test]
fn an_operator_that_starts_anew_goes_on_where_the_other_was() {
    let mut world = World::trading(ladder(&[Remedy::Failover], false));
    complain(&mut world);
    world.until_active(S(5));
    world.run(S(1));
    world.memory = Memory::default();
    complain(&mut world);
    world.run(S(60));
    assert_eq!(world.record.blocked, Some(Block::RecoveryUsedUp));
    world.memory = Memory::default();
    world.run(S(60));
    assert_eq!(world.trader(), None);
}

#[test]
fn where_standbys_run_the_check_trading_goes_on_when_it_passes_there_again() {
    let mut world = World::trading(ladder(&[], true));
    complain(&mut world);
    world.run(S(60));
    // The standby is ready all the time: it says nothing about what has failed on the active.
    assert_eq!((world.record.blocked, world.trader()), (Some(Block::RecoveryUsedUp), None));
    let later = |world: &World, seconds: u64| Mono::both((world.millis + 1_000 * seconds) * 1_000_000);
    let (soon, late) = (later(&world, 60), later(&world, 3_600));
    world.pod("doge-0").ready_at = late;
    world.pod("doge-1").ready_at = soon;
    world.run(S(59));
    assert_eq!((world.record.blocked, world.trader()), (Some(Block::RecoveryUsedUp), None));
    world.until_active(S(5));
    assert_eq!(world.trader().as_deref(), Some("doge-1"));
}

#[test]
fn a_rule_that_suspends_waits_for_a_person_whatever_standbys_say() {
    let mut world = World::trading(ladder(&[Remedy::Suspend], true));
    complain(&mut world);
    world.run(S(1));
    let soon = Mono::both((world.millis + 60_000) * 1_000_000);
    for pod in ["doge-0", "doge-1"] {
        world.pod(pod).ready_at = soon;
    }
    world.run(S(120));
    assert_eq!((world.record.phase, world.trader()), (Phase::Maintenance, None));
    assert!(world.record.message.contains("its rule blind says that trading stops then"), "{}", world.record.message);
    world.ask("f", OperationKind::Failover, None);
    world.until_active(S(5));
}

#[test]
fn a_pod_that_is_to_be_restarted_is_deleted_once_and_made_again() {
    let mut world = World::trading(ladder(&[Remedy::RestartPod], false));
    let uid = world.pod("doge-0").pod.uid.clone();
    complain(&mut world);
    world.until_active(S(5));
    assert_eq!(world.trader().as_deref(), Some("doge-1"));
    world.run(S(60));
    let deleted = |action: &&Action| matches!(action, Action::DeletePod(pod) if pod.uid == uid);
    assert_eq!(world.log.iter().filter(deleted).count(), 1);
    assert!(world.pods.len() == 2 && world.pods.iter().all(|p| p.pod.uid != uid));
}

#[test]
fn a_complaint_about_a_rule_that_is_gone_moves_trading_once() {
    let mut world =
        World::trading(Spec { recovery: RecoveryPolicy { rules: vec![], period: S(3600) }, ..ladder(&[], false) });
    complain(&mut world);
    world.until_active(S(5));
    world.run(S(1));
    complain(&mut world);
    world.run(S(60));
    assert_eq!(world.record.blocked, Some(Block::RecoveryUsedUp));
}

#[test]
fn the_cool_down_holds_back_what_checks_ask_for() {
    let mut world = World::trading(Spec { cooldown: S(60), ..ladder(&[Remedy::Failover, Remedy::Failover], false) });
    complain(&mut world);
    world.until_active(S(5));
    complain(&mut world);
    world.run(S(20));
    assert_eq!((world.record.phase, world.trader()), (Phase::Electing, None));
    world.until_active(S(60));
}
