//! The steps of an orderly stop.

use super::*;
use crate::core::gate::Passage;

fn stopping(steps: u8) -> World {
    let mut world = World::new(false).with(|setup| setup.stop_steps = steps).active();
    world.permit(Permit::Revoke);
    world.expect(|effect| *effect == Effect::Step(0), "first step");
    world
}

#[test]
fn the_steps_follow_each_other_and_sigterm_follows_the_last() {
    let mut world = stopping(3);
    for next in [1, 2] {
        world.feed(Input::Stepped(next - 1));
        world.expect(|effect| *effect == Effect::Step(next), "next step");
        assert_eq!((world.role(), &world.state.process), (Role::Demoting, &Process::ShuttingDown(next)));
    }
    world.feed(Input::Stepped(2));
    world.expect(|effect| *effect == Effect::Signal, "SIGTERM");
    assert_eq!(world.answer().kind, WriteKind::Renew(AgentState::Demoting));
    world.feed(Input::Exited(Exit::Code(0)));
    world.everything_dies();
    assert_eq!(world.released(), Some(ReleaseReason::Revoked));
}

#[test]
fn the_end_of_an_earlier_step_comes_too_late() {
    let mut world = stopping(2);
    world.feed(Input::Stepped(0));
    world.expect(|effect| *effect == Effect::Step(1), "second step");
    assert_eq!(world.answer().kind, WriteKind::Renew(AgentState::Demoting));
    world.feed(Input::Stepped(0));
    world.feed(Input::Stepped(7));
    world.expect_nothing();
    assert_eq!(world.state.process, Process::ShuttingDown(1));
}

#[test]
fn the_lease_is_renewed_for_as_long_as_steps_take() {
    let mut world = stopping(1);
    for _ in 0..100 {
        assert_eq!(world.answer().kind, WriteKind::Renew(AgentState::Demoting));
        world.pass(2_000);
    }
    world.answer();
    assert_eq!(world.state.process, Process::ShuttingDown(0));
    let open = passage(&world.state);
    assert!(matches!(open, Passage::Open(Some(_))), "its orders can be cancelled: {open:?}");
}

#[test]
fn past_the_lease_no_step_is_waited_for() {
    let mut world = stopping(4);
    world.feed(Input::Stepped(0));
    let lost = world.expect_write();
    world.feed(Input::Wrote(lost.number, Outcome::Unknown));
    world.pass(8_999);
    assert_eq!(world.state.process, Process::ShuttingDown(1));
    world.pass(1);
    assert_eq!(passage(&world.state), Passage::Ending);
    world.everything_dies();
    world.effects.clear();
    world.feed(Input::Stepped(1));
    assert!(!world.effects.iter().any(|effect| matches!(effect, Effect::Step(_) | Effect::Signal)));
}

#[test]
fn revoked_now_in_the_middle_ends_the_steps() {
    let mut world = stopping(4);
    world.feed(Input::Stepped(0));
    world.lease.revoke = Revoke::Now;
    world.seen();
    world.everything_dies();
    world.feed(Input::Stepped(1));
    assert_eq!(world.released(), Some(ReleaseReason::Revoked));
}

#[test]
fn a_bot_that_ends_in_the_middle_needs_no_further_step() {
    let mut world = stopping(4);
    world.feed(Input::Stepped(0));
    world.feed(Input::Exited(Exit::Code(0)));
    world.everything_dies();
    world.feed(Input::Stepped(1));
    assert_eq!(world.released(), Some(ReleaseReason::Revoked));
}

#[test]
fn a_lease_that_is_anothers_ends_the_steps() {
    let mut world = stopping(2);
    world.lease.holder = Some(PodRef { name: "doge-1".into(), uid: "u1".into() });
    world.lease.epoch = Some(Epoch(2));
    world.seen();
    world.everything_dies();
    assert_eq!((&world.state.hold, &world.state.process), (&None, &Process::Gone));
}

#[test]
fn who_never_traded_or_has_ended_takes_no_step() {
    let no_step = |world: &World| !world.effects.iter().any(|effect| matches!(effect, Effect::Step(_)));
    let mut candidate = World::new(true).with(|setup| setup.stop_steps = 2).claimed();
    candidate.permit(Permit::Revoke);
    candidate.expect(|effect| *effect == Effect::Signal, "SIGTERM");
    assert!(no_step(&candidate));
    let mut crashed = World::new(false).with(|setup| setup.stop_steps = 2).active();
    crashed.feed(Input::Exited(Exit::Code(1)));
    crashed.everything_dies();
    assert!(no_step(&crashed));
}

#[test]
fn a_pod_that_is_stopped_meanwhile_goes_on_with_its_steps() {
    let mut world = stopping(2);
    world.feed(Input::Terminate);
    assert_eq!(world.state.process, Process::ShuttingDown(0));
    world.feed(Input::Stepped(0));
    world.expect(|effect| *effect == Effect::Step(1), "second step");
    world.feed(Input::Stepped(1));
    world.expect(|effect| *effect == Effect::Signal, "SIGTERM");
}

#[test]
fn as_many_steps_as_can_be_counted_come_to_an_end() {
    let mut world = stopping(u8::MAX);
    for step in 0..u8::MAX {
        assert_eq!(world.state.process, Process::ShuttingDown(step));
        world.feed(Input::Stepped(step));
    }
    world.expect(|effect| *effect == Effect::Signal, "SIGTERM");
}
