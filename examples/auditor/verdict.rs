//! What the auditor is told and what it answers.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

/// So many violations are listed; all are counted.
pub const MAX_VIOLATIONS: usize = 1000;

/// What the log alone does not say.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Judge one account only.
    pub account: Option<String>,
    /// A reconciliation is configured, so I3 holds.
    pub reconciled: bool,
    /// Tokens that trade without one all the same, such as a planned move where `runOn` leaves it out.
    pub exempt: HashSet<u64>,
    /// Judge the rounds of this marker only.
    pub marker: Option<String>,
}

/// What was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Rule {
    /// No order accepted with a fencing token after one with a later token.
    I1,
    /// No two processes trading at the same time: once another has begun, no order of the earlier one.
    I2,
    /// No order of a token before its reconciliation succeeded.
    I3,
    /// Tokens and epochs grow in the order in which they first appear.
    I5,
    /// A token is reconciled to success once, and stands for one epoch, which stands for one token.
    I6,
    /// An order or reconciliation without a fencing token.
    NoToken,
    /// An order that does not say which process sent it.
    NoInstance,
    /// The log itself has a hole, a clock that runs backwards or a line that is none.
    Log,
}

/// One break of a rule.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Violation {
    /// The rule.
    pub rule: Rule,
    /// The entry that broke it.
    pub seq: u64,
    /// The account it happened on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// What happened.
    pub text: String,
}

/// Time without trading between two tokens; negative when they overlapped.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Gap {
    pub account: String,
    pub from_token: u64,
    pub to_token: u64,
    /// From the last accepted order of the one to the first of the other.
    pub seconds: f64,
}

/// What happened around one marker.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Round {
    pub account: String,
    pub marker: String,
    pub seq: u64,
    /// Whether the round counts: an order of the old epoch was accepted less than 200 ms before the marker.
    pub counted: bool,
    pub milliseconds_since_order: Option<f64>,
    pub old_token: Option<u64>,
    pub new_token: Option<u64>,
    /// From the marker to the last order of the old token; negative: before the marker.
    pub seconds_to_last_of_old: Option<f64>,
    /// From the marker to the first order of a later token.
    pub seconds_to_first_of_new: Option<f64>,
    /// From the last order of the old token to the first of a later one.
    pub seconds_without_trading: Option<f64>,
}

/// The auditor's answer. Counts are of accepted requests.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// Nothing was violated.
    pub ok: bool,
    pub orders: u64,
    pub epochs: u64,
    pub instances: u64,
    pub tokens: u64,
    /// Tokens whose reconciliation succeeded.
    pub reconciliations: u64,
    /// Cancellations by processes that had been replaced: harmless to the money, but worth a look.
    pub late_cancels: u64,
    /// The exchange's clock at the last entry.
    pub microseconds: u64,
    pub violations_by_rule: BTreeMap<Rule, u64>,
    /// The first of them.
    pub violations: Vec<Violation>,
    pub rounds_counted: u64,
    pub rounds: Vec<Round>,
    pub gaps: Vec<Gap>,
}
