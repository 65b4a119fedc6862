//! Two bots of one account: never both, whoever is suspended, deleted, lost, removed by force, or meddled with.

use std::time::Duration;

use super::shared_account::{ACCOUNT, SharedAccount};
use super::world::*;
use crate::core::account::Holder;
use crate::core::failover::*;
use crate::core::ids::{Epoch, FencingToken};
use crate::core::lease::OnApiServerLoss;
use crate::core::silence::required_silence;

const S: fn(u64) -> Duration = Duration::from_secs;

struct Two {
    a: World,
    b: World,
}

impl Two {
    /// Both want the account; the first trades, the second has been waiting for a while.
    fn with(spec: impl Fn() -> Spec) -> Two {
        let shared = SharedAccount::new("trading-a/doge/uid-a");
        let mut a = World::new(Spec { account: Some(ACCOUNT.into()), ..spec() });
        let mut b = World::new(Spec { account: Some(ACCOUNT.into()), ..spec() });
        b.shared = Some(shared.join("trading-b/doge/uid-b"));
        a.shared = Some(shared);
        let mut two = Two { a, b };
        for _ in 0..30 {
            two.a.tick();
        }
        two.b.millis = two.a.millis;
        two.run(S(20));
        assert_eq!((two.a.record.phase, two.b.record.phase), (Phase::Active, Phase::Blocked));
        two
    }

    fn new() -> Two {
        Self::with(spec)
    }

    fn tick(&mut self) {
        // The watch of the account's Lease wakes both; here each looks as often as time passes.
        self.a.tick();
        SharedAccount::check([&self.a, &self.b].into_iter());
        self.b.tick();
        SharedAccount::check([&self.a, &self.b].into_iter());
    }

    fn run(&mut self, time: Duration) {
        for _ in 0..time.as_millis() / 100 {
            self.tick();
        }
    }

    fn run_until(&mut self, what: &str, limit: Duration, done: impl Fn(&Two) -> bool) -> u64 {
        let begin = self.b.millis;
        while !done(self) {
            let said = (&self.a.record.message, &self.b.record.message);
            assert!(Duration::from_millis(self.b.millis - begin) < limit, "{what} within {limit:?}: {said:?}");
            self.tick();
        }
        self.b.millis - begin
    }

    fn until_b_trades(&mut self, limit: Duration) -> u64 {
        self.run_until("the second trades", limit, |two| two.b.trader().is_some())
    }

    fn shared(&self) -> &SharedAccount {
        self.a.shared.as_ref().unwrap()
    }

    /// The first bot's TradingBot is gone at once, and nobody looks after it any more.
    fn remove_a_by_force(&mut self) {
        self.shared().vanish();
        self.a.operator_up = false;
    }
}

fn token(world: &World) -> FencingToken {
    world.record.trading.as_ref().expect("somebody trades").token
}

#[test]
fn the_second_bot_of_an_account_waits_and_says_for_whom() {
    let mut two = Two::new();
    two.run(S(120));
    let text = &two.b.record.message;
    assert!(text.contains("Account kraken-main is held by trading-a/doge;"), "{text}");
    assert_eq!((two.b.record.blocked, two.b.trader(), two.b.record.epoch.0), (Some(Block::AccountHeld), None, 0));
    let view = two.b.record.account.clone().unwrap();
    assert_eq!((view.state, view.holder.map(|h| h.place())), (AccountState::Waiting, Some("trading-a/doge".into())));
    assert!(two.a.trader().is_some());
    two.a.assert_at_rest();
    two.b.assert_at_rest();
}

#[test]
fn the_first_bot_ever_of_an_account_waits_for_nothing() {
    let mut alone = World::new(Spec { account: Some(ACCOUNT.into()), ..spec() });
    alone.shared = Some(SharedAccount::new("trading-a/doge/uid-a"));
    let took = alone.run_until("it trades", S(10), |w| w.record.phase == Phase::Active);
    let mut without = World::new(spec());
    let usual = without.run_until("it trades", S(10), |w| w.record.phase == Phase::Active);
    assert!(took <= usual + 300, "{took} ms instead of {usual} ms");
}

