use std::time::Duration;

use super::world::*;
use crate::core::failover::*;

const S: fn(u64) -> Duration = Duration::from_secs;

fn three() -> Spec {
    Spec { replicas: 3, ..spec() }
}

#[test]
fn a_candidate_that_never_answers_is_replaced_in_time() {
    let mut world = World::trading(three());
    world.pod("doge-1").faults.deaf = true;
    world.pod("doge-0").leaving = Some("ProcessExited: the bot ended.");
    let took = world.until_active(S(15));
    assert_eq!(world.trader().as_deref(), Some("doge-2"));
    assert!((10_000..11_500).contains(&took), "{took} ms");
    assert_eq!(world.record.total, 1);
    world.run(S(5));
    world.assert_at_rest();
}

#[test]
fn a_candidate_that_never_answers_is_replaced_also_while_its_reconciliation_runs() {
    let mut world = World::trading(Spec { replicas: 3, ..reconciled(OnFailure::Block) });
    world.job_fate = JobFate::Hangs;
    world.pod("doge-1").faults.deaf = true;
    world.pod("doge-0").leaving = Some("ProcessExited: the bot ended.");
    world.run_until("the next candidate", S(12), |w| w.record.epoch.0 == 3);
    assert_eq!(world.record.current.as_ref().unwrap().to.as_ref().unwrap().name, "doge-2");
}

#[test]
fn a_candidate_that_dies_while_preparing_is_replaced_at_once() {
    let mut world = World::preparing(Spec { replicas: 3, ..reconciled(OnFailure::Block) });
    world.run(S(2));
    world.pod("doge-1").container_dies(true);
    world.job_fate = JobFate::Succeeds(Default::default());
    world.run(S(1));
    let current = world.record.current.as_ref().unwrap();
    assert_eq!(current.to.as_ref().unwrap().name, "doge-2");
    assert_eq!(world.trader(), None, "the reconciliation of the abandoned candidate still runs");
    world.jobs.iter_mut().for_each(|j| j.ended = true);
    world.until_active(S(5));
    assert_eq!(world.trader().as_deref(), Some("doge-2"));
}

#[test]
fn a_candidate_whose_pod_or_node_is_lost_is_replaced_at_once() {
    let losses: [fn(&mut World); 5] = [
        |world| world.pod("doge-1").pod.terminating = true,
        |world| world.pod("doge-1").pod.finished = true,
        |world| world.pod("doge-1").pod.node_lost = true,
        |world| {
            let pod = world.pod("doge-1");
            pod.pod.terminated_boots = vec![pod.boot.clone()];
        },
        |world| world.tamper(|lease| lease.terms = None),
    ];
    for lose in losses {
        let mut world = World::preparing(Spec { replicas: 3, ..reconciled(OnFailure::Block) });
        // Its agent says nothing.
        world.pod("doge-1").faults.cut = true;
        lose(&mut world);
        world.run(S(1));
        assert_eq!(world.record.current.as_ref().unwrap().to.as_ref().unwrap().name, "doge-2");
    }
}

#[test]
fn a_candidate_that_is_not_ready_any_more_is_not_permitted() {
    let mut world = World::preparing(Spec { replicas: 3, ..reconciled(OnFailure::Block) });
    world.pod("doge-1").ready_at = crate::core::time::Mono::both(u64::MAX);
    world.run(Duration::from_millis(200));
    world.jobs.iter_mut().for_each(|j| (j.state, j.ended) = (JobState::Succeeded(Default::default()), true));
    world.job_fate = JobFate::Succeeds(Default::default());
    world.until_active(S(15));
    assert_eq!((world.trader().as_deref(), world.record.epoch.0), (Some("doge-2"), 3));
}

#[test]
fn a_candidate_that_falls_silent_while_preparing_is_replaced() {
    let mut world = World::preparing(Spec { replicas: 3, ..reconciled(OnFailure::Block) });
    world.pod("doge-1").faults.cut = true;
    world.run_until("the next candidate", S(14), |w| w.record.epoch.0 == 3);
}

/// With nobody else to ask, the same one is asked again, at growing distances, without a write in between.
#[test]
fn an_only_candidate_that_fails_is_asked_again_ever_more_slowly() {
    let mut world = World::trading(Spec { replicas: 1, ..spec() });
    world.pod("doge-0").leaving = Some("ProcessExited: the bot ended.");
    world.pod("doge-0").faults.deaf = true;
    world.run(S(600));
    let epochs = world.record.epoch.0;
    assert!((10..40).contains(&epochs), "{epochs} epochs");
    let writes = world.log.len() as u64;
    assert!(writes < epochs * 6 + 10, "{writes} writes for {epochs} epochs");
    world.pod("doge-0").faults.deaf = false;
    world.until_active(S(45));
}

#[test]
fn a_bot_that_never_comes_to_trade_is_stopped_and_another_pod_tried() {
    let mut world = World::trading(spec());
    world.pod("doge-1").faults.hangs_in_promotion = true;
    world.pod("doge-0").leaving = Some("ProcessExited: the bot ended.");
    world.run_until("activating", S(5), |w| w.record.phase == Phase::Activating);
    world.until_active(S(45));
    assert_eq!(world.trader().as_deref(), Some("doge-0"));
    assert_eq!(world.record.total, 1, "one move, however many tries");
}

#[test]
fn a_candidate_that_cannot_be_promoted_gives_way_to_the_next() {
    let mut world = World::trading(three());
    world.pod("doge-1").faults.hangs_in_promotion = true;
    world.pod("doge-0").leaving = Some("ProcessExited: the bot ended.");
    world.run_until("activating", S(5), |w| w.record.phase == Phase::Activating);
    world.pod("doge-1").leaving = Some("PromotionFailed: the promote hook answered 500.");
    world.until_active(S(5));
    assert_eq!(world.trader().as_deref(), Some("doge-2"));
    assert_eq!(world.last_move().reason, Reason::ProcessExited, "what began it");
}

#[test]
fn a_pod_that_died_between_ledger_and_permit_is_never_permitted() {
    let mut world = World::trading(three());
    // The failover's writes: status, grant, status, permit; the permit is lost.
    world.mishap = Some((3, Mishap::RequestLost));
    world.pod("doge-0").leaving = Some("ProcessExited: the bot ended.");
    world.run_until("the ledger", S(5), |w| w.record.trading.as_ref().is_some_and(|l| l.epoch.0 == 2));
    world.pod("doge-1").container_dies(true);
    world.until_active(S(15));
    assert_eq!(world.record.epoch.0, 3);
    assert_eq!(world.trader().as_deref(), Some("doge-2"));
}

#[test]
fn a_pod_that_is_going_between_ledger_and_permit_is_never_permitted() {
    for going in [|pod: &mut Pod| pod.terminating = true, |pod: &mut Pod| pod.finished = true] {
        let mut world = World::trading(three());
        world.mishap = Some((3, Mishap::RequestLost));
        world.pod("doge-0").leaving = Some("ProcessExited: the bot ended.");
        world.run_until("the ledger", S(5), |w| w.record.trading.as_ref().is_some_and(|l| l.epoch.0 == 2));
        world.pod("doge-1").faults.cut = true;
        going(&mut world.pod("doge-1").pod);
        world.run(Duration::from_millis(200));
        assert_eq!(world.lease.as_ref().and_then(|lease| lease.permit), Some(crate::core::lease::Permit::Revoke));
    }
}
