//! Renewals, their answers, and what the Lease shows meanwhile.

use super::*;
use crate::core::gate::Passage;

#[test]
fn an_answer_that_never_comes_does_not_hold_up_the_next_renewal_once_the_watch_has_shown_the_value() {
    let mut world = World::new(false).active();
    for _ in 0..10 {
        world.pass(2_000);
        let write = world.expect_write();
        world.store(&write);
        world.seen();
        assert_eq!(world.state.in_flight, Some(write.number));
    }
    assert_eq!(world.role(), Role::Active);
}

#[test]
fn no_value_is_ever_used_twice() {
    let mut world = World::new(false).active();
    let mut last = world.state.writes;
    for _ in 0..5 {
        world.pass(2_000);
        let write = world.expect_write();
        assert!(write.number > last);
        last = write.number;
        world.feed(Input::Wrote(write.number, Outcome::Unknown));
        world.pass(600);
        let again = world.answer();
        assert!(again.number > last);
        last = again.number;
    }
}

#[test]
fn an_answer_without_the_value_is_no_success() {
    let mut world = World::new(false).active();
    world.pass(2_000);
    let write = world.expect_write();
    world.feed(Input::Wrote(write.number, Outcome::Answered(world.lease.clone())));
    assert_eq!(world.state.hold.as_ref().unwrap().renewed, Some(Mono::both(START)));
}

#[test]
fn a_deadline_counts_from_before_the_request_was_sent() {
    let mut world = World::new(false).active();
    world.pass(2_000);
    let sent = world.now;
    let write = world.expect_write();
    world.pass(1_500);
    let outcome = world.store(&write);
    world.feed(Input::Wrote(write.number, outcome));
    assert_eq!(deadline(&world.state), Some(sent.plus(Duration::from_secs(9))));
}

#[test]
fn under_continue_the_bot_trades_on_without_renewals_and_without_a_guard() {
    let mut world = World::new(false);
    world.grant(1, Permit::Prepare);
    world.lease.terms = Some(terms(OnApiServerLoss::Continue));
    world.seen();
    world.answer();
    world.permit(Permit::Trade);
    world.expect(is_start, "start");
    world.feed(Input::Started);
    for _ in 0..200 {
        world.pass(500);
        if let Some(write) = world.state.in_flight {
            world.feed(Input::Wrote(write, Outcome::Unknown));
        }
    }
    world.effects.retain(|effect| !matches!(effect, Effect::Write(_)));
    assert_eq!(world.effects, [Effect::Gate(Passage::Open(None))], "once, at the permit");
    assert_eq!(world.role(), Role::Active);
    world.lease.permit = Some(Permit::Revoke);
    world.seen();
    world.expect(|effect| *effect == Effect::Signal, "SIGTERM");
}

#[test]
fn another_holder_in_a_fresh_read_ends_everything_at_once() {
    let mut world = World::new(false).with(|setup| setup.stop_steps = 1).active();
    world.pass(2_000);
    let write = world.expect_write();
    world.lease.holder = Some(PodRef { name: "doge-1".into(), uid: "u1".into() });
    world.lease.epoch = Some(Epoch(2));
    let outcome = world.store(&write);
    world.feed(Input::Wrote(write.number, outcome));
    world.everything_dies();
    assert_eq!(world.role(), Role::Standby);
    world.expect(|effect| *effect == Effect::Read, "read");
    world.expect_nothing();
}

#[test]
fn a_refusal_that_names_us_all_the_same_is_one_failed_attempt() {
    let mut world = World::new(false).active();
    world.pass(2_000);
    let write = world.expect_write();
    world.feed(Input::Wrote(write.number, Outcome::Refused(Some(world.lease.clone()))));
    world.expect_nothing();
    world.pass(500);
    assert_eq!(world.answer().kind, WriteKind::Renew(AgentState::Active));
}

#[test]
fn a_lease_that_is_another_pods_or_another_boots_in_the_same_epoch_ends_everything() {
    let takers: [fn(&mut LeaseRecord); 3] = [
        |lease| lease.holder = Some(PodRef { name: "doge-1".into(), uid: "u1".into() }),
        |lease| lease.boot = Some(boot("later")),
        |lease| lease.boot = None,
    ];
    for take in takers {
        let mut world = World::new(false).active();
        take(&mut world.lease);
        world.feed(Input::Read(Some(world.lease.clone())));
        world.expect(|effect| *effect == Effect::Sweep, "sweep");
        let guarded = |world: &World| !world.effects.contains(&Effect::Guard(None));
        assert!(guarded(&world), "the guards watch until everything is dead");
        world.feed(Input::Swept);
        assert!(!guarded(&world));
        assert_eq!(world.role(), Role::Standby);
    }
}

#[test]
fn a_stop_is_told_when_the_renewal_under_way_is_answered() {
    let mut world = World::new(false).active();
    world.pass(2_000);
    let renewal = world.expect_write();
    world.permit(Permit::Revoke);
    world.expect(|effect| *effect == Effect::Signal, "SIGTERM");
    assert_eq!(world.state.in_flight, Some(renewal.number));
    let outcome = world.store(&renewal);
    world.feed(Input::Wrote(renewal.number, outcome));
    assert_eq!(world.answer().kind, WriteKind::Renew(AgentState::Demoting));
}

#[test]
fn an_old_event_stops_nobody() {
    let mut world = World::new(false).active();
    let mut old = world.lease.clone();
    old.boot = None;
    world.feed(Input::Seen(Some(old.clone())));
    old.epoch = Some(Epoch(0));
    old.holder = None;
    world.feed(Input::Seen(Some(old)));
    world.expect_nothing();
    assert_eq!(world.role(), Role::Active);
}

#[test]
fn a_deleted_lease_ends_the_epoch_by_its_deadlines() {
    let mut world = World::new(false).active();
    world.feed(Input::Seen(None));
    world.pass(2_000);
    let write = world.expect_write();
    world.feed(Input::Wrote(write.number, Outcome::Refused(None)));
    world.expect_nothing();
    world.pass(4_000);
    world.expect(|effect| *effect == Effect::Signal, "SIGTERM");
}

#[test]
fn how_orders_are_fenced_is_told_with_every_renewal_and_a_change_with_the_next() {
    let mut world = World::new(false).active();
    world.feed(Input::Path(OrderPath::SocketsDestroyed));
    world.expect_nothing();
    world.pass(2_000);
    assert_eq!(world.answer().path, OrderPath::SocketsDestroyed);
}

/// As when the agent is frozen right after its claim, and thaws when another may trade already: the first that it sees
/// is what the Lease said meanwhile.
#[test]
fn a_permit_that_is_seen_only_after_the_deadline_starts_nothing() {
    for hot in [false, true] {
        let mut world = World::new(hot).with(|setup| setup.promote_hook = true);
        world.grant(1, Permit::Prepare);
        world.seen();
        if hot {
            world.expect(is_start, "start of the standby");
            world.feed(Input::Started);
        }
        let claim = world.expect_write();
        assert!(matches!(world.store(&claim), Outcome::Answered(_)));
        world.lease.permit = Some(Permit::Trade);
        world.now = world.now.plus(Duration::from_secs(44));
        world.effects.clear();
        world.seen();
        assert!(!world.effects.iter().any(|e| is_start(e) || *e == Effect::Promote), "{:?}", world.effects);
        assert_ne!(world.role(), Role::Active);
        world.everything_dies();
        assert_eq!(world.released(), Some(ReleaseReason::RenewDeadline));
    }
}
