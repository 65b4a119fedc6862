//! What an account's Lease says, who is asked about it, and who stops where two say that they trade.

use std::time::Duration;

use super::shared_account::{ACCOUNT, SharedAccount};
use super::world::*;
use crate::core::account::{AccountRecord, BotRef, Holder};
use crate::core::failover::*;
use crate::core::ids::{Epoch, FencingToken, PodRef};
use crate::core::lease::{LeaseRecord, OnApiServerLoss, Permit};
use crate::core::time::{Mono, Wall};

/// A bot that holds its account and trades with token 7.
fn in_order() -> (BotRef, Record, AccountRecord) {
    let me: BotRef = "ns/doge/uid-a".parse().unwrap();
    let view = AccountView {
        name: "kraken-main".into(),
        state: AccountState::Held,
        holder: Some(me.clone()),
        epoch: Epoch(1),
        since: None,
        lease_duration: spec().terms.lease_duration,
        on_api_server_loss: OnApiServerLoss::Stop,
    };
    let ledger = Ledger {
        epoch: Epoch(3),
        token: FencingToken(7),
        pod: PodRef { name: "doge-0".into(), uid: "u0".into() },
        boot: None,
        lease_duration: Duration::from_secs(10),
        on_api_server_loss: OnApiServerLoss::Stop,
    };
    let record = Record { account: Some(view), trading: Some(ledger), token: FencingToken(7), ..Record::default() };
    let lease = AccountRecord {
        holder: Holder::Bot(me.clone()),
        epoch: Some(Epoch(1)),
        token: Some(FencingToken(7)),
        ..AccountRecord::default()
    };
    (me, record, lease)
}

#[test]
fn others_are_asked_about_the_account_unless_the_bot_trades_in_order() {
    let (me, record, lease) = in_order();
    let permitted = |permit| LeaseRecord { permit: Some(permit), ..LeaseRecord::default() };
    assert!(!needs_claims(&record, &me, Some(&lease), None));
    assert!(!needs_claims(&record, &me, Some(&lease), Some(&permitted(Permit::Trade))));
    assert!(needs_claims(&record, &me, Some(&lease), Some(&permitted(Permit::Prepare))), "before a permit");
    let mut waiting = record.clone();
    waiting.account.as_mut().unwrap().state = AccountState::Waiting;
    assert!(needs_claims(&waiting, &me, Some(&lease), None), "before a grant");
    assert!(needs_claims(&Record { account: None, ..record.clone() }, &me, Some(&lease), None));
    assert!(needs_claims(&Record { trading: None, ..record.clone() }, &me, Some(&lease), None));
    for disturb in [
        |lease: &mut AccountRecord| lease.token = Some(FencingToken(6)),
        |lease: &mut AccountRecord| lease.token = None,
        |lease: &mut AccountRecord| lease.epoch = None,
        |lease: &mut AccountRecord| lease.holder = Holder::Nobody,
    ] {
        let mut lease = lease.clone();
        disturb(&mut lease);
        assert!(needs_claims(&record, &me, Some(&lease), None), "{lease:?}");
    }
    assert!(needs_claims(&record, &me, None, None));
}

fn alone(spec: Spec) -> World {
    let mut world = World::new(spec);
    world.shared = Some(SharedAccount::new("ns/doge/uid-a"));
    world
}

fn with_account() -> World {
    let mut world = alone(Spec { account: Some(ACCOUNT.into()), ..spec() });
    world.until_active(Duration::from_secs(30));
    world
}

#[test]
fn a_token_is_later_than_any_that_was_handed_out_on_the_account() {
    let mut world = with_account();
    let far = FencingToken(1 << 50);
    // By a bot of a cluster whose clock was ahead.
    world.shared.as_ref().unwrap().tamper(|lease| lease.as_mut().unwrap().token = Some(far));
    world.ask("s", OperationKind::Switchover, None);
    world.until_active(Duration::from_secs(10));
    assert!(world.record.token > far);
}

#[test]
fn an_account_that_was_given_back_is_nobodys_since_then() {
    let mut world = with_account();
    assert!(world.record.account.as_ref().unwrap().since.is_some());
    world.spec.suspend = true;
    world.run(Duration::from_secs(5));
    let lease = world.shared.as_ref().unwrap().lease().unwrap();
    assert_eq!((lease.holder, lease.since), (Holder::Nobody, None));
}

#[test]
fn an_account_that_is_wanted_only_since_the_grant_is_taken_before_anybody_trades() {
    let mut world = alone(reconciled(OnFailure::Block));
    world.job_fate = JobFate::Hangs;
    world.run_until("preparing", Duration::from_secs(10), |w| w.record.phase == Phase::Preparing);
    world.spec.account = Some(ACCOUNT.into());
    world.jobs.iter_mut().for_each(|job| (job.state, job.ended) = (JobState::Succeeded(Default::default()), true));
    world.job_fate = JobFate::Succeeds(Default::default());
    world.until_active(Duration::from_secs(10));
    let held = world.shared.as_ref().unwrap().lease().unwrap();
    assert_eq!((world.record.epoch, held.token), (Epoch(2), Some(world.record.token)));
}

