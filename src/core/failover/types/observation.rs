//! What was read live in one round.

use crate::core::account::{AccountRecord, BotRef};
use crate::core::backup::BackupId;
use crate::core::ids::{BootId, Epoch, FencingToken};
use crate::core::lease::LeaseRecord;
use crate::core::report::Report;
use crate::core::silence::Link;
use crate::core::time::{Mono, Wall};

/// What was read live in this round.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Observation {
    /// The Lease; `None` when it is absent.
    pub lease: Option<LeaseRecord>,
    /// The bot's pods, by controller uid, terminating ones included.
    pub pods: Vec<Pod>,
    /// Reconciliation Jobs, by controller uid.
    pub jobs: Vec<Job>,
    /// What is known of the Jobs of restores, by controller uid.
    pub restores: Vec<RestoreJob>,
    /// Operations on this bot that have not ended, oldest first.
    pub operations: Vec<Operation>,
    /// This operator's own link to the API server.
    pub link: Option<Link>,
    /// Why the API server would refuse a pod of the present template.
    pub template_error: Option<String>,
    /// When resource versions were last seen to go backwards: the cluster's store was restored, and what it says of
    /// epochs may be older than what agents know (design, rule 2).
    pub restored_at: Option<Mono>,
    /// The account that the bot holds, or else the one that it wants.
    pub account: Option<AccountSeen>,
    /// The operator's wall clock.
    pub wall: Wall,
}

/// What was read about one account, after the bot itself was read: what others say of it must be newer than what this
/// bot's status says, or two could each miss the other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct AccountSeen {
    /// The account.
    pub name: String,
    /// The bot that looks.
    pub me: BotRef,
    /// The account's Lease; `None` when it is absent.
    pub lease: Option<AccountRecord>,
    /// Other bots that hold the account, or may trade on it, by their own status. `None`: nobody has looked, because
    /// the bot is in order and is to be granted or permitted nothing.
    pub claims: Option<Vec<Claim>>,
    /// The bot that the Lease names, or, where it names nobody readable, the one that this bot's status remembers.
    /// `None`: that is nobody, or this bot.
    pub holder: Option<HolderSeen>,
}

/// Another bot's own word that it holds the account.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Claim {
    /// The bot.
    pub bot: BotRef,
    /// Somebody may be trading for it.
    pub trading: bool,
}

/// How another bot that is said to hold the account was found.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HolderSeen {
    /// The bot.
    pub bot: BotRef,
    /// Its TradingBot is there, under this very uid.
    pub exists: bool,
    /// Another TradingBot is there under its name, which its own Lease may belong to by now.
    pub name_taken: bool,
    /// The version of its own Lease; `None` when that is absent.
    pub lease_version: Option<String>,
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

/// A Job of a restore.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RestoreJob {
    /// The uid of the operation that asked for it.
    pub operation_uid: String,
    /// What it does.
    pub run: RestoreRun,
    /// It was made suspended and not let run yet.
    pub suspended: bool,
    /// How it stands.
    pub state: RestoreJobState,
    /// No pod of it runs any more, whatever the result.
    pub ended: bool,
}

/// What a Job of a restore does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RestoreRun {
    /// Finds the backup and reads all of it.
    Check,
    /// Puts it back.
    Apply,
}

/// How a Job of a restore stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RestoreJobState {
    /// Not decided yet.
    Running,
    /// It did what it should, with this backup.
    Succeeded(BackupId),
    /// It did not.
    Failed {
        /// Why and what to do, a sentence.
        message: String,
        /// Whether the target may have been changed.
        target_changed: bool,
    },
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
    /// A backup is put back while nobody trades.
    Restore,
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
