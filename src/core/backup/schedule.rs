//! When a schedule runs, in the very dialect of Kubernetes' CronJobs, and how far apart its runs can be.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

/// A text that is no schedule; why, a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct MalformedSchedule(String);

/// The times of a schedule: five fields, as sets of bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Days of the month and of the week are both restricted: then either is enough.
    either_day: bool,
}

struct Field {
    name: &'static str,
    first: u32,
    last: u32,
    names: &'static [&'static str],
}

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const FIELDS: [Field; 5] = [
    Field { name: "minute", first: 0, last: 59, names: &[] },
    Field { name: "hour", first: 0, last: 23, names: &[] },
    Field { name: "day of the month", first: 1, last: 31, names: &[] },
    Field { name: "month", first: 1, last: 12, names: &MONTHS },
    Field { name: "day of the week", first: 0, last: 6, names: &WEEKDAYS },
];

impl FromStr for Times {
    type Err = MalformedSchedule;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let malformed = |why: String| MalformedSchedule(format!("The schedule '{text}' cannot be read: {why}."));
        let fields = match text {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            _ if text.contains("TZ") => return Err(malformed("the time zone belongs into timeZone".into())),
            _ if text.starts_with('@') => {
                return Err(malformed(
                    "write it in five fields, or as one of @hourly, @daily, @weekly, @monthly and @yearly".into(),
                ));
            }
            _ => text,
        };
        let parts: Vec<&str> = fields.split_whitespace().collect();
        let Ok(parts) = <[&str; 5]>::try_from(parts) else {
            return Err(malformed(
                "it needs five fields: minute, hour, day of the month, month and day of the week".into(),
            ));
        };
        let [minutes, hours, days, months, weekdays] = std::array::from_fn(|n| FIELDS[n].read(parts[n]));
        let (days, any_day) = days.map_err(malformed)?;
        let (weekdays, any_weekday) = weekdays.map_err(malformed)?;
        Ok(Times {
            minutes: minutes.map_err(malformed)?.0,
            hours: hours.map_err(malformed)?.0,
            days,
            months: months.map_err(malformed)?.0,
            weekdays,
            either_day: !any_day && !any_weekday,
        })
    }
}

impl Field {
    /// The bits of a field, and whether it has a `*` that leaves nothing out.
    fn read(&self, text: &str) -> Result<(u64, bool), String> {
        let mut bits = 0;
        let mut any = false;
        for item in text.split(',') {
            let (range, step) = match item.split_once('/') {
                Some((range, step)) => (range, Some(step)),
                None => (item, None),
            };
            let star = matches!(range, "*" | "?");
            let (first, last) = match range.split_once('-') {
                _ if star => (self.first, self.last),
                Some((first, last)) => (self.number(first)?, self.number(last)?),
                None => (self.number(range)?, self.number(range)?),
            };
            // `5/10` is every tenth from 5 on.
            let last = if step.is_some() && !range.contains('-') { self.last } else { last };
            let step = match step {
                None => 1,
                Some(step) => number(step).filter(|step| *step > 0).ok_or_else(|| {
                    format!("in the field of the {}, '{step}' is no step, which is a number above 0", self.name)
                })?,
            };
            if first < self.first || last > self.last || first > last {
                return Err(format!(
                    "in the field of the {}, '{item}' is not within {} to {}",
                    self.name, self.first, self.last
                ));
            }
            any |= star && step == 1;
            bits |= (first..=last).step_by(step as usize).fold(0, |bits, n| bits | 1 << n);
        }
        Ok((bits, any))
    }

    fn number(&self, text: &str) -> Result<u32, String> {
        let lower = text.to_ascii_lowercase();
        let named = self.names.iter().zip(self.first..).find(|(name, _)| **name == lower).map(|(_, n)| n);
        named.or_else(|| number(text)).ok_or_else(|| format!("'{text}' is no {}", self.name))
    }
}

fn number(text: &str) -> Option<u32> {
    let plain = (1..=4).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| plain)
}

impl Times {
    /// Whether there is a day on which it runs, which February 31 is not.
    pub fn ever_runs(&self) -> bool {
        let days = std::iter::successors(Some(Date::FIRST), |date| Some(date.next()));
        days.take(CYCLE_DAYS as usize).any(|date| self.runs_on(date))
    }

    fn runs_on(&self, date: Date) -> bool {
        let has = |bits: u64, n: u32| bits >> n & 1 == 1;
        let (day, weekday) = (has(self.days, date.day), has(self.weekdays, date.weekday));
        has(self.months, date.month) && if self.either_day { day || weekday } else { day && weekday }
    }

