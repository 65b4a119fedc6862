//! The paper exchange, which is the judge: it takes every order, and the rules of the auditor of the examples are
//! computed from what it took (design, section 7).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::trace::Trace;
use crate::entry::{Entry, Kind};
use crate::rules::Auditor;
use crate::verdict::Options;

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Broken {
    /// Which: `I1` to `I6`.
    pub rule: String,
    /// How, a sentence.
    pub text: String,
    /// Virtual milliseconds since the seed began.
    pub at_milliseconds: u64,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {} ms: {}", self.rule, self.at_milliseconds, self.text)
    }
}

/// Who sends an order: what is written on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// The bot's account.
    pub account: String,
    /// One process, from its start to its end.
    pub instance: String,
    /// The fencing token that it was started with.
    pub token: u64,
    /// The epoch that it was started in.
    pub epoch: u64,
}

/// The exchange. Clones share it.
#[derive(Clone)]
pub struct Exchange(Arc<Mutex<Venue>>);

struct Venue {
    began: Instant,
    trace: Trace,
    accounts: BTreeMap<String, Account>,
    broken: Vec<Broken>,
}

struct Account {
    auditor: Auditor,
    seq: u64,
    orders: u64,
    succeeded: BTreeSet<u64>,
    /// The latest token that was seen.
    highest: u64,
    /// Reconciliations of tokens up to this one are not looked after any more.
    abandoned: u64,
    last: Option<(Instant, Sender)>,
}

impl Exchange {
    /// An exchange without accounts.
    pub fn new(trace: Trace) -> Self {
        let venue = Venue { began: Instant::now(), trace, accounts: BTreeMap::new(), broken: Vec::new() };
        Self(Arc::new(Mutex::new(venue)))
    }

    /// Opens an account; `reconciled`: no order of an epoch counts before its reconciliation (I3).
    pub fn open(&self, account: &str, reconciled: bool) {
        let options = Options { account: None, reconciled, ..Options::default() };
        let opened = Account {
            auditor: Auditor::new(options),
            seq: 0,
            orders: 0,
            succeeded: BTreeSet::new(),
            highest: 0,
            abandoned: 0,
            last: None,
        };
        self.lock().accounts.insert(account.to_owned(), opened);
    }

    /// Takes an order.
    pub fn order(&self, sender: &Sender) {
        let mut venue = self.lock();
        let Some(account) = venue.accounts.get_mut(&sender.account) else { return };
        account.orders += 1;
        account.highest = account.highest.max(sender.token);
        account.last = Some((Instant::now(), sender.clone()));
        let entry = Entry { instance: Some(sender.instance.clone()), ..blank(Kind::Order, sender.token, sender.epoch) };
        let Sender { instance, token, epoch, .. } = sender;
        venue.trace.line(&sender.account, format_args!("order of {instance}, epoch {epoch}, token {token}"));
        venue.judge(&sender.account, entry);
    }

    /// Takes the report of a reconciliation.
    pub fn reconciliation(&self, account: &str, token: u64, epoch: u64, state: &str) {
        let mut venue = self.lock();
        venue.trace.line(account, format_args!("reconciliation {state}, epoch {epoch}, token {token}"));
        let Some(known) = venue.accounts.get_mut(account) else { return };
        known.highest = known.highest.max(token);
        if state == "Succeeded" {
            known.succeeded.insert(token);
        }
        let later = known.last.as_ref().map(|(_, sender)| sender.token).filter(|later| *later > token);
        let abandoned = token <= known.abandoned;
        if let Some(later) = later.filter(|_| !abandoned) {
            // It cancels the orders of whoever trades by now (design, rule 5).
            venue.breaks("I3", format!("the reconciliation of token {token} went on while token {later} traded"));
        }
        let entry = Entry { state: Some(state.to_owned()), ..blank(Kind::Reconciliation, token, epoch) };
        venue.judge(account, entry);
    }

    /// Whether the reconciliation of this token succeeded.
    pub fn has_succeeded(&self, account: &str, token: u64) -> bool {
        self.lock().accounts.get(account).is_some_and(|account| account.succeeded.contains(&token))
    }

    /// Epochs of this account may begin anew, because its bot was made again or the cluster's store was put back.
    pub fn begins_anew(&self, account: &str) {
        self.lock().judge(account, Entry { recreated: true, ..blank(Kind::Marker, 0, 0) });
    }

    /// Nobody knows any more of the reconciliations that there were, because the resource was taken away by force, or
    /// because the store was put back: what still runs of them is no rule's business.
    pub fn abandons_reconciliations(&self, account: &str) {
        let mut venue = self.lock();
        let Some(account) = venue.accounts.get_mut(account) else { return };
        account.abandoned = account.highest;
    }

    /// The last order of an account.
    pub fn last(&self, account: &str) -> Option<(Instant, Sender)> {
        self.lock().accounts.get(account)?.last.clone()
    }

    /// Notes a rule that was broken.
    pub fn breaks(&self, rule: &str, text: String) {
        self.lock().breaks(rule, text);
    }

    /// All orders that were taken.
    pub fn orders(&self) -> u64 {
        self.lock().accounts.values().map(|account| account.orders).sum()
    }

    /// What was broken so far.
    pub fn broken(&self) -> Vec<Broken> {
        self.lock().broken.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Venue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Venue {
    fn judge(&mut self, account: &str, entry: Entry) {
        let us = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let Some(known) = self.accounts.get_mut(account) else { return };
        known.seq += 1;
        let before = known.auditor.verdict.violations.len();
        known.auditor.entry(Entry { seq: known.seq, us, account: Some(account.to_owned()), ..entry });
        let found: Vec<_> = known.auditor.verdict.violations[before..]
            .iter()
            .map(|violation| (format!("{:?}", violation.rule), violation.text.clone()))
            .collect();
        for (rule, text) in found {
            self.breaks(&rule, format!("{account}: {text}"));
        }
    }

    fn breaks(&mut self, rule: &str, text: String) {
        let at_milliseconds = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let broken = Broken { rule: rule.to_owned(), text, at_milliseconds };
        self.trace.line("judge", &broken);
        self.broken.push(broken);
    }
}

fn blank(kind: Kind, token: u64, epoch: u64) -> Entry {
    let stated = kind != Kind::Marker;
    Entry {
        seq: 0,
        us: 0,
        wall_milliseconds: 0,
        kind,
        accepted: true,
        account: None,
        instance: None,
        token: stated.then_some(token),
        epoch: stated.then_some(epoch),
        key: None,
        client_order_id: None,
        sent_milliseconds: None,
        peer: None,
        state: None,
        count: None,
        text: None,
        recreated: false,
    }
}
