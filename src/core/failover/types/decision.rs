//! What a round does: the next record, the writes, and when to look again.

use std::time::Duration;

use super::memory::Memory;
use super::observation::{RestoreRun, Role};
use super::record::{Reason, Record, Restore};
use crate::core::account::{AccountRecord, BotRef};
use crate::core::ids::{Epoch, FencingToken, PodRef};
use crate::core::lease::LeaseRecord;

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
    /// Creates the account's Lease where its record has no version, or replaces it at that version.
    WriteAccount {
        /// The whole record.
        account: AccountRecord,
        /// Why it is written.
        purpose: AccountWrite,
    },
    /// Removes the Lease that a bot left behind which was removed by force, at this version alone. When it has plainly
    /// succeeded, whoever carries it out sets [`Memory::holder_removed`].
    RemoveLeaseOf {
        /// The bot that is gone.
        bot: BotRef,
        /// The version whose silence was waited out.
        version: String,
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
    /// Creates a Job of the restore that the record names: one that puts the backup back is made suspended.
    CreateRestoreJob {
        /// The restore as it is written down.
        restore: Restore,
        /// What the Job does.
        run: RestoreRun,
    },
    /// Lets the Job run that puts the backup back. Whatever becomes of this write, the Job may run from now on.
    StartRestoreJob {
        /// The uid of the operation that asked for it.
        operation_uid: String,
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

/// Why an account's Lease is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AccountWrite {
    /// For a grant, with the token that the grant hands out: before the status and the grant itself.
    Take,
    /// It was changed by someone else while this bot trades: written again from the status, after the status.
    Restore,
    /// Nobody trades for this bot: after the status.
    Release,
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