#[test]
fn suspend_hands_the_account_over_and_the_first_waits_when_it_comes_back() {
    let mut two = Two::new();
    let first = token(&two.a);
    let before = two.shared().lease().unwrap();
    two.a.spec.suspend = true;
    two.until_b_trades(S(10));
    assert!(token(&two.b) > first);
    assert_eq!(two.a.record.phase, Phase::Suspended);
    let after = two.shared().lease().unwrap();
    assert_eq!((before.transitions, after.transitions), (0, 1));
    assert!(before.since.is_some() && after.since > before.since);
    two.run(S(1));
    let done = two.b.last_move();
    let took = done.active.unwrap().millis_since(done.suspected);
    assert!(took < 1_000, "the wait for another bot is not its own: {took} ms");
    two.a.spec.suspend = false;
    two.run(S(60));
    assert_eq!((two.a.record.blocked, two.a.trader()), (Some(Block::AccountHeld), None));
    let second = token(&two.b);
    two.b.spec.suspend = true;
    two.run_until("the first trades again", S(10), |two| two.a.trader().is_some());
    assert!(token(&two.a) > second);
    assert_eq!(two.a.record.blocked, None);
}

#[test]
fn deletion_gives_the_account_back_before_the_finalizer_goes() {
    let mut two = Two::new();
    let first = token(&two.a);
    two.a.spec.deleting = true;
    two.run_until("it is gone", S(20), |two| two.a.finalized);
    assert!(two.a.record.account.as_ref().is_some_and(|view| view.state == AccountState::Waiting));
    assert!(!two.shared().lease().unwrap().is_held_by(&two.a.shared.as_ref().unwrap().me));
    two.until_b_trades(S(10));
    assert!(token(&two.b) > first);
}

#[test]
fn a_bot_that_has_nobody_left_gives_the_account_up_after_a_while() {
    let mut two = Two::with(|| Spec { replicas: 1, ..spec() });
    two.a.creates_refused = true;
    two.a.pod("doge-0").faults.cut = true;
    let took = two.until_b_trades(S(40));
    assert!(took >= 18_000, "evidence and the pause are waited for: {took} ms");
    assert_eq!((two.a.trader(), two.a.record.account.clone().unwrap().state), (None, AccountState::Waiting));
    two.a.pod("doge-0").faults.cut = false;
    two.a.creates_refused = false;
    two.run(S(120));
    assert_eq!((two.a.trader(), two.a.record.blocked), (None, Some(Block::AccountHeld)));
}

#[test]
fn a_failover_within_the_first_bot_leaves_the_second_waiting() {
    let mut two = Two::new();
    let first = token(&two.a);
    two.a.pod("doge-0").faults.cut = true;
    two.run_until("its standby trades", S(20), |two| two.a.trader().as_deref() == Some("doge-1"));
    assert!(token(&two.a) > first);
    two.run(S(60));
    assert_eq!(two.b.trader(), None);
}

#[test]
fn of_a_holder_removed_by_force_the_silence_is_waited_out() {
    let mut two = Two::new();
    let first = token(&two.a);
    two.a.pod("doge-0").faults.cut = true;
    two.remove_a_by_force();
    let took = two.until_b_trades(S(30));
    assert!(Duration::from_millis(took) + S(2) >= required_silence(S(10)), "{took} ms");
    assert!(token(&two.b) > first);
    assert_eq!(two.b.last_move_evidence(), Some(Evidence::LeaseExpired));
    // The link heals: what is left of the first bot does not come back.
    two.a.pod("doge-0").faults.cut = false;
    two.run(S(60));
    assert_eq!(two.a.trader(), None);
}

#[test]
fn a_holder_removed_by_force_that_renews_is_not_beaten_however_long_it_takes() {
    let mut two = Two::new();
    two.remove_a_by_force();
    two.run(S(300));
    assert!(two.a.trader().is_some() && two.b.trader().is_none());
    two.a.pod("doge-0").faults.dead = true;
    two.until_b_trades(S(30));
}

