//! From the Job of a backup or verification, and its pods, to what came of it.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;

use super::names::*;
use crate::api::names::{ANNOTATION_BACKUP_EPOCH, LABEL_COMPONENT, LABEL_SCHEDULE, SCHEDULE_VERIFICATION};
use crate::controller::build::{self, COMPONENT_BACKUP};
use crate::controller::jobs::{self, JobResult, OUT_OF_TIME};
use crate::controller::pods;
use crate::core::backup::ON_DEMAND;
use crate::core::backup::report::{self, Failure, FailureReason, MalformedReport, Report};

/// A pod may take so long to start before anybody is told that it does not.
pub const SLOW_START: SignedDuration = SignedDuration::from_secs(60);
/// No run takes longer than the longest deadline that a bot can have, so what it says happened later is a wrong clock.
const LONGEST_RUN: SignedDuration = SignedDuration::from_secs(604_800);
/// So much of what a program or Kubernetes says is told.
const LONGEST_SENTENCE: usize = 600;

/// What a run is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// A backup of this schedule, or [`ON_DEMAND`].
    Schedule(String),
    /// A verification.
    Verification,
}

impl Subject {
    /// What a CronJob of `bot` is for, by its name.
    pub fn of(cron_job: &CronJob, bot: &str) -> Option<Subject> {
        let name = cron_job.metadata.name.as_deref()?;
        if name == build::verification_name(bot) {
            return Some(Subject::Verification);
        }
        name.strip_prefix(&build::schedule_name(bot, "")).map(|schedule| Subject::Schedule(schedule.to_owned()))
    }

    /// The schedule's name, `on-demand` or `verification`.
    pub fn as_str(&self) -> &str {
        match self {
            Subject::Schedule(name) => name,
            Subject::Verification => SCHEDULE_VERIFICATION,
        }
    }

    /// As the beginning of a sentence.
    pub fn title(&self) -> String {
        match self {
            Subject::Schedule(name) if name == ON_DEMAND => "The backup on demand".into(),
            Subject::Schedule(name) => format!("The backup of schedule {name}"),
            Subject::Verification => "The verification".into(),
        }
    }
}

/// One run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Its Job.
    pub job: String,
    /// The Job's uid.
    pub uid: String,
    /// What it is for.
    pub subject: Subject,
    /// When the Job was made, by the API server's clock: with the uid the order of runs.
    pub created: Timestamp,
    /// The schedule made it, not a person, an operation or a retry.
    pub scheduled: bool,
    /// The epoch in which it was made.
    pub epoch: Option<u64>,
    /// The operator is ending it, or has ended it.
    pub ended_by_us: bool,
    /// A pod of it may run.
    pub active: bool,
    /// What came of it.
    pub state: RunState,
}

/// How a run stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunState {
    /// It goes on. A pod that has not started: since when it has been there, and what it waits for, a sentence.
    Running {
        /// The pod that waits.
        waits: Option<(Timestamp, String)>,
    },
    /// It is over.
    Ended {
        /// When.
        finished: Timestamp,
        /// What it said, or what is known of a run that said nothing.
        report: Box<Report>,
    },
}

impl Run {
    /// Runs of one subject are in this order.
    pub fn order(&self) -> (Timestamp, &str) {
        (self.created, &self.uid)
    }

    /// The outcome; `None` while it goes on.
    pub fn ended(&self) -> Option<(Timestamp, &Report)> {
        match &self.state {
            RunState::Ended { finished, report } => Some((*finished, report)),
            RunState::Running { .. } => None,
        }
    }

    /// Why it failed.
    pub fn failure(&self) -> Option<&Failure> {
        self.ended()?.1.failure.as_ref()
    }
}

/// Reads a Job that one of our CronJobs controls, by uid; `None` for every other.
pub fn read(job: &Job, pods: &[Pod], cron_jobs: &BTreeMap<String, Subject>) -> Option<Run> {
    let owner = job.owner_references().iter().find(|owner| owner.controller == Some(true))?;
    let subject = match cron_jobs.get(&owner.uid)? {
        Subject::Schedule(_) if job.labels().get(LABEL_SCHEDULE).is_some_and(|label| label == ON_DEMAND) => {
            Subject::Schedule(ON_DEMAND.into())
        }
        subject => subject.clone(),
    };
    if job.labels().get(LABEL_COMPONENT).map(String::as_str) != Some(COMPONENT_BACKUP) {
        return None;
    }
    let uid = job.metadata.uid.clone()?;
    let created = job.metadata.creation_timestamp.as_ref()?.0;
    let outcome = jobs::outcome(job, pods)?;
    let ended_by_us = job.annotations().get(ANNOTATION_ENDED);
    let complete = job_condition(job, "Complete").is_some();
    let state = if outcome.result == JobResult::Running && !complete {
        RunState::Running { waits: jobs::pods_of(&uid, pods).find_map(waits) }
    } else {
        let report = match (outcome.result, ended_by_us) {
            (JobResult::Running, _) => Report {
                warnings: vec!["It succeeded, but its pod is gone, so what it reported is not known.".into()],
                ..Report::default()
            },
            (JobResult::Exited { code: 0, message }, _) => exited(job, pods, 0, &message),
            (_, Some(why)) => interrupted(why.clone()),
            (JobResult::Exited { code, message }, None) => exited(job, pods, code, &message),
            (JobResult::Failed(why), None) => interrupted(failed(&subject, &why)),
        };
        RunState::Ended {
            finished: finished(job, pods).unwrap_or(created),
            report: Box::new(believable(report, created)),
        }
    };
    Some(Run {
        job: job.name_any(),
        uid,
        subject,
        created,
        scheduled: !job.annotations().contains_key(ANNOTATION_BY_HAND),
        epoch: job.annotations().get(ANNOTATION_BACKUP_EPOCH).and_then(|epoch| epoch.parse().ok()),
        ended_by_us: ended_by_us.is_some(),
        active: !outcome.ended,
        state,
    })
}

