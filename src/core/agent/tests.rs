//! Scenarios: one per rule. The world answers as an API server, an operator and a kernel would.

use std::time::Duration;

use super::*;
use crate::core::ids::{BootId, Epoch, FencingToken, PodRef};
use crate::core::lease::{AgentState, LeaseRecord, OnApiServerLoss, Permit, ReleaseReason, Revoke, Terms};
use crate::core::time::Mono;

const START: u64 = 1_000_000_000_000;

fn boot(nonce: &str) -> BootId {
    BootId { pod_uid: "u0".into(), nonce: nonce.into() }
}

fn terms(policy: OnApiServerLoss) -> Terms {
    Terms {
        lease_duration: Duration::from_secs(10),
        renew_period: Duration::from_secs(2),
        renew_deadline: Duration::from_secs(6),
        on_api_server_loss: policy,
    }
}

/// An agent, the Lease it sees, and what it was told to do and has not been asked about yet.
struct World {
    setup: Setup,
    state: State,
    lease: LeaseRecord,
    now: Mono,
    effects: Vec<Effect>,
}

impl World {
    fn new(hot: bool) -> World {
        let pod = PodRef { name: "doge-0".into(), uid: "u0".into() };
        let setup = Setup {
            pod,
            boot: boot("mine"),
            hot,
            in_place_restarts: 0,
            reconcile_restarts: false,
            promote_hook: false,
            demote_hook: false,
            stop: Duration::from_secs(3),
        };
        World { setup, state: State::default(), lease: LeaseRecord::default(), now: Mono::both(START), effects: vec![] }
    }

    fn with(mut self, change: impl FnOnce(&mut Setup)) -> World {
        change(&mut self.setup);
        self
    }

    fn feed(&mut self, input: Input) {
        let (state, effects) = step(&self.setup, std::mem::take(&mut self.state), input, self.now);
        self.state = state;
        self.effects.extend(effects);
    }

    fn seen(&mut self) {
        self.feed(Input::Seen(Some(self.lease.clone())));
    }

    fn grant(&mut self, epoch: u64, permit: Permit) {
        self.lease = LeaseRecord {
            holder: Some(self.setup.pod.clone()),
            epoch: Some(Epoch(epoch)),
            token: Some(FencingToken(epoch << 20)),
            permit: Some(permit),
            terms: Some(terms(OnApiServerLoss::Stop)),
            ..LeaseRecord::default()
        };
    }

    fn permit(&mut self, permit: Permit) {
        self.lease.permit = Some(permit);
        self.seen();
    }

    fn pass(&mut self, millis: u64) {
        self.now = self.now.plus(Duration::from_millis(millis));
        self.feed(Input::Tick);
    }

    /// Takes an effect that must have been given.
    fn expect(&mut self, wanted: impl Fn(&Effect) -> bool, what: &str) -> Effect {
        match self.effects.iter().position(wanted) {
            Some(index) => self.effects.remove(index),
            None => panic!("no {what} in {:?}\n{:?}", self.effects, self.state),
        }
    }

    fn expect_write(&mut self) -> Write {
        // A write replaces the one before it.
        let current = self.state.in_flight;
        self.effects.retain(|effect| !matches!(effect, Effect::Write(write) if Some(write.number) != current));
        match self.expect(|effect| matches!(effect, Effect::Write(_)), "write") {
            Effect::Write(write) => write,
            _ => unreachable!(),
        }
    }

    fn expect_nothing(&mut self) {
        self.effects.retain(|effect| !matches!(effect, Effect::Guard(_)));
        assert_eq!(self.effects, []);
    }

