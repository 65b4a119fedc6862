//! Checks that fail: remedies in order, with a pause after each, and trading that pauses.

use super::*;
use crate::core::gate::Passage;
use crate::core::health::tests::check;
use crate::core::health::{Check, Scope, Verdict};
use crate::core::recovery::Complaint;
use crate::core::time::Wall;

const PRICE: u8 = 0;
const EXCHANGE: u8 = 1;

/// Checks 0, of the pod, and 1, of the exchange, which every pod would see alike.
fn world(remedies: &[OwnRemedy]) -> World {
    let rule = Rule { name: "blind".into(), checks: vec![PRICE], remedies: remedies.to_vec() };
    let (pause, period) = (Duration::from_secs(30), Duration::from_secs(3600));
    let price = check("price");
    let exchange = Check { name: "exchange".into(), scope: Scope::Shared, pause_trading: true, ..price.clone() };
    World::new(false).with(|setup| {
        setup.plan = Plan { rules: vec![rule], pause, period };
        setup.checks = vec![price, exchange];
    })
}

#[derive(Clone, Copy, PartialEq)]
enum Is {
    Unknown,
    Passing,
    Doubted,
    Failing,
}

impl World {
    fn checks(&mut self, price: Is, exchange: Is) {
        let verdict = |check, is: Is| Verdict {
            check,
            failing: is == Is::Failing,
            doubted: is == Is::Doubted,
            since: Wall(0),
            error: if is == Is::Failing { "$.price is missing.".into() } else { String::new() },
        };
        let known = [(PRICE, price), (EXCHANGE, exchange)].into_iter().filter(|(_, is)| *is != Is::Unknown);
        let verdicts = known.map(|(check, is)| verdict(check, is)).collect();
        self.feed(Input::Health(self.state.health.round, verdicts));
    }

    /// People are told of a remedy, before it.
    fn tells(&mut self) -> Taken {
        match self.expect(|effect| matches!(effect, Effect::Tell(_)), "word about a remedy") {
            Effect::Tell(taken) => taken,
            _ => unreachable!(),
        }
    }

    fn restarts(&mut self) {
        assert_eq!(self.tells().remedy, OwnRemedy::RestartProcess);
        self.expect(|effect| *effect == Effect::Signal, "SIGTERM");
        self.feed(Input::Exited(Exit::Signal(15)));
        self.everything_dies();
        self.feed(Input::Tick);
        self.expect(is_start, "start");
        self.feed(Input::Started);
        self.go_on(1);
        assert_eq!(self.lease.state, AgentState::Active);
    }
}

#[test]
fn a_check_that_fails_restarts_the_process_in_its_epoch_and_then_gives_the_lease_back() {
    let mut world = world(&[OwnRemedy::RestartProcess]).active();
    world.checks(Is::Failing, Is::Passing);
    world.restarts();
    assert_eq!(world.lease.epoch, Some(Epoch(1)));
    world.checks(Is::Failing, Is::Passing);
    world.go_on(20);
    world.expect_nothing();
    world.go_on(10);
    world.expect(|effect| *effect == Effect::Signal, "SIGTERM");
    world.feed(Input::Exited(Exit::Signal(15)));
    world.everything_dies();
    assert_eq!(world.released(), Some(ReleaseReason::HealthFailed));
    let (_, sentence) = world.lease.reason.split_once(": ").unwrap();
    let complaint = Complaint::parse(sentence).unwrap();
    assert_eq!((complaint.rule.as_str(), complaint.check.as_str()), ("blind", "price"));
}

#[test]
fn a_check_that_passes_again_is_left_alone() {
    let mut world = world(&[OwnRemedy::RestartProcess]).active();
    world.checks(Is::Failing, Is::Passing);
    world.restarts();
    world.checks(Is::Passing, Is::Passing);
    world.go_on(120);
    world.expect_nothing();
    world.checks(Is::Doubted, Is::Passing);
    world.go_on(10);
    world.expect_nothing();
    assert_eq!(world.role(), Role::Active);
}

