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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn id(day: &str, schedule: &str) -> BackupId {
        BackupId::new(at(&format!("{day}T02:00:00Z")), schedule, 1)
    }

    fn policies(all: &[(&str, Retention)]) -> BTreeMap<String, Retention> {
        all.iter().map(|(name, policy)| ((*name).to_owned(), *policy)).collect()
    }

    fn count(count: u32) -> Retention {
        Retention { count: Some(count), ..Retention::default() }
    }

    fn days(days: u32) -> Retention {
        Retention { days: Some(days), ..Retention::default() }
    }

    fn months(months: u32) -> Retention {
        Retention { months: Some(months), ..Retention::default() }
    }

    #[test]
    fn what_each_policy_lets_go() {
        let now = at("2026-03-31T12:00:00Z");
        let weeks = Retention { weeks: Some(1), ..Retention::default() };
        let none = Retention::default();
        let zero = count(0);
        for (what, policy, begun, gone) in [
            ("the newest two stay", count(2), vec!["2026-03-01", "2026-03-02", "2026-03-03"], vec!["2026-03-01"]),
            ("days", days(3), vec!["2026-03-01", "2026-03-29", "2026-03-30"], vec!["2026-03-01"]),
            ("weeks", weeks, vec!["2026-03-23", "2026-03-25", "2026-03-31"], vec!["2026-03-23"]),
            // A month before the 31st of March is the last of February.
            ("months", months(1), vec!["2026-02-27", "2026-03-01", "2026-03-31"], vec!["2026-02-27"]),
            ("the newest stays, however old", days(3), vec!["2025-01-01", "2025-01-02"], vec!["2025-01-01"]),
            ("no policy at all keeps all", none, vec!["2020-01-01", "2026-01-01"], vec![]),
            ("zero keeps the newest", zero, vec!["2026-01-01", "2026-01-02"], vec!["2026-01-01"]),
            (
                "what lies in the future stays and takes no place",
                count(1),
                vec!["2026-03-01", "2026-03-02", "2027-01-01"],
                vec!["2026-03-01"],
            ),
            ("nothing of nothing", count(1), vec![], vec![]),
        ] {
            let good: Vec<_> = begun.iter().map(|day| id(day, "daily")).collect();
            let expected: Vec<_> = gone.iter().map(|day| id(day, "daily")).collect();
            assert_eq!(expired(&good, &policies(&[("daily", policy)]), now), expected, "{what}");
        }
    }

    #[test]
    fn other_schedules_and_what_was_asked_for_once_are_left_alone() {
        let good: Vec<_> = ["daily", "gone", ON_DEMAND]
            .into_iter()
            .flat_map(|schedule| [id("2020-01-01", schedule), id("2020-01-02", schedule)])
            .collect();
        let now = at("2026-03-31T12:00:00Z");
        let policies = policies(&[("daily", days(1)), (ON_DEMAND, count(1))]);
        assert_eq!(expired(&good, &policies, now), [id("2020-01-01", "daily")]);
    }

    /// The oldest, the newest and how many: each of the last thirty days but those whose run failed.
    const DAILY: (&str, &str, usize) = ("260531", "260630", 29);
    const WEEKLY: [&str; 12] = [
        "260412", "260419", "260426", "260503", "260510", "260517", "260524", "260531", "260607", "260614", "260621",
        "260628",
    ];
    const MONTHLY: [&str; 10] =
        ["250701", "250801", "250901", "251101", "251201", "260101", "260201", "260301", "260401", "260601"];

    /// Eighteen months of daily, weekly and monthly runs, some of which fail; retention after each that did not.
    #[test]
    fn what_is_there_after_eighteen_months() {
        let policies = policies(&[
            ("daily", Retention::of_schedule("daily")),
            ("weekly", Retention::of_schedule("weekly")),
            ("monthly", Retention::of_schedule("monthly")),
        ]);
        let mut there: BTreeSet<BackupId> = BTreeSet::new();
        let mut day = jiff::civil::date(2025, 1, 1);
        let end = jiff::civil::date(2026, 6, 30);
        let mut runs = 0;
        while day <= end {
            let begun = day.at(2, 0, 0, 0).to_zoned(TimeZone::UTC).unwrap().timestamp();
            let due = [
                ("daily", true),
                ("weekly", day.weekday() == jiff::civil::Weekday::Sunday),
                ("monthly", day.day() == 1),
            ];
            for (schedule, _) in due.into_iter().filter(|(_, due)| *due) {
                runs += 1;
                // The first of May 2026 fails for all, and every seventeenth run does.
                if runs % 17 == 0 || day == jiff::civil::date(2026, 5, 1) {
                    continue;
                }
                there.insert(BackupId::new(begun, schedule, 1));
                let good: Vec<_> = there.iter().cloned().collect();
                for id in expired(&good, &policies, begun) {
                    there.remove(&id);
                }
                let newest = |schedule: &str| there.iter().filter(|id| id.schedule() == schedule).count();
                assert!(newest(schedule) >= 1, "{schedule} on {day}");
            }
            day = day.tomorrow().unwrap();
        }
        let of = |schedule: &str| -> Vec<String> {
            let ids = there.iter().filter(|id| id.schedule() == schedule);
            ids.filter_map(BackupId::begun).map(|begun| begun.strftime("%y%m%d").to_string()).collect()
        };
        let daily = of("daily");
        assert_eq!(
            (daily.first().map(String::as_str), daily.last().map(String::as_str)),
            (Some(DAILY.0), Some(DAILY.1)),
            "{daily:?}"
        );
        assert_eq!(daily.len(), DAILY.2, "{daily:?}");
        assert_eq!(of("weekly"), WEEKLY);
        assert_eq!(of("monthly"), MONTHLY);
    }
}
