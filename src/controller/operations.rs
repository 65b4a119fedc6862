//! Writes how an operation stands into its own object: a trace that outlives the move.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime, Time};
use kube::api::PostParams;
use kube::{Api, Client};

use super::call::{CallError, call};
use crate::api::operation::{OperationPhase, OperationStep, TradingBotOperation, TradingBotOperationStatus};
use crate::api::record::time_from;
use crate::core::failover::{Move, OperationUpdate, Record};
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
    next.status = Some(status(before, update, record, clock::wall(), operation.metadata.generation));
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
    now: Wall,
    generation: Option<i64>,
) -> TradingBotOperationStatus {
    let at = time_from(now);
    let started_time = before.started_time.clone().or_else(|| Some(at.clone()));
    match update {
        OperationUpdate::Running { message } => TradingBotOperationStatus {
            phase: OperationPhase::Running,
            reason: Some("Running".into()),
            message: Some(message.clone()),
            started_time,
            finished_time: None,
            steps: vec![step("Begin", at.clone(), Some(at.clone()), Some(message.clone()))],
            conditions: vec![complete("False", "Running", message, &at, generation)],
        },
        OperationUpdate::Succeeded { message } => {
            let moved = record.history.first().filter(|m| m.active.is_some_and(|t| t >= Wall(millis(&started_time))));
            let mut steps = before.steps;
            steps.extend(moved.map(steps_of).unwrap_or_default());
            ended(OperationPhase::Succeeded, "Succeeded", message, steps, started_time, &at, generation)
        }
        OperationUpdate::Failed { reason, message } => {
            ended(OperationPhase::Failed, reason, message, before.steps, started_time, &at, generation)
        }
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
