//! The status of a `TradingBot`: what people read, and everything that an operator must know after a restart.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use super::backup_status::{BackupStatus, RestoreStatus};
pub use super::health::{CheckStatus, HealthStatus, RemedyResult, RemedyStatus};
pub use crate::core::failover::{AccountState, Block, Evidence, Phase, Reason, Trigger};
pub use crate::core::lease::OnApiServerLoss;
pub use crate::core::recovery::Remedy;
pub use crate::core::report::{Balance, Report};
pub use crate::core::shutdown::{StepReport, StepResult};

/// How a bot stands. `conditions` are the contract; `phase` and `message` are for people.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TradingBotStatus {
    /// The generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What is going on, one word.
    pub phase: Phase,
    /// What is going on and what to do, a sentence.
    pub message: String,
    /// Why nothing more happens without a person or a change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocked: Option<Block>,
    /// Grows by one at every grant and never falls.
    pub epoch: u64,
    /// The fencing token of the last grant; only grows.
    pub token: u64,
    /// The highest epoch that is known to be over.
    pub fenced_epoch: u64,
    /// The ledger of who may be trading. Absent: nobody may.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trading: Option<Trading>,
    /// The pod in the ledger, and since when it has been seen trading.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active: Option<ActivePod>,
    /// The standbys.
    pub standbys: Standbys,
    /// Pods that fell silent and have shown no sign of life since.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<LostPod>,
    /// The fencing tokens of reconciliation Jobs that were not yet seen to have ended.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub jobs: Vec<u64>,
    /// Another with every request to make such a Job in this epoch.
    #[serde(skip_serializing_if = "is_false")]
    pub job_request: bool,
    /// How trading moved.
    pub failover: FailoverStatus,
    /// The operation that is being carried out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<RunningOperationStatus>,
    /// The account that spec.account names, and who holds it. Other bots of the account go by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountStatus>,
    /// What is known of the backups. Absent: spec.backup was never set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupStatus>,
    /// The restore that is being carried out, or that failed half-way. Nobody is granted the Lease while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restore: Option<RestoreStatus>,
    /// The last stop that had steps, whatever it was for: those of moves are in their records, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_shutdown: Option<ShutdownStatus>,
    /// How the active's checks stand. Absent: none runs where the bot trades.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthStatus>,
    /// How many pods there are.
    pub replicas: u32,
    /// Selects the bot's pods.
    pub selector: String,
    /// The contract: Available, StandbyReady, Reconciled, FailoverTargetMet and others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

impl TradingBotStatus {
    /// What agents did by themselves about checks that failed, newest first.
    pub fn remedies(&self) -> &[RemedyStatus] {
        self.health.as_ref().map_or(&[], |health| &health.remedies)
    }
}

/// Who may be trading; written before the permit, cleared by evidence alone (design, rule 1).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Trading {
    /// The epoch of the grant.
    pub epoch: u64,
    /// Its fencing token.
    pub token: u64,
    /// The pod's name.
    pub pod: String,
    /// The pod's uid.
    #[serde(rename = "podUID")]
    pub pod_uid: String,
    /// The start of the agent that took the grant up, `<pod uid>/<random>`. Absent only where a Lease was found that
    /// someone else had changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<String>,
    /// The lease duration agreed for this epoch.
    pub lease_duration_seconds: u32,
    /// The policy agreed for this epoch.
    #[serde(default)]
    pub on_api_server_loss: OnApiServerLoss,
}

/// The pod in the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActivePod {
    /// The pod's name.
    pub pod: String,
    /// Its node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Its node's zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Since when it has been seen trading; absent until it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_time: Option<MicroTime>,
}

/// How many standbys there should be, and are ready.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Standbys {
    /// How many there should be.
    pub desired: u32,
    /// How many could take over now.
    pub ready: u32,
    /// Both, as `ready/desired`, for the table that `kubectl get` prints.
    pub summary: String,
}

/// A pod that fell silent, by the container that did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LostPod {
    /// The pod's uid.
    #[serde(rename = "podUID")]
    pub pod_uid: String,
    /// The container that ran then; another one is a sign of life.
    #[serde(rename = "containerID", default, skip_serializing_if = "Option::is_none")]
    pub container_id: Option<String>,
}

