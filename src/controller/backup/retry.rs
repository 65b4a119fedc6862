//! A scheduled backup that failed is made once more, nothing more often.

use jiff::{SignedDuration, Timestamp};

use super::run::{Run, RunState, Subject};
use crate::api::backup::Backup;
use crate::api::backup_status::BackupStatus;
use crate::core::failover::{Phase, Record};

/// A run that failed longer ago is left to the next one of its schedule.
const WORTH_IT: SignedDuration = SignedDuration::from_hours(1);

/// The name of the Job that makes a failed Job's backup once more.
pub fn name_of(failed: &str) -> String {
    format!("{failed}-r")
}

/// The runs that are to be made once more.
pub fn due<'a>(
    runs: &'a [Run],
    record: &Record,
    backup: &Backup,
    status: &BackupStatus,
    now: Timestamp,
) -> Vec<&'a Run> {
    // What is trading, or stands still on purpose, stays where it is for as long as a backup takes.
    if !matches!(record.phase, Phase::Active | Phase::Suspended) || record.restore.is_some() || backup.suspend {
        return Vec::new();
    }
    let wanted = backup.schedules.iter().filter(|schedule| !schedule.suspend);
    wanted.filter_map(|schedule| due_of(runs, &Subject::Schedule(schedule.name.clone()), status, now)).collect()
}

fn due_of<'a>(runs: &'a [Run], subject: &Subject, status: &BackupStatus, now: Timestamp) -> Option<&'a Run> {
    let of_schedule = || runs.iter().filter(|run| run.subject == *subject);
    let newest = of_schedule().max_by_key(|run| (run.created, run.uid.clone()))?;
    let RunState::Ended { finished, report } = &newest.state else { return None };
    let retry = name_of(&newest.job);
    let retried = super::status::last_run(status, subject).is_some_and(|last| last.job == retry);
    let wanted = newest.scheduled && report.failure.is_some() && !retried;
    let recent = now.duration_since(*finished) < WORTH_IT;
    (wanted && recent && !of_schedule().any(|run| run.active)).then_some(newest)
}
