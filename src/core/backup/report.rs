//! What a run tells the operator: JSON in the termination message of its container, at most 4096 bytes of it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::BackupId;
use crate::core::report::{MAX_BYTES, Unread, read};

/// How many ids a report names.
pub const NEWEST: usize = 20;

/// The outcome of one run. A run that failed says why in `failure`, and what it did before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Report {
    /// Why it failed; absent: it did what it should.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// The backup that was made, checked or put back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup: Option<Made>,
    /// When it was read in full and found good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified_time: Option<Timestamp>,
    /// When it was restored, into a scratch place or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restored_time: Option<Timestamp>,
    /// Backups that were found damaged.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub damaged: Vec<BackupId>,
    /// What is there afterwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub catalogue: Option<Catalogue>,
    /// What did not succeed and does not make the run fail, such as a copy: sentences.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// One backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Made {
    /// Its id.
    pub id: BackupId,
    /// When it was begun: the point that it recovers.
    pub started_time: Timestamp,
    /// When it was complete.
    pub finished_time: Timestamp,
    /// The bytes of the content.
    pub bytes: u64,
    /// The bytes that are stored.
    pub stored_bytes: u64,
}

/// What there is at the first destination.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Catalogue {
    /// How many good backups.
    pub count: u32,
    /// How many bytes they have.
    pub stored_bytes: u64,
    /// The point that the oldest recovers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_time: Option<Timestamp>,
    /// The ids of the newest, newest first, at most [`NEWEST`].
    pub newest: Vec<BackupId>,
    /// How many this run removed.
    pub removed: u32,
    /// How many should have been removed and are locked.
    pub locked: u32,
}

/// Why a run failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "camelCase")]
#[error("{message}")]
pub struct Failure {
    /// One word.
    pub reason: FailureReason,
    /// What is wrong, with which object, and what to do: a sentence.
    pub message: String,
    /// A restore had begun to change its target when it failed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub target_changed: bool,
}

/// Why a run failed, one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum FailureReason {
    /// The configuration cannot be carried out.
    Misconfigured,
    /// What was to be backed up could not be read.
    SourceFailed,
    /// The destination does not answer.
    DestinationUnreachable,
    /// It refuses: the credentials, or their rights.
    DestinationRefused,
    /// It takes no more.
    DestinationFull,
    /// The folder belongs to another bot.
    PrefixTaken,
    /// What was stored is not what was sent.
    ReadBackDiffers,
    /// No such backup is there.
    NotFound,
    /// A backup is damaged, or its manifest was edited.
    Damaged,
    /// It cannot be decrypted: no identity, or another one.
    CannotDecrypt,
    /// The command that restores, or checks, failed.
    RestoreFailed,
    /// The run was ended before it was done, or left no report.
    Interrupted,
}

impl FailureReason {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            FailureReason::Misconfigured => "Misconfigured",
            FailureReason::SourceFailed => "SourceFailed",
            FailureReason::DestinationUnreachable => "DestinationUnreachable",
            FailureReason::DestinationRefused => "DestinationRefused",
            FailureReason::DestinationFull => "DestinationFull",
            FailureReason::PrefixTaken => "PrefixTaken",
            FailureReason::ReadBackDiffers => "ReadBackDiffers",
            FailureReason::NotFound => "NotFound",
            FailureReason::Damaged => "Damaged",
            FailureReason::CannotDecrypt => "CannotDecrypt",
            FailureReason::RestoreFailed => "RestoreFailed",
            FailureReason::Interrupted => "Interrupted",
        }
    }
}

impl Failure {
    /// A failure before anything was changed.
    pub fn new(reason: FailureReason, message: impl Into<String>) -> Failure {
        Failure { reason, message: message.into(), target_changed: false }
    }
}

/// A message that is no report, as the end of a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedReport {
    /// The program did not come to write one.
    #[error("it left no report")]
    Missing,
    /// The kubelet cut it.
    #[error("its report fills all {MAX_BYTES} bytes that Kubernetes keeps and was cut")]
    Cut,
    /// Not what this version's program writes.
    #[error("its report is not the JSON that is expected ({0})")]
    NotJson(String),
}

/// Reads a termination message.
///
/// # Errors
/// Why it is no report.
pub fn parse(message: &str) -> Result<Report, MalformedReport> {
    if message.trim().is_empty() {
        return Err(if message.len() < MAX_BYTES { MalformedReport::Missing } else { MalformedReport::Cut });
    }
    read(message).map_err(|unread| match unread {
        Unread::Cut => MalformedReport::Cut,
        Unread::NotJson(why) => MalformedReport::NotJson(why),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let report = Report {
            failure: Some(Failure::new(FailureReason::DestinationFull, "The bucket is full.")),
            damaged: vec!["20261124T020000Z-daily-003f".parse().unwrap()],
            catalogue: Some(Catalogue { count: 3, ..Catalogue::default() }),
            warnings: vec!["The copy at 1 failed.".into()],
            ..Report::default()
        };
        assert_eq!(parse(&serde_json::to_string(&report).unwrap()), Ok(report));
        assert_eq!(parse("{}"), Ok(Report::default()));
    }

    #[test]
    fn the_word_for_a_failure_is_the_one_in_its_report() {
        for reason in [
            FailureReason::Misconfigured,
            FailureReason::SourceFailed,
            FailureReason::DestinationUnreachable,
            FailureReason::DestinationRefused,
            FailureReason::DestinationFull,
            FailureReason::PrefixTaken,
            FailureReason::ReadBackDiffers,
            FailureReason::NotFound,
            FailureReason::Damaged,
            FailureReason::CannotDecrypt,
            FailureReason::RestoreFailed,
            FailureReason::Interrupted,
        ] {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
        }
    }

    #[test]
    fn a_message_that_is_no_report_says_what_it_is() {
        for (message, words) in [
            (String::new(), "left no report"),
            (" \n".into(), "left no report"),
            ("panicked at".into(), "not the JSON"),
            ("[]".into(), "not the JSON"),
            (r#"{"damaged": ["../x"]}"#.into(), "is no backup's id"),
            (format!(r#"{{"warnings": ["{}"#, "x".repeat(MAX_BYTES)), "was cut"),
            (" ".repeat(MAX_BYTES), "was cut"),
        ] {
            let said = parse(&message).unwrap_err().to_string();
            assert!(said.contains(words), "{said}");
        }
    }
}
