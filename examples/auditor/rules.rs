//! The rules of design section 7, recomputed from the lines of the log alone. Knows nothing of the operator.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::entry::{Entry, Kind};
use super::verdict::{Gap, MAX_VIOLATIONS, Options, Round, Rule, Verdict, Violation};

/// A round counts only if the old active was demonstrably trading right before the fault.
pub const ROUND_MICROSECONDS: u64 = 200_000;

/// Reads a log line by line and gives the verdict at the end.
pub struct Auditor {
    options: Options,
    last: Option<(u64, u64)>,
    accounts: BTreeMap<String, Account>,
    markers: Vec<Entry>,
    /// What was found so far.
    pub verdict: Verdict,
    finished_us: u64,
}

/// What is known about one account.
#[derive(Default)]
struct Account {
    tokens: HashSet<u64>,
    token_of_epoch: HashMap<u64, u64>,
    epoch_of_token: HashMap<u64, u64>,
    highest_token: Option<u64>,
    last_epoch: Option<u64>,
    /// Times that epochs may still begin anew.
    new_lives: u32,
    highest_ordering_token: Option<u64>,
    instances: Vec<String>,
    known_instances: HashSet<String>,
    succeeded: HashSet<u64>,
    /// Accepted orders: (microseconds, token).
    orders: Vec<(u64, Option<u64>)>,
}

