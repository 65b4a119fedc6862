//! The values that go into and come out of [`super::decide`].

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::core::ids::{BootId, Epoch, FencingToken, PodRef};
use crate::core::lease::{LeaseRecord, OnApiServerLoss, Terms};
use crate::core::report::Report;
use crate::core::silence::{Link, Sighting};
use crate::core::time::{Mono, Wall};

// ---------------------------------------------------------------- what is wanted

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

// ---------------------------------------------------------------- what is written down

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
    /// The move in progress.
    pub current: Option<Move>,
    /// Moves that ended in trading, newest first, at most [`HISTORY_LENGTH`].
    pub history: Vec<Move>,
    /// How many moves there were, first starts not counted.
    pub total: u64,
    /// The operation that is being carried out.
    pub operation: Option<RunningOperation>,
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
    /// What the reconciliation reported.
    pub report: Option<Report>,
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

// ---------------------------------------------------------------- what is remembered

/// What this operator process remembers of one bot. Losing it only makes waits start again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Memory {
    /// The Lease's version as last seen, and since when. Kept up by watch and live reads alike.
    pub sighting: Option<Sighting>,
    /// The version that our own fencing write left behind, after the wait for this epoch was over.
    pub fenced_version: Option<(Epoch, String)>,
    /// Since when the present steps have been waited for.
    pub steps: BTreeMap<Step, Mono>,
    /// When a candidate was last granted the Lease.
    pub last_grant: Option<Mono>,
    /// Since when Jobs have been known that were not seen to have ended, and the longest deadline that they may have
    /// been given.
    pub unfinished_jobs: BTreeMap<FencingToken, (Mono, Duration)>,
    /// Since when lost pods, by uid, have been reported ready on a living node.
    pub seen_alive: BTreeMap<String, Mono>,
}

/// A step with a deadline of its own, by epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// The candidate shall take the Lease up.
    Claim(Epoch),
    /// The reconciliation shall end.
    Reconcile(Epoch),
    /// The bot shall trade.
    Promote(Epoch),
    /// The active shall release.
    Stop(Epoch),
    /// The active shall release, it was told to stop at once.
    StopNow(Epoch),
    /// The pod that gave this epoch back shall be ready to take the next one.
    Return(Epoch),
}

// ---------------------------------------------------------------- what is seen

/// What was read live in this round.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Observation {
    /// The Lease; `None` when it is absent.
    pub lease: Option<LeaseRecord>,
    /// The bot's pods, by controller uid, terminating ones included.
    pub pods: Vec<Pod>,
    /// Reconciliation Jobs, by controller uid.
    pub jobs: Vec<Job>,
    /// Operations on this bot that have not ended, oldest first.
    pub operations: Vec<Operation>,
    /// This operator's own link to the API server.
    pub link: Option<Link>,
    /// Why the API server would refuse a pod of the present template.
    pub template_error: Option<String>,
    /// When resource versions were last seen to go backwards: the cluster's store was restored, and what it says of
    /// epochs may be older than what agents know (design, rule 2).
    pub restored_at: Option<Mono>,
    /// The operator's wall clock.
    pub wall: Wall,
}

/// A bot's pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Pod {
    /// Name.
    pub name: String,
    /// Uid.
    pub uid: String,
    /// Slot number.
    pub slot: u32,
    /// What it was made from.
    pub revision: String,
    /// The role label.
    pub role: Option<Role>,
    /// Its readiness condition.
    pub ready: bool,
    /// It has a deletion timestamp.
    pub terminating: bool,
    /// Its phase is `Failed` or `Succeeded`: it will never run again.
    pub finished: bool,
    /// Its node is cordoned.
    pub draining: bool,
    /// Its node is gone or not ready.
    pub node_lost: bool,
    /// The supervised container that runs now.
    pub container_id: Option<String>,
    /// Boots that the kubelet reports as terminated, from `state` and `lastState` of the supervised container.
    pub terminated_boots: Vec<BootId>,
    /// Why the container does not start, a sentence, e.g. the image cannot be pulled.
    pub problem: Option<String>,
}

/// The role label of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Permitted to trade.
    Active,
    /// Granted the Lease, not permitted yet.
    Candidate,
    /// Ready to take over, or becoming so.
    Standby,
}

/// A reconciliation Job.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Job {
    /// The fencing token in its name.
    pub token: FencingToken,
    /// How it stands.
    pub state: JobState,
    /// No pod of it runs any more, whatever the result.
    pub ended: bool,
}

