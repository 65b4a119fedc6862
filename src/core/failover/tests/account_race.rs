//! Every order in which the reads and writes of two bots of one account can happen, with somebody who deletes or edits
//! the account's Lease in between: never may both trade.

use std::collections::BTreeSet;

use super::shared_account::ACCOUNT;
use super::world::spec;
use crate::core::account::{AccountRecord, BotRef, Holder};
use crate::core::failover::*;
use crate::core::ids::{BootId, PodRef};
use crate::core::lease::{LeaseRecord, Permit};
use crate::core::time::{Mono, Wall};

/// So many looks each bot takes, and so often somebody meddles.
const ROUNDS: u8 = 3;
const MEDDLINGS: u8 = 1;

#[derive(Clone, Debug)]
struct Bot {
    me: BotRef,
    record: Record,
    lease: Option<LeaseRecord>,
    rounds: u8,
    stage: Stage,
}

/// How far a round has come. What was read may be out of date by the time of the next step.
#[derive(Clone, Debug)]
enum Stage {
    Idle,
    Read(Record, Observation),
    ReadAccount(Record, Observation),
    Writing(Record, Vec<Action>),
}

#[derive(Clone, Debug)]
struct State {
    bots: [Bot; 2],
    account: Option<AccountRecord>,
    versions: u64,
    meddlings: u8,
}

impl State {
    fn new() -> Self {
        let bot = |namespace: &str| Bot {
            me: BotRef { namespace: namespace.into(), name: "doge".into(), uid: namespace.into() },
            record: Record::default(),
            lease: None,
            rounds: 0,
            stage: Stage::Idle,
        };
        Self { bots: [bot("a"), bot("b")], account: None, versions: 0, meddlings: 0 }
    }

    fn version(&mut self) -> String {
        self.versions += 1;
        self.versions.to_string()
    }

    /// One step of one bot's round; `None` when it has taken all of its looks.
    fn step(mut self, i: usize) -> Option<Self> {
        let me = self.bots[i].me.clone();
        let stage = std::mem::replace(&mut self.bots[i].stage, Stage::Idle);
        self.bots[i].stage = match stage {
            Stage::Idle if self.bots[i].rounds == ROUNDS => return None,
            Stage::Idle => {
                self.bots[i].rounds += 1;
                let pod = Pod { name: "doge-0".into(), uid: me.uid.clone(), ready: true, ..Pod::default() };
                let lease = self.bots[i].lease.clone();
                let seen = Observation { lease, pods: vec![pod], wall: Wall(1), ..Observation::default() };
                Stage::Read(self.bots[i].record.clone(), seen)
            }
            Stage::Read(record, mut seen) => {
                let account =
                    AccountSeen { name: ACCOUNT.into(), me, lease: self.account.clone(), ..Default::default() };
                seen.account = Some(account);
                Stage::ReadAccount(record, seen)
            }
            Stage::ReadAccount(record, mut seen) => {
                let other = &self.bots[1 - i];
                let held = other.record.account.as_ref().is_some_and(|view| view.state == AccountState::Held);
                let claim = Claim { bot: other.me.clone(), trading: other.record.trading.is_some() };
                if let Some(account) = &mut seen.account {
                    let look = needs_claims(&record, &me, account.lease.as_ref(), seen.lease.as_ref());
                    account.claims = look.then(|| if held { vec![claim] } else { Vec::new() });
                    let named = match account.lease.as_ref().map(|lease| &lease.holder) {
                        Some(holder) => matches!(holder, Holder::Bot(bot) if *bot == other.me),
                        None => record.account.as_ref().is_some_and(|view| view.holder.as_ref() == Some(&other.me)),
                    };
                    let seen_holder =
                        HolderSeen { bot: other.me.clone(), exists: true, name_taken: false, lease_version: None };
                    account.holder = named.then_some(seen_holder);
                }
                let spec = Spec { account: Some(ACCOUNT.into()), replicas: 1, ..spec() };
                let decision = decide(&spec, &record, &Memory::default(), &seen, Mono::both(1));
                let mut actions = decision.actions;
                actions.retain(|a| {
                    use Action::{CreateLease, PutLease, WriteAccount, WriteStatus};
                    matches!(a, WriteStatus | CreateLease { .. } | PutLease { .. } | WriteAccount { .. })
                });
                Stage::Writing(decision.record, actions)
            }
            Stage::Writing(_, actions) if actions.is_empty() => Stage::Idle,
            Stage::Writing(record, mut actions) => {
                let action = actions.remove(0);
                // The first write that does not succeed ends the round.
                if self.write(i, action, &record) { Stage::Writing(record, actions) } else { Stage::Idle }
            }
        };
        Some(self)
    }