impl Auditor {
    /// An auditor that has read nothing yet.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            last: None,
            accounts: BTreeMap::new(),
            markers: Vec::new(),
            verdict: Verdict::default(),
            finished_us: 0,
        }
    }

    /// Reads the next line.
    pub fn line(&mut self, line: &str) {
        if line.trim().is_empty() {
            return;
        }
        let entry: Entry = match serde_json::from_str(line) {
            Ok(entry) => entry,
            Err(error) => {
                let seq = self.last.map_or(0, |(seq, _)| seq);
                self.violation(Rule::Log, seq, None, format!("the line after this entry cannot be read: {error}"));
                return;
            }
        };
        self.sequence(&entry);
        self.entry(entry);
    }

    /// Judges an entry, whether the log is whole or not.
    pub fn entry(&mut self, entry: Entry) {
        match entry.kind {
            Kind::Marker if self.concerns(&entry) => {
                if entry.recreated {
                    self.account(&entry).new_lives += 1;
                }
                self.markers.push(entry);
            }
            Kind::Order if entry.accepted && self.concerns(&entry) => self.order(&entry),
            Kind::Cancel if entry.accepted && self.concerns(&entry) => self.cancel(&entry),
            Kind::Reconciliation if entry.accepted && self.concerns(&entry) => self.reconciliation(&entry),
            _ => {}
        }
    }

    /// A log with holes or from the middle proves nothing.
    fn sequence(&mut self, entry: &Entry) {
        let (seq, us) = self.last.unwrap_or_default();
        if entry.seq != seq + 1 {
            self.violation(Rule::Log, entry.seq, None, format!("entry {} follows entry {seq}", entry.seq));
        }
        if entry.us < us {
            self.violation(Rule::Log, entry.seq, None, format!("the clock went back from {us} to {}", entry.us));
        }
        self.last = Some((entry.seq, entry.us));
        self.finished_us = self.finished_us.max(entry.us);
    }

    /// An entry without an account (a marker) concerns all of them.
    fn concerns(&self, entry: &Entry) -> bool {
        match (&self.options.account, &entry.account) {
            (Some(wanted), Some(account)) => wanted == account,
            _ => true,
        }
    }

    fn account(&mut self, entry: &Entry) -> &mut Account {
        self.accounts.entry(entry.account.clone().unwrap_or_default()).or_default()
    }

    fn order(&mut self, entry: &Entry) {
        self.verdict.orders += 1;
        self.token_and_epoch(entry);
        let reconciled = self.options.reconciled;
        let exempt = entry.token.is_some_and(|token| self.options.exempt.contains(&token));
        let account = self.account(entry);
        let mut found: Vec<(Rule, String)> = Vec::new();
        match entry.token {
            None => found.push((Rule::NoToken, "an order without a fencing token was accepted".to_owned())),
            Some(token) => {
                match account.highest_ordering_token {
                    Some(later) if token < later => {
                        found.push((
                            Rule::I1,
                            format!("an order with token {token} was accepted after one with {later}"),
                        ));
                    }
                    _ => account.highest_ordering_token = Some(token),
                }
                if reconciled && !exempt && !account.succeeded.contains(&token) {
                    let text = format!("an order with token {token} was accepted before its reconciliation succeeded");
                    found.push((Rule::I3, text));
                }
            }
        }
        match &entry.instance {
            None => found.push((Rule::NoInstance, "an order that does not say which process sent it".to_owned())),
            Some(instance) => {
                if account.known_instances.insert(instance.clone()) {
                    account.instances.push(instance.clone());
                } else if account.instances.last() != Some(instance) {
                    let latest = account.instances.last().map_or("", String::as_str);
                    found.push((Rule::I2, format!("process {instance} traded after process {latest} had begun to")));
                }
            }
        }
        account.orders.push((entry.us, entry.token));
        for (rule, text) in found {
            self.violation(rule, entry.seq, entry.account.clone(), text);
        }
    }

    fn cancel(&mut self, entry: &Entry) {
        let late = entry.instance.as_ref().is_some_and(|instance| {
            let account = self.account(entry);
            account.known_instances.contains(instance) && account.instances.last() != Some(instance)
        });
        self.verdict.late_cancels += u64::from(late);
    }

    fn reconciliation(&mut self, entry: &Entry) {
        let Some(token) = entry.token else {
            let text = "a reconciliation without a fencing token".to_owned();
            return self.violation(Rule::NoToken, entry.seq, entry.account.clone(), text);
        };
        self.token_and_epoch(entry);
        if entry.state.as_deref() == Some("Succeeded") && !self.account(entry).succeeded.insert(token) {
            let text = format!("token {token} was reconciled to success a second time");
            self.violation(Rule::I6, entry.seq, entry.account.clone(), text);
        }
    }

    /// Tokens and epochs grow in the order of their first appearance (I5), and belong together one to one (I6).
    fn token_and_epoch(&mut self, entry: &Entry) {
        let account = self.account(entry);
        let mut found: Vec<(Rule, String)> = Vec::new();
        let Some(token) = entry.token else { return };
        if account.tokens.insert(token) {
            match account.highest_token {
                Some(highest) if token < highest => {
                    found.push((Rule::I5, format!("token {token} first appeared after {highest}")));
                }
                _ => account.highest_token = Some(token),
            }
        }
        if let Some(epoch) = entry.epoch {
            match account.epoch_of_token.get(&token) {
                Some(before) if *before != epoch => {
                    found.push((Rule::I6, format!("token {token} stands for epoch {before} and for epoch {epoch}")));
                }
                Some(_) => {}
                None => {
                    account.epoch_of_token.insert(token, epoch);
                    let fell = account.last_epoch.is_some_and(|last| epoch <= last);
                    if fell && account.new_lives > 0 && Some(token) == account.highest_token {
                        account.new_lives -= 1;
                        account.token_of_epoch.clear();
                    } else if let Some(other) = account.token_of_epoch.get(&epoch) {
                        found.push((Rule::I6, format!("epoch {epoch} was counted twice: tokens {other} and {token}")));
                    } else if fell {
                        let last = account.last_epoch.unwrap_or_default();
                        found.push((Rule::I5, format!("epoch {epoch} first appeared after {last}")));
                    }
                    account.token_of_epoch.entry(epoch).or_insert(token);
                    account.last_epoch = Some(epoch);
                }
            }
        }
        for (rule, text) in found {
            self.violation(rule, entry.seq, entry.account.clone(), text);
        }
    }

    fn violation(&mut self, rule: Rule, seq: u64, account: Option<String>, text: String) {
        *self.verdict.violations_by_rule.entry(rule).or_default() += 1;
        if self.verdict.violations.len() < MAX_VIOLATIONS {
            self.verdict.violations.push(Violation { rule, seq, account, text });
        }
    }

    /// What was broken so far; the first [`MAX_VIOLATIONS`] of it.
    pub fn violations(&self) -> &[Violation] {
        &self.verdict.violations
    }

    /// The verdict on what was read.
    pub fn finish(mut self) -> Verdict {
        for (name, account) in &self.accounts {
            self.verdict.instances += account.instances.len() as u64;
            self.verdict.tokens += account.tokens.len() as u64;
            self.verdict.epochs += account.epoch_of_token.len() as u64;
            self.verdict.reconciliations += account.succeeded.len() as u64;
            self.verdict.gaps.extend(account.gaps(name));
            for marker in &self.markers {
                let meant = marker.account.as_ref().is_none_or(|only| only == name);
                let wanted = self.options.marker.as_ref().is_none_or(|text| marker.text.as_ref() == Some(text));
                if meant && wanted && !account.orders.is_empty() {
                    self.verdict.rounds.push(account.round(name, marker));
                }
            }
        }
        self.verdict.rounds.sort_by_key(|round| round.seq);
        self.verdict.rounds_counted = self.verdict.rounds.iter().filter(|round| round.counted).count() as u64;
        self.verdict.ok = self.violations().is_empty();
        self.verdict.microseconds = self.finished_us;
        self.verdict
    }
}

