//! When the agent wakes by itself: in time for everything that is due, and never over and over.

use super::*;

fn after(millis: u64) -> Option<Mono> {
    Some(Mono::both(START).plus(Duration::from_millis(millis)))
}

fn never_in_the_past(world: &World) {
    assert!(wake_at(&world.state).is_none_or(|at| at.first > world.now.first), "{:?}", world.state);
}

#[test]
fn while_an_answer_is_waited_for_it_wakes_for_the_renew_deadline_and_sends_nothing_more() {
    let mut world = World::new(false).active();
    world.pass(2_000);
    let number = world.expect_write().number;
    assert_eq!(wake_at(&world.state), after(6_000));
    world.pass(2_500);
    assert_eq!((world.state.in_flight, wake_at(&world.state)), (Some(number), after(6_000)));
}

#[test]
fn what_failed_is_tried_again_soon() {
    let mut world = World::new(false);
    world.grant(1, Permit::Prepare);
    world.seen();
    let claim = world.expect_write().number;
    world.seen();
    assert_eq!(world.state.in_flight, Some(claim), "one claim at a time");
    world.feed(Input::Wrote(claim, Outcome::Unknown));
    assert_eq!(wake_at(&world.state), after(500));

    let mut world = World::new(false).active();
    world.feed(Input::Exited(Exit::Code(1)));
    world.everything_dies();
    world.feed(Input::Drained);
    let release = world.expect_write().number;
    world.feed(Input::Wrote(release, Outcome::Unknown));
    assert_eq!(wake_at(&world.state), after(500));

    let mut world = World::new(false);
    world.grant(4, Permit::Trade);
    world.lease.boot = Some(boot("dead"));
    world.seen();
    assert_eq!(wake_at(&world.state), None, "not before the bytes are sent");
    world.feed(Input::Drained);
    let release = world.expect_write().number;
    world.feed(Input::Wrote(release, Outcome::Unknown));
    assert_eq!(wake_at(&world.state), after(500));
    world.pass(500);
    assert_eq!(world.answer().kind, WriteKind::ReleaseFor(boot("dead")));
}

#[test]
fn a_bot_that_is_stopped_is_renewed_for_and_killed_in_time() {
    let mut world = World::new(false).active();
    world.permit(Permit::Revoke);
    world.answer();
    assert_eq!(wake_at(&world.state), after(2_000), "the next renewal comes before its time to stop is over");

    let mut world = World::new(false).with(|setup| setup.stop = Duration::from_secs(60)).active();
    world.pass(6_000);
    assert_eq!(wake_at(&world.state), after(9_000), "the lease ends before its time to stop is over");
}

#[test]
fn under_continue_no_deadline_wakes_it() {
    let mut world = World::new(false);
    world.grant(1, Permit::Prepare);
    world.lease.terms = Some(terms(OnApiServerLoss::Continue));
    world.seen();
    world.answer();
    world.permit(Permit::Trade);
    world.feed(Input::Started);
    world.pass(60_000);
    never_in_the_past(&world);
    world.permit(Permit::Revoke);
    assert_eq!(wake_at(&world.state), after(63_000), "its time to stop");
}

#[test]
fn when_nothing_can_be_done_but_wait_it_sleeps() {
    // Everything is being killed, for another that holds the Lease.
    let mut world = World::new(false).active();
    world.lease.epoch = Some(Epoch(2));
    world.lease.boot = None;
    world.feed(Input::Read(Some(world.lease.clone())));
    world.pass(30_000);
    assert_eq!(wake_at(&world.state), None);

    // Bytes are on their way.
    let mut world = World::new(false).active();
    world.feed(Input::Exited(Exit::Code(1)));
    world.everything_dies();
    world.pass(30_000);
    assert_eq!(wake_at(&world.state), None);

    // Something survives SIGKILL, and the pod is to end.
    let mut world = World::new(false).active();
    world.feed(Input::Terminate);
    world.pass(30_000);
    world.expect(|effect| *effect == Effect::Sweep, "sweep");
    assert_eq!(wake_at(&world.state), None);
}

#[test]
fn an_agent_that_leaves_wakes_when_the_lease_has_run_out() {
    let mut world = World::new(false).active();
    world.feed(Input::Terminate);
    world.feed(Input::Exited(Exit::Code(0)));
    world.everything_dies();
    assert_eq!(wake_at(&world.state), after(9_000));
}
