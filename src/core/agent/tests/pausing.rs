//! The hooks about pauses: one call at a time, in order, and the latest wish wins.

use super::*;
use crate::core::health::tests::check;
use crate::core::health::{Check, Scope, Verdict};
use crate::core::time::Wall;

const AGAIN: Duration = Duration::from_secs(30);
const PAUSE: Effect = Effect::CallPauseHook(PauseHook::Pause);
const RESUME: Effect = Effect::CallPauseHook(PauseHook::Resume);

fn with_hooks(hot: bool) -> World {
    let venue = Check { name: "venue".into(), scope: Scope::Shared, pause_trading: true, ..check("venue") };
    World::new(hot).with(|setup| {
        setup.checks = vec![venue];
        setup.pause_hooks = PauseHooks { pause: true, resume: true, again: AGAIN };
        setup.plan.pause = AGAIN;
    })
}

impl World {
    /// The venue, which every pod would see alike, is away or there.
    fn venue(&mut self, away: bool) {
        let verdict = Verdict { check: 0, failing: away, doubted: false, since: Wall(0), error: String::new() };
        self.feed(Input::Health(self.state.health.round, vec![verdict]));
    }

    /// The calls about pauses that were begun or abandoned since the last look.
    fn calls(&mut self) -> Vec<Effect> {
        let of_pauses = |effect: &Effect| matches!(effect, Effect::CallPauseHook(_) | Effect::AbandonPauseHook);
        let calls = self.effects.iter().filter(|effect| of_pauses(effect)).cloned().collect();
        self.effects.retain(|effect| !of_pauses(effect));
        calls
    }

    fn ended(&mut self, succeeded: bool) -> Vec<Effect> {
        self.feed(Input::PauseHookEnded(succeeded));
        self.calls()
    }

    /// Seconds of an agent whose renewals succeed.
    fn seconds(&mut self, seconds: u64) -> Vec<Effect> {
        self.go_on(seconds);
        self.calls()
    }

    /// Trading pauses, and the call about it is under way.
    fn pausing(mut self) -> World {
        self.venue(true);
        assert_eq!((self.calls(), self.role()), (vec![PAUSE], Role::Paused));
        self
    }
}

fn abandoned_before(world: &World, stop: &Effect) {
    let position = |wanted: &Effect| world.effects.iter().position(|effect| effect == wanted);
    let abandoned = position(&Effect::AbandonPauseHook).expect("the call is abandoned");
    assert!(abandoned < position(stop).expect("the stop begins"), "{:?}", world.effects);
}

#[test]
fn a_bot_is_told_once_that_trading_pauses_and_once_that_it_goes_on() {
    let mut world = with_hooks(false).active();
    world.venue(false);
    assert_eq!(world.seconds(60), [], "nothing to tell");
    let mut world = world.pausing();
    assert_eq!(world.ended(true), []);
    assert_eq!(world.seconds(120), []);
    world.venue(false);
    assert_eq!((world.calls(), world.role()), (vec![RESUME], Role::Active));
    assert_eq!(world.ended(true), []);
    assert_eq!(world.seconds(120), []);
    world.pausing();
}

#[test]
fn a_pause_that_ends_while_its_hook_is_under_way_is_followed_by_the_other_when_that_has_ended() {
    for succeeded in [true, false] {
        let mut world = with_hooks(false).active().pausing();
        world.venue(false);
        assert_eq!(world.seconds(10), [], "never two at once");
        assert_eq!(world.ended(succeeded), [RESUME], "what a call that failed came to is not known");
        assert_eq!(world.ended(true), []);
    }
}

#[test]
fn a_wish_that_came_and_went_while_a_hook_was_under_way_is_not_told() {
    let mut world = with_hooks(false).active().pausing();
    world.venue(false);
    world.venue(true);
    assert_eq!(world.ended(true), []);
    assert_eq!(world.seconds(60), []);
    world.venue(false);
    assert_eq!(world.calls(), [RESUME]);
    world.venue(true);
    assert_eq!(world.calls(), []);
    assert_eq!(world.ended(true), [PAUSE]);
}

#[test]
fn a_pause_hook_that_failed_is_called_again_for_as_long_as_trading_pauses() {
    let mut world = with_hooks(false).active().pausing();
    for _ in 0..3 {
        assert_eq!(world.ended(false), []);
        assert_eq!(world.seconds(29), []);
        assert_eq!(world.seconds(1), [PAUSE]);
    }
    world.ended(false);
    world.venue(false);
    assert_eq!(world.calls(), [RESUME], "at once: it may be paused");
    assert_eq!(world.ended(true), []);
    assert_eq!(world.seconds(60), []);
}

#[test]
fn a_resume_hook_that_failed_is_called_again_for_as_long_as_trading_goes_on() {
    let mut world = with_hooks(false).active().pausing();
    world.ended(true);
    world.venue(false);
    assert_eq!(world.calls(), [RESUME]);
    let failed = world.now;
    assert_eq!(world.ended(false), []);
    world.effects.clear();
    let mut alone = World { effects: Vec::new(), ..world };
    assert!(wake_at(&alone.state).unwrap().first <= failed.plus(AGAIN).first);
    assert_eq!(alone.seconds(30), [RESUME]);
    alone.ended(false);
    alone.venue(true);
    assert_eq!(alone.calls(), [PAUSE]);
}