    /// The API server carries a write out as the patch says, or refuses it.
    fn store(&mut self, write: &Write) -> Outcome {
        let me = self.setup.boot.clone();
        let wanted = match &write.kind {
            WriteKind::Claim => None,
            WriteKind::ReleaseFor(earlier) => Some(earlier.clone()),
            _ => Some(me.clone()),
        };
        if self.lease.holder.as_ref() != Some(&self.setup.pod)
            || self.lease.epoch != Some(write.epoch)
            || self.lease.boot != wanted
        {
            return Outcome::Refused(Some(self.lease.clone()));
        }
        self.lease.renew = format!("{me}/{}", write.number);
        match &write.kind {
            WriteKind::Claim => {
                self.lease.boot = Some(me);
                self.lease.state = AgentState::Claimed;
            }
            WriteKind::Renew(state) => self.lease.state = *state,
            WriteKind::Release(why) => {
                self.lease.holder = None;
                self.lease.state = AgentState::Released;
                self.lease.reason = why.to_string();
            }
            WriteKind::ReleaseFor(_) => {
                self.lease.holder = None;
                self.lease.state = AgentState::Restarted;
                self.lease.successor = Some(me);
            }
        }
        Outcome::Answered(self.lease.clone())
    }

    fn answer(&mut self) -> Write {
        let write = self.expect_write();
        let outcome = self.store(&write);
        self.feed(Input::Wrote(write.number, outcome));
        write
    }

    /// Until the Lease is held under `Prepare`.
    fn claimed(mut self) -> World {
        self.grant(1, Permit::Prepare);
        self.seen();
        if self.setup.hot {
            self.expect(|effect| matches!(effect, Effect::Start(_)), "start of the standby");
            self.feed(Input::Started);
        }
        assert_eq!(self.answer().kind, WriteKind::Claim);
        self
    }

    /// Until the bot trades.
    fn active(self) -> World {
        let mut world = self.claimed();
        world.permit(Permit::Trade);
        if !world.setup.hot {
            world.expect(|effect| matches!(effect, Effect::Start(_)), "start");
            world.feed(Input::Started);
        }
        if world.setup.promote_hook {
            world.expect(|effect| *effect == Effect::Promote, "promote hook");
            world.feed(Input::Promoted(Ok(())));
        }
        while world.effects.iter().any(|effect| matches!(effect, Effect::Write(_))) {
            world.answer();
        }
        assert_eq!(world.lease.state, AgentState::Active);
        world.effects.clear();
        world
    }

    fn everything_dies(&mut self) {
        self.expect(|effect| *effect == Effect::Sweep, "sweep");
        self.feed(Input::Swept);
    }

    fn released(&mut self) -> Option<ReleaseReason> {
        self.expect(|effect| *effect == Effect::Drain, "wait for unsent bytes");
        self.feed(Input::Drained);
        self.answer();
        assert_eq!((self.lease.state, &self.lease.holder), (AgentState::Released, &None));
        assert_eq!(self.state.hold, None);
        ReleaseReason::parse(&self.lease.reason)
    }

    fn role(&self) -> Role {
        leadership(&self.state).role
    }
}

fn is_start(effect: &Effect) -> bool {
    matches!(effect, Effect::Start(_))
}

#[test]
fn a_grant_is_taken_up_at_once_and_trades_only_with_the_permit() {
    let mut world = World::new(false).claimed();
    assert_eq!(world.role(), Role::Candidate);
    world.expect_nothing();
    world.permit(Permit::Trade);
    let guard = world.expect(|effect| matches!(effect, Effect::Guard(Some(_))), "guard");
    assert_eq!(guard, Effect::Guard(Some(Mono::both(START).plus(Duration::from_secs(9)))));
    let start = world.expect(is_start, "start");
    assert_eq!(start, Effect::Start(Leadership { role: Role::Active, epoch: Epoch(1), token: FencingToken(1 << 20) }));
    world.feed(Input::Started);
    assert_eq!(world.answer().kind, WriteKind::Renew(AgentState::Promoting));
    assert_eq!(world.answer().kind, WriteKind::Renew(AgentState::Active));
}

#[test]
fn the_guards_are_armed_before_the_process_starts() {
    let mut world = World::new(false).claimed();
    world.permit(Permit::Trade);
    assert!(matches!(world.effects[0], Effect::Guard(Some(_))), "{:?}", world.effects);
}

