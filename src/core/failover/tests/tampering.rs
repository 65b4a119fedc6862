//! The Lease deleted, or edited by hand.

use std::time::Duration;

use super::world::*;
use crate::core::failover::*;
use crate::core::ids::{Epoch, FencingToken};
use crate::core::lease::{LeaseRecord, Permit};

const S: fn(u64) -> Duration = Duration::from_secs;

fn after(change: impl FnOnce(&mut World)) -> World {
    let mut world = World::trading(spec());
    let begin = world.millis;
    change(&mut world);
    world.until_active(S(60));
    let done = world.last_move().clone();
    assert_eq!(done.evidence, Some(Evidence::LeaseExpired));
    assert!(done.fenced.unwrap().0 - begin >= 10_500, "the full wait runs from the sighting");
    world.run(S(90));
    assert_eq!((world.record.phase, world.pods.len()), (Phase::Active, 2), "{}", world.record.message);
    assert!(world.record.epoch > Epoch(1));
    world.assert_at_rest();
    world
}

#[test]
fn a_deleted_lease_is_no_evidence() {
    let world = after(|w| w.lease = None);
    assert_eq!(world.last_move().reason, Reason::LeaseDisturbed);
    assert_eq!(world.trader().as_deref(), Some("doge-0"), "nothing was wrong with the pod");
}

#[test]
fn a_blank_lease_is_no_evidence() {
    after(|w| {
        w.tamper(|l| {
            *l = LeaseRecord { uid: l.uid.clone(), ..LeaseRecord::default() };
        });
    });
}

#[test]
fn another_holder_written_by_hand_is_no_evidence_and_comes_to_nothing() {
    after(|w| {
        let other = w.pod("doge-1").reference();
        w.tamper(|l| (l.holder, l.boot) = (Some(other), None));
    });
}

#[test]
fn whatever_permit_or_holder_was_written_by_hand_is_taken_back() {
    let changes: [fn(&mut LeaseRecord); 2] = [
        |lease| lease.holder = None,
        |lease| {
            lease.holder.as_mut().unwrap().uid = "u9".into();
            lease.permit = None;
        },
    ];
    for change in changes {
        let mut world = World::trading(spec());
        world.tamper(change);
        world.round();
        let lease = world.lease.as_ref().unwrap();
        assert_eq!((&lease.holder, lease.permit), (&None, Some(Permit::Revoke)));
    }
}

#[test]
fn a_grant_written_by_hand_is_taken_back_and_waited_out() {
    let world = after(|w| {
        let other = w.pod("doge-1").reference();
        w.tamper(|l| {
            (l.holder, l.boot, l.epoch) = (Some(other), None, Some(Epoch(40)));
            l.permit = Some(Permit::Prepare);
        });
    });
    assert!(world.record.epoch > Epoch(40), "no epoch is used twice");
}

#[test]
fn a_longer_duration_written_by_hand_is_waited_out_too() {
    let mut world = World::trading(spec());
    let other = world.pod("doge-1").reference();
    let begin = world.millis;
    world.tamper(|l| {
        (l.holder, l.boot) = (Some(other), None);
        l.terms.as_mut().unwrap().lease_duration = S(20);
    });
    world.until_active(S(60));
    assert!(world.last_move().fenced.unwrap().0 - begin >= 21_000);
}

#[test]
fn epochs_and_tokens_that_leave_no_room_to_grow_are_not_counted_on_from() {
    let world = after(|w| {
        w.tamper(|l| (l.epoch, l.token) = (Some(Epoch(u64::MAX)), Some(FencingToken(u64::MAX))));
    });
    assert!(world.record.epoch < Epoch(10));
}

#[test]
fn a_holder_that_the_ledger_does_not_know_is_stopped_first() {
    let mut world = World::trading(spec());
    // The status was lost, e.g. by a backup tool that restores objects without it.
    let old = std::mem::take(&mut world.record);
    world.restart_operator();
    let seen = world.observe();
    let first = decide(&world.spec, &world.record, &world.memory, &seen, world.now());
    let ledger = first.record.trading.expect("whoever the Lease names counts as possibly trading");
    assert_eq!(ledger.epoch, old.epoch);
    assert_eq!(Some(ledger.pod), old.trading.map(|l| l.pod));
    assert!(matches!(&first.actions[..], [Action::WriteStatus, Action::PutLease { lease, .. }]
        if lease.permit == Some(Permit::Revoke)));
}

#[test]
fn a_grant_whose_epoch_or_token_was_changed_by_hand_is_not_carried_on() {
    let changes: [fn(&mut LeaseRecord); 2] =
        [|lease| lease.epoch = Some(Epoch(40)), |lease| lease.token = Some(FencingToken(7))];
    for change in changes {
        let mut world = World::preparing(reconciled(OnFailure::Block));
        world.tamper(change);
        world.round();
        assert!(world.record.epoch > Epoch(2), "{}", world.record.message);
    }
}

#[test]
fn a_bot_that_has_traded_is_never_new_again() {
    let losses: [fn(&mut World); 2] = [
        |world| world.lease = None,
        |world| {
            world.record = Record::default();
            world.restart_operator();
        },
    ];
    for lose in losses {
        let mut world = World::trading(spec());
        world.spec.suspend = true;
        world.run(S(3));
        lose(&mut world);
        world.spec.suspend = false;
        world.until_active(S(5));
        assert_eq!((world.last_move().trigger, world.record.epoch), (Trigger::Resume, Epoch(2)));
    }
}

#[test]
fn a_candidate_whose_lease_vanishes_is_replaced_by_a_new_epoch() {
    let mut world = World::preparing(reconciled(OnFailure::Block));
    world.lease = None;
    world.job_fate = JobFate::Succeeds(Default::default());
    world.run(S(5));
    assert_eq!(world.record.epoch, Epoch(3));
    assert_eq!(world.trader(), None, "the reconciliation of epoch 2 may still run");
    world.jobs.iter_mut().for_each(|j| j.ended = true);
    world.until_active(S(5));
}

/// The ledger then names the candidate because the Lease did, not because it was prepared.
#[test]
fn a_permit_that_is_taken_from_a_candidate_and_given_back_does_not_spare_it_the_reconciliation() {
    let mut world = World::preparing(reconciled(OnFailure::Block));
    world.tamper(|l| l.permit = None);
    world.round();
    assert_eq!(world.record.trading.as_ref().map(|l| l.epoch), Some(Epoch(2)), "whoever is named may be trading");
    world.tamper(|l| l.permit = Some(Permit::Prepare));
    world.round();
    assert_eq!(world.lease.as_ref().and_then(|l| l.permit), Some(Permit::Revoke));
    world.run(S(5));
    assert_eq!(world.trader(), None, "{}", world.record.message);
}
