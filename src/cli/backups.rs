//! What is said of a bot's backups: a section of `status`, and `backups`.

use std::fmt::Write as _;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};
use kube::ResourceExt as _;

use super::times::ago;
use crate::api::backup_status::{BackupStatus, RestoreStep};
use crate::api::bot::TradingBot;
use crate::core::backup::BackupId;

/// How many ids `status` shows.
const SHOWN: usize = 3;

/// The section of `status`.
pub fn section(backup: &BackupStatus, now: Timestamp, text: &mut String) {
    let age = |time: &Option<Time>| {
        time.as_ref().map_or("never".to_owned(), |time| format!("{} ago", ago(&MicroTime(time.0), now)))
    };
    let oldest = backup.oldest_recoverable_time.as_ref().map_or("none".to_owned(), |time| time.0.to_string());
    let objective = match backup.objective_met {
        Some(true) => ", objective met",
        Some(false) => ", objective missed",
        None => "",
    };
    text.push_str("\nBackups\n");
    let _ = writeln!(text, "  Last success   {}{objective}", age(&backup.last_success_time));
    let _ = writeln!(text, "  Last verified  {}", age(&backup.last_verified_time));
    let _ = writeln!(text, "  Oldest point   {oldest}");
    for id in backup.newest.iter().take(SHOWN) {
        let _ = writeln!(text, "  {id}");
    }
}

/// The newest backups, newest first.
pub fn list(bot: &TradingBot) -> String {
    let backup = bot.status.as_ref().and_then(|status| status.backup.clone()).unwrap_or_default();
    let name = bot.name_any();
    if backup.newest.is_empty() {
        return format!("Nothing is known of any backup of {name}.\n");
    }
    let width = backup.newest.iter().map(String::len).max().unwrap_or_default();
    let mut text = format!("{:width$}  {:20}  SCHEDULE\n", "ID", "BEGUN");
    for id in &backup.newest {
        let read = id.parse::<BackupId>().ok();
        let begun = read.as_ref().and_then(BackupId::begun).map(|at| at.to_string()).unwrap_or_default();
        let damaged = if backup.damaged.contains(id) { "  damaged" } else { "" };
        let schedule = read.as_ref().map(BackupId::schedule).unwrap_or_default();
        let _ = writeln!(text, "{id:width$}  {begun:20}  {schedule}{damaged}");
    }
    let more = (backup.count as usize).saturating_sub(backup.newest.len());
    if more > 0 {
        let _ = writeln!(text, "{more} older ones are where the backups are kept.");
    }
    text
}

/// What a restore is doing.
pub fn step(step: RestoreStep) -> &'static str {
    match step {
        RestoreStep::Checking => "the backup is being read, asked for",
        RestoreStep::Stopping => "the active is stopping, asked for",
        RestoreStep::Restoring => "a backup is being put back, asked for",
        RestoreStep::Resuming => "the bot is to trade again, asked for",
        RestoreStep::Broken => "it failed half-way, asked for",
        RestoreStep::Done => "it is over, asked for",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn bot(count: u32) -> TradingBot {
        let backup = json!({
            "lastSuccessTime": "2026-11-24T02:00:00Z", "lastVerifiedTime": "2026-11-24T02:01:00Z",
            "oldestRecoverableTime": "2026-10-25T02:00:00Z", "objectiveMet": true, "count": count, "storedBytes": 9,
            "newest": ["20261124T020000Z-daily-3f9a", "20261122T030000Z-weekly-0001"],
            "damaged": ["20261122T030000Z-weekly-0001"],
        });
        super::super::render::tests::bot("doge", json!({"backup": backup}))
    }

    #[test]
    fn the_newest_backups_are_listed_and_that_there_are_more_is_said() {
        let text = list(&bot(32));
        assert!(text.contains("20261124T020000Z-daily-3f9a   2026-11-24T02:00:00Z  daily\n"), "{text}");
        assert!(
            text.contains("weekly  damaged\n") && text.ends_with("30 older ones are where the backups are kept.\n")
        );
        assert!(!list(&bot(2)).contains("older"));
        let none = super::super::render::tests::bot("doge", json!({}));
        assert_eq!(list(&none), "Nothing is known of any backup of doge.\n");
    }

    #[test]
    fn the_status_has_a_section_on_backups() {
        let now = "2026-11-24T09:00:00Z".parse().unwrap();
        let text = super::super::render::detail(&bot(32), now);
        assert!(text.contains("\nBackups\n  Last success   7 h ago, objective met\n  Last verified  "), "{text}");
        assert!(text.contains("  Oldest point   2026-10-25T02:00:00Z\n  20261124T020000Z-daily-3f9a\n"), "{text}");
    }
}
