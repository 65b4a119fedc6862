//! Termination messages, as whoever writes to a termination log could leave them, and what is kept beside backups.

use crate::product::core::backup::{BackupId, Manifest, report as of_backup};
use crate::product::core::report;

/// Sentences about what was found in a message are not much longer than the message.
const MORE: usize = 1000;

fn text(data: &[u8]) -> String {
    String::from_utf8_lossy(data).into_owned()
}

/// For people: something is said, it fits into a status, and no control character makes it unreadable.
pub fn is_a_sentence(said: &str, of: &str) {
    assert!(!said.trim().is_empty(), "nothing is said about {of:?}");
    assert!(said.len() <= of.len() * 6 + MORE, "{} bytes are said about {}", said.len(), of.len());
}

/// A reconciliation's.
pub fn of_reconciliation(data: &[u8]) {
    let message = text(data);
    match report::parse(&message) {
        Ok(read) => {
            let written = serde_json::to_string(&read).expect("a report is JSON");
            assert_eq!(report::parse(&written).as_ref(), Ok(&read));
            let empty = message.trim().is_empty();
            assert!(empty || message.trim_start().starts_with('{'), "{message:?} is taken for a report");
        }
        Err(why) => is_a_sentence(&why.to_string(), &message),
    }
}

/// A backup's.
pub fn of_backup(data: &[u8]) {
    let message = text(data);
    match of_backup::parse(&message) {
        Ok(read) => {
            let written = serde_json::to_string(&read).expect("a report is JSON");
            assert_eq!(of_backup::parse(&written).as_ref(), Ok(&read));
            assert!(message.trim_start().starts_with('{'), "{message:?} is taken for a report");
            if let Some(made) = &read.backup {
                id(made.id.as_str().as_bytes());
            }
        }
        Err(why) => is_a_sentence(&why.to_string(), &message),
    }
}

/// Two names of backups, a line each.
pub fn id(data: &[u8]) {
    let text = text(data);
    let read: Vec<_> = text.split('\n').take(2).map(|line| (line, line.parse::<BackupId>())).collect();
    for (line, id) in &read {
        match id {
            Ok(id) => {
                assert_eq!(id.as_str(), *line);
                assert!(line.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'), "{line} can lead elsewhere");
                let begun = id.begun().expect("an id says when it was begun");
                let (_, random) = line.rsplit_once('-').expect("an id ends with digits");
                let random = u16::from_str_radix(random, 16).expect("its digits are hexadecimal");
                assert_eq!(&BackupId::new(begun, id.schedule(), random), id, "one time is written in two ways");
            }
            Err(why) => is_a_sentence(&why.to_string(), line),
        }
    }
    if let [(_, Ok(one)), (_, Ok(other))] = &read[..] {
        assert!(one.as_str() > other.as_str() || one.begun() <= other.begun(), "{one} and {other} are out of order");
    }
}

/// A manifest.
pub fn manifest(data: &[u8]) {
    let Ok(read) = serde_json::from_slice::<Manifest>(data) else { return };
    let written = serde_json::to_vec(&read).expect("a manifest is JSON");
    assert_eq!(serde_json::from_slice::<Manifest>(&written).expect("it is read again"), read);
    id(read.id.as_str().as_bytes());
}
