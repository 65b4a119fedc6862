//! Writes how an operation stands into its own object: a trace that outlives the move.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime, Time};
use kube::api::PostParams;
use kube::{Api, Client};

use super::call::{CallError, call};
use crate::api::operation::{OperationPhase, OperationStep, TradingBotOperation, TradingBotOperationStatus};
use crate::api::record::time_from;
use crate::core::failover::{Move, OperationUpdate, Record, Restore, RestoreOutcome, RestoreStep};
use crate::core::time::Wall;
use crate::runtime::clock;

/// Writes `update` at the version that was read; one that was deleted meanwhile needs no trace.
///
/// # Errors
/// What became of the write.
pub async fn write(
    client: &Client,
    operation: &TradingBotOperation,
    update: &OperationUpdate,
    record: &Record,
) -> Result<(), CallError> {
    let namespace = operation.metadata.namespace.as_deref().unwrap_or_default();
    let name = operation.metadata.name.as_deref().unwrap_or_default();
    let mut next = operation.clone();
    let before = operation.status.clone().unwrap_or_default();
    let uid = operation.metadata.uid.as_deref();
    next.status = Some(status(before, update, record, uid, clock::wall(), operation.metadata.generation));
    let api = Api::<TradingBotOperation>::namespaced(client.clone(), namespace);
    match call(api.replace_status(name, &PostParams::default(), &next)).await {
        Ok(_) | Err(CallError::NotFound(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

fn status(
    before: TradingBotOperationStatus,
    update: &OperationUpdate,
    record: &Record,
    operation_uid: Option<&str>,
    now: Wall,
    generation: Option<i64>,
) -> TradingBotOperationStatus {
    let at = time_from(now);
    let started_time = before.started_time.clone().or_else(|| Some(at.clone()));
    let restore = record.restore.as_ref().filter(|restore| operation_uid == Some(restore.operation_uid.as_str()));
    let mut steps = before.steps;
    match update {
        OperationUpdate::Running { message } => {
            match restore {
                Some(restore) => follow(&mut steps, restore, &at),
                None => steps = vec![step("Begin", at.clone(), Some(at.clone()), Some(message.clone()))],
            }
            TradingBotOperationStatus {
                phase: OperationPhase::Running,
                reason: Some("Running".into()),
                message: Some(message.clone()),
                started_time,
                finished_time: None,
                steps,
                conditions: vec![complete("False", "Running", message, &at, generation)],
            }
        }
        OperationUpdate::Succeeded { message } => {
            close(&mut steps, &at, Some(message));
            let moved = record.history.first().filter(|m| m.active.is_some_and(|t| t >= Wall(millis(&started_time))));
            let moved = moved.map(steps_of).unwrap_or_default();
            // A restore had stopped the active before its move began.
            steps.extend(moved.into_iter().filter(|s| restore.is_none() || s.name != "Stop"));
            ended(OperationPhase::Succeeded, "Succeeded", message, steps, started_time, &at, generation)
        }
        OperationUpdate::Failed { reason, message } => {
            close(&mut steps, &at, Some(message));
            ended(OperationPhase::Failed, reason, message, steps, started_time, &at, generation)
        }
    }
}

/// Closes the step of a restore that is over, and opens the one that it is at.
fn follow(steps: &mut Vec<OperationStep>, restore: &Restore, at: &MicroTime) {
    let id = restore.id.as_ref().map(ToString::to_string).unwrap_or_default();
    let (name, before) = match restore.step {
        RestoreStep::Checking => ("Check", None),
        RestoreStep::Stopping => ("Stop", Some(format!("Backup {id} was read in full and is good."))),
        RestoreStep::Restoring => ("Restore", Some("Nobody trades.".to_owned())),
        RestoreStep::Resuming | RestoreStep::Broken | RestoreStep::Done => {
            let failure = match &restore.outcome {
                Some(RestoreOutcome::Failed(why) | RestoreOutcome::Succeeded(why)) => why.clone(),
                None => format!("Backup {id} was put back."),
            };
            return close(steps, at, Some(&failure));
        }
    };
    if steps.last().is_some_and(|last| last.name == name) {
        return;
    }
    close(steps, at, before.as_ref());
    steps.push(step(name, at.clone(), None, None));
}

fn close(steps: &mut [OperationStep], at: &MicroTime, outcome: Option<&String>) {
    if let Some(open) = steps.last_mut().filter(|step| step.finished_time.is_none()) {
        open.finished_time = Some(at.clone());
        open.outcome = outcome.cloned();
    }
}

/// The status of an operation that is over.
pub(super) fn ended(
    phase: OperationPhase,
    reason: &str,
    message: &str,
    mut steps: Vec<OperationStep>,
    started_time: Option<MicroTime>,
    at: &MicroTime,
    generation: Option<i64>,
) -> TradingBotOperationStatus {
    steps.push(step("End", at.clone(), Some(at.clone()), Some(message.to_owned())));
    TradingBotOperationStatus {
        phase,
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        started_time,
        finished_time: Some(at.clone()),
        steps,
        conditions: vec![complete("True", reason, message, at, generation)],
    }
}

/// The steps of the move that an operation led to, with their times.
fn steps_of(done: &Move) -> Vec<OperationStep> {
    let evidence = done.evidence.map(|e| format!("The old active is known to have stopped: {e:?}."));
    let to = done.to.as_ref().map(|p| format!("{} holds the Lease of epoch {}.", p.name, done.epoch));
    let begun = done.suspected;
    [
        ("Stop", Some(begun), done.fenced, evidence),
        ("Elect", done.fenced.or(Some(begun)), done.elected, to),
        ("Prepare", done.elected, done.reconciled, None),
        ("Activate", done.reconciled, done.active, None),
    ]
    .into_iter()
    .filter_map(|(name, from, to, outcome)| Some(step(name, time_from(from?), Some(time_from(to?)), outcome)))
    .collect()
}

/// One step.
pub(super) fn step(name: &str, from: MicroTime, to: Option<MicroTime>, outcome: Option<String>) -> OperationStep {
    OperationStep { name: name.into(), started_time: from, finished_time: to, outcome }
}

/// The condition that says whether it is over.
pub(super) fn complete(
    status: &str,
    reason: &str,
    message: &str,
    at: &MicroTime,
    generation: Option<i64>,
) -> Condition {
    Condition {
        type_: "Complete".into(),
        status: status.into(),
        reason: reason.into(),
        message: message.into(),
        last_transition_time: Time(at.0),
        observed_generation: generation,
    }
}

fn millis(time: &Option<MicroTime>) -> u64 {
    time.as_ref().map_or(0, |t| crate::api::record::wall_from(t).0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restore_shows_its_steps_one_after_the_other() {
        let restore = |step| Restore {
            operation: "r".into(),
            operation_uid: "u".into(),
            step,
            id: Some("20261124T020000Z-daily-3f9a".parse().unwrap()),
            slot: 0,
            target_changed: false,
            outcome: None,
        };
        let mut before = TradingBotOperationStatus::default();
        let steps = [RestoreStep::Checking, RestoreStep::Stopping, RestoreStep::Restoring, RestoreStep::Resuming];
        for (at, step) in (1..).zip(steps) {
            let record = Record { restore: Some(restore(step)), ..Record::default() };
            let update = OperationUpdate::Running { message: "It goes on.".into() };
            let told = status(before, &update, &record, Some("u"), Wall(at * 1_000), None);
            // The same told twice changes nothing.
            before = status(told.clone(), &update, &record, Some("u"), Wall(at * 1_000 + 500), None);
            assert_eq!(told.steps, before.steps);
        }
        let record = Record { restore: Some(restore(RestoreStep::Done)), ..Record::default() };
        let update = OperationUpdate::Succeeded { message: "It was put back.".into() };
        let done = status(before, &update, &record, Some("u"), Wall(9_000), None);
        let names: Vec<_> = done.steps.iter().map(|step| step.name.as_str()).collect();
        assert_eq!(names, ["Check", "Stop", "Restore", "End"]);
        assert!(done.steps.iter().all(|step| step.finished_time.is_some() && step.outcome.is_some()));
        assert_eq!(done.steps[1].finished_time, Some(time_from(Wall(3_000))));
    }
}
