//! What is written down in the status, and survives the operator.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::observation::RunningOperation;
use crate::core::account::BotRef;
use crate::core::backup::BackupId;
use crate::core::ids::{BootId, Epoch, FencingToken, PodRef};
use crate::core::lease::OnApiServerLoss;
use crate::core::recovery::Remedy;
use crate::core::report::Report;
use crate::core::shutdown::{Shutdown, StepReport};
use crate::core::time::Wall;

/// What the status says: survives the operator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Record {
    /// For people; conditions are the contract.
    pub phase: Phase,
    /// What is going on and what to do, a sentence.
    pub message: String,
    /// Why nothing more is done without a person or a change; the reason of the phase `Blocked`.
    pub blocked: Option<Block>,
    /// The highest epoch ever written ahead of a grant.
    pub epoch: Epoch,
    /// The highest fencing token, likewise.
    pub token: FencingToken,
    /// The highest epoch known to be over.
    pub fenced: Epoch,
    /// The ledger: who may be trading.
    pub trading: Option<Ledger>,
    /// Since when the pod in the ledger has been seen trading.
    pub active_since: Option<Wall>,
    /// Pods whose epoch ended by silence and that have shown no sign of life since.
    pub lost: Vec<Lost>,
    /// Reconciliation Jobs that were not yet seen to have ended.
    pub jobs: Vec<FencingToken>,
    /// Another with every request to make one in this epoch.
    pub job_request: bool,
    /// The move in progress.
    pub current: Option<Move>,
    /// Moves that ended in trading, newest first, at most [`HISTORY_LENGTH`].
    pub history: Vec<Move>,
    /// How many moves there were, first starts not counted.
    pub total: u64,
    /// The operation that is being carried out.
    pub operation: Option<RunningOperation>,
    /// The account of the bot, and who holds it.
    pub account: Option<AccountView>,
    /// The restore that is being carried out, or that failed half-way.
    pub restore: Option<Restore>,
    /// The last stop that had steps.
    pub last_shutdown: Option<Shutdown>,
}

/// An account as the status of one of its bots tells it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AccountView {
    /// The account.
    pub name: String,
    /// Whether this bot holds it. That is the ledger which other bots go by: written before a grant, and taken back
    /// only when nobody trades for this bot any more.
    pub state: AccountState,
    /// Who holds it, this bot or another, as last seen.
    pub holder: Option<BotRef>,
    /// The account's own epoch, as last seen.
    pub epoch: Epoch,
    /// Since when the holder holds it.
    pub since: Option<Wall>,
    /// The lease duration of the holder's grant.
    pub lease_duration: Duration,
    /// What the holder's agent does without the API server.
    pub on_api_server_loss: OnApiServerLoss,
}

/// Whether a bot holds its account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum AccountState {
    /// It does not, and nobody trades for it.
    #[default]
    Waiting,
    /// It does.
    Held,
}

/// How many moves the history keeps.
pub const HISTORY_LENGTH: usize = 20;

/// The record of who may be trading; only evidence that names it clears it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ledger {
    /// The epoch of the grant.
    pub epoch: Epoch,
    /// Its fencing token.
    pub token: FencingToken,
    /// The pod.
    pub pod: PodRef,
    /// The boot that took the grant up; `None` only where a Lease was found that someone else had changed.
    pub boot: Option<BootId>,
    /// The duration agreed for this epoch.
    pub lease_duration: Duration,
    /// The policy agreed for this epoch.
    pub on_api_server_loss: OnApiServerLoss,
}

/// A pod that fell silent, by the container that did.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lost {
    /// The pod's uid.
    pub pod_uid: String,
    /// The container that was running then; another one is a sign of life.
    pub container_id: Option<String>,
}

/// The phases of design section 4.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Phase {
    /// Pods are being made; none was ready yet.
    #[default]
    Pending,
    /// A candidate is sought or has been named and has not answered yet.
    Electing,
    /// The candidate holds the Lease; the reconciliation runs.
    Preparing,
    /// The permit was given; the bot starts or is promoted.
    Activating,
    /// One trades.
    Active,
    /// The active is in doubt.
    Suspect,
    /// The active is to be replaced; evidence that it stopped is awaited.
    Fencing,
    /// The active was asked to stop.
    Switching,
    /// Nobody trades, because the spec says so.
    Suspended,
    /// Recovery is used up for now, people are told.
    Maintenance,
    /// No safe step is left; a person decides.
    Blocked,
}

/// Why the phase is `Blocked` or `Maintenance`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Block {
    /// `failover.mode: Manual`.
    ManualFailover,
    /// `rateLimit` is used up.
    RateLimited,
    /// The reconciliation failed and the policy is to block.
    ReconciliationFailed,
    /// The reconciliation reported discrepancies and the policy is to block.
    DiscrepanciesFound,
    /// The active is silent and was allowed to trade on without the API server.
    SilentUnderContinue,
    /// Another bot holds the account.
    AccountHeld,
    /// A restore failed after it had begun to change the target.
    RestoreFailed,
    /// Checks fail, and what may be done about it is used up.
    RecoveryUsedUp,
}