/// What a program that ended by itself says.
fn exited(job: &Job, pods: &[Pod], code: i32, message: &str) -> Report {
    let name = job.name_any();
    let logs = format!("Run: kubectl logs job/{name}");
    match report::parse(message) {
        Ok(report) if code == 0 || report.failure.is_some() => report,
        Ok(report) => {
            let text = format!("The program ended with exit code {code} and does not say why. {logs}");
            Report { failure: Some(Failure::new(FailureReason::Interrupted, text)), ..report }
        }
        Err(MalformedReport::Missing) if was_out_of_memory(job, pods) => interrupted(format!(
            "The program had no more memory and was killed (OOMKilled, exit code {code}). Raise the memory limit in \
             spec.backup.resources."
        )),
        Err(malformed) => {
            let how = if code > 128 { "was killed" } else { "ended" };
            interrupted(format!("The program {how} with exit code {code}, and {malformed}. {logs}"))
        }
    }
}

fn failed(subject: &Subject, why: &str) -> String {
    match subject {
        Subject::Schedule(_) if why == OUT_OF_TIME => {
            "It was not done within spec.backup.deadlineSeconds and was ended. Raise it, or find out in its log what is slow."
                .into()
        }
        Subject::Verification if why == OUT_OF_TIME => {
            "It was not done within its deadline and was ended. Raise the deadlineSeconds of \
             spec.backup.verification.runner or of spec.backup, or find out in its log what is slow."
                .into()
        }
        _ => format!("Its Job failed ({}).", cut(why)),
    }
}

fn interrupted(message: String) -> Report {
    Report { failure: Some(Failure::new(FailureReason::Interrupted, message)), ..Report::default() }
}

fn was_out_of_memory(job: &Job, pods: &[Pod]) -> bool {
    let uid = job.metadata.uid.as_deref().unwrap_or_default();
    jobs::pods_of(uid, pods).filter_map(jobs::result).any(|end| end.reason.as_deref() == Some("OOMKilled"))
}

fn finished(job: &Job, pods: &[Pod]) -> Option<Timestamp> {
    let uid = job.metadata.uid.as_deref()?;
    let container = jobs::pods_of(uid, pods).filter_map(jobs::result).filter_map(|end| end.finished_at.as_ref()).max();
    let of_job = || job_condition(job, "Failed").or_else(|| job_condition(job, "Complete"));
    container.map(|time| time.0).or_else(of_job)
}

/// Since when a condition of the Job is true.
fn job_condition(job: &Job, kind: &str) -> Option<Timestamp> {
    let all = job.status.as_ref()?.conditions.as_deref()?;
    let found = all.iter().find(|c| c.type_ == kind && c.status == "True")?;
    Some(found.last_transition_time.as_ref().or(job.status.as_ref()?.completion_time.as_ref())?.0)
}

/// What a pod waits for that was made and has not started.
fn waits(pod: &Pod) -> Option<(Timestamp, String)> {
    let status = pod.status.as_ref()?;
    if status.phase.as_deref() != Some("Pending") {
        return None;
    }
    let name = pod.name_any();
    let sentence = pods::problem(pod, "spec.backup").unwrap_or_else(|| {
        format!(
            "{name} does not start: a Secret or a volume that spec.backup names may not be there. Run: kubectl describe \
             pod {name}"
        )
    });
    Some((pod.metadata.creation_timestamp.as_ref()?.0, cut(&sentence)))
}

/// In whole seconds, as the status keeps them. And a node whose clock is wrong must not make a backup look new for ever.
fn believable(mut report: Report, created: Timestamp) -> Report {
    let latest = created.saturating_add(LONGEST_RUN).unwrap_or(Timestamp::MAX);
    let made = report.backup.iter_mut().flat_map(|made| [&mut made.started_time, &mut made.finished_time]);
    let proven = [&mut report.verified_time, &mut report.restored_time].into_iter().flatten();
    let oldest = report.catalogue.iter_mut().filter_map(|catalogue| catalogue.oldest_time.as_mut());
    made.chain(proven).chain(oldest).for_each(|time| *time = seconds(latest.min(*time)));
    if let Some(failure) = &mut report.failure {
        failure.message = cut(&failure.message);
    }
    report.warnings.iter_mut().for_each(|warning| *warning = cut(warning));
    report
}

/// Without the fraction.
pub fn seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

fn cut(text: &str) -> String {
    let text = text.trim();
    match text.char_indices().nth(LONGEST_SENTENCE) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
