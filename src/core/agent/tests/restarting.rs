//! The process: promotion, restarts in place, hot standbys.

use super::*;

#[test]
fn the_first_restart_in_place_is_at_once_and_sweeps_before() {
    let mut world = World::new(false).with(|setup| setup.in_place_restarts = 1).active();
    world.feed(Input::Exited(Exit::Signal(11)));
    assert!(!world.effects.iter().any(is_start), "not before the sweep");
    world.everything_dies();
    world.expect(is_start, "restart");
    world.feed(Input::Started);
    while world.state.in_flight.is_some() {
        world.answer();
    }
    assert_eq!(world.lease.state, AgentState::Active);
    world.feed(Input::Exited(Exit::Signal(11)));
    world.everything_dies();
    assert_eq!(world.released(), Some(ReleaseReason::ProcessExited));
    assert_eq!(
        world.lease.reason,
        "ProcessExited: the bot's process was ended by signal 11 again after 1 restart in place."
    );
}

#[test]
fn later_restarts_wait_longer() {
    let mut world = World::new(false).with(|setup| setup.in_place_restarts = 3).active();
    for wait in [0, 1_000, 2_000] {
        world.feed(Input::Exited(Exit::Code(1)));
        world.everything_dies();
        if wait > 0 {
            world.pass(wait - 1);
            assert!(!world.effects.iter().any(is_start), "too early by 1 ms of {wait}");
            world.pass(1);
        }
        world.expect(is_start, "restart");
        world.feed(Input::Started);
        while world.state.in_flight.is_some() {
            world.answer();
        }
    }
}

#[test]
fn a_restart_that_is_to_be_reconciled_is_a_release() {
    let mut world =
        World::new(false).with(|setup| (setup.in_place_restarts, setup.reconcile_restarts) = (3, true)).active();
    world.feed(Input::Exited(Exit::Code(0)));
    world.everything_dies();
    assert_eq!(world.released(), Some(ReleaseReason::RestartWanted));
}

#[test]
fn a_command_that_does_not_exist_fails_the_promotion_with_its_name() {
    let mut world = World::new(false).with(|setup| setup.in_place_restarts = 3).claimed();
    world.permit(Permit::Trade);
    world.expect(is_start, "start");
    world.feed(Input::StartFailed("the command '/bott' does not exist.".into()));
    world.everything_dies();
    assert_eq!(world.released(), Some(ReleaseReason::PromotionFailed));
    assert!(world.lease.reason.contains("/bott"));
}

#[test]
fn a_bot_that_ends_before_its_start_is_told_of_has_ended() {
    let mut world = World::new(false).claimed();
    world.permit(Permit::Trade);
    world.expect(is_start, "start");
    world.feed(Input::Exited(Exit::Code(1)));
    world.feed(Input::Started);
    world.everything_dies();
    assert_eq!(world.released(), Some(ReleaseReason::ProcessExited));
}

#[test]
fn the_answer_of_a_promote_hook_does_not_count_for_the_process_after() {
    let mut world = World::new(true).with(|setup| (setup.promote_hook, setup.in_place_restarts) = (true, 1)).claimed();
    world.permit(Permit::Trade);
    world.expect(|effect| *effect == Effect::Promote, "promote hook");
    world.feed(Input::Exited(Exit::Code(1)));
    world.feed(Input::Promoted(Ok(())));
    assert_eq!(world.state.hold.as_ref().unwrap().stage, Stage::Promoting);
    world.everything_dies();
    world.expect(is_start, "restart");
    world.feed(Input::Started);
    world.expect(|effect| *effect == Effect::Promote, "promote hook");
}

#[test]
fn a_promote_hook_that_fails_gives_the_lease_back() {
    let mut world = World::new(true).with(|setup| setup.promote_hook = true).claimed();
    world.permit(Permit::Trade);
    world.expect(|effect| *effect == Effect::Promote, "promote hook");
    world.feed(Input::Promoted(Err("the promote hook was answered with 500.".into())));
    world.expect(|effect| *effect == Effect::Signal, "SIGTERM");
    world.feed(Input::Exited(Exit::Code(0)));
    world.everything_dies();
    assert_eq!(world.released(), Some(ReleaseReason::PromotionFailed));
}

#[test]
fn a_hot_standby_runs_from_the_start_is_promoted_and_comes_back_as_a_standby() {
    let mut world = World::new(true).with(|setup| setup.promote_hook = true);
    world.feed(Input::Tick);
    world.expect_nothing();
    world.feed(Input::Seen(None));
    let standby = Leadership { role: Role::Standby, epoch: Epoch(0), token: FencingToken(0) };
    assert_eq!(world.expect(is_start, "start"), Effect::Start(standby));
    world.feed(Input::Started);
    world.grant(1, Permit::Prepare);
    world.seen();
    world.answer();
    world.permit(Permit::Trade);
    world.expect(|effect| *effect == Effect::Promote, "promote hook");
    world.feed(Input::Promoted(Ok(())));
    world.answer();
    world.answer();
    world.permit(Permit::Revoke);
    world.expect(|effect| *effect == Effect::Signal, "SIGTERM");
    world.feed(Input::Exited(Exit::Code(0)));
    world.everything_dies();
    assert!(!world.effects.iter().any(is_start), "not before the release is known");
    assert_eq!(world.released(), Some(ReleaseReason::Revoked));
    assert_eq!(world.expect(is_start, "start"), Effect::Start(standby));
}

#[test]
fn a_hot_standby_that_crashes_is_started_again_ever_more_slowly() {
    let mut world = World::new(true);
    world.feed(Input::Seen(None));
    for wait in [1_000, 2_000, 4_000] {
        world.expect(is_start, "start");
        world.feed(Input::Started);
        world.feed(Input::Exited(Exit::Code(1)));
        world.everything_dies();
        world.pass(wait - 1);
        world.expect_nothing();
        world.pass(1);
    }
    world.expect(is_start, "start");
}

#[test]
fn a_crashed_hot_standby_is_started_at_once_when_it_may_trade() {
    for during_the_sweep in [false, true] {
        let mut world = World::new(true).claimed();
        world.feed(Input::Exited(Exit::Code(1)));
        if during_the_sweep {
            world.permit(Permit::Trade);
        }
        world.everything_dies();
        assert_eq!(world.effects.iter().any(is_start), during_the_sweep);
        world.permit(Permit::Trade);
        let start = world.expect(is_start, "start");
        assert!(matches!(start, Effect::Start(Leadership { role: Role::Active, .. })));
    }
}

/// The token in the environment of a process belongs into order ids: a standby has none, also while its pod is next.
#[test]
fn a_hot_process_that_starts_again_while_its_pod_is_a_candidate_is_told_no_epoch() {
    let mut world = World::new(true).claimed();
    world.feed(Input::Exited(Exit::Code(1)));
    world.everything_dies();
    world.pass(1_000);
    let standby = Leadership { role: Role::Standby, epoch: Epoch(0), token: FencingToken(0) };
    assert_eq!(world.expect(is_start, "start of the standby"), Effect::Start(standby));
}