    fn minutes_of_day(&self) -> impl Iterator<Item = u32> + '_ {
        let at = |hour: u32| (0..60).filter(|minute| self.minutes >> minute & 1 == 1).map(move |m| hour * 60 + m);
        (0..24).filter(|hour| self.hours >> hour & 1 == 1).flat_map(at)
    }
}

#[derive(Clone, Copy)]
struct Date {
    year: u32,
    month: u32,
    day: u32,
    weekday: u32,
}

impl Date {
    /// A Saturday, and the first day of a cycle.
    const FIRST: Date = Date { year: 2000, month: 1, day: 1, weekday: 6 };

    fn next(self) -> Date {
        let Date { year, month, day, weekday } = self;
        let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let length = match month {
            2 if leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let (year, month, day) = match (day < length, month < 12) {
            (true, _) => (year, month, day + 1),
            (false, true) => (year, month + 1, 1),
            (false, false) => (year + 1, 1, 1),
        };
        Date { year, month, day, weekday: (weekday + 1) % 7 }
    }
}

const MINUTES_OF_DAY: u32 = 1440;
/// After 400 years dates and weekdays repeat.
const CYCLE_DAYS: u32 = 146_097;

/// The runs of one day, in minutes.
#[derive(Clone, Copy)]
struct Day {
    first: u32,
    last: u32,
    gap: u32,
}

/// The longest time that can pass between two runs of any of these schedules of one time zone, changes of its clocks
/// apart; `None`: none ever runs. It looks at every day of 400 years, or at one where all days are alike.
pub fn longest_gap(schedules: &[Times]) -> Option<Duration> {
    let every_day = |times: &Times| {
        let all = |field: usize| (FIELDS[field].first..=FIELDS[field].last).fold(0, |bits, n| bits | 1u64 << n);
        (times.days, times.months, times.weekdays) == (all(2), all(3), all(4))
    };
    let days = if schedules.iter().all(every_day) { 1 } else { CYCLE_DAYS };
    // Many days have the same schedules.
    let mut known: BTreeMap<u64, Option<Day>> = BTreeMap::new();
    let (mut first, mut last, mut longest) = (None, None, 0);
    let mut date = Date::FIRST;
    for n in 0..days {
        let which = schedules.iter().enumerate().filter(|(_, times)| times.runs_on(date));
        let which = which.fold(0, |bits, (n, _)| bits | 1u64 << (n % 64));
        if let Some(day) = known.entry(which).or_insert_with(|| day_of(schedules, which)) {
            let start = n * MINUTES_OF_DAY;
            longest = longest.max(day.gap);
            if let Some(last) = last {
                longest = longest.max(start + day.first - last);
            }
            first.get_or_insert(start + day.first);
            last = Some(start + day.last);
        }
        date = date.next();
    }
    let around = first? + days * MINUTES_OF_DAY - last?;
    Some(Duration::from_secs(u64::from(longest.max(around)) * 60))
}

fn day_of(schedules: &[Times], which: u64) -> Option<Day> {
    let of_day = schedules.iter().enumerate().filter(|(n, _)| which >> (n % 64) & 1 == 1);
    let mut minutes: Vec<u32> = of_day.flat_map(|(_, times)| times.minutes_of_day()).collect();
    minutes.sort_unstable();
    let gap = minutes.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0);
    Some(Day { first: *minutes.first()?, last: *minutes.last()?, gap })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;

    fn gap(schedules: &[&str]) -> Option<u64> {
        let all: Vec<Times> = schedules.iter().map(|text| text.parse().unwrap()).collect();
        longest_gap(&all).map(|gap| gap.as_secs())
    }

    #[test]
    fn the_longest_gap_is_that_of_the_worst_month_or_year() {
        for (schedule, seconds) in [
            ("* * * * *", 60),
            ("*/15 * * * *", 900),
            ("*/45 * * * *", 2700),
            ("7/20 * * * *", 1200),
            ("@hourly", 3600),
            ("0 9-17 * * *", 16 * 3600),
            ("0 */7 * * *", 7 * 3600),
            ("0 2 * * *", DAY),
            ("0 2 * * mon-FRI", 3 * DAY),
            ("0 0 * * 0", 7 * DAY),
            ("@monthly", 31 * DAY),
            ("0 0 31 * *", 61 * DAY),
            ("0 0 30 * *", 60 * DAY),
            ("@daily", DAY),
            ("@midnight", DAY),
            ("@yearly", 366 * DAY),
            ("@annually", 366 * DAY),
            ("0 0 29 2 *", 2921 * DAY),
            // Either day is enough where both are restricted; a star leaves it to the other.
            ("0 0 1 * 0", 7 * DAY),
            ("0 0 */2 * 0", 2 * DAY),
        ] {
            assert_eq!(gap(&[schedule]), Some(seconds), "{schedule}");
        }
        assert_eq!(gap(&["0 0 31 2 *"]), None, "it never runs");
    }

