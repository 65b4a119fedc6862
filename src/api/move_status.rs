//! One move of the active role to and from the status.

use std::time::Duration;

use super::bot_status::{MoveStatus, RecoveryStatus};
use super::record::{time_from, wall_from};
use crate::core::failover::{Move, RecoveryStep};
use crate::core::ids::{Epoch, PodRef};

/// As the status tells of a move, judged by the objective `target`.
pub(super) fn move_status(from: &Move, target: Duration) -> MoveStatus {
    let duration = duration(from);
    let Move {
        epoch,
        trigger,
        reason,
        message,
        evidence,
        confirmed_by,
        from,
        to,
        wanted,
        approved,
        attempts,
        tried,
        suspected,
        fenced,
        elected,
        reconciled,
        active,
        shutdown,
        promote_hook,
        report,
        recovery,
    } = from;
    let (from, from_uid) = from.as_ref().map(|p| (p.name.clone(), p.uid.clone())).unzip();
    let (to, to_uid) = to.as_ref().map(|p| (p.name.clone(), p.uid.clone())).unzip();
    MoveStatus {
        epoch: epoch.0,
        trigger: *trigger,
        reason: *reason,
        message: message.clone(),
        evidence: *evidence,
        confirmed_by: confirmed_by.clone(),
        from,
        from_uid,
        to,
        to_uid,
        wanted: wanted.clone(),
        approved: *approved,
        attempts: *attempts,
        tried: tried.clone(),
        suspected_time: time_from(*suspected),
        fenced_time: fenced.map(time_from),
        elected_time: elected.map(time_from),
        reconciled_time: reconciled.map(time_from),
        active_time: active.map(time_from),
        duration_milliseconds: duration,
        target_met: duration.map(|d| u128::from(d) <= target.as_millis()),
        shutdown: shutdown.clone(),
        promote_hook: promote_hook.clone(),
        reconciliation: report.clone(),
        recovery: recovery.as_ref().map(recovery_status),
    }
}

/// What a status says of a move.
pub(super) fn move_from(status: &MoveStatus) -> Move {
    let MoveStatus {
        epoch,
        trigger,
        reason,
        message,
        evidence,
        confirmed_by,
        from,
        from_uid,
        to,
        to_uid,
        wanted,
        approved,
        attempts,
        tried,
        suspected_time,
        fenced_time,
        elected_time,
        reconciled_time,
        active_time,
        duration_milliseconds: _,
        target_met: _,
        shutdown,
        promote_hook,
        reconciliation,
        recovery,
    } = status;
    Move {
        epoch: Epoch(*epoch),
        trigger: *trigger,
        reason: *reason,
        message: message.clone(),
        evidence: *evidence,
        confirmed_by: confirmed_by.clone(),
        from: pod_from(from, from_uid),
        to: pod_from(to, to_uid),
        wanted: wanted.clone(),
        approved: *approved,
        attempts: *attempts,
        tried: tried.clone(),
        suspected: wall_from(suspected_time),
        fenced: fenced_time.as_ref().map(wall_from),
        elected: elected_time.as_ref().map(wall_from),
        reconciled: reconciled_time.as_ref().map(wall_from),
        active: active_time.as_ref().map(wall_from),
        shutdown: shutdown.clone(),
        promote_hook: promote_hook.clone(),
        report: reconciliation.clone(),
        recovery: recovery.as_ref().map(recovery_from),
    }
}

fn recovery_status(step: &RecoveryStep) -> RecoveryStatus {
    let RecoveryStep { rule, check, remedy, all_failed } = step;
    RecoveryStatus { rule: rule.clone(), check: check.clone(), remedy: *remedy, all_failed: *all_failed }
}

fn recovery_from(status: &RecoveryStatus) -> RecoveryStep {
    let RecoveryStatus { rule, check, remedy, all_failed } = status;
    RecoveryStep { rule: rule.clone(), check: check.clone(), remedy: *remedy, all_failed: *all_failed }
}

fn pod_from(name: &Option<String>, uid: &Option<String>) -> Option<PodRef> {
    let name = name.clone()?;
    Some(PodRef { name, uid: uid.clone().unwrap_or_default() })
}

/// Milliseconds from the doubt, or the beginning of a planned move, to trading.
pub(super) fn duration(of: &Move) -> Option<u64> {
    of.active.map(|at| at.millis_since(of.suspected))
}
