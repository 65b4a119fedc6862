//! What is wanted: the part of a bot's spec that decisions depend on.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::core::lease::Terms;
use crate::core::recovery::Remedy;

/// The part of a TradingBot's spec that decisions depend on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Spec {
    /// One active and `replicas - 1` standbys.
    pub replicas: u32,
    /// The kill switch.
    pub suspend: bool,
    /// The resource is being deleted.
    pub deleting: bool,
    /// `failover.mode: Manual`: trading never moves to another pod without a person.
    pub manual: bool,
    /// The terms of the next grant.
    pub terms: Terms,
    /// How many automatic failovers are allowed within `rate_period`; 0 means no limit.
    pub max_failovers: u32,
    /// The window of the rate limit.
    pub rate_period: Duration,
    /// Between failovers that health or promotion failures ask for.
    pub cooldown: Duration,
    /// The objective that a move's duration is judged against.
    pub target: Duration,
    /// How often a process is restarted on the same pod before trading moves (for reconciled restarts).
    pub restarts: u32,
    /// How long an agent may take to stop gracefully: demote hook, SIGTERM and kill.
    pub stop_time: Duration,
    /// How long an agent may take from the permit to trading: start and promote hook.
    pub promotion_time: Duration,
    /// What runs before a new active trades.
    pub reconciliation: Option<Reconciliation>,
    /// The hash of what pods are made from; pods with another one are outdated.
    pub revision: String,
    /// The account that no other bot of the cluster may trade on at the same time.
    pub account: Option<String>,
    /// How backups are put back; `None`: there are none.
    pub restore: Option<RestorePolicy>,
    /// What is done about checks that fail, as far as it needs the Lease.
    pub recovery: RecoveryPolicy,
}

/// What is done about checks that fail.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct RecoveryPolicy {
    /// The rules.
    pub rules: Vec<RecoveryRule>,
    /// So long after its last remedy a rule begins anew.
    pub period: Duration,
}

/// One rule, as far as the operator carries it out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RecoveryRule {
    /// Its name.
    pub name: String,
    /// The operator's remedies, in order. When they are used up, the bot is held for people.
    pub remedies: Vec<Remedy>,
    /// Standbys run all its checks, too, so that a held bot may go on when they pass there again.
    pub on_standbys: bool,
}

/// What restores are given.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RestorePolicy {
    /// The time of each of its Jobs, enforced by the kubelet.
    pub deadline: Duration,
}

/// The reconciliation policy.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reconciliation {
    /// The kinds of moves it runs on.
    pub run_on: Vec<MoveKind>,
    /// What a failure leads to.
    pub on_failure: OnFailure,
    /// Further attempts under `OnFailure::Retry`.
    pub retries: u32,
    /// Trade in spite of reported discrepancies.
    pub proceed_on_discrepancy: bool,
    /// The program's own time, enforced by the kubelet.
    pub deadline: Duration,
}

/// What a failed reconciliation leads to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum OnFailure {
    /// Some more attempts, each with an epoch of its own; then `Block`.
    #[default]
    Retry,
    /// Nobody trades until a person decides.
    Block,
    /// Trade all the same.
    Proceed,
}

/// The kinds of moves that a reconciliation can be asked to run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum MoveKind {
    /// The first grant in the life of the resource.
    FirstStart,
    /// Every unplanned move.
    Failover,
    /// Every planned move whose old active released the Lease itself.
    Switchover,
    /// A restart of the process on the same pod.
    Restart,
}