/// A move of the active role, finished or not.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Move {
    /// The epoch it led to; the last one granted, while it is under way.
    pub epoch: Epoch,
    /// What asked for it.
    pub trigger: Trigger,
    /// Why, one word.
    pub reason: Reason,
    /// Why, a sentence.
    pub message: String,
    /// Why the old active is known not to trade.
    pub evidence: Option<Evidence>,
    /// Who said so, for `Confirmed`.
    pub confirmed_by: Option<String>,
    /// The old active's pod.
    pub from: Option<PodRef>,
    /// The candidate's pod.
    pub to: Option<PodRef>,
    /// A pod that an operation named.
    pub wanted: Option<String>,
    /// A person lifted the limits (`Manual`, the rate limit, a block).
    pub approved: bool,
    /// Reconciliation attempts that failed in this move.
    pub attempts: u32,
    /// Candidates that failed in this move, by pod uid.
    pub tried: Vec<String>,
    /// When the old active fell in doubt, or the planned move began.
    pub suspected: Wall,
    /// When evidence was found.
    pub fenced: Option<Wall>,
    /// When the last candidate was granted the Lease.
    pub elected: Option<Wall>,
    /// When the reconciliation succeeded.
    pub reconciled: Option<Wall>,
    /// When trading was seen to have resumed.
    pub active: Option<Wall>,
    /// What the steps came to by which the old active was stopped.
    pub shutdown: Vec<StepReport>,
    /// What the promote hook came to, the last time that it was called in this move.
    pub promote_hook: Option<StepReport>,
    /// What the reconciliation reported.
    pub report: Option<Report>,
    /// Where a failed check led to it: what is done about that.
    pub recovery: Option<RecoveryStep>,
}

/// What is done about a failed check.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RecoveryStep {
    /// The rule.
    pub rule: String,
    /// The check that failed.
    pub check: String,
    /// The remedy.
    pub remedy: Remedy,
    /// While the bot was held for people, no pod was ready: when one is again, its checks pass.
    pub all_failed: bool,
}

/// What asked for a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Trigger {
    /// The resource is new.
    FirstStart,
    /// The active was lost.
    Automatic,
    /// An operation `Switchover`.
    Switchover,
    /// An operation `Failover`.
    Failover,
    /// The template changed.
    RollingUpdate,
    /// The active's node is being drained, or its pod deleted.
    Eviction,
    /// `suspend` was set and taken back.
    Resume,
    /// An operation `Restore`.
    Restore,
}

/// Why a move was made, one word for Events and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Reason {
    /// Nobody has traded yet.
    FirstStart,
    /// The bot's process ended, in-place restarts used up.
    ProcessExited,
    /// The bot's process ended and the restart is to be reconciled.
    RestartWanted,
    /// The promote hook failed or the process could not be started.
    PromotionFailed,
    /// The agent could not reach the API server.
    RenewDeadline,
    /// The container ended.
    ContainerTerminated,
    /// The Lease was not renewed.
    LeaseNotRenewed,
    /// The Lease was deleted or changed by someone else.
    LeaseDisturbed,
    /// The pod's object is gone.
    PodGone,
    /// The pod is being deleted.
    PodDeleted,
    /// The pod's node is cordoned.
    NodeDrained,
    /// The template changed.
    RollingUpdate,
    /// A person asked.
    Requested,
    /// Promotion took longer than its deadline.
    PromotionTimedOut,
    /// `suspend` was taken back.
    Resumed,
    /// The account is not this bot's: it was changed, or another bot may trade on it.
    AccountLost,
    /// A backup was put back.
    Restored,
    /// A check failed, and what the agent may do about it is used up.
    HealthFailed,
}

/// Why an old active is known not to trade (design, rule 11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Evidence {
    /// That boot released the Lease.
    Released,
    /// The kubelet reported the end of the container that ran that boot.
    ContainerTerminated,
    /// A later boot of the same pod says so.
    ContainerRestarted,
    /// Nothing was heard for the lease duration and the tolerance.
    LeaseExpired,
    /// A person says so.
    Confirmed,
}

/// A restore that is being carried out, or that failed half-way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Restore {
    /// The operation that asked for it.
    pub operation: String,
    /// Its uid.
    pub operation_uid: String,
    /// How far it is.
    pub step: RestoreStep,
    /// The backup, once it is known.
    pub id: Option<BackupId>,
    /// The slot whose volumes it is put back into: that of the pod that traded last.
    pub slot: u32,
    /// Its target may have been changed by half, by this restore or by one before it. Nobody trades before one succeeds
    /// or a person says that the target is good.
    pub target_changed: bool,
    /// How it ended, as soon as that is certain; the operation is told so.
    pub outcome: Option<RestoreOutcome>,
}

/// How a restore ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RestoreOutcome {
    /// The backup was put back; a sentence.
    Succeeded(String),
    /// It was not, or not all of what was asked for was done; why and what to do, a sentence.
    Failed(String),
}

/// How far a restore is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum RestoreStep {
    /// The backup is being found and read, while the bot trades on.
    #[default]
    Checking,
    /// The active was asked to stop. When nobody trades, the Job that puts the backup back is made, and not yet let run.
    Stopping,
    /// Nobody trades, and the Job that puts the backup back may be running.
    Restoring,
    /// That Job is known to have ended; the bot is to trade again.
    Resuming,
    /// It failed after it had begun to change the target: nobody trades before a person decides.
    Broken,
    /// It is over; its operation is being told so.
    Done,
}
