//! Which backups are let go.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde::{Deserialize, Serialize};

use super::{BackupId, ON_DEMAND};

/// How long the backups of a schedule are kept: exactly one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Retention {
    /// So many of the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 10_000)))]
    pub count: Option<u32>,
    /// Those of the last so many days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 10_000)))]
    pub days: Option<u32>,
    /// Those of the last so many weeks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 2_000)))]
    pub weeks: Option<u32>,
    /// Those of the last so many months.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 600)))]
    pub months: Option<u32>,
}

impl Retention {
    /// What a schedule keeps that says nothing: 30 days, by its name 12 weeks (`weekly`) or 12 months (`monthly`).
    pub fn of_schedule(name: &str) -> Retention {
        match name {
            "weekly" => Retention { weeks: Some(12), ..Retention::default() },
            "monthly" => Retention { months: Some(12), ..Retention::default() },
            _ => Retention { days: Some(30), ..Retention::default() },
        }
    }
}

/// Which of the good backups at a destination are let go now.
///
/// The newest good one of a schedule never is, nor are those of schedules without a policy, those that were asked for
/// once, and those that lie in the future: the clock of their machine or of this one was wrong.
pub fn expired(good: &[BackupId], policies: &BTreeMap<String, Retention>, now: Timestamp) -> Vec<BackupId> {
    let mut expired: Vec<BackupId> = policies
        .iter()
        .filter(|(schedule, _)| *schedule != ON_DEMAND)
        .flat_map(|(schedule, policy)| expired_of(good, schedule, policy, now))
        .collect();
    expired.sort();
    expired
}

fn expired_of(good: &[BackupId], schedule: &str, policy: &Retention, now: Timestamp) -> Vec<BackupId> {
    let mut past: Vec<(Timestamp, &BackupId)> = good
        .iter()
        .filter(|id| id.schedule() == schedule)
        .filter_map(|id| Some((id.begun()?, id)))
        .filter(|(begun, _)| *begun <= now)
        .collect();
    past.sort();
    past.dedup();
    // Newest first, and without the newest.
    let older = past.into_iter().rev().enumerate().skip(1);
    older.filter(|(rank, (begun, _))| !policy.keeps(*rank, *begun, now)).map(|(_, (_, id))| id.clone()).collect()
}

impl Retention {
    /// Whether one that was begun at `begun` and has `rank` newer ones stays. What cannot be computed stays.
    fn keeps(&self, rank: usize, begun: Timestamp, now: Timestamp) -> bool {
        let Retention { count, days, weeks, months } = *self;
        let since = |span: Option<Span>| {
            let from = now.to_zoned(TimeZone::UTC).checked_sub(span?);
            Some(from.map_or(true, |from| begun >= from.timestamp()))
        };
        let span = |number: Option<u32>, of: fn(Span, i64) -> Result<Span, jiff::Error>| {
            number.map(|number| of(Span::new(), i64::from(number)).unwrap_or_default())
        };
        let answers = [
            count.map(|count| usize::try_from(count).is_ok_and(|count| rank < count)),
            since(span(days, Span::try_days)),
            since(span(weeks, Span::try_weeks)),
            since(span(months, Span::try_months)),
        ];
        // Exactly one is set. Were there none or several, as little as possible would go.
        answers.iter().all(Option::is_none) || answers.contains(&Some(true))
    }
}
