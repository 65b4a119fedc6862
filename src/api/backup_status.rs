//! What the status says of backups and restores.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use crate::core::backup::report::FailureReason;
pub use crate::core::failover::RestoreStep;
use crate::core::failover::{Restore, RestoreOutcome};

/// What is known of a bot's backups, from the reports of the runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct BackupStatus {
    /// Since when spec.backup has been seen: until the first backup the objective counts from here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since_time: Option<Time>,
    /// The point that the newest good backup recovers: when it was begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_success_time: Option<Time>,
    /// Its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_id: Option<String>,
    /// The bytes of its content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_bytes: Option<u64>,
    /// When a backup was last read in full and found good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_verified_time: Option<Time>,
    /// When a backup was last restored, into a scratch place or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_restored_time: Option<Time>,
    /// The point that the oldest backup recovers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_recoverable_time: Option<Time>,
    /// When a run last counted what there is: count, storedBytes, oldestRecoverableTime and newest are of then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counted_time: Option<Time>,
    /// How many good backups there are.
    pub count: u32,
    /// How many bytes they have where they are stored.
    pub stored_bytes: u64,
    /// The ids of the newest, newest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub newest: Vec<String>,
    /// Ids of backups that were found damaged.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub damaged: Vec<String>,
    /// Whether the newest good backup is no older than spec.backup.recoveryPointObjectiveSeconds. Absent: there is no
    /// objective.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub objective_met: Option<bool>,
    /// The schedules, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub schedules: Vec<ScheduleStatus>,
    /// The last run of spec.backup.verification that ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verification: Option<RunStatus>,
}

/// How the backups of one schedule went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScheduleStatus {
    /// The schedule.
    pub name: String,
    /// The last run that ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_run: Option<RunStatus>,
    /// The point that its newest good backup recovers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_success_time: Option<Time>,
}

/// One run that ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunStatus {
    /// Its Job.
    pub job: String,
    /// The Job's uid: no run counts twice.
    #[serde(rename = "jobUID")]
    pub job_uid: String,
    /// When it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_time: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_time: Option<MicroTime>,
    /// The backup that it made or proved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Why it failed, one word; absent: it did what it should.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<FailureReason>,
    /// What is wrong and what to do, or what did not succeed beside it: a sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// A restore that is being carried out, or that failed half-way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestoreStatus {
    /// The operation that asked for it.
    pub operation: String,
    /// Its uid.
    #[serde(rename = "operationUID")]
    pub operation_uid: String,
    /// How far it is.
    pub step: RestoreStep,
    /// The backup, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The slot whose volumes it is put back into.
    #[serde(default)]
    pub slot: u32,
    /// Its target may have been changed by half, by this restore or by one before it: nobody trades before one succeeds,
    /// or a person forces a failover.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub target_changed: bool,
    /// How it ended, until its operation has been told so: a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success: Option<String>,
    /// Why it, or a part of it, failed, and what to do: a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// How the status says it.
pub(super) fn restore_status(restore: &Restore) -> RestoreStatus {
    let Restore { operation, operation_uid, step, id, slot, target_changed, outcome } = restore.clone();
    let (success, failure) = match outcome {
        Some(RestoreOutcome::Succeeded(text)) => (Some(text), None),
        Some(RestoreOutcome::Failed(text)) => (None, Some(text)),
        None => (None, None),
    };
    RestoreStatus { operation, operation_uid, step, id: id.map(String::from), slot, target_changed, success, failure }
}

/// What the status says.
pub(super) fn restore_from(status: &RestoreStatus) -> Restore {
    let RestoreStatus { operation, operation_uid, step, id, slot, target_changed, success, failure } = status.clone();
    let outcome = failure.map(RestoreOutcome::Failed).or(success.map(RestoreOutcome::Succeeded));
    Restore { operation, operation_uid, step, id: id.and_then(|id| id.parse().ok()), slot, target_changed, outcome }
}
