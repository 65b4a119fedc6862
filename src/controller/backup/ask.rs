//! Operations of the type `Backup`: one backup now. They move nothing, so they are followed beside the decisions.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::ResourceExt as _;

use super::run::{Run, RunState};
use crate::api::backup::Backup;
use crate::api::operation::{
    OperationPhase, OperationType, TradingBotOperation, TradingBotOperationSpec, TradingBotOperationStatus,
};
use crate::controller::operations::{complete, ended, step};
use crate::core::failover::Record;

/// What an operation is judged on.
pub struct Situation<'a> {
    /// The bot.
    pub bot: &'a str,
    /// It is being deleted.
    pub deleting: bool,
    /// `spec.backup`.
    pub backup: Option<&'a Backup>,
    /// For the restore that may be under way.
    pub record: &'a Record,
    /// What is known of the Jobs of operations, by the operation's uid.
    pub runs: &'a [(String, Run)],
}

/// What is to be done about one operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing: it stands as it is written.
    Nothing,
    /// It waits, a sentence.
    Wait(String),
    /// Its Job is made; from this schedule, or from none.
    Begin {
        /// The Job.
        job: String,
        /// The schedule it counts for.
        schedule: Option<String>,
    },
    /// Its Job is there, and this is to be written.
    Running {
        /// The Job.
        job: String,
    },
    /// It did what was asked.
    Succeeded {
        /// When its Job was made and ended.
        times: (Timestamp, Timestamp),
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

/// The Job of an operation.
pub fn job_name(bot: &str, uid: &str) -> String {
    let first: String = uid.chars().filter(char::is_ascii_alphanumeric).take(8).collect();
    format!("{bot}-b-{first}")
}

/// Whether an operation is one of these and has not ended.
pub fn is_open(operation: &TradingBotOperation) -> bool {
    operation.spec.type_ == OperationType::Backup && operation.is_open()
}

/// Answers to all open operations, oldest first, in their order: one at a time.
pub fn answers(operations: &[&TradingBotOperation], situation: &Situation<'_>) -> Vec<Answer> {
    let mut busy: Option<String> = None;
    let mut answers = vec![Answer::Nothing; operations.len()];
    // What runs comes first, whatever was asked for before it.
    for (operation, answer) in operations.iter().zip(&mut answers) {
        if let Some(run) = run_of(operation, situation) {
            *answer = follow(operation, run);
            if matches!(answer, Answer::Nothing | Answer::Running { .. }) {
                busy = Some(operation.name_any());
            }
        } else if phase(operation) == OperationPhase::Running {
            *answer = Answer::Failed {
                reason: "Interrupted",
                message: "Its Job is gone and was not seen to have ended. Ask again, and leave the Job alone.".into(),
            };
        }
    }
    for (operation, answer) in operations.iter().zip(&mut answers) {
        if run_of(operation, situation).is_none() && phase(operation) == OperationPhase::Pending {
            *answer = begin(operation, situation, busy.as_deref());
            if matches!(answer, Answer::Begin { .. }) {
                busy = Some(operation.name_any());
            }
        }
    }
    answers
}

fn phase(operation: &TradingBotOperation) -> OperationPhase {
    operation.status.as_ref().map(|status| status.phase).unwrap_or_default()
}

fn run_of<'a>(operation: &TradingBotOperation, situation: &Situation<'a>) -> Option<&'a Run> {
    let uid = operation.metadata.uid.as_ref()?;
    situation.runs.iter().find(|(of, _)| of == uid).map(|(_, run)| run)
}