#[test]
fn of_a_holder_that_trades_on_without_the_api_server_only_a_person_says_that_it_stopped() {
    let mut two = Two::with(|| {
        let mut spec = spec();
        spec.terms.on_api_server_loss = OnApiServerLoss::Continue;
        spec
    });
    let (a, epoch) = (&mut two.a, two.b.record.account.clone().unwrap().epoch);
    a.pod("doge-0").trades_on = true;
    a.pod("doge-0").faults.cut = true;
    two.remove_a_by_force();
    two.b.ask("early", OperationKind::Confirm { epoch, by: "mia".into() }, None);
    two.run(S(1));
    assert!(matches!(two.b.last_told("early"), Some(OperationUpdate::Failed { reason: "StillRenewing", .. })));
    two.run(S(120));
    assert!(two.a.trader().is_some() && two.b.trader().is_none());
    let text = &two.b.record.message;
    assert!(text.contains(&format!("ConfirmStopped on this bot for epoch {epoch}")), "{text}");
    two.a.pod("doge-0").faults.dead = true;
    two.a.pod("doge-0").trading = None;
    two.b.ask("sure", OperationKind::Confirm { epoch, by: "mia".into() }, None);
    two.until_b_trades(S(10));
    two.run(S(1));
    assert!(matches!(two.b.last_told("sure"), Some(OperationUpdate::Succeeded { .. })), "{:?}", two.b.told);
    assert_eq!(two.b.last_move_evidence(), Some(Evidence::Confirmed));
}

#[test]
fn an_account_lease_deleted_while_somebody_trades_is_written_again() {
    let mut two = Two::new();
    let first = token(&two.a);
    two.shared().tamper(|lease| *lease = None);
    two.b.tick();
    assert_eq!(two.b.trader(), None);
    two.run(S(60));
    assert!(two.a.trader().is_some() && two.b.trader().is_none());
    let lease = two.shared().lease().unwrap();
    assert!(lease.is_held_by(&two.shared().me) && lease.token == Some(first));
    assert_eq!(two.a.record.epoch.0, 1, "trading was not disturbed");
}

#[test]
fn an_account_lease_edited_while_somebody_trades_lets_nobody_trade_beside() {
    let other = "trading-b/doge/uid-b";
    for holder in [Holder::Nobody, Holder::Unreadable, Holder::Bot(other.parse().unwrap())] {
        let mut two = Two::new();
        two.shared().tamper(|lease| lease.as_mut().unwrap().holder = holder);
        two.b.tick();
        two.b.tick();
        two.run(S(60));
        assert!(two.a.trader().is_some() && two.b.trader().is_none());
        assert!(two.shared().lease().unwrap().is_held_by(&two.shared().me));
        let fallen = |lease: &mut Option<crate::core::account::AccountRecord>| {
            lease.as_mut().unwrap().token = Some(FencingToken(1));
        };
        two.shared().tamper(fallen);
        two.run(S(5));
        assert_eq!(two.shared().lease().unwrap().token, Some(token(&two.a)));
    }
}

#[test]
fn an_epoch_of_the_account_that_nobody_can_have_granted_is_passed_over() {
    let mut two = Two::new();
    two.shared().tamper(|lease| lease.as_mut().unwrap().epoch = Some(Epoch(u64::MAX)));
    two.run(S(5));
    two.a.spec.suspend = true;
    two.until_b_trades(S(60));
    let epoch = two.shared().lease().unwrap().epoch;
    assert!(epoch.is_some_and(|epoch| epoch > Epoch(0) && epoch < Epoch(100)), "{epoch:?}");
}

#[test]
fn a_lease_deleted_together_with_its_holder_is_remembered_by_the_one_that_waits() {
    let mut two = Two::new();
    two.a.pod("doge-0").trades_on = true;
    two.remove_a_by_force();
    two.shared().tamper(|lease| *lease = None);
    two.run(S(60));
    assert!(two.a.trader().is_some() && two.b.trader().is_none());
    two.a.pod("doge-0").faults.dead = true;
    two.until_b_trades(S(30));
}