#[test]
fn an_agent_that_has_nothing_else_to_do_wakes_to_repeat_a_call() {
    let mut world = with_hooks(false).with(|setup| setup.plan.pause = AGAIN * 3).active().pausing();
    world.ended(false);
    let at = world.now.plus(AGAIN);
    world.state.hold.as_mut().unwrap().terms.on_api_server_loss = OnApiServerLoss::Continue;
    world.state.hold.as_mut().unwrap().next_write = at.plus(AGAIN);
    assert_eq!(wake_at(&world.state), Some(at));
}

#[test]
fn of_one_hook_alone_the_other_wish_is_not_told() {
    let mut world = with_hooks(false).with(|setup| setup.pause_hooks.pause = false).active();
    world.venue(true);
    assert_eq!(world.seconds(60), []);
    world.venue(false);
    assert_eq!(world.calls(), [RESUME]);
    let mut world = with_hooks(false).with(|setup| setup.pause_hooks.resume = false).active().pausing();
    world.ended(true);
    world.venue(false);
    assert_eq!(world.calls(), []);
    world.pausing();
}

#[test]
fn a_stop_abandons_the_call_before_anything_else() {
    let mut world = with_hooks(false).with(|setup| setup.stop_steps = 1).active().pausing();
    world.effects.clear();
    world.permit(Permit::Revoke);
    abandoned_before(&world, &Effect::Step(0));
    assert_eq!(world.calls(), [Effect::AbandonPauseHook]);
    // Its answer may have been on its way.
    assert_eq!(world.ended(true), []);
    world.venue(false);
    assert_eq!(world.calls(), []);
    world.feed(Input::Stepped(0));
    world.feed(Input::Exited(Exit::Code(0)));
    world.everything_dies();
    assert_eq!(world.released(), Some(ReleaseReason::Revoked));
    assert_eq!(world.calls(), []);
}

#[test]
fn sigterm_and_a_lost_lease_abandon_the_call() {
    let mut world = with_hooks(false).active().pausing();
    world.effects.clear();
    world.feed(Input::Terminate);
    abandoned_before(&world, &Effect::Signal);
    let mut world = with_hooks(false).active().pausing();
    world.effects.clear();
    world.grant(2, Permit::Prepare);
    world.lease.holder = Some(PodRef { name: "doge-1".into(), uid: "u1".into() });
    world.seen();
    abandoned_before(&world, &Effect::Sweep);
}

#[test]
fn no_call_holds_a_renewal_or_the_deadline_up() {
    let mut world = with_hooks(false).active().pausing();
    let sent = world.state.writes;
    assert_eq!(world.seconds(60), []);
    assert!(world.state.writes >= sent + 29, "{} renewals", world.state.writes - sent);
    world.pass(6_100);
    abandoned_before(&world, &Effect::Signal);
    world.pass(3_000);
    world.expect(|effect| *effect == Effect::Sweep, "sweep");
}

#[test]
fn a_process_that_is_started_into_the_pause_is_told_when_it_was_promoted() {
    let setup = |setup: &mut Setup| (setup.in_place_restarts, setup.promote_hook) = (1, true);
    let mut world = with_hooks(false).with(setup).active().pausing();
    world.ended(true);
    world.feed(Input::Exited(Exit::Code(1)));
    world.everything_dies();
    world.feed(Input::Tick);
    let Effect::Start(told) = world.expect(is_start, "start") else { unreachable!() };
    assert_eq!(told.role, Role::Paused);
    world.feed(Input::Started);
    world.expect(|effect| *effect == Effect::Promote, "promote hook");
    assert_eq!(world.seconds(5), [], "not before the promote hook, which may let it trade");
    world.feed(Input::Promoted(Ok(())));
    assert_eq!(world.calls(), [PAUSE]);
    world.ended(true);
    world.venue(false);
    assert_eq!(world.calls(), [RESUME]);
}

#[test]
fn a_process_that_ends_while_it_is_told_abandons_the_call_and_the_next_one_knows_of_no_pause() {
    let mut world = with_hooks(false).with(|setup| setup.in_place_restarts = 1).active().pausing();
    world.effects.clear();
    world.feed(Input::Exited(Exit::Code(1)));
    abandoned_before(&world, &Effect::Sweep);
    world.calls();
    world.everything_dies();
    world.feed(Input::Tick);
    world.expect(is_start, "start");
    world.feed(Input::Started);
    assert_eq!(world.calls(), [PAUSE], "it is told anew");
    world.ended(true);
    world.venue(false);
    assert_eq!(world.calls(), [RESUME]);
}

#[test]
fn a_recovery_hook_and_one_about_a_pause_do_not_wait_for_each_other() {
    let rule = Rule { name: "blind".into(), checks: vec![1], remedies: vec![OwnRemedy::Hook(0)] };
    let mut world = with_hooks(false)
        .with(|setup| {
            setup.checks.push(check("price"));
            setup.plan = Plan { rules: vec![rule], pause: AGAIN, period: Duration::from_secs(3600) };
        })
        .active();
    let verdict = |check, failing| Verdict { check, failing, doubted: false, since: Wall(0), error: String::new() };
    let round = world.state.health.round;
    world.feed(Input::Health(round, vec![verdict(0, false), verdict(1, true)]));
    world.expect(|effect| *effect == Effect::Recover(0), "recovery hook");
    world.feed(Input::Health(round, vec![verdict(0, true), verdict(1, true)]));
    assert_eq!(world.calls(), [PAUSE]);
    world.feed(Input::Recovered);
    assert_eq!(world.ended(true), []);
}

#[test]
fn neither_a_standby_nor_a_candidate_is_told() {
    let mut world = with_hooks(true).claimed();
    world.venue(true);
    assert_eq!(world.seconds(60), []);
}