#[test]
fn where_two_say_that_they_trade_the_one_that_the_lease_does_not_name_stops() {
    let other = "ns/pepe/uid-c";
    for named in [true, false] {
        let mut world = with_account();
        let shared = world.shared.clone().unwrap();
        shared.claim(other, world.record.account.as_ref().unwrap());
        shared.tamper(|lease| {
            let lease = lease.as_mut().unwrap();
            lease.token = Some(FencingToken(1));
            if !named {
                lease.holder = Holder::Bot(other.parse().unwrap());
            }
        });
        world.run(Duration::from_secs(10));
        assert_eq!(world.trader().is_some(), named, "{}", world.record.message);
        assert_eq!(shared.lease().unwrap().is_held_by(&shared.me), named);
    }
}

#[test]
fn a_lease_that_names_a_bot_which_does_not_say_so_is_given_back_when_nobody_shall_or_can_trade() {
    for suspend in [true, false] {
        let mut world = with_account();
        let shared = world.shared.clone().unwrap();
        world.spec.suspend = true;
        world.run(Duration::from_secs(5));
        world.pods.iter_mut().for_each(|pod| pod.ready_at = Mono::both(u64::MAX));
        world.run(Duration::from_secs(1));
        // The operator died between taking the account and saying so.
        shared.tamper(|lease| lease.as_mut().unwrap().holder = Holder::Bot(shared.me.clone()));
        world.spec.suspend = suspend;
        world.run(Duration::from_secs(12));
        assert_eq!(shared.lease().unwrap().holder, Holder::Nobody, "suspend: {suspend}");
    }
}

#[test]
fn a_lease_that_names_a_bot_which_does_not_say_so_does_not_spare_it_the_look_at_what_others_say() {
    let mut world = with_account();
    let (shared, view) = (world.shared.clone().unwrap(), world.record.account.clone().unwrap());
    world.spec.suspend = true;
    world.run(Duration::from_secs(5));
    shared.tamper(|lease| lease.as_mut().unwrap().holder = Holder::Bot(shared.me.clone()));
    shared.claim("ns/pepe/uid-c", &view);
    world.spec.suspend = false;
    world.round();
    assert_eq!((world.record.blocked, world.record.epoch), (Some(Block::AccountHeld), Epoch(1)));
    let text = &world.record.message;
    assert!(text.ends_with("this bot trades when it is given back: suspend or delete ns/pepe."), "{text}");
}

/// `doge-0` is being prepared on the account.
fn preparing() -> World {
    let mut world = alone(Spec { account: Some(ACCOUNT.into()), ..reconciled(OnFailure::Block) });
    world.job_fate = JobFate::Hangs;
    world.run_until("preparing", Duration::from_secs(10), |w| w.record.phase == Phase::Preparing);
    world
}

#[test]
fn what_is_read_of_another_account_than_the_one_that_is_held_permits_nobody() {
    let mut world = preparing();
    world.jobs.iter_mut().for_each(|job| (job.state, job.ended) = (JobState::Succeeded(Default::default()), true));
    let mut seen = world.observe();
    let permits = |seen: &Observation| {
        let decision = decide(&world.spec, &world.record, &world.memory, seen, world.now());
        decision.record.trading.is_some()
    };
    assert!(permits(&seen));
    seen.account.as_mut().unwrap().name = "another".into();
    assert!(!permits(&seen));
}

#[test]
fn a_confirmation_for_an_earlier_epoch_of_the_account_is_done_and_one_for_the_present_is_not() {
    let answer = |state, epoch| {
        let mut world = preparing();
        let view = world.record.account.as_mut().unwrap();
        (view.state, view.epoch) = (state, Epoch(5));
        world.ask("c", OperationKind::Confirm { epoch: Epoch(epoch), by: "mia".into() }, None);
        world.round();
        world.last_told("c").cloned()
    };
    let done = answer(AccountState::Held, 4);
    assert!(matches!(done, Some(OperationUpdate::Succeeded { .. })), "{done:?}");
    for (state, epoch) in [(AccountState::Held, 5), (AccountState::Waiting, 4)] {
        let refused = answer(state, epoch);
        assert!(matches!(refused, Some(OperationUpdate::Failed { reason: "NobodyTrades", .. })), "{refused:?}");
    }
}

#[test]
fn only_the_wait_for_another_bot_is_not_what_a_move_is_judged_by() {
    let mut world = alone(Spec { account: Some(ACCOUNT.into()), ..spec() });
    world.run(Duration::from_millis(500));
    world.pod("doge-0").faults.deaf = true;
    world.until_active(Duration::from_secs(30));
    let first = world.last_move();
    let tried = first.elected.unwrap().millis_since(first.suspected);
    assert!((10_000..12_000).contains(&tried), "the candidate that did not answer counts: {tried} ms");
}

#[test]
fn a_status_says_who_holds_the_account_and_what_to_do() {
    let (_, record, _) = in_order();
    let held = AccountView { since: Some(Wall(1_795_521_600_000)), ..record.account.unwrap() };
    assert_eq!(held.sentence(), "This bot holds account kraken-main since 2026-11-24T12:00:00Z.");
    let waiting = AccountView { state: AccountState::Waiting, since: None, ..held };
    let text =
        "Account kraken-main is held by ns/doge; this bot trades when it is given back: suspend or delete ns/doge.";
    assert_eq!(waiting.sentence(), text);
    let free = AccountView { holder: None, ..waiting };
    assert_eq!(free.sentence(), "Nobody holds account kraken-main.");
}
