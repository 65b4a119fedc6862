//! Checks: what they are about, and that a verdict of a bot or a role that is no more is not taken for one of the present.

use super::*;
use crate::core::health::tests::check;
use crate::core::health::{AppliesTo, Check, Duty, Verdict};
use crate::core::time::Wall;

/// A check in either role.
fn both(name: &str) -> Check {
    Check { applies_to: AppliesTo::Both, ..check(name) }
}

fn checked(hot: bool) -> World {
    World::new(hot).with(|setup| setup.checks = vec![both("price")])
}

fn failing() -> Vec<Verdict> {
    vec![Verdict { check: 0, failing: true, doubted: false, since: Wall(1), error: "No answer within 2 s.".into() }]
}

fn round(world: &World) -> (Option<Duty>, u64) {
    (world.state.health.duty, world.state.health.round)
}

/// Renews once.
fn renewed(world: &mut World) -> String {
    world.pass(2_000);
    world.answer().health
}

#[test]
fn a_bot_is_checked_in_its_role_and_not_while_it_starts_or_stops() {
    let mut world = checked(false);
    world.feed(Input::Tick);
    assert_eq!(round(&world), (Some(Duty::Standby), 1), "what a warm standby will need");
    let mut world = world.claimed();
    assert_eq!(round(&world), (Some(Duty::Standby), 1));
    world.permit(Permit::Trade);
    assert_eq!(round(&world), (None, 2));
    world.feed(Input::Started);
    assert_eq!(round(&world), (Some(Duty::Active), 3));
    world.answer();
    world.permit(Permit::Revoke);
    assert_eq!(round(&world), (None, 4));
    world.feed(Input::Exited(Exit::Code(0)));
    world.everything_dies();
    world.released();
    assert_eq!(round(&world), (Some(Duty::Standby), 5));
    world.feed(Input::Terminate);
    assert_eq!(round(&world).0, None);
}

#[test]
fn a_hot_standby_is_checked_while_its_process_runs_and_anew_when_it_was_started_again() {
    let mut world = checked(true);
    world.feed(Input::Seen(None));
    assert_eq!(round(&world).0, None);
    world.feed(Input::Started);
    let first = round(&world);
    assert_eq!(first.0, Some(Duty::Standby));
    world.feed(Input::Health(first.1, failing()));
    world.feed(Input::Exited(Exit::Code(1)));
    assert_eq!((round(&world).0, world.state.health.verdicts.len()), (None, 0));
    world.feed(Input::Swept);
    world.pass(1_000);
    world.feed(Input::Started);
    assert_eq!(round(&world).0, Some(Duty::Standby));
    world.feed(Input::Health(first.1, failing()));
    assert_eq!(world.state.health.verdicts, [], "of the process that is no more");
    let now = round(&world).1;
    world.feed(Input::Health(now, failing()));
    assert_eq!(world.state.health.verdicts, failing());
}

#[test]
fn what_fails_is_in_the_next_renewal_and_gone_from_the_one_after_it_passes() {
    let mut world = checked(false).active();
    assert!(renewed(&mut world).contains(r#""name":"price""#), "not known yet");
    let now = round(&world).1;
    world.feed(Input::Health(now, failing()));
    world.expect_nothing();
    let text = renewed(&mut world);
    assert!(text.contains("No answer within 2 s.") && text == world.lease.health, "{text}");
    let passing = vec![Verdict { check: 0, failing: false, doubted: false, since: Wall(2), error: String::new() }];
    world.feed(Input::Health(now, passing));
    assert_eq!(renewed(&mut world), "");
}

#[test]
fn a_restart_in_place_begins_a_new_round_and_forgets_what_failed() {
    let mut world = checked(false).with(|setup| setup.in_place_restarts = 1).active();
    let before = round(&world).1;
    world.feed(Input::Health(before, failing()));
    world.feed(Input::Exited(Exit::Code(1)));
    assert_eq!((round(&world).0, world.state.health.verdicts.len()), (None, 0));
    world.everything_dies();
    world.pass(0);
    world.expect(is_start, "restart");
    world.feed(Input::Started);
    assert_eq!(round(&world).0, Some(Duty::Active));
    world.feed(Input::Health(before, failing()));
    assert_eq!(world.state.health.verdicts, []);
}

#[test]
fn an_agent_without_checks_counts_no_rounds() {
    let world = World::new(false).active();
    assert_eq!(world.state.health, crate::core::health::Health::default());
}
