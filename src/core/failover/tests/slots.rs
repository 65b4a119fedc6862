//! How many pods are made and removed, and which: one round after the other.

use std::time::Duration;

use super::world::*;
use crate::core::failover::*;
use crate::core::time::Mono;

const S: fn(u64) -> Duration = Duration::from_secs;

const NONE: [u32; 0] = [];

/// A bot with so many pods, all of them ready; the first one trades.
fn with(replicas: u32) -> World {
    World::trading(Spec { replicas, ..spec() })
}

/// The slots of the pods that one round removes.
fn removed(world: &mut World) -> Vec<u32> {
    let slot = |uid: &str| world.pods.iter().find(|p| p.pod.uid == uid).map(|p| p.pod.slot);
    let decision = decide(&world.spec, &world.record, &world.memory, &world.observe(), world.now());
    let of = |action: &Action| match action {
        Action::DeletePod(pod) => slot(&pod.uid),
        _ => None,
    };
    decision.actions.iter().filter_map(of).collect()
}

#[test]
fn as_many_are_made_as_are_missing_in_the_lowest_free_slots() {
    let mut world = with(4);
    world.pods.retain(|pod| pod.pod.slot == 0 || pod.pod.slot == 2);
    let made = world.round();
    assert_eq!(made, [Action::CreatePod { slot: 1 }, Action::CreatePod { slot: 3 }]);
}

#[test]
fn as_many_go_as_are_too_many_and_those_first_that_are_least_use() {
    let mut world = with(5);
    world.spec.replicas = 3;
    assert_eq!(removed(&mut world), [4, 3]);
    let worse: [fn(&mut Pod); 3] =
        [|pod| pod.ready = false, |pod| pod.revision = "r0".into(), |pod| pod.draining = true];
    for worse in worse {
        let mut world = with(4);
        world.spec.replicas = 3;
        worse(&mut world.pod("doge-1").pod);
        assert_eq!(removed(&mut world), [1]);
    }
}

#[test]
fn none_goes_while_the_active_is_in_doubt() {
    let mut world = with(2);
    world.pod("doge-0").faults.dead = true;
    world.run_until("suspicion", S(10), |w| w.record.phase == Phase::Suspect);
    world.spec.replicas = 1;
    assert_eq!(removed(&mut world), NONE);
}

/// Its status may yet be evidence.
#[test]
fn whoever_may_trade_is_not_removed_although_it_has_finished_and_is_outdated() {
    let mut world = with(2);
    world.pod("doge-0").faults.dead = true;
    world.run_until("suspicion", S(10), |w| w.record.phase == Phase::Suspect);
    world.pod("doge-0").pod.finished = true;
    assert_eq!(removed(&mut world), NONE);
    world.pod("doge-0").pod.finished = false;
    world.pod("doge-0").pod.ready = false;
    world.spec.revision = "r2".into();
    assert_eq!(removed(&mut world), NONE);
}

#[test]
fn whoever_is_about_to_trade_is_not_replaced_and_neither_is_anybody_else() {
    let mut world = World::preparing(reconciled(OnFailure::Retry));
    world.spec.revision = "r2".into();
    assert_eq!(removed(&mut world), NONE);
    world.pod("doge-1").pod.ready = false;
    assert_eq!(removed(&mut world), NONE);
}

/// Where every attempt to trade fails, the new template may be the remedy.
#[test]
fn an_outdated_standby_is_replaced_between_attempts_where_a_pod_has_failed() {
    let mut world = World::trading(spec());
    world.pod("doge-0").leaving = Some("PromotionFailed: the bot cannot trade.");
    world.until_active(S(5));
    world.pod("doge-1").leaving = Some("PromotionFailed: the bot cannot trade.");
    world.run(S(1));
    assert_eq!((world.record.phase, world.trader()), (Phase::Electing, None), "the cool-down runs");
    world.spec.revision = "r2".into();
    assert_eq!(removed(&mut world), [1]);
    // A reconciliation that fails is no pod's fault.
    let mut world = World::trading(reconciled(OnFailure::Retry));
    world.job_fate = JobFate::Fails;
    world.ask("s", OperationKind::Switchover, None);
    world.run_until("a pause", S(5), |w| w.record.current.as_ref().is_some_and(|m| m.attempts == 2));
    assert_eq!((world.record.phase, world.trader()), (Phase::Electing, None));
    world.spec.revision = "r2".into();
    assert_eq!(removed(&mut world), NONE);
}

#[test]
fn an_outdated_standby_is_replaced_while_no_other_one_is_coming_or_going() {
    let replaced = |change: fn(&mut World)| {
        let mut world = with(3);
        world.spec.revision = "r2".into();
        world.pod("doge-1").pod.revision = "r2".into();
        change(&mut world);
        removed(&mut world)
    };
    fn going(world: &mut World, node_lost: bool) {
        let mut pod = world.pod("doge-2").clone();
        (pod.pod.name, pod.pod.uid, pod.pod.slot) = ("doge-3".into(), "u9".into(), 3);
        (pod.pod.terminating, pod.pod.node_lost) = (true, node_lost);
        world.pods.push(pod);
    }
    assert_eq!(replaced(|_| {}), [2]);
    assert_eq!(replaced(|w| w.pod("doge-1").pod.ready = false), NONE);
    assert_eq!(replaced(|w| w.pod("doge-0").pod.ready = false), [2], "the active stays whatever becomes of it");
    assert_eq!(replaced(|w| going(w, false)), NONE);
    assert_eq!(replaced(|w| going(w, true)), [2], "nobody reports its end");
}

#[test]
fn the_slot_that_traded_last_is_known_by_the_pod_or_its_name() {
    let mut world = with(3);
    let pods = |world: &World| world.observe().pods;
    assert_eq!(last_slot(&world.record, &pods(&world)), 0);
    world.ask("s", OperationKind::Switchover, Some("doge-2"));
    world.until_active(S(5));
    assert_eq!(last_slot(&world.record, &pods(&world)), 2);
    world.record.trading = None;
    assert_eq!(last_slot(&world.record, &pods(&world)), 2, "the history says so");
    world.pods.retain(|pod| pod.pod.slot == 1);
    assert_eq!(last_slot(&world.record, &pods(&world)), 2, "its name says so");
    world.pod("doge-1").ready_at = Mono::both(u64::MAX);
    assert_eq!(last_slot(&Record::default(), &pods(&world)), 1, "the lowest");
    assert_eq!(last_slot(&Record::default(), &[]), 0);
}