/// Microseconds from `a` to `b`, in seconds; negative when `b` came first.
fn seconds(a: u64, b: u64) -> f64 {
    (b as i64 - a as i64) as f64 / 1e6
}

impl Account {
    /// From the last order of each token to the first of the next one.
    fn gaps(&self, name: &str) -> Vec<Gap> {
        let mut spans: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
        for (us, token) in &self.orders {
            if let Some(token) = token {
                spans.entry(*token).and_modify(|(_, last)| *last = *us).or_insert((*us, *us));
            }
        }
        let spans: Vec<_> = spans.into_iter().collect();
        spans
            .windows(2)
            .map(|pair| Gap {
                account: name.to_owned(),
                from_token: pair[0].0,
                to_token: pair[1].0,
                seconds: seconds(pair[0].1.1, pair[1].1.0),
            })
            .collect()
    }

    /// What a fault at this marker did to trading.
    fn round(&self, name: &str, marker: &Entry) -> Round {
        let before = self.orders.partition_point(|(us, _)| *us <= marker.us);
        let last = before.checked_sub(1).map(|at| self.orders[at]);
        let old = last.and_then(|(_, token)| token);
        let next = self.orders[before..].iter().find(|(_, token)| *token > old);
        let last_of_old = self.orders.iter().rev().find(|(_, token)| *token == old).map(|(us, _)| *us);
        let last_of_old = old.and(last_of_old);
        Round {
            account: name.to_owned(),
            marker: marker.text.clone().unwrap_or_default(),
            seq: marker.seq,
            counted: last
                .is_some_and(|(us, token)| token.is_some() && marker.us.saturating_sub(us) < ROUND_MICROSECONDS),
            milliseconds_since_order: last.map(|(us, _)| marker.us.saturating_sub(us) as f64 / 1e3),
            old_token: old,
            new_token: next.and_then(|(_, token)| *token),
            seconds_to_last_of_old: last_of_old.map(|us| seconds(marker.us, us)),
            seconds_to_first_of_new: next.map(|(us, _)| seconds(marker.us, *us)),
            seconds_without_trading: last_of_old.zip(next).map(|(old, (new, _))| seconds(old, *new)),
        }
    }
}