#[test]
fn only_the_own_pod_takes_a_grant_up() {
    let mut world = World::new(false);
    world.grant(1, Permit::Trade);
    world.lease.holder = Some(PodRef { name: "doge-0".into(), uid: "another".into() });
    world.seen();
    world.expect_nothing();
}

#[test]
fn a_revoked_or_untenable_grant_is_not_taken_up() {
    let mut world = World::new(false);
    world.grant(1, Permit::Revoke);
    world.seen();
    world.grant(1, Permit::Prepare);
    world.lease.terms = Some(Terms { renew_deadline: Duration::from_secs(10), ..terms(OnApiServerLoss::Stop) });
    world.seen();
    world.lease.terms = None;
    world.seen();
    world.expect_nothing();
}

#[test]
fn a_claim_whose_answer_was_lost_is_recognised() {
    let mut world = World::new(false);
    world.grant(1, Permit::Prepare);
    world.seen();
    let write = world.expect_write();
    world.store(&write);
    world.feed(Input::Wrote(write.number, Outcome::Unknown));
    // The watch shows the value that was sent: as good as an answer.
    world.seen();
    assert_eq!(world.state.hold.as_ref().unwrap().renewed, Some(Mono::both(START)));
}

#[test]
fn a_second_claim_that_meets_the_first_renews_before_it_may_trade() {
    let mut world = World::new(false);
    world.grant(1, Permit::Prepare);
    world.seen();
    let first = world.expect_write();
    world.feed(Input::Wrote(first.number, Outcome::Unknown));
    world.pass(600);
    let second = world.expect_write();
    world.store(&first);
    world.lease.permit = Some(Permit::Trade);
    let outcome = world.store(&second);
    world.feed(Input::Wrote(second.number, outcome));
    assert!(!world.effects.iter().any(is_start), "no deadline is known yet");
    world.answer();
    world.expect(is_start, "start after the renewal");
}

#[test]
fn no_value_is_ever_used_twice() {
    let mut world = World::new(false).active();
    let mut last = world.state.writes;
    for _ in 0..5 {
        world.pass(2_000);
        let write = world.expect_write();
        assert!(write.number > last);
        last = write.number;
        world.feed(Input::Wrote(write.number, Outcome::Unknown));
        world.pass(600);
        let again = world.answer();
        assert!(again.number > last);
        last = again.number;
    }
}

#[test]
fn an_answer_without_the_value_is_no_success() {
    let mut world = World::new(false).active();
    world.pass(2_000);
    let write = world.expect_write();
    world.feed(Input::Wrote(write.number, Outcome::Answered(world.lease.clone())));
    assert_eq!(world.state.hold.as_ref().unwrap().renewed, Some(Mono::both(START)));
}

#[test]
fn a_deadline_counts_from_before_the_request_was_sent() {
    let mut world = World::new(false).active();
    world.pass(2_000);
    let sent = world.now;
    let write = world.expect_write();
    world.pass(1_500);
    let outcome = world.store(&write);
    world.feed(Input::Wrote(write.number, outcome));
    assert_eq!(deadline(&world.state), Some(sent.plus(Duration::from_secs(9))));
}

