//! The report, in the few bytes that a termination message has.

use std::io;
use std::path::Path;

use crate::core::backup::report::Report;
use crate::core::report::MAX_BYTES;

/// Sentences are cut to these lengths, one after the other, until it fits.
const LENGTHS: [usize; 4] = [800, 400, 200, 100];
/// How many of each list remain at these lengths.
const ENTRIES: [usize; 4] = [20, 10, 5, 2];

/// Writes it where the kubelet reads it.
pub fn write(report: &Report, to: &Path) -> io::Result<()> {
    std::fs::write(to, fitting(report))
}

/// As JSON of at most 4096 bytes: long sentences are cut and long lists shortened.
pub fn fitting(report: &Report) -> Vec<u8> {
    let json = |report: &Report| serde_json::to_vec(report).unwrap_or_default();
    let mut shorter = report.clone();
    let mut bytes = json(&shorter);
    for (length, entries) in LENGTHS.into_iter().zip(ENTRIES) {
        if bytes.len() <= MAX_BYTES {
            break;
        }
        let more = shorter.warnings.len().saturating_sub(entries);
        shorter.warnings.truncate(entries);
        shorter.warnings.iter_mut().for_each(|warning| cut(warning, length));
        if more > 0 {
            shorter.warnings.push(format!("{more} more are in the log."));
        }
        if let Some(failure) = &mut shorter.failure {
            cut(&mut failure.message, length);
        }
        shorter.damaged.truncate(entries);
        if let Some(catalogue) = &mut shorter.catalogue {
            catalogue.newest.truncate(entries);
        }
        bytes = json(&shorter);
    }
    bytes
}

fn cut(text: &mut String, most: usize) {
    if text.chars().count() > most {
        *text = text.chars().take(most.saturating_sub(1)).chain(['…']).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::backup::BackupId;
    use crate::core::backup::report::{Catalogue, Failure, FailureReason};

    #[test]
    fn the_longest_report_fits_and_is_read_again() {
        let ids: Vec<BackupId> =
            (0..1000).map(|n| format!("20261124T020000Z-{}-{n:04x}", "a".repeat(40)).parse().unwrap()).collect();
        let report = Report {
            failure: Some(Failure::new(FailureReason::Damaged, "\u{1}é\"".repeat(3000))),
            warnings: vec!["\u{1}\\".repeat(900); 500],
            damaged: ids.clone(),
            catalogue: Some(Catalogue { count: 7, newest: ids, ..Catalogue::default() }),
            ..Report::default()
        };
        let bytes = fitting(&report);
        assert!(bytes.len() <= MAX_BYTES, "{}", bytes.len());
        let read: Report = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(read.failure.map(|failure| failure.reason), Some(FailureReason::Damaged));
        assert_eq!(read.catalogue.map(|catalogue| catalogue.count), Some(7));
    }

    #[test]
    fn a_short_report_is_left_as_it_is() {
        let report = Report { warnings: vec!["A copy failed.".into()], ..Report::default() };
        assert_eq!(serde_json::from_slice::<Report>(&fitting(&report)).unwrap(), report);
    }
}
