//! SIGTERM.

use super::*;

#[test]
fn sigterm_stops_releases_and_only_then_ends() {
    let mut world = World::new(false).with(|setup| setup.stop_steps = 1).active();
    world.feed(Input::Terminate);
    world.expect(|effect| *effect == Effect::Step(0), "demote hook");
    world.feed(Input::Stepped(0));
    world.expect(|effect| *effect == Effect::Signal, "SIGTERM");
    world.feed(Input::Exited(Exit::Code(0)));
    world.everything_dies();
    assert!(!world.effects.contains(&Effect::Exit));
    assert_eq!(world.released(), Some(ReleaseReason::PodStopping));
    world.expect(|effect| *effect == Effect::Exit, "exit");
    world.grant(2, Permit::Prepare);
    world.seen();
    assert!(!world.effects.iter().any(|effect| matches!(effect, Effect::Write(_))));
}

#[test]
fn sigterm_without_an_api_server_ends_at_the_lease_deadline() {
    let mut world = World::new(false).active();
    world.feed(Input::Terminate);
    world.feed(Input::Exited(Exit::Code(0)));
    world.everything_dies();
    world.feed(Input::Drained);
    for _ in 0..80 {
        if let Some(number) = world.state.in_flight {
            world.feed(Input::Wrote(number, Outcome::Unknown));
        }
        world.pass(100);
    }
    assert!(!world.effects.contains(&Effect::Exit));
    world.pass(1_000);
    world.expect(|effect| *effect == Effect::Exit, "exit");
}

#[test]
fn a_standby_stops_its_process_and_ends() {
    let mut world = World::new(false);
    world.feed(Input::Terminate);
    world.expect(|effect| *effect == Effect::Exit, "exit");

    let mut world = World::new(true);
    world.feed(Input::Seen(None));
    world.expect(is_start, "start");
    world.feed(Input::Started);
    world.feed(Input::Terminate);
    world.expect(|effect| *effect == Effect::Signal, "SIGTERM");
    world.feed(Input::Exited(Exit::Code(0)));
    assert!(!world.effects.contains(&Effect::Exit));
    world.everything_dies();
    world.expect(|effect| *effect == Effect::Exit, "exit");
    world.expect_nothing();
}

#[test]
fn a_standby_that_is_being_started_or_that_crashed_ends_without_another_start() {
    let begin: [fn(&mut World); 3] = [
        |_| (),
        |world| {
            world.feed(Input::Started);
            world.feed(Input::Exited(Exit::Code(1)));
        },
        |world| {
            world.feed(Input::Started);
            world.feed(Input::Exited(Exit::Code(1)));
            world.everything_dies();
        },
    ];
    for begin in begin {
        let mut world = World::new(true);
        world.feed(Input::Seen(None));
        world.expect(is_start, "start");
        begin(&mut world);
        world.feed(Input::Terminate);
        if world.effects.contains(&Effect::Sweep) {
            world.everything_dies();
        }
        world.pass(5_000);
        assert!(!world.effects.iter().any(is_start));
        world.expect(|effect| *effect == Effect::Exit, "exit");
    }
}

#[test]
fn sigterm_while_the_claim_is_under_way_leaves_nothing_behind() {
    for answered in [false, true] {
        let mut world = World::new(false);
        world.grant(1, Permit::Prepare);
        world.seen();
        let claim = world.expect_write();
        world.store(&claim);
        if answered {
            world.feed(Input::Wrote(claim.number, Outcome::Unknown));
        }
        world.feed(Input::Terminate);
        world.everything_dies();
        world.expect(|effect| *effect == Effect::Drain, "wait for unsent bytes");
        world.feed(Input::Drained);
        assert!(!world.effects.contains(&Effect::Exit), "not before the release is known");
        world.answer();
        assert_eq!(ReleaseReason::parse(&world.lease.reason), Some(ReleaseReason::PodStopping));
        world.expect(|effect| *effect == Effect::Exit, "exit");
    }
}