#[test]
fn at_the_renew_deadline_the_bot_is_stopped_with_patience_and_never_trades_again_in_that_epoch() {
    let mut world = World::new(false).with(|setup| setup.demote_hook = true).active();
    world.pass(2_000);
    let lost = world.expect_write();
    world.feed(Input::Wrote(lost.number, Outcome::Unknown));
    world.pass(4_000);
    world.expect(|effect| *effect == Effect::Demote, "demote hook");
    assert_eq!(world.role(), Role::Demoting);
    world.feed(Input::Demoted);
    world.expect(|effect| *effect == Effect::Signal, "SIGTERM");
    // The API server is back, with the permit as it was.
    world.answer();
    assert_eq!(world.lease.state, AgentState::Demoting);
    world.seen();
    world.feed(Input::Exited(Exit::Code(0)));
    world.everything_dies();
    assert_eq!(world.released(), Some(ReleaseReason::RenewDeadline));
    world.grant(1, Permit::Trade);
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
fn under_continue_the_bot_trades_on_without_renewals_and_without_a_guard() {
    let mut world = World::new(false);
    world.grant(1, Permit::Prepare);
    world.lease.terms = Some(terms(OnApiServerLoss::Continue));
    world.seen();
    world.answer();
    world.permit(Permit::Trade);
    world.expect(is_start, "start");
    world.feed(Input::Started);
    for _ in 0..200 {
        world.pass(500);
        if let Some(write) = world.state.in_flight {
            world.feed(Input::Wrote(write, Outcome::Unknown));
        }
    }
    world.effects.retain(|effect| !matches!(effect, Effect::Write(_)));
    assert_eq!(world.effects, []);
    assert_eq!(world.role(), Role::Active);
    world.lease.permit = Some(Permit::Revoke);
    world.seen();
    world.expect(|effect| *effect == Effect::Signal, "SIGTERM");
}

#[test]
fn another_holder_in_a_fresh_read_ends_everything_at_once() {
    let mut world = World::new(false).with(|setup| setup.demote_hook = true).active();
    world.pass(2_000);
    let write = world.expect_write();
    world.lease.holder = Some(PodRef { name: "doge-1".into(), uid: "u1".into() });
    world.lease.epoch = Some(Epoch(2));
    let outcome = world.store(&write);
    world.feed(Input::Wrote(write.number, outcome));
    world.everything_dies();
    assert_eq!(world.role(), Role::Standby);
    world.expect(|effect| *effect == Effect::Read, "read");
    world.expect_nothing();
}

#[test]
fn a_refusal_that_names_us_all_the_same_is_one_failed_attempt() {
    let mut world = World::new(false).active();
    world.pass(2_000);
    let write = world.expect_write();
    world.feed(Input::Wrote(write.number, Outcome::Refused(Some(world.lease.clone()))));
    world.expect_nothing();
    world.pass(500);
    assert_eq!(world.answer().kind, WriteKind::Renew(AgentState::Active));
}

#[test]
fn an_old_event_stops_nobody() {
    let mut world = World::new(false).active();
    let mut old = world.lease.clone();
    old.boot = None;
    world.feed(Input::Seen(Some(old.clone())));
    old.epoch = Some(Epoch(0));
    old.holder = None;
    world.feed(Input::Seen(Some(old)));
    world.expect_nothing();
    assert_eq!(world.role(), Role::Active);
}

#[test]
fn a_deleted_lease_ends_the_epoch_by_its_deadlines() {
    let mut world = World::new(false).active();
    world.feed(Input::Seen(None));
    world.pass(2_000);
    let write = world.expect_write();
    world.feed(Input::Wrote(write.number, Outcome::Refused(None)));
    world.expect_nothing();
    world.pass(4_000);
    world.expect(|effect| *effect == Effect::Signal, "SIGTERM");
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
    let mut world = World::new(false).with(|setup| setup.demote_hook = true).active();
    world.lease.revoke = Revoke::Now;
    world.permit(Permit::Revoke);
    world.everything_dies();
    assert_eq!(world.released(), Some(ReleaseReason::Revoked));

    let mut world = World::new(false).with(|setup| setup.demote_hook = true).active();
    world.permit(Permit::Revoke);
    world.expect(|effect| *effect == Effect::Demote, "demote hook");
    world.lease.revoke = Revoke::Now;
    world.seen();
    world.everything_dies();
    // Too late to matter.
    world.feed(Input::Demoted);
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
fn a_hot_candidate_that_is_passed_over_keeps_its_process() {
    let mut world = World::new(true).claimed();
    world.effects.clear();
    world.lease.epoch = Some(Epoch(2));
    world.lease.holder = Some(PodRef { name: "doge-1".into(), uid: "u1".into() });
    world.seen();
    world.expect_nothing();
    assert_eq!((world.role(), matches!(world.state.process, Process::Running { .. })), (Role::Standby, true));
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
    let mut world = World::new(true).claimed();
    world.feed(Input::Exited(Exit::Code(1)));
    world.everything_dies();
    assert!(!world.effects.iter().any(is_start));
    world.permit(Permit::Trade);
    let start = world.expect(is_start, "start");
    assert!(matches!(start, Effect::Start(Leadership { role: Role::Active, .. })));
}

#[test]
fn a_later_boot_releases_for_the_dead_one_and_for_no_other_pod() {
    for hot in [false, true] {
        let mut world = World::new(hot);
        world.grant(4, Permit::Trade);
        world.lease.boot = Some(boot("dead"));
        world.seen();
        assert!(!world.effects.iter().any(is_start), "no process before the release");
        world.expect(|effect| *effect == Effect::Drain, "wait for unsent bytes");
        world.feed(Input::Drained);
        assert_eq!(world.answer().kind, WriteKind::ReleaseFor(boot("dead")));
        assert_eq!(world.lease.state, AgentState::Restarted);
        assert_eq!(world.lease.successor, Some(boot("mine")));
        assert_eq!(world.lease.boot, Some(boot("dead")));
        assert_eq!(world.effects.iter().any(is_start), hot);
    }
    let mut world = World::new(false);
    world.grant(4, Permit::Trade);
    world.lease.boot = Some(BootId { pod_uid: "u1".into(), nonce: "x".into() });
    world.seen();
    world.expect_nothing();
}

#[test]
fn sigterm_stops_releases_and_only_then_ends() {
    let mut world = World::new(false).with(|setup| setup.demote_hook = true).active();
    world.feed(Input::Terminate);
    world.expect(|effect| *effect == Effect::Demote, "demote hook");
    world.feed(Input::Demoted);
    world.expect(|effect| *effect == Effect::Signal, "SIGTERM");
    world.feed(Input::Exited(Exit::Code(0)));
    world.everything_dies();
    assert!(!world.effects.contains(&Effect::Exit));
    assert_eq!(world.released(), Some(ReleaseReason::PodStopping));
    world.expect(|effect| *effect == Effect::Exit, "exit");
    world.grant(2, Permit::Trade);
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
    world.everything_dies();
    world.expect(|effect| *effect == Effect::Exit, "exit");
}

#[test]
fn sigterm_while_the_claim_is_under_way_leaves_nothing_behind() {
    let mut world = World::new(false);
    world.grant(1, Permit::Prepare);
    world.seen();
    let claim = world.expect_write();
    world.feed(Input::Terminate);
    world.store(&claim);
    world.everything_dies();
    assert_eq!(world.released(), Some(ReleaseReason::PodStopping));
    world.expect(|effect| *effect == Effect::Exit, "exit");
}

#[test]
fn a_new_grant_that_is_seen_during_a_kill_is_taken_up_after_it() {
    let mut world = World::new(false).active();
    world.grant(2, Permit::Prepare);
    world.seen();
    world.everything_dies();
    world.expect(|effect| *effect == Effect::Read, "read");
    world.feed(Input::Read(Some(world.lease.clone())));
    assert_eq!(world.answer().kind, WriteKind::Claim);
}

#[test]
fn an_agent_with_nothing_to_do_sleeps() {
    let mut world = World::new(false);
    world.seen();
    assert_eq!(wake_at(&world.state), None);
    let mut world = World::new(false).active();
    // A renewal every two seconds, and never a moment in the past.
    for _ in 0..10 {
        let at = wake_at(&world.state).unwrap();
        assert!(at.first > world.now.first);
        world.now = at;
        world.feed(Input::Tick);
        world.answer();
        world.expect_nothing();
    }
    assert_eq!(world.now, Mono::both(START).plus(Duration::from_secs(20)));
}