/// How a reconciliation stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum JobState {
    /// Not decided yet.
    Running,
    /// The program ended with 0 and its report can be read.
    Succeeded(Report),
    /// It ended otherwise; why, a sentence.
    Failed(String),
}

/// An operation that has not ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Operation {
    /// The object's name.
    pub name: String,
    /// The object's uid.
    pub uid: String,
    /// What is asked for.
    pub kind: OperationKind,
    /// The pod that shall trade.
    pub to: Option<String>,
}

/// What an operation asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum OperationKind {
    /// A planned move: the active stops gracefully, and only if someone can take over.
    Switchover,
    /// A forced move: also when the active does not answer, and in spite of limits.
    Failover,
    /// A person confirms that the active of this epoch has stopped.
    Confirm {
        /// The epoch in the ledger that is meant.
        epoch: Epoch,
        /// Who says so.
        by: String,
    },
}

/// The operation that is being carried out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RunningOperation {
    /// The object's name.
    pub name: String,
    /// The object's uid.
    pub uid: String,
    /// The epoch when it began; it has succeeded when a later one trades.
    pub since: Epoch,
    /// The pod that shall trade.
    pub to: Option<String>,
}

// ---------------------------------------------------------------- what is done

/// The next record, the writes to make, and when to look again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What the status shall say. Written first whenever an action below needs it written ahead.
    pub record: Record,
    /// What to remember.
    pub memory: Memory,
    /// Writes in order; each only after the one before it has plainly succeeded.
    pub actions: Vec<Action>,
    /// Look again after this long at the latest, also if nothing changes. While the active is well this does not cover
    /// its silence, or every renewal period would cost a round: see `silence_limit`.
    pub wake_after: Option<Duration>,
    /// Look again when the Lease has not changed for this long; whoever keeps the sightings knows when that is.
    pub silence_limit: Option<Duration>,
}

/// One write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Writes [`Decision::record`] as the status, with the observed resource version. Left out when nothing changed.
    WriteStatus,
    /// Creates the Lease; fails where one exists.
    CreateLease {
        /// The whole record.
        lease: LeaseRecord,
        /// Why it is written.
        purpose: LeaseWrite,
    },
    /// Replaces the Lease at the version in the record.
    PutLease {
        /// The whole record, with the version it must still have.
        lease: LeaseRecord,
        /// Why it is written.
        purpose: LeaseWrite,
    },
    /// Creates the pod of a slot.
    CreatePod {
        /// The slot.
        slot: u32,
    },
    /// Deletes a pod, with its own grace period.
    DeletePod(PodRef),
    /// Sets the role label, or strips it.
    SetRole {
        /// The pod.
        pod: PodRef,
        /// The role; `None` strips the label.
        role: Option<Role>,
    },
    /// Creates the reconciliation Job of the present token.
    CreateJob {
        /// Names the Job.
        token: FencingToken,
        /// For its environment.
        context: JobContext,
    },
    /// Writes an operation's progress.
    UpdateOperation {
        /// The object's name.
        name: String,
        /// Its uid.
        uid: String,
        /// What to write.
        update: OperationUpdate,
    },
    /// The active is known to have stopped: deletes Jobs, Lease, ServiceAccount and RBAC, then the finalizer.
    Finalize,
}

/// Why the Lease is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LeaseWrite {
    /// Names a new holder; sets `acquireTime`.
    Grant,
    /// Advances the permit.
    Permit,
    /// Takes the Lease from a silent or abandoned holder, so that no late renewal can revive it. When it has plainly
    /// succeeded, whoever carries it out sets [`Memory::fenced_version`] to this epoch and the new version.
    Fence {
        /// The epoch that is over with this write.
        epoch: Epoch,
    },
}

/// What the reconciliation program is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct JobContext {
    /// The epoch that is being prepared.
    pub epoch: Epoch,
    /// The last epoch in which someone traded.
    pub previous_epoch: Epoch,
    /// The old active's pod name.
    pub from: Option<String>,
    /// The candidate's pod name.
    pub to: String,
    /// Why the move is made.
    pub reason: Reason,
}

/// How an operation stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum OperationUpdate {
    /// It is being carried out.
    Running {
        /// What was begun, a sentence.
        message: String,
    },
    /// It did what was asked.
    Succeeded {
        /// The outcome, a sentence.
        message: String,
    },
    /// It did not.
    Failed {
        /// One word.
        reason: &'static str,
        /// What is wrong and what to do, a sentence.
        message: String,
    },
}