    fn write(&mut self, i: usize, action: Action, record: &Record) -> bool {
        let version = self.version();
        let bot = &mut self.bots[i];
        match action {
            Action::WriteStatus => bot.record = record.clone(),
            Action::WriteAccount { account, .. } => {
                if self.account.as_ref().map(|a| a.version.clone()).unwrap_or_default() != account.version {
                    return false;
                }
                self.account = Some(AccountRecord { version, ..account });
            }
            Action::CreateLease { mut lease, .. } | Action::PutLease { mut lease, .. } => {
                if bot.lease.as_ref().map(|l| l.version.clone()).unwrap_or_default() != lease.version {
                    return false;
                }
                lease.version = version;
                if lease.permit == Some(Permit::Prepare) {
                    // Its agent takes the grant up at once.
                    lease.boot = Some(BootId { pod_uid: bot.me.uid.clone(), nonce: "b".into() });
                }
                bot.lease = Some(lease);
            }
            other => panic!("{other:?} is not of this model"),
        }
        true
    }

    /// Somebody deletes the account's Lease, clears its holder, or names the other bot.
    fn meddled_with(&self) -> Vec<Self> {
        let Some(lease) = self.account.clone().filter(|_| self.meddlings < MEDDLINGS) else { return Vec::new() };
        let mut next = self.clone();
        next.meddlings += 1;
        let version = next.version();
        let with = |holder| Some(AccountRecord { holder, version: version.clone(), ..lease.clone() });
        [None, with(Holder::Nobody), with(Holder::Bot(self.bots[1].me.clone()))]
            .into_iter()
            .map(|account| State { account, ..next.clone() })
            .collect()
    }

    fn permitted(&self) -> usize {
        let trades = |bot: &&Bot| {
            let holder = |l: &LeaseRecord| l.holder == Some(PodRef { name: "doge-0".into(), uid: bot.me.uid.clone() });
            bot.lease.as_ref().is_some_and(|l| l.permit == Some(Permit::Trade) && holder(l))
        };
        self.bots.iter().filter(trades).count()
    }

    /// What tells states apart: versions only by which of them are the same, so that orders that make no difference
    /// count once.
    fn key(&self) -> String {
        let text = format!("{:?}{:?}{}", self.bots, self.account, self.meddlings);
        let mut names: Vec<&str> = Vec::new();
        let mut parts = text.split("version: \"");
        let mut key = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (version, rest) = part.split_once('"').unwrap_or((part, ""));
            let number = names.iter().position(|name| *name == version).unwrap_or_else(|| {
                names.push(version);
                names.len() - 1
            });
            key.push_str(&number.to_string());
            key.push_str(rest);
        }
        key
    }
}

#[test]
fn in_no_order_of_reads_writes_and_meddling_may_both_trade() {
    let (mut known, mut open, mut traded) = (BTreeSet::new(), vec![State::new()], [0; 2]);
    while let Some(state) = open.pop() {
        let permitted = state.permitted();
        assert!(permitted <= 1, "both may trade: {state:#?}");
        for (i, count) in traded.iter_mut().enumerate() {
            *count += usize::from(permitted == 1 && state.bots[i].record.trading.is_some());
        }
        let steps = (0..2).filter_map(|i| state.clone().step(i));
        for next in steps.chain(state.meddled_with()).collect::<Vec<_>>() {
            let mut hash = std::hash::DefaultHasher::new();
            std::hash::Hash::hash(&next.key(), &mut hash);
            if known.insert(std::hash::Hasher::finish(&hash)) {
                open.push(next);
            }
        }
    }
    assert!(traded.iter().all(|n| *n > 100), "each of them comes to trade in some orders: {traded:?}");
    println!("{} states", known.len());
}
