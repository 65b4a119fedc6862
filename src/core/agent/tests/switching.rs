//! The dead-man's switch: when it is called, and when it must not be.

use super::*;

const EVERY: Duration = Duration::from_secs(1);

fn with_switch(hot: bool) -> World {
    World::new(hot).with(|setup| setup.switch_every = Some(EVERY))
}

/// How many calls were begun since the last look.
fn calls(world: &mut World) -> usize {
    let before = world.effects.len();
    world.effects.retain(|effect| *effect != Effect::CallSwitch);
    before - world.effects.len()
}

/// Trades, with the first call under way.
fn calling(setup: impl FnOnce(&mut Setup)) -> World {
    let world = with_switch(false).with(setup).active();
    assert_eq!(world.state.switch, Switch::Calling(world.now.plus(EVERY)));
    world
}

fn abandoned_before(world: &World, stop: &Effect) {
    let position = |wanted: &Effect| world.effects.iter().position(|effect| effect == wanted);
    let abandoned = position(&Effect::AbandonSwitch).expect("the call is abandoned");
    let stopped = position(stop).expect("the stop begins");
    assert!(abandoned < stopped, "{:?}", world.effects);
}

/// A second of an agent whose renewals succeed.
fn second(world: &mut World) {
    for _ in 0..10 {
        world.pass(100);
        while world.effects.iter().any(|effect| matches!(effect, Effect::Write(_))) {
            world.answer();
        }
    }
}

#[test]
fn the_switch_is_called_at_once_and_then_from_begin_to_begin() {
    let mut world = with_switch(false).claimed();
    world.permit(Permit::Trade);
    assert_eq!(calls(&mut world), 0, "the bot does not run yet");
    world.feed(Input::Started);
    assert_eq!((calls(&mut world), world.role()), (1, Role::Active));
    let begun = world.now;
    world.pass(400);
    world.feed(Input::Switched);
    assert_eq!(wake_at(&world.state), Some(begun.plus(EVERY)), "the length of a call does not count");
    world.pass(599);
    assert_eq!(calls(&mut world), 0);
    world.pass(1);
    assert_eq!(calls(&mut world), 1);
}

#[test]
fn neither_a_standby_nor_a_candidate_nor_a_bot_that_is_still_being_promoted_calls() {
    let mut world = with_switch(true).with(|setup| setup.promote_hook = true).claimed();
    second(&mut world);
    assert_eq!(calls(&mut world), 0);
    world.permit(Permit::Trade);
    world.expect(|effect| *effect == Effect::Promote, "promote hook");
    second(&mut world);
    assert_eq!(calls(&mut world), 0);
    world.feed(Input::Promoted(Ok(())));
    assert_eq!(calls(&mut world), 1);
}

#[test]
fn a_call_that_runs_when_the_next_is_due_is_not_joined_by_another_which_follows_its_end() {
    let mut world = calling(|_| ());
    second(&mut world);
    second(&mut world);
    assert_eq!(calls(&mut world), 0);
    world.feed(Input::Switched);
    assert_eq!(calls(&mut world), 1);
    assert_eq!(world.state.switch, Switch::Calling(world.now.plus(EVERY)), "and the missed ones are not made up for");
}

#[test]
fn at_a_demotion_the_call_under_way_is_abandoned_before_anything_else_and_none_follows() {
    for hook in [true, false] {
        let mut world = calling(|setup| setup.stop_steps = u8::from(hook));
        world.permit(Permit::Revoke);
        abandoned_before(&world, if hook { &Effect::Step(0) } else { &Effect::Signal });
        // Too late to matter.
        world.feed(Input::Switched);
        second(&mut world);
        assert_eq!((calls(&mut world), world.state.switch), (0, Switch::Off));
    }
}

#[test]
fn between_two_calls_there_is_nothing_to_abandon() {
    let mut world = calling(|_| ());
    world.feed(Input::Switched);
    world.permit(Permit::Revoke);
    assert!(!world.effects.contains(&Effect::AbandonSwitch));
    assert_eq!(world.state.switch, Switch::Off);
}

#[test]
fn no_call_begins_past_the_renew_deadline_however_late_the_agent_wakes() {
    let mut world = calling(|_| ());
    world.feed(Input::Switched);
    world.pass(30_000);
    assert_eq!((calls(&mut world), world.state.switch), (0, Switch::Off));
}

#[test]
fn a_restart_in_place_pauses_the_calls_until_the_bot_trades_again() {
    let mut world = calling(|setup| setup.in_place_restarts = 1);
    world.feed(Input::Exited(Exit::Code(1)));
    abandoned_before(&world, &Effect::Sweep);
    world.everything_dies();
    world.pass(0);
    world.expect(is_start, "restart");
    assert_eq!(calls(&mut world), 0);
    world.feed(Input::Started);
    assert_eq!(calls(&mut world), 1);
}

#[test]
fn whoever_has_no_switch_calls_none() {
    let mut world = World::new(false).active();
    second(&mut world);
    assert_eq!((calls(&mut world), world.state.switch), (0, Switch::Off));
}
