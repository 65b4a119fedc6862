//! The names of backups.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The schedule in the ids of backups that were asked for once and belong to no schedule. Retention never removes them.
pub const ON_DEMAND: &str = "on-demand";

/// A backup's name: `<UTC time it was begun at>-<schedule>-<four hex digits>`, such as `20261124T020000Z-daily-3f9a`. In
/// the order of their ids backups are in the order of time. Nothing in it can lead to another folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BackupId(String);

/// The longest schedule name in an id.
const LONGEST_SCHEDULE: usize = 40;
/// How the time is written.
const TIME: &str = "%Y%m%dT%H%M%SZ";
const TIME_LENGTH: usize = 16;

/// A text that is no backup's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no backup's id, which looks like 20261124T020000Z-daily-3f9a")]
pub struct MalformedBackupId(pub String);

impl BackupId {
    /// The id of a backup that begins now, by `random`.
    pub fn new(begun: Timestamp, schedule: &str, random: u16) -> BackupId {
        BackupId(format!("{}-{schedule}-{random:04x}", begun.strftime(TIME)))
    }

    /// When it was begun, to the second.
    pub fn begun(&self) -> Option<Timestamp> {
        jiff::fmt::strtime::parse("%Y%m%dT%H%M%S", self.0.get(..TIME_LENGTH - 1)?)
            .and_then(|parsed| parsed.to_datetime())
            .and_then(|at| at.to_zoned(jiff::tz::TimeZone::UTC))
            .ok()
            .map(|at| at.timestamp())
    }

    /// The schedule it belongs to, or [`ON_DEMAND`].
    pub fn schedule(&self) -> &str {
        self.0.get(TIME_LENGTH + 1..self.0.len() - 5).unwrap_or_default()
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for BackupId {
    type Err = MalformedBackupId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let malformed = || MalformedBackupId(text.chars().take(100).collect());
        let id = BackupId(text.to_owned());
        let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let (time, rest) = text.split_at_checked(TIME_LENGTH).ok_or_else(malformed)?;
        let (schedule, random) = rest.strip_prefix('-').and_then(|rest| rest.rsplit_once('-')).ok_or_else(malformed)?;
        let hex = random.len() == 4 && random.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let fits = !schedule.is_empty() && schedule.len() <= LONGEST_SCHEDULE;
        // A time is written in one way: no second is the sixtieth.
        let written = id.begun().is_some_and(|begun| begun.strftime(TIME).to_string() == time);
        match plain && written && hex && fits {
            true => Ok(id),
            false => Err(malformed()),
        }
    }
}

impl TryFrom<String> for BackupId {
    type Error = MalformedBackupId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<BackupId> for String {
    fn from(id: BackupId) -> Self {
        id.0
    }
}

impl fmt::Display for BackupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_says_when_and_which_schedule() {
        let begun: Timestamp = "2026-11-24T02:00:00Z".parse().unwrap();
        let id = BackupId::new(begun, "every-hour", 0x3f);
        assert_eq!(id.as_str(), "20261124T020000Z-every-hour-003f");
        assert_eq!((id.begun(), id.schedule()), (Some(begun), "every-hour"));
        assert_eq!(id.as_str().parse(), Ok(id));
    }

    #[test]
    fn nothing_that_leads_elsewhere_is_an_id() {
        for text in [
            "",
            "..",
            "20261124T020000Z",
            "20261124T020000Z-daily",
            "20261124T020000Z--003f",
            "20261124T020000Z-daily-003F",
            "20261324T020000Z-daily-003f",
            "20261124T020000Z-../../x-003f",
            "20261124T020000Z-a/b-003f",
            "20261124T020000é-daily-003f",
            "20261124T015960Z-daily-003f",
            "-0261124T020000Z-daily-003f",
        ] {
            assert!(text.parse::<BackupId>().is_err(), "{text}");
        }
    }
}