/// How trading moved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct FailoverStatus {
    /// How many moves there were, the first start not counted.
    pub total: u64,
    /// The mean duration of the last five moves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub average_milliseconds: Option<u64>,
    /// When trading last resumed after a move; the first start does not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_time: Option<MicroTime>,
    /// The move that is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<MoveStatus>,
    /// Moves that ended in trading, newest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<MoveStatus>,
}

/// One move of the active role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MoveStatus {
    /// The epoch it led to; the last one granted, while it is under way.
    pub epoch: u64,
    /// What asked for it.
    pub trigger: Trigger,
    /// Why, one word.
    pub reason: Reason,
    /// Why, a sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Why the old active is known not to trade.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
    /// Who said so, for the evidence Confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed_by: Option<String>,
    /// The old active's pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Its uid.
    #[serde(rename = "fromUID", default, skip_serializing_if = "Option::is_none")]
    pub from_uid: Option<String>,
    /// The candidate's pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Its uid.
    #[serde(rename = "toUID", default, skip_serializing_if = "Option::is_none")]
    pub to_uid: Option<String>,
    /// The pod that an operation named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted: Option<String>,
    /// A person lifted the limits for this move.
    #[serde(default, skip_serializing_if = "is_false")]
    pub approved: bool,
    /// Reconciliation attempts that failed in this move.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub attempts: u32,
    /// Candidates that failed in this move, by pod uid, once for every failure.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tried: Vec<String>,
    /// When the old active fell in doubt, or the planned move began.
    pub suspected_time: MicroTime,
    /// When evidence was found that it had stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fenced_time: Option<MicroTime>,
    /// When the last candidate was granted the Lease.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elected_time: Option<MicroTime>,
    /// When the reconciliation succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reconciled_time: Option<MicroTime>,
    /// When trading was seen to have resumed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_time: Option<MicroTime>,
    /// From suspectedTime to activeTime.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_milliseconds: Option<u64>,
    /// Whether the duration is within spec.failover.targetSeconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_met: Option<bool>,
    /// What the steps came to by which the old active was stopped: those of spec.lifecycle.shutdown and the demote hook.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shutdown: Vec<StepReport>,
    /// What the promote hook came to, the last time that it was called in this move.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promote_hook: Option<StepReport>,
    /// What the reconciliation reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reconciliation: Option<Report>,
    /// Where a failed check led to the move: what is done about that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<RecoveryStatus>,
}

/// What is done about a failed check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecoveryStatus {
    /// The rule of spec.recovery; `default` where there is none.
    pub rule: String,
    /// The check.
    pub check: String,
    /// What is done. Escalate: nobody trades, and people are asked.
    pub remedy: Remedy,
    /// While nobody traded the check failed on all standbys, too: when it passes again on one, trading goes on.
    #[serde(default, skip_serializing_if = "is_false")]
    pub all_failed: bool,
}

/// A stop that had steps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ShutdownStatus {
    /// When the operator learnt that the bot had stopped.
    pub time: MicroTime,
    /// The pod that stopped.
    pub pod: String,
    /// The epoch that ended.
    pub epoch: u64,
    /// What its steps came to, in order.
    pub steps: Vec<StepReport>,
}

/// The operation that is being carried out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunningOperationStatus {
    /// The object's name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// The epoch when it began.
    pub since_epoch: u64,
    /// The pod that shall trade.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// The account of a bot, and who holds it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccountStatus {
    /// The account.
    pub name: String,
    /// Held: by this bot, and no other one trades on it. Waiting: nobody trades for this bot.
    #[serde(default)]
    pub state: AccountState,
    /// Who holds it, as last seen: this bot or another. Absent: nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<AccountHolder>,
    /// The account's own epoch, which grows by one at every grant on it, to whichever bot.
    #[serde(default)]
    pub epoch: u64,
    /// Since when the holder holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_time: Option<MicroTime>,
    /// The lease duration of the holder's grant.
    #[serde(default)]
    pub lease_duration_seconds: u32,
    /// What the holder's agent does when the API server cannot be reached.
    #[serde(default)]
    pub on_api_server_loss: OnApiServerLoss,
}

/// A TradingBot of any namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AccountHolder {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

fn is_false(value: &bool) -> bool {
    !value
}

fn is_zero(value: &u32) -> bool {
    *value == 0
}