#[test]
fn a_candidate_whose_account_was_taken_away_is_not_permitted() {
    let mut two = Two::with(|| reconciled(OnFailure::Block));
    two.a.job_fate = JobFate::Hangs;
    two.a.pod("doge-0").leaving = Some("ProcessExited: the bot ended.");
    two.run_until("preparing", S(5), |two| two.a.record.phase == Phase::Preparing);
    let stale = two.a.record.token;
    two.shared().tamper(|lease| lease.as_mut().unwrap().token = Some(FencingToken(stale.0 + 7)));
    for job in &mut two.a.jobs {
        (job.state, job.ended) = (JobState::Succeeded(crate::core::report::Report::default()), true);
    }
    two.a.job_fate = JobFate::Succeeds(crate::core::report::Report::default());
    two.run_until("it trades", S(20), |two| two.a.trader().is_some());
    assert!(token(&two.a).0 > stale.0 + 7, "the token that the Lease did not bear out was not used");
}

#[test]
fn two_that_start_at_once_do_not_both_come_to_trade() {
    for ahead in 0..40 {
        let shared = SharedAccount::new("trading-a/doge/uid-a");
        let spec = || Spec { account: Some(ACCOUNT.into()), ..spec() };
        let (mut a, mut b) = (World::new(spec()), World::new(spec()));
        b.shared = Some(shared.join("trading-b/doge/uid-b"));
        a.shared = Some(shared);
        let mut two = Two { a, b };
        for _ in 0..ahead {
            two.a.tick();
        }
        // The Lease is deleted at whichever step they are.
        two.tick();
        two.shared().tamper(|lease| *lease = None);
        two.run_until("one trades", S(60), |two| two.a.trader().is_some() || two.b.trader().is_some());
        two.run(S(30));
        assert!(two.a.trader().is_some() != two.b.trader().is_some());
    }
}

#[test]
fn an_account_that_is_changed_at_the_worst_moment_is_given_back_when_nobody_trades() {
    for wanted in [None, Some("another".to_owned())] {
        let mut two = Two::new();
        two.a.spec.account = wanted;
        two.until_b_trades(S(20));
        assert!(!two.shared().lease().unwrap().is_held_by(&two.shared().me));
    }
}

#[test]
fn a_reconciliation_that_still_runs_keeps_the_account_and_a_candidate_is_fenced_before_it_is_given_back() {
    for deleting in [false, true] {
        let mut two = Two::with(|| reconciled(OnFailure::Block));
        two.a.job_fate = JobFate::Hangs;
        two.a.pod("doge-0").leaving = Some("ProcessExited: the bot ended.");
        two.run_until("preparing", S(5), |two| two.a.record.phase == Phase::Preparing);
        (two.a.spec.suspend, two.a.spec.deleting) = (!deleting, deleting);
        two.run(S(30));
        assert_eq!(two.b.trader(), None, "the first one's reconciliation may still cancel orders");
        assert!(two.a.lease.as_ref().is_some_and(|lease| lease.holder.is_none()), "its candidate was fenced");
        two.a.jobs.iter_mut().for_each(|job| job.ended = true);
        two.until_b_trades(S(10));
    }
}

#[test]
fn every_write_of_a_handover_can_fail_in_every_way() {
    for mishap in [Mishap::CrashBefore, Mishap::CrashAfter, Mishap::AnswerLost, Mishap::RequestLost] {
        for n in 0..12 {
            let mut two = Two::new();
            two.a.mishap = Some((n, mishap));
            two.b.mishap = Some((n, mishap));
            two.a.spec.suspend = true;
            two.until_b_trades(S(90));
            two.run(S(5));
            assert_eq!(two.a.trader(), None, "{mishap:?} at write {n}");
        }
    }
}

impl World {
    fn last_move_evidence(&self) -> Option<Evidence> {
        self.record.current.as_ref().or(self.record.history.first()).and_then(|m| m.evidence)
    }
}
