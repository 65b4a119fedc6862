//! Folds runs that ended into what the status says of a bot's backups. No run counts twice, and their order does not
//! matter: every value is the largest by a fixed order of what was there and what a run adds.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};

use super::run::{Run, Subject, seconds};
use crate::api::backup::Backup;
use crate::api::backup_status::{BackupStatus, RunStatus, ScheduleStatus};
use crate::core::backup::ON_DEMAND;
use crate::core::backup::report::{Catalogue, Report};

/// So many ids of damaged backups are kept, the newest.
const DAMAGED: usize = 20;

/// The status after `runs`; those that go on change nothing.
pub fn fold<'a>(before: &BackupStatus, runs: impl IntoIterator<Item = &'a Run>) -> BackupStatus {
    let mut after = before.clone();
    for run in runs {
        if let Some((finished, report)) = run.ended() {
            add(&mut after, run, finished, report);
        }
    }
    after
}

fn add(status: &mut BackupStatus, run: &Run, finished: Timestamp, report: &Report) {
    let last = match &run.subject {
        Subject::Verification => &mut status.verification,
        Subject::Schedule(name) => &mut schedule(status, name).last_run,
    };
    if is_news(last.as_ref(), run) {
        *last = Some(run_status(run, finished, report));
    }
    let made = report.backup.as_ref().filter(|_| report.failure.is_none());
    if let Some(made) = made {
        let (begun, id) = (Time(made.started_time), made.id.as_str());
        if (Some(&begun), Some(id)) > (status.last_success_time.as_ref(), status.last_id.as_deref()) {
            status.last_id = Some(id.to_owned());
            status.last_bytes = Some(made.bytes);
            status.last_success_time = Some(begun.clone());
        }
        if let Subject::Schedule(name) = &run.subject {
            let entry = schedule(status, name);
            entry.last_success_time = entry.last_success_time.take().max(Some(begun));
        }
    }
    status.last_verified_time = status.last_verified_time.take().max(report.verified_time.map(Time));
    status.last_restored_time = status.last_restored_time.take().max(report.restored_time.map(Time));
    if let Some(catalogue) = &report.catalogue {
        count(status, catalogue, finished);
    }
    status.damaged.extend(report.damaged.iter().map(ToString::to_string));
    status.damaged.sort_unstable_by(|one, other| other.cmp(one));
    status.damaged.dedup();
    status.damaged.truncate(DAMAGED);
}

/// Whether a run comes after the last one that is written down.
pub fn is_news(last: Option<&RunStatus>, run: &Run) -> bool {
    last.is_none_or(|last| {
        let of_last = (last.started_time.as_ref().map(|t| t.0), last.job_uid.as_str());
        last.job_uid != run.uid && of_last < (Some(run.created), run.uid.as_str())
    })
}

/// The last run of a subject that is written down.
pub fn last_run<'a>(status: &'a BackupStatus, subject: &Subject) -> Option<&'a RunStatus> {
    match subject {
        Subject::Verification => status.verification.as_ref(),
        Subject::Schedule(name) => status.schedules.iter().find(|s| s.name == *name)?.last_run.as_ref(),
    }
}

fn schedule<'a>(status: &'a mut BackupStatus, name: &str) -> &'a mut ScheduleStatus {
    let at = status.schedules.binary_search_by(|s| s.name.as_str().cmp(name)).unwrap_or_else(|at| {
        status.schedules.insert(at, ScheduleStatus { name: name.to_owned(), ..ScheduleStatus::default() });
        at
    });
    &mut status.schedules[at]
}

fn run_status(run: &Run, finished: Timestamp, report: &Report) -> RunStatus {
    let said = report.failure.iter().map(|failure| failure.message.clone()).chain(report.warnings.iter().cloned());
    RunStatus {
        job: run.job.clone(),
        job_uid: run.uid.clone(),
        started_time: Some(Time(run.created)),
        finished_time: Some(MicroTime(finished)),
        id: report.backup.as_ref().map(|made| made.id.to_string()),
        reason: report.failure.as_ref().map(|failure| failure.reason),
        message: said.collect::<Vec<_>>().join(" "),
    }
}

/// The latest count holds.
fn count(status: &mut BackupStatus, catalogue: &Catalogue, at: Timestamp) {
    let Catalogue { count, stored_bytes, oldest_time, newest, removed: _, locked: _ } = catalogue;
    let newest: Vec<String> = newest.iter().map(ToString::to_string).collect();
    let (at, oldest) = (Some(Time(at)), oldest_time.map(Time));
    let before = (&status.counted_time, &status.newest, status.count, status.stored_bytes);
    if (&at, &newest, *count, *stored_bytes) > before {
        status.counted_time = at;
        status.newest = newest;
        status.count = *count;
        status.stored_bytes = *stored_bytes;
        status.oldest_recoverable_time = oldest;
    }
}

/// The status of the spec as it is now: its schedules and no others but those on demand, and when it was first seen.
pub fn of_spec(mut status: BackupStatus, backup: &Backup, now: Timestamp) -> BackupStatus {
    status.since_time.get_or_insert_with(|| Time(seconds(now)));
    for wanted in &backup.schedules {
        schedule(&mut status, &wanted.name);
    }
    status.schedules.retain(|s| s.name == ON_DEMAND || backup.schedules.iter().any(|wanted| wanted.name == s.name));
    if backup.verification.is_none() {
        status.verification = None;
    }
    let objective = objective(&status, backup, now);
    status.objective_met = objective.map(|objective| objective.met);
    status
}

/// How the recovery-point objective stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Objective {
    /// The newest good backup is no older.
    pub met: bool,
    /// When that turns, if no backup succeeds before.
    pub turns_after: Option<Duration>,
}

/// Judged by this machine's clock against the newest good backup, or, before the first, against when backups were first
/// wanted; `None` where there is no objective.
pub fn objective(status: &BackupStatus, backup: &Backup, now: Timestamp) -> Option<Objective> {
    let allowed = i64::from(backup.recovery_point_objective_seconds?);
    let from = status.last_success_time.as_ref().or(status.since_time.as_ref()).map_or(now, |time| time.0);
    let left = from.as_second().saturating_add(allowed).saturating_sub(now.as_second());
    let met = left >= 0;
    let turns_after = u64::try_from(left).ok().map(|left| Duration::from_secs(left + 1));
    Some(Objective { met, turns_after })
}
