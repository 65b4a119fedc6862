//! The kill switch, and deletion.

use std::time::Duration;

use super::world::*;
use crate::core::failover::*;
use crate::core::lease::OnApiServerLoss;

const S: fn(u64) -> Duration = Duration::from_secs;

#[test]
fn suspend_stops_trading_and_resume_takes_it_up_again() {
    let mut world = World::trading(spec());
    world.spec.suspend = true;
    world.run(S(5));
    assert_eq!((world.record.phase, world.trader(), world.pods.len()), (Phase::Suspended, None, 2));
    assert_eq!((world.record.trading.clone(), world.record.current.clone()), (None, None));
    world.assert_at_rest();
    world.ask("f", OperationKind::Failover, None);
    world.run(S(1));
    assert!(matches!(world.last_told("f"), Some(OperationUpdate::Failed { reason: "Suspended", .. })));
    world.spec.suspend = false;
    world.until_active(S(5));
    assert_eq!((world.last_move().trigger, world.record.epoch.0), (Trigger::Resume, 2));
}

#[test]
fn suspend_stops_a_candidate_before_it_trades() {
    let mut world = World::preparing(reconciled(OnFailure::Block));
    world.spec.suspend = true;
    world.run(S(5));
    assert_eq!(world.record.phase, Phase::Suspended);
    assert_eq!(world.lease.as_ref().unwrap().holder, None);
    world.assert_at_rest();
    world.spec.suspend = false;
    world.run(S(1));
    assert_eq!(world.record.epoch.0, 3, "its epoch is not taken up again");
}

#[test]
fn a_suspended_bot_whose_active_is_silent_is_suspended_after_the_wait() {
    let mut world = World::trading(spec());
    world.pod("doge-0").faults.dead = true;
    world.run(S(7));
    world.spec.suspend = true;
    world.run_until("suspended", S(6), |w| w.record.phase == Phase::Suspended);
    world.run(S(60));
    assert_eq!(world.record.epoch.0, 1, "nobody was elected");
}

#[test]
fn deletion_stops_the_active_first() {
    let mut world = World::trading(spec());
    world.pod("doge-0").faults.ignores_graceful_stop = true;
    world.spec.deleting = true;
    world.run(S(15));
    assert!(!world.finalized && world.trader().is_some());
    world.run_until("finalized", S(30), |w| w.finalized);
    assert_eq!((world.trader(), world.record.trading.clone()), (None, None));
}

#[test]
fn deletion_of_a_silent_active_takes_the_whole_wait() {
    let mut world = World::trading(spec());
    world.pod("doge-0").faults.dead = true;
    let last = world.memory_sighting_at();
    world.spec.deleting = true;
    let took = world.run_until("finalized", S(30), |w| w.finalized);
    assert!(world.millis - last >= 10_500, "{took} ms");
}

#[test]
fn a_namespace_that_is_deleted_takes_pods_first_and_refuses_creates() {
    let mut world = World::trading(spec());
    world.creates_refused = true;
    let gone = crate::core::time::Mono::both((world.millis + 3_000) * 1_000_000);
    for pod in &mut world.pods {
        (pod.pod.terminating, pod.gone_at) = (true, Some(gone));
    }
    world.run(S(2));
    assert!(!world.finalized);
    world.spec.deleting = true;
    world.run_until("finalized", S(5), |w| w.finalized);
}

#[test]
fn a_deletion_whose_lease_is_gone_waits_and_needs_no_new_lease() {
    let mut world = World::trading(spec());
    world.creates_refused = true;
    world.spec.deleting = true;
    world.pod("doge-0").faults.cut = true;
    world.lease = None;
    let took = world.run_until("finalized", S(30), |w| w.finalized);
    assert!(took >= 10_400, "{took} ms");
    assert_eq!(world.trader(), None);
}

#[test]
fn the_next_bot_of_this_name_does_not_meet_a_reconciliation_of_this_one() {
    let mut world = World::preparing(reconciled(OnFailure::Block));
    world.spec.deleting = true;
    world.run(S(20));
    assert!(!world.finalized);
    world.jobs.iter_mut().for_each(|j| j.ended = true);
    world.run_until("finalized", S(3), |w| w.finalized);
}

#[test]
fn an_active_that_may_trade_on_stops_gracefully_without_being_called_silent() {
    let mut spec = spec();
    spec.terms.on_api_server_loss = OnApiServerLoss::Continue;
    let mut world = World::trading(spec);
    world.pod("doge-0").faults.ignores_graceful_stop = true;
    world.ask("s", OperationKind::Switchover, None);
    for _ in 0..60 {
        world.run(Duration::from_millis(100));
        assert_ne!(world.record.phase, Phase::Blocked);
    }
    world.pod("doge-0").faults.ignores_graceful_stop = false;
    world.until_active(S(5));
}
