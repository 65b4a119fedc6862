//! What the schema cannot say of a bot's backups, and what bots have that were stored before it could.

use std::time::Duration;

use super::backup::{Backup, Schedule};
use crate::core::backup::schedule::{Times, longest_gap};

/// A schedule cannot be read.
pub const SCHEDULE_UNREADABLE: &str = "ScheduleUnreadable";
/// A schedule names a day that there is not, such as February 31.
pub const SCHEDULE_NEVER_RUNS: &str = "ScheduleNeverRuns";
/// The schedules let more time pass than the objective allows.
pub const OBJECTIVE_OUT_OF_REACH: &str = "ObjectiveOutOfReach";

/// What is wrong with a bot's backups as they are asked for: one word and a sentence that says what to change; `None`
/// where nothing is. It may look at every day of 400 years, so it is for once a spec, not for every round. Whether a time
/// zone exists only the API server says, when a CronJob is made.
pub fn trouble(backup: &Backup) -> Option<(&'static str, String)> {
    let of_schedules = backup.schedules.iter().map(|s| (format!("schedule {} of spec.backup", s.name), &*s.schedule));
    let of_verification = backup.verification.iter().map(|v| ("spec.backup.verification".to_owned(), &*v.schedule));
    let mut all = of_schedules.chain(of_verification);
    all.find_map(|(which, text)| of_text(&which, text)).or_else(|| of_objective(backup))
}

/// Whether a CronJob can be made of a schedule.
pub fn is_readable(schedule: &str) -> bool {
    schedule.parse::<Times>().is_ok()
}

fn of_text(which: &str, text: &str) -> Option<(&'static str, String)> {
    match text.parse::<Times>() {
        Err(error) => Some((SCHEDULE_UNREADABLE, format!("{error} Correct the {which}."))),
        Ok(times) if !times.ever_runs() => {
            let why = format!("The schedule '{text}' names a day that there is not, so it never runs.");
            Some((SCHEDULE_NEVER_RUNS, format!("{why} Correct the {which}.")))
        }
        Ok(_) => None,
    }
}

fn of_objective(backup: &Backup) -> Option<(&'static str, String)> {
    let objective = backup.recovery_point_objective_seconds?;
    let running: Vec<&Schedule> = backup.schedules.iter().filter(|schedule| !schedule.suspend).collect();
    let zone = |schedule: &Schedule| schedule.time_zone.clone().unwrap_or_default();
    // How schedules of several time zones interlock depends on the zones, which change.
    if running.windows(2).any(|pair| zone(pair[0]) != zone(pair[1])) {
        return None;
    }
    let times: Vec<Times> = running.iter().filter_map(|schedule| schedule.schedule.parse().ok()).collect();
    let gap = longest_gap(&times)?;
    (gap > Duration::from_secs(u64::from(objective))).then(|| {
        let gap = gap.as_secs();
        let sentence = format!(
            "spec.backup.recoveryPointObjectiveSeconds is {objective}, but with these schedules up to {gap} seconds pass \
             between two backups: set it to at least {gap}, or let one of the schedules run more often."
        );
        (OBJECTIVE_OUT_OF_REACH, sentence)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn trouble_of(schedules: Value, objective: Option<u32>) -> Option<(&'static str, String)> {
        let backup = json!({
            "source": {"command": {"command": ["/dump"]}}, "destination": {}, "schedules": schedules,
            "recoveryPointObjectiveSeconds": objective,
        });
        trouble(&serde_json::from_value(backup).unwrap())
    }

    fn reason(schedules: Value, objective: Option<u32>) -> &'static str {
        trouble_of(schedules, objective).map_or("", |(reason, _)| reason)
    }

    #[test]
    fn a_schedule_that_cannot_be_read_or_never_runs_is_named() {
        let (reason, sentence) = trouble_of(json!([{"name": "nightly", "schedule": "0 22-4 * * *"}]), None).unwrap();
        assert_eq!(reason, SCHEDULE_UNREADABLE);
        assert!(sentence.contains("'22-4'") && sentence.contains("schedule nightly of spec.backup"), "{sentence}");
        assert_eq!(self::reason(json!([{"name": "never", "schedule": "0 0 30 2 *"}]), None), SCHEDULE_NEVER_RUNS);
        assert_eq!(self::reason(json!([{"name": "daily", "schedule": "@daily"}]), None), "");
    }

    #[test]
    fn an_objective_is_judged_by_all_schedules_that_run() {
        let twice = json!([{"name": "a", "schedule": "0 2 * * *"}, {"name": "b", "schedule": "0 14 * * *"}]);
        assert_eq!(reason(twice.clone(), Some(43_200)), "");
        let (reason_is, sentence) = trouble_of(twice, Some(43_199)).unwrap();
        assert_eq!(reason_is, OBJECTIVE_OUT_OF_REACH);
        assert!(sentence.contains("up to 43200 seconds pass"), "{sentence}");
        let half =
            json!([{"name": "a", "schedule": "0 2 * * *"}, {"name": "b", "schedule": "0 14 * * *", "suspend": true}]);
        assert_eq!(reason(half, Some(43_200)), OBJECTIVE_OUT_OF_REACH);
        let zones = json!([{"name": "a", "schedule": "0 2 * * *"}, {"name": "b", "schedule": "0 14 * * *", "timeZone": "Asia/Tokyo"}]);
        assert_eq!(reason(zones, Some(43_200)), "", "nobody can say here");
    }
}