#[test]
fn a_process_that_does_not_end_is_killed_after_its_time() {
    let mut world = world(&[OwnRemedy::RestartProcess]).with(|setup| setup.stop = Duration::from_secs(60)).active();
    world.checks(Is::Failing, Is::Passing);
    world.tells();
    world.expect(|effect| *effect == Effect::Signal, "SIGTERM");
    world.go_on(4);
    world.expect_nothing();
    world.go_on(1);
    world.everything_dies();
    world.feed(Input::Tick);
    world.expect(is_start, "start");
}

#[test]
fn where_restarts_are_reconciled_one_for_a_check_is_too() {
    let mut world = world(&[OwnRemedy::RestartProcess]).with(|setup| setup.reconcile_restarts = true).active();
    world.checks(Is::Failing, Is::Passing);
    world.expect(|effect| *effect == Effect::Signal, "SIGTERM");
    world.feed(Input::Exited(Exit::Code(0)));
    world.everything_dies();
    assert_eq!(world.released(), Some(ReleaseReason::RestartWanted));
}

#[test]
fn a_hook_is_called_once_and_the_checks_say_whether_it_helped() {
    let mut world = world(&[OwnRemedy::Hook(3), OwnRemedy::RestartProcess]).active();
    world.checks(Is::Failing, Is::Passing);
    let complaint = Complaint { rule: "blind".into(), check: "price".into(), error: "$.price is missing.".into() };
    assert_eq!(world.tells(), Taken { remedy: OwnRemedy::Hook(3), complaint });
    world.expect(|effect| *effect == Effect::Recover(3), "recovery hook");
    // However long it takes: nothing else is done meanwhile.
    world.go_on(60);
    world.expect_nothing();
    world.feed(Input::Recovered);
    world.expect(|effect| *effect == Effect::Signal, "SIGTERM");
}

#[test]
fn a_rule_begins_anew_when_it_was_long_ago() {
    let mut world = world(&[OwnRemedy::RestartProcess]).active();
    for _ in 0..2 {
        world.checks(Is::Failing, Is::Passing);
        world.restarts();
        world.checks(Is::Passing, Is::Passing);
        world.go_on(3600);
    }
}

#[test]
fn what_every_pod_would_see_alike_is_no_reason_to_do_anything() {
    for exchange in [Is::Unknown, Is::Doubted, Is::Failing] {
        let mut world = world(&[OwnRemedy::RestartProcess]).active();
        world.checks(Is::Failing, exchange);
        world.go_on(180);
        world.expect_nothing();
    }
}

#[test]
fn what_a_shared_cause_has_led_to_gets_a_moment_to_be_well_again() {
    let mut world = world(&[OwnRemedy::RestartProcess]).active();
    world.checks(Is::Failing, Is::Failing);
    world.go_on(60);
    world.checks(Is::Failing, Is::Passing);
    world.go_on(25);
    world.expect_nothing();
    world.checks(Is::Passing, Is::Passing);
    world.go_on(60);
    world.expect_nothing();
    // And where it does not become well, it is helped.
    world.checks(Is::Failing, Is::Doubted);
    world.checks(Is::Failing, Is::Passing);
    world.go_on(31);
    world.expect(|effect| *effect == Effect::Signal, "SIGTERM");
}

#[test]
fn trading_pauses_while_a_check_says_so_and_goes_on_by_itself() {
    let mut world = world(&[]).active();
    world.checks(Is::Passing, Is::Failing);
    assert_eq!((world.role(), passage(&world.state)), (Role::Paused, Passage::Standby));
    world.go_on(180);
    assert_eq!((world.role(), world.lease.state), (Role::Paused, AgentState::Active));
    world.checks(Is::Passing, Is::Passing);
    assert_eq!(world.role(), Role::Active);
    assert!(matches!(passage(&world.state), Passage::Open(Some(_))));
    world.expect_nothing();
}

