//! Keys of the exchange: there before the bot trades, gone before the Lease is.

use super::*;

fn with_credentials(hot: bool) -> World {
    World::new(hot).with(|setup| setup.credentials = true)
}

/// Until the bot trades with them.
fn trading(hot: bool) -> World {
    let mut world = with_credentials(hot).claimed();
    world.permit(Permit::Trade);
    world.expect(|effect| *effect == Effect::ReadCredentials, "read");
    world.feed(Input::Credentials(Ok(())));
    if !hot {
        world.expect(is_start, "start");
        world.feed(Input::Started);
    }
    while world.effects.iter().any(|effect| matches!(effect, Effect::Write(_))) {
        world.answer();
    }
    assert_eq!(world.lease.state, AgentState::Active);
    world.effects.clear();
    world
}

#[test]
fn nothing_is_read_before_the_permit_and_nothing_starts_before_it_was_read() {
    let mut world = with_credentials(false).claimed();
    world.effects.retain(|effect| *effect != Effect::Guard(deadline(&world.state)));
    world.expect_nothing();
    world.permit(Permit::Trade);
    world.expect(|effect| *effect == Effect::ReadCredentials, "read");
    assert!(!world.effects.iter().any(is_start));
    assert_eq!(world.role(), Role::Candidate);
    world.feed(Input::Credentials(Ok(())));
    world.expect(is_start, "start");
    assert_eq!(world.role(), Role::Active);
}

#[test]
fn a_hot_bot_is_not_told_that_it_is_active_before_they_are_there() {
    let mut world = with_credentials(true).with(|setup| setup.promote_hook = true).claimed();
    world.permit(Permit::Trade);
    world.expect(|effect| *effect == Effect::ReadCredentials, "read");
    assert!(!world.effects.contains(&Effect::Promote));
    assert_eq!(world.role(), Role::Candidate);
    world.feed(Input::Credentials(Ok(())));
    world.expect(|effect| *effect == Effect::Promote, "promote hook");
}

#[test]
fn the_lease_is_renewed_while_they_are_read() {
    let mut world = with_credentials(false).claimed();
    world.permit(Permit::Trade);
    for _ in 0..4 {
        world.pass(2_000);
        assert_eq!(world.answer().kind, WriteKind::Renew(AgentState::Claimed));
    }
    assert_eq!(world.effects.iter().filter(|effect| **effect == Effect::ReadCredentials).count(), 1);
}

#[test]
fn a_bot_that_cannot_have_them_gives_the_lease_back_with_a_sentence() {
    let mut world = with_credentials(false).claimed();
    world.permit(Permit::Trade);
    world.feed(Input::Credentials(Err("the Secret is not there.".into())));
    world.everything_dies();
    assert!(!world.effects.iter().any(is_start));
    assert_eq!(world.released(), Some(ReleaseReason::PromotionFailed));
    assert!(world.lease.reason.contains("the Secret is not there."));
}

#[test]
fn they_stay_for_the_stop_and_go_before_the_release() {
    let mut world = trading(false);
    world.permit(Permit::Revoke);
    world.expect(|effect| *effect == Effect::Signal, "SIGTERM");
    assert!(!world.effects.contains(&Effect::DropCredentials), "it may have to cancel its orders");
    world.feed(Input::Exited(Exit::Code(0)));
    world.everything_dies();
    world.expect(|effect| *effect == Effect::DropCredentials, "removal");
    assert_eq!(world.lease.holder, Some(world.setup.pod.clone()));
    assert_eq!(world.released(), Some(ReleaseReason::Revoked));
}

#[test]
fn they_stay_over_a_restart_in_place() {
    let mut world = trading(false);
    world.setup.in_place_restarts = 1;
    world.feed(Input::Exited(Exit::Code(1)));
    world.everything_dies();
    world.expect(is_start, "restart");
    assert!(!world.effects.contains(&Effect::DropCredentials) && !world.effects.contains(&Effect::ReadCredentials));
}

#[test]
fn where_another_holds_the_lease_they_go_at_once() {
    let mut world = trading(false);
    world.lease.holder = Some(PodRef { name: "doge-1".into(), uid: "u1".into() });
    world.lease.epoch = Some(Epoch(2));
    world.lease.boot = None;
    world.seen();
    world.expect(|effect| *effect == Effect::DropCredentials, "removal");
}

#[test]
fn a_revoked_candidate_gives_up_reading_and_a_late_answer_starts_nothing() {
    let mut world = with_credentials(true).claimed();
    world.permit(Permit::Trade);
    world.expect(|effect| *effect == Effect::ReadCredentials, "read");
    world.permit(Permit::Revoke);
    world.expect(|effect| *effect == Effect::DropCredentials, "giving up");
    world.feed(Input::Credentials(Ok(())));
    assert_eq!((world.state.credentials, world.role()), (Credentials::None, Role::Demoting));
}