fn follow(operation: &TradingBotOperation, run: &Run) -> Answer {
    match &run.state {
        RunState::Running { .. } if phase(operation) == OperationPhase::Running => Answer::Nothing,
        RunState::Running { .. } => Answer::Running { job: run.job.clone() },
        RunState::Ended { finished, report } => match &report.failure {
            Some(failure) => Answer::Failed { reason: failure.reason.as_str(), message: failure.message.clone() },
            None => {
                let made = report.backup.as_ref().map_or_else(
                    || "The backup was made.".to_owned(),
                    |made| {
                        format!("Backup {} was made: {} bytes, {} as stored.", made.id, made.bytes, made.stored_bytes)
                    },
                );
                let said = std::iter::once(made).chain(report.warnings.iter().cloned());
                Answer::Succeeded { times: (run.created, *finished), message: said.collect::<Vec<_>>().join(" ") }
            }
        },
    }
}

fn begin(operation: &TradingBotOperation, situation: &Situation<'_>, busy: Option<&str>) -> Answer {
    let refuse = |reason, message: String| Answer::Failed { reason, message };
    let TradingBotOperationSpec { backup: request, .. } = &operation.spec;
    let schedule = request.as_ref().and_then(|request| request.schedule.clone());
    if situation.deleting {
        return refuse("BotDeleted", "The bot is being deleted, so nothing is backed up any more.".into());
    }
    let Some(backup) = situation.backup else {
        let text =
            "The bot has no spec.backup, so it is not known what to back up and where to. Set it, then ask again.";
        return refuse("NotConfigured", text.into());
    };
    if let Some(restore) = &situation.record.restore {
        let text = format!(
            "{} is putting a backup back, or failed half-way. Wait until a restore has succeeded, then ask again.",
            restore.operation
        );
        return refuse("RestoreRuns", text);
    }
    if let Some(unknown) = schedule.as_ref().filter(|name| backup.schedules.iter().all(|s| s.name != **name)) {
        let names: Vec<&str> = backup.schedules.iter().map(|s| s.name.as_str()).collect();
        let text = format!("spec.backup has no schedule {unknown}. Name one of: {}, or none.", names.join(", "));
        return refuse("UnknownSchedule", text);
    }
    match busy {
        Some(other) => Answer::Wait(format!("{other} makes a backup of this bot; this one begins when it has ended.")),
        None => {
            let job = job_name(situation.bot, operation.metadata.uid.as_deref().unwrap_or_default());
            Answer::Begin { job, schedule }
        }
    }
}

/// The status that says `answer`; `None`: nothing is to be written.
pub fn status(operation: &TradingBotOperation, answer: &Answer, now: MicroTime) -> Option<TradingBotOperationStatus> {
    let before = operation.status.clone().unwrap_or_default();
    let generation = operation.metadata.generation;
    let started_time = before.started_time.clone().or_else(|| Some(now.clone()));
    let next = match answer {
        Answer::Nothing => return None,
        Answer::Wait(message) if before.message.as_ref() == Some(message) => return None,
        Answer::Wait(message) => TradingBotOperationStatus {
            phase: OperationPhase::Pending,
            reason: Some("Waiting".into()),
            message: Some(message.clone()),
            conditions: vec![complete("False", "Waiting", message, &now, generation)],
            ..before
        },
        Answer::Begin { job, schedule: _ } | Answer::Running { job } => {
            let message = format!("Job {job} makes the backup.");
            TradingBotOperationStatus {
                phase: OperationPhase::Running,
                reason: Some("Running".into()),
                started_time,
                finished_time: None,
                steps: vec![step("Begin", now.clone(), Some(now.clone()), Some(message.clone()))],
                conditions: vec![complete("False", "Running", &message, &now, generation)],
                message: Some(message),
            }
        }
        Answer::Succeeded { times: (from, to), message } => {
            let mut steps = before.steps;
            steps.push(step("Backup", MicroTime(*from), Some(MicroTime(*to)), Some(message.clone())));
            ended(OperationPhase::Succeeded, "Succeeded", message, steps, started_time, &now, generation)
        }
        Answer::Failed { reason, message } => {
            ended(OperationPhase::Failed, reason, message, before.steps, started_time, &now, generation)
        }
    };
    Some(next)
}
