//! Events about runs: each is told once.

use kube::runtime::events::{Event, EventType};

use super::run::{Run, Subject};

/// What is told of a run that ended; `None` while it goes on.
pub fn ended(run: &Run) -> Option<Event> {
    let (_, report) = run.ended()?;
    let title = run.subject.title();
    let id = report.backup.as_ref().map_or_else(String::new, |made| format!(" {}", made.id));
    let warnings: String = report.warnings.iter().map(|warning| format!(" {warning}")).collect();
    let (type_, reason, note) = match (&run.subject, &report.failure) {
        (Subject::Schedule(_), None) => {
            let bytes = report.backup.as_ref().map_or_else(String::new, |made| format!(", {} bytes", made.bytes));
            (EventType::Normal, "BackupSucceeded", format!("{title} was made:{id}{bytes}.{warnings}"))
        }
        (Subject::Verification, None) => {
            (EventType::Normal, "BackupVerified", format!("Backup{id} was verified and found good.{warnings}"))
        }
        (Subject::Schedule(_), Some(failure)) => {
            (EventType::Warning, "BackupFailed", format!("{title} failed: {failure}{warnings}"))
        }
        (Subject::Verification, Some(failure)) => {
            (EventType::Warning, "VerificationFailed", format!("{title} failed: {failure}{warnings}"))
        }
    };
    Some(event(type_, reason, &run.job, note))
}

/// A run that the operator ends.
pub fn ending(run: &Run, why: &str) -> Event {
    event(EventType::Warning, "BackupEnded", &run.job, format!("{} was ended: {why}", run.subject.title()))
}

/// A run that is made once more.
pub fn retried(run: &Run, retry: &str) -> Event {
    let note = format!("{} failed and is made once more, by Job {retry}.", run.subject.title());
    event(EventType::Normal, "BackupRetried", &run.job, note)
}

/// The recorder folds events that differ in their note alone; the Job keeps one run apart from the next.
fn event(type_: EventType, reason: &str, job: &str, note: String) -> Event {
    Event { type_, reason: reason.into(), note: Some(note), action: job.into(), secondary: None }
}
