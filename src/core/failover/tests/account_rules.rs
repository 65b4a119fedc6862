//! When others are asked about the account.

use std::time::Duration;

use super::world::spec;
use crate::core::account::{AccountRecord, BotRef, Holder};
use crate::core::failover::*;
use crate::core::ids::{Epoch, FencingToken, PodRef};
use crate::core::lease::{LeaseRecord, OnApiServerLoss, Permit};

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