#[test]
fn a_process_that_ends_while_trading_pauses_is_started_into_the_pause() {
    let mut world = world(&[]).with(|setup| setup.in_place_restarts = 1).active();
    world.checks(Is::Passing, Is::Failing);
    world.feed(Input::Exited(Exit::Code(1)));
    world.everything_dies();
    world.feed(Input::Tick);
    let Effect::Start(told) = world.expect(is_start, "start") else { unreachable!() };
    assert_eq!(told.role, Role::Paused);
    world.feed(Input::Started);
    world.go_on(1);
    // Nothing is known of the exchange yet.
    assert_eq!((world.lease.state, world.role()), (AgentState::Active, Role::Paused));
    world.checks(Is::Passing, Is::Passing);
    assert_eq!(world.role(), Role::Active);
}

#[test]
fn nothing_is_done_about_checks_of_a_bot_that_does_not_trade() {
    let mut world = world(&[OwnRemedy::RestartProcess]).claimed();
    world.checks(Is::Failing, Is::Failing);
    world.go_on(60);
    world.expect_nothing();
    assert_eq!(world.role(), Role::Candidate);
}

#[test]
fn a_deadline_passes_over_a_restart_for_a_check() {
    let mut world = world(&[OwnRemedy::RestartProcess]).with(|setup| setup.stop = Duration::from_secs(60)).active();
    world.pass(5_900);
    world.effects.clear();
    world.checks(Is::Failing, Is::Passing);
    world.expect(|effect| *effect == Effect::Signal, "SIGTERM");
    world.pass(3_200);
    world.expect(|effect| *effect == Effect::Sweep, "sweep");
    world.feed(Input::Swept);
    assert!(!world.effects.iter().any(is_start), "{:?}", world.effects);
}

const NEVER: Mono = Mono::both(u64::MAX);

/// An agent that never renews, so that only a remedy that waits can wake it.
fn never_renewing(remedies: &[OwnRemedy]) -> World {
    let mut world = world(remedies).active();
    let hold = world.state.hold.as_mut().expect("it trades");
    hold.terms.on_api_server_loss = OnApiServerLoss::Continue;
    hold.next_write = NEVER;
    world
}

#[test]
fn a_remedy_that_has_to_wait_wakes_the_agent_and_one_that_need_not_does_not() {
    let mut world = never_renewing(&[OwnRemedy::Hook(0), OwnRemedy::Hook(1)]);
    let begun = world.now;
    world.checks(Is::Failing, Is::Passing);
    assert_eq!(wake_at(&world.state), Some(NEVER), "a hook is under way");
    world.feed(Input::Recovered);
    assert_eq!(wake_at(&world.state), Some(begun.plus(Duration::from_secs(30))));
    world.checks(Is::Passing, Is::Passing);
    assert_eq!(wake_at(&world.state), Some(NEVER), "nothing fails");
    world.checks(Is::Failing, Is::Passing);
    world.state.hold.as_mut().expect("it trades").stage = Stage::Promoting;
    assert_eq!(wake_at(&world.state), Some(NEVER), "the bot does not trade");
}

#[test]
fn a_rule_begins_anew_exactly_when_its_period_is_over() {
    let mut world = never_renewing(&[OwnRemedy::Hook(0)]);
    world.checks(Is::Failing, Is::Passing);
    world.feed(Input::Recovered);
    world.checks(Is::Passing, Is::Passing);
    world.pass(3_599_999);
    assert_eq!(world.state.recovery.taken.len(), 1);
    world.pass(1);
    assert!(world.state.recovery.taken.is_empty());
}

#[test]
fn nothing_is_done_for_a_bot_that_does_not_trade_yet() {
    let mut world = world(&[OwnRemedy::Hook(0)]).with(|setup| setup.promote_hook = true).claimed();
    world.permit(Permit::Trade);
    world.feed(Input::Started);
    world.state.health.verdicts = vec![Verdict {
        check: PRICE,
        failing: true,
        doubted: false,
        since: Wall(0),
        error: "$.price is missing.".into(),
    }];
    world.feed(Input::Tick);
    assert!(!world.effects.iter().any(|effect| matches!(effect, Effect::Tell(_))), "{:?}", world.effects);
}
