//! The API server away, restored, or out of the operator's reach.

use std::time::Duration;

use super::world::*;
use crate::core::failover::*;
use crate::core::ids::FencingToken;
use crate::core::lease::{LeaseRecord, OnApiServerLoss};
use crate::core::silence::Link;
use crate::core::time::Wall;

const S: fn(u64) -> Duration = Duration::from_secs;

#[test]
fn an_outage_ends_with_a_new_epoch_on_the_same_pod() {
    let mut world = World::trading(Spec { max_failovers: 1, ..spec() });
    world.ask("s", OperationKind::Switchover, None);
    world.until_active(S(5));
    world.run(S(1));
    for _ in 0..3 {
        world.api_up = false;
        world.run(S(60));
        assert_eq!(world.trader(), None, "it stopped by its deadline");
        world.api_up = true;
        world.until_active(S(20));
        assert_eq!(world.trader().as_deref(), Some("doge-1"), "an outage moves nothing");
        assert_eq!(world.last_move().reason, Reason::RenewDeadline);
        world.run(S(30));
        world.assert_at_rest();
    }
}

/// After an outage kubelets report late: pods look unready for a while although they are fine.
#[test]
fn an_outage_moves_nothing_although_the_pod_is_reported_ready_late() {
    let mut world = World::trading(spec());
    world.api_up = false;
    world.run(S(60));
    let late = crate::core::time::Mono::both((world.millis + 10_000) * 1_000_000);
    let active = world.record.trading.as_ref().unwrap().pod.name.clone();
    world.pod(&active).ready_at = late;
    world.pod(&active).pod.ready = false;
    world.api_up = true;
    world.until_active(S(20));
    assert_eq!(world.trader(), Some(active));
}

/// The agent has spoken: a kubelet and a node controller that report the outage for a minute longer delay nothing.
#[test]
fn an_outage_ends_at_once_although_kubelet_and_node_are_reported_lost() {
    let mut world = World::trading(spec());
    let active = world.record.trading.as_ref().unwrap().pod.name.clone();
    world.api_up = false;
    world.run(S(60));
    for pod in &mut world.pods {
        pod.ready_at = crate::core::time::Mono::both(u64::MAX);
        (pod.pod.ready, pod.pod.node_lost) = (false, true);
    }
    world.api_up = true;
    world.until_active(S(2));
    assert_eq!(world.trader(), Some(active));
}

/// Only the pod whose agent has spoken, and only as long as it is to stay.
#[test]
fn an_outage_makes_nobody_eligible_who_is_going_or_has_said_nothing() {
    for going in [|pod: &mut Pod| pod.terminating = true, |pod: &mut Pod| pod.finished = true] {
        let mut world = World::trading(spec());
        world.api_up = false;
        world.run(S(60));
        for pod in &mut world.pods {
            pod.ready_at = crate::core::time::Mono::both(u64::MAX);
            pod.pod.ready = false;
        }
        going(&mut world.pod("doge-0").pod);
        world.api_up = true;
        world.run(S(1));
        assert_eq!((world.record.phase, world.record.epoch.0), (Phase::Electing, 1), "{}", world.record.message);
    }
}

#[test]
fn a_pod_that_is_not_ready_again_is_not_waited_for_without_end() {
    let mut world = World::trading(spec());
    world.api_up = false;
    world.run(S(60));
    world.pod("doge-0").ready_at = crate::core::time::Mono::both(u64::MAX);
    world.pod("doge-0").pod.ready = false;
    world.pod("doge-0").faults.deaf = true;
    world.api_up = true;
    world.until_active(S(30));
    assert_eq!(world.trader().as_deref(), Some("doge-1"));
}

#[test]
fn under_continue_an_outage_changes_nothing_at_all() {
    let mut spec = spec();
    spec.terms.on_api_server_loss = OnApiServerLoss::Continue;
    let mut world = World::trading(spec);
    for pod in &mut world.pods {
        pod.trades_on = true;
    }
    world.api_up = false;
    world.run(S(60));
    assert!(world.trader().is_some());
    world.api_up = true;
    world.run(S(60));
    assert_eq!((world.record.phase, world.record.epoch.0), (Phase::Active, 1));
    assert_eq!(world.log, []);
}

#[test]
fn silence_says_nothing_while_the_operators_own_link_is_down() {
    let mut world = World::trading(spec());
    // Requests get through, but its own Lease cannot be written any more.
    world.link_frozen = true;
    world.pod("doge-0").faults.cut = true;
    world.run(S(120));
    assert_eq!((world.record.epoch.0, world.trader()), (1, None));
    world.link_frozen = false;
    let back = world.millis;
    world.until_active(S(20));
    assert!(world.millis - back >= 10_400, "the wait starts when the link is back");
}