    #[test]
    fn a_schedule_that_never_runs_is_known() {
        for (schedule, runs) in
            [("0 2 * * *", true), ("0 0 29 2 *", true), ("0 0 31 2 *", false), ("* * 31 4,6 *", false)]
        {
            assert_eq!(schedule.parse::<Times>().unwrap().ever_runs(), runs, "{schedule}");
        }
    }

    #[test]
    fn the_days_of_four_hundred_years_are_those_of_the_calendar() {
        let mut day = jiff::civil::date(2000, 1, 1);
        let mut date = Date::FIRST;
        for _ in 0..CYCLE_DAYS {
            let counted = (date.year, date.month, date.day, date.weekday);
            let weekday = day.weekday().to_sunday_zero_offset();
            let known = [i64::from(day.year()), i64::from(day.month()), i64::from(day.day()), i64::from(weekday)];
            assert_eq!(counted, known.map(|number| u32::try_from(number).unwrap()).into());
            (day, date) = (day.tomorrow().unwrap(), date.next());
        }
        assert_eq!((date.month, date.day, date.weekday), (1, 1, Date::FIRST.weekday), "then they repeat");
    }

    #[test]
    fn schedules_help_each_other() {
        assert_eq!(gap(&["0 2 * * *", "0 14 * * *"]), Some(DAY / 2));
        assert_eq!(gap(&["0 2 * * *", "@weekly", "@monthly"]), Some(DAY));
        assert_eq!(gap(&["0 2 * * *", "0 0 31 2 *"]), Some(DAY));
        let mut many = vec!["@monthly"; 65];
        (many[0], many[64]) = ("0 2 * * *", "0 2 * * *");
        assert_eq!(gap(&many), Some(DAY));
        assert_eq!(gap(&[]), None);
    }

    #[test]
    fn what_kubernetes_does_not_read_is_refused_with_a_sentence() {
        for (schedule, why) in [
            ("", "five fields"),
            ("0 2 * *", "five fields"),
            ("0 0 2 * * *", "five fields"),
            ("60 * * * *", "not within 0 to 59"),
            ("0 24 * * *", "not within 0 to 23"),
            ("0 0 0 * *", "not within 1 to 31"),
            ("0 0 * 13 *", "not within 1 to 12"),
            ("0 0 * * 7", "not within 0 to 6"),
            ("0 0 * * monday", "'monday' is no day of the week"),
            ("0 5-2 * * *", "not within"),
            ("*/0 * * * *", "no step"),
            ("a * * * *", "'a' is no minute"),
            ("0 0 L * *", "'L' is no day of the month"),
            ("0 0 * * 5#2", "no day of the week"),
            ("-1 * * * *", "no minute"),
            ("+1 * * * *", "no minute"),
            ("00001 * * * *", "no minute"),
            ("@every 1h", "@hourly"),
            ("@Daily", "@hourly"),
            ("TZ=Asia/Tokyo 0 2 * * *", "timeZone"),
            ("1,,2 * * * *", "no minute"),
        ] {
            let sentence = schedule.parse::<Times>().unwrap_err().to_string();
            assert!(sentence.contains(why), "{schedule}: {sentence}");
        }
    }

    // The model compiles these sources without that other reader.
    #[cfg(feature = "schema")]
    #[test]
    fn single_runs_are_where_another_reader_of_schedules_sees_them() {
        use croner::parser::CronParser;
        let noon =
            |text: &str| jiff::civil::DateTime::from_str(text).unwrap().to_zoned(jiff::tz::TimeZone::UTC).unwrap();
        for schedule in ["7 3 * * *", "*/20 1-5 1,15 * *", "0 0 * jan,jul 2", "5 4 13 * 5", "30 6 29 2 *"] {
            let times: Times = schedule.parse().unwrap();
            let other = CronParser::new().parse(schedule).unwrap();
            let mut date = Date::FIRST;
            for _ in 0..1500 {
                let Date { year, month, day, .. } = date;
                let midnight = noon(&format!("{year}-{month:02}-{day:02}T00:00:00"));
                let next = other.find_next_occurrence(&midnight, true).unwrap();
                assert_eq!(times.runs_on(date), next.date() == midnight.date(), "{schedule} on {year}-{month}-{day}");
                if times.runs_on(date) {
                    let minute = u32::try_from(next.hour()).unwrap() * 60 + u32::try_from(next.minute()).unwrap();
                    assert_eq!(times.minutes_of_day().next(), Some(minute));
                }
                date = date.next();
            }
        }
    }
}
