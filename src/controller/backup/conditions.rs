//! What the conditions say of backups. None of them says anything about whether the bot is available.

use jiff::Timestamp;

use super::View;
use super::status::objective;
use crate::api::backup::Backup;
use crate::api::backup_status::RunStatus;
use crate::controller::conditions::Verdict;

/// The conditions of a bot with `spec.backup`.
pub(in crate::controller) fn verdicts(view: &View, now: Timestamp) -> Vec<Verdict> {
    let backup = &view.spec;
    let objective = objective_met(view, backup, now);
    [configured(view, backup), succeeded(view, backup), verified(view)].into_iter().chain(objective).collect()
}

fn configured(view: &View, backup: &Backup) -> Verdict {
    let kind = "BackupConfigured";
    if let Some((reason, message)) = &view.trouble {
        return Verdict { kind, status: "False", reason, message: message.clone() };
    }
    if view.paused {
        let message = "No backup begins while a restore is being carried out, or failed half-way: what it would read is \
                       being overwritten, and it could take the place of a good one.";
        return Verdict { kind, status: "True", reason: "Paused", message: message.into() };
    }
    if backup.suspend {
        let message = "spec.backup.suspend is true, so no scheduled backup begins.".to_owned();
        return Verdict { kind, status: "True", reason: "Suspended", message };
    }
    let names: Vec<&str> = backup.schedules.iter().map(|schedule| schedule.name.as_str()).collect();
    let message = format!("Backups are made on schedule: {}.", names.join(", "));
    Verdict { kind, status: "True", reason: "Scheduled", message }
}

/// The last run of each schedule.
fn succeeded(view: &View, backup: &Backup) -> Verdict {
    let kind = "BackupSucceeded";
    if let Some((_, message)) = view.waiting.iter().find(|(subject, _)| backup_of(backup, subject.as_str())) {
        return Verdict { kind, status: "False", reason: "CannotStart", message: message.clone() };
    }
    let of_spec = view.status.schedules.iter().filter(|s| backup_of(backup, &s.name));
    let runs: Vec<(&str, &RunStatus)> =
        of_spec.filter_map(|s| s.last_run.as_ref().map(|run| (s.name.as_str(), run))).collect();
    let failed: Vec<_> = runs.iter().filter_map(|(name, run)| run.reason.map(|reason| (name, reason, run))).collect();
    if let Some((_, reason, _)) = failed.first() {
        let said = failed.iter().map(|(name, _, run)| format!("Schedule {name}: {}", run.message));
        let message = said.collect::<Vec<_>>().join(" ");
        return Verdict { kind, status: "False", reason: reason.as_str(), message };
    }
    if runs.is_empty() {
        let message = "No backup has been made yet.".into();
        return Verdict { kind, status: "Unknown", reason: "NoRunYet", message };
    }
    let warned: Vec<_> = runs.iter().filter(|(_, run)| !run.message.is_empty()).collect();
    let warnings: String = warned.iter().map(|(name, run)| format!(" Schedule {name}: {}", run.message)).collect();
    let newest = view.status.last_id.as_deref().map_or(String::new(), |id| format!(" The newest is {id}."));
    let reason = if warned.is_empty() { "Succeeded" } else { "SucceededWithWarnings" };
    let message = format!("The last run of every schedule that has had one succeeded.{newest}{warnings}");
    Verdict { kind, status: "True", reason, message }
}

fn backup_of(backup: &Backup, schedule: &str) -> bool {
    backup.schedules.iter().any(|wanted| wanted.name == schedule)
}

fn verified(view: &View) -> Verdict {
    let kind = "BackupVerified";
    let last = view.status.verification.as_ref();
    if let Some((reason, run)) = last.and_then(|run| Some((run.reason?, run))) {
        let message = format!("The last verification failed: {}", run.message);
        return Verdict { kind, status: "False", reason: reason.as_str(), message };
    }
    match &view.status.last_verified_time {
        Some(at) => {
            let how = match &view.status.last_restored_time {
                Some(restored) => format!(", and one was restored at {}", text(restored.0)),
                None => String::new(),
            };
            let message = format!("A backup was last read in full and found good at {}{how}.", text(at.0));
            Verdict { kind, status: "True", reason: "Verified", message }
        }
        None => {
            let message = "No backup has been read back yet.".into();
            Verdict { kind, status: "Unknown", reason: "NotVerifiedYet", message }
        }
    }
}

fn objective_met(view: &View, backup: &Backup, now: Timestamp) -> Option<Verdict> {
    let kind = "RecoveryPointObjectiveMet";
    let seconds = backup.recovery_point_objective_seconds?;
    let met = objective(&view.status, backup, now)?.met;
    let last = view.status.last_success_time.as_ref().map(|time| text(time.0));
    let (status, reason, message) = match (met, last) {
        (true, Some(last)) => {
            ("True", "Met", format!("The newest good backup is of {last}; it may be {seconds} s old."))
        }
        (true, None) => ("True", "NotDueYet", format!("There is no backup yet; the first is due within {seconds} s.")),
        (false, Some(last)) => (
            "False",
            "TooOld",
            format!(
                "The newest good backup is of {last}, and it may be {seconds} s old. Look at the condition \
                 BackupSucceeded, or make one now with a TradingBotOperation of the type Backup."
            ),
        ),
        (false, None) => (
            "False",
            "NoBackup",
            format!(
                "No backup has succeeded within {seconds} s. Look at the condition BackupSucceeded, or make one now with \
                 a TradingBotOperation of the type Backup."
            ),
        ),
    };
    Some(Verdict { kind, status, reason, message })
}

fn text(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