#[test]
fn silence_is_looked_at_again_when_it_can_be_long_enough_and_soon_while_the_link_is_down() {
    let mut world = World::trading(spec());
    world.pod("doge-0").faults.cut = true;
    world.run_until("suspicion", S(10), |w| w.record.phase == Phase::Suspect);
    let wakes = |seen: &Observation| {
        decide(&world.spec, &world.record, &world.memory, seen, world.now()).wake_after.expect("it looks again")
    };
    let mut seen = world.observe();
    assert!((S(4)..S(5)).contains(&wakes(&seen)), "{:?}", wakes(&seen));
    seen.link = None;
    assert!(wakes(&seen) <= S(1), "{:?}", wakes(&seen));
}

#[test]
fn deadlines_of_steps_do_not_run_while_nobody_can_answer() {
    let world = World::preparing(reconciled(OnFailure::Block));
    let now = world.now();
    let mut memory = world.memory.clone();
    let mut seen = world.observe();
    // An outage of ten minutes, the link has just come back.
    let later = now.plus(S(600));
    seen.link = Some(Link::new(later, S(2)));
    memory.sighting = None;
    let decision = decide(&world.spec, &world.record, &memory, &seen, later);
    assert_eq!(decision.record.phase, Phase::Preparing, "{}", decision.record.message);
}

/// The store was restored to a moment when epoch 2 was being prepared; in truth epoch 3 trades already.
#[test]
fn after_a_restore_nobody_is_permitted_before_the_full_wait() {
    let mut world = World::preparing(reconciled(OnFailure::Block));
    world.restored_at = Some(world.now());
    let restored = world.millis;
    world.jobs.iter_mut().for_each(|j| (j.state, j.ended) = (JobState::Succeeded(Default::default()), true));
    world.run(S(10));
    assert_eq!((world.record.phase, world.trader()), (Phase::Fencing, None));
    world.until_active(S(10));
    assert!(world.millis - restored >= 10_500);
}

/// Somebody else has traded with a later token meanwhile, of which nothing is known any more.
#[test]
fn a_grant_from_before_a_restore_is_not_permitted_after_it() {
    let mut world = World::preparing(reconciled(OnFailure::Block));
    let (epoch, token) = (world.record.epoch, world.record.token);
    world.run(S(1));
    world.restored_at = Some(world.now());
    world.jobs.iter_mut().for_each(|j| (j.state, j.ended) = (JobState::Succeeded(Default::default()), true));
    world.job_fate = JobFate::Succeeds(Default::default());
    let restored = Wall(world.millis);
    world.until_active(S(30));
    let traded = world.record.trading.as_ref().unwrap();
    assert!(traded.epoch > epoch && traded.token > token);
    assert!(traded.token > FencingToken::next(FencingToken(0), restored), "it is younger than all before the restore");
    // Granted after it, one is permitted as ever.
    assert_eq!(traded.epoch.0, epoch.0 + 1);
}

/// The permit and the ledger are lost with what came after the snapshot; the agent keeps to them, and renews.
#[test]
fn a_candidate_that_was_permitted_after_the_snapshot_is_stopped_before_another_is_granted() {
    for ends in ["traded", "deleted"] {
        let mut world = World::trading(reconciled(OnFailure::Block));
        world.job_fate = JobFate::Hangs;
        world.pod("doge-0").leaving = Some("ProcessExited: the bot ended.");
        world.run_until("preparing", S(5), |w| w.record.phase == Phase::Preparing);
        world.run(S(1));
        let (record, lease) = (world.record.clone(), world.lease.clone().unwrap());
        assert!(lease.boot.is_some());
        world.jobs.iter_mut().for_each(|j| (j.state, j.ended) = (JobState::Succeeded(Default::default()), true));
        world.job_fate = JobFate::Succeeds(Default::default());
        world.until_active(S(10));
        let epoch = world.record.epoch;
        assert!(world.trader().is_some());
        world.record = record;
        world.lease = Some(LeaseRecord { version: "of the snapshot".into(), ..lease });
        world.restored_at = Some(world.now());
        world.spec.deleting = ends == "deleted";
        let granted = |w: &World| w.lease.as_ref().and_then(|l| l.epoch) > Some(epoch);
        world.run_until("it goes on", S(40), |w| w.finalized || granted(w));
        assert!(
            world.pods.iter().all(|pod| pod.trading.is_none_or(|trades| trades > epoch)),
            "the earlier one goes on"
        );
        assert_eq!(world.finalized, ends == "deleted");
        if ends == "traded" {
            world.run_until("somebody trades again", S(30), |w| w.record.phase == Phase::Active);
        }
    }
}

#[test]
fn after_a_restore_an_evidence_of_the_past_grants_nothing_before_the_full_wait() {
    let mut world = World::trading(spec());
    world.pod("doge-0").leaving = Some("ProcessExited: the bot ended.");
    world.restored_at = Some(world.now());
    let restored = world.millis;
    world.until_active(S(20));
    assert!(world.millis - restored >= 10_500);
}
