//! The latch: stopping, sweeping, releasing.

use super::*;

#[test]
fn at_the_renew_deadline_the_bot_is_stopped_with_patience_and_never_trades_again_in_that_epoch() {
    let mut world = World::new(false).with(|setup| setup.stop_steps = 1).active();
    world.pass(2_000);
    let lost = world.expect_write();
    world.feed(Input::Wrote(lost.number, Outcome::Unknown));
    world.pass(4_000);
    world.expect(|effect| *effect == Effect::Step(0), "demote hook");
    assert_eq!(world.role(), Role::Demoting);
    world.feed(Input::Stepped(0));
    world.expect(|effect| *effect == Effect::Signal, "SIGTERM");
    // The API server is back, with the permit as it was.
    world.answer();
    assert_eq!(world.lease.state, AgentState::Demoting);
    world.seen();
    world.feed(Input::Exited(Exit::Code(0)));
    world.everything_dies();
    assert_eq!(world.released(), Some(ReleaseReason::RenewDeadline));
    world.grant(1, Permit::Prepare);
    world.seen();
    world.expect_nothing();
    world.grant(2, Permit::Prepare);
    world.seen();
    assert_eq!(world.answer().kind, WriteKind::Claim);
}

#[test]
fn past_the_lease_everything_is_killed_without_patience() {
    let mut world = World::new(false).with(|setup| setup.stop = Duration::from_secs(60)).active();
    world.pass(6_000);
    world.expect(|effect| *effect == Effect::Signal, "SIGTERM");
    let lost = world.expect_write();
    world.feed(Input::Wrote(lost.number, Outcome::Unknown));
    world.pass(3_000);
    world.everything_dies();
    assert_eq!(world.state.process, Process::Draining);
    world.expect(|effect| *effect == Effect::Guard(None), "end of the guard's watch");
}

#[test]
fn a_stop_goes_on_where_the_lease_is_deleted_meanwhile() {
    let mut world = World::new(false).active();
    world.permit(Permit::Revoke);
    world.expect(|effect| *effect == Effect::Signal, "SIGTERM");
    world.feed(Input::Seen(None));
    assert_eq!(world.role(), Role::Demoting);
    world.feed(Input::Exited(Exit::Code(0)));
    world.everything_dies();
    world.feed(Input::Seen(None));
    assert_eq!((&world.state.hold, &world.state.process), (&None, &Process::Gone));
}

#[test]
fn how_to_stop_counts_only_together_with_the_order_to_stop() {
    let mut world = World::new(false).active();
    world.lease.revoke = Revoke::Now;
    world.seen();
    world.lease.revoke = Revoke::Graceful;
    world.permit(Permit::Revoke);
    world.expect(|effect| *effect == Effect::Signal, "SIGTERM");
    assert!(!world.effects.contains(&Effect::Sweep));
}

#[test]
fn an_answer_to_an_errand_of_before_changes_nothing() {
    let mut world = World::new(false).active();
    world.feed(Input::Drained);
    world.feed(Input::Stepped(0));
    world.feed(Input::Swept);
    world.expect_nothing();
    assert!(matches!(world.state.process, Process::Running { trades: true, .. }));
}

#[test]
fn after_a_freeze_neither_a_late_answer_nor_a_permit_brings_the_bot_back() {
    let mut world = World::new(false).with(|setup| setup.in_place_restarts = 5).active();
    world.now = world.now.plus(Duration::from_secs(30));
    // The guard has killed the bot meanwhile.
    world.feed(Input::Exited(Exit::Signal(9)));
    assert!(!world.effects.iter().any(is_start));
    world.everything_dies();
    world.permit(Permit::Trade);
    assert!(!world.effects.iter().any(is_start));
    assert_eq!(world.released(), Some(ReleaseReason::RenewDeadline));
}

#[test]
fn a_permit_never_goes_back() {
    let mut world = World::new(false).active();
    world.permit(Permit::Revoke);
    world.expect(|effect| *effect == Effect::Signal, "SIGTERM");
    world.permit(Permit::Trade);
    world.feed(Input::Exited(Exit::Code(0)));
    world.everything_dies();
    assert_eq!(world.released(), Some(ReleaseReason::Revoked));
}

#[test]
fn a_permit_that_nobody_knows_stops_the_bot() {
    let mut world = World::new(false).active();
    world.lease.permit = None;
    world.seen();
    world.expect(|effect| *effect == Effect::Signal, "SIGTERM");
}

#[test]
fn revoked_now_kills_and_also_ends_patience_that_has_begun() {
    let mut world = World::new(false).with(|setup| setup.stop_steps = 1).active();
    world.lease.revoke = Revoke::Now;
    world.permit(Permit::Revoke);
    world.everything_dies();
    assert_eq!(world.released(), Some(ReleaseReason::Revoked));

    let mut world = World::new(false).with(|setup| setup.stop_steps = 1).active();
    world.permit(Permit::Revoke);
    world.expect(|effect| *effect == Effect::Step(0), "demote hook");
    world.lease.revoke = Revoke::Now;
    world.seen();
    world.everything_dies();
    // Too late to matter.
    world.feed(Input::Stepped(0));
    assert_eq!(world.released(), Some(ReleaseReason::Revoked));
}

#[test]
fn a_bot_that_ignores_sigterm_is_killed_after_its_time() {
    let mut world = World::new(false).active();
    world.permit(Permit::Revoke);
    world.expect(|effect| *effect == Effect::Signal, "SIGTERM");
    assert_eq!(world.answer().kind, WriteKind::Renew(AgentState::Demoting));
    world.pass(2_000);
    world.answer();
    world.pass(999);
    world.expect_nothing();
    world.pass(1);
    world.everything_dies();
}

#[test]
fn nothing_is_released_while_bytes_are_unsent_and_nothing_is_renewed_either() {
    let mut world = World::new(false).active();
    world.feed(Input::Exited(Exit::Code(1)));
    world.everything_dies();
    world.expect(|effect| *effect == Effect::Drain, "wait for unsent bytes");
    for _ in 0..40 {
        world.pass(500);
    }
    world.expect_nothing();
    // The operator takes the Lease when it has run out.
    world.lease.holder = None;
    world.seen();
    assert_eq!((world.role(), &world.state.process), (Role::Standby, &Process::Gone));
}

#[test]
fn a_release_is_not_held_up_by_a_renewal_under_way_and_is_repeated_until_it_is_known() {
    let mut world = World::new(false).active();
    world.pass(2_000);
    let renewal = world.expect_write();
    world.feed(Input::Exited(Exit::Code(1)));
    world.everything_dies();
    world.effects.clear();
    world.feed(Input::Drained);
    let release = world.expect_write();
    assert_eq!(release.kind, WriteKind::Release(Why::Exited(Exit::Code(1), 0)));
    world.store(&release);
    world.feed(Input::Wrote(renewal.number, Outcome::Unknown));
    world.feed(Input::Wrote(release.number, Outcome::Unknown));
    world.pass(600);
    let again = world.expect_write();
    let outcome = world.store(&again);
    assert!(matches!(outcome, Outcome::Refused(_)));
    world.feed(Input::Wrote(again.number, outcome));
    assert_eq!(world.state.hold, None);
}
