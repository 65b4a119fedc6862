//! What an active says of its checks in its Lease: JSON of those that do not pass. Empty: all of them pass, or there are
//! none.

use serde::{Deserialize, Serialize};

use super::{Check, Health, Standing, Verdict};
use crate::core::fitting::{KEPT_OF_ERRORS, fitting};

/// Bytes of the annotation, at most.
pub const LONGEST_NOTE: usize = 2048;

/// A check that does not pass.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Noted {
    /// Its name.
    pub name: String,
    /// Since when it fails, in UTC; empty where that is not known yet.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub since: String,
    /// Why it fails, cut where the note would be too long.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error: String,
}

impl Noted {
    /// `Failing`, or `Unknown` where it has not run often enough.
    pub fn standing(&self) -> Standing {
        if self.since.is_empty() { Standing::Unknown } else { Standing::Failing }
    }
}

/// The note of an agent.
pub fn note(checks: &[Check], health: &Health) -> String {
    let not_passing: Vec<_> = health
        .running(checks)
        .filter_map(|(index, check)| match health.verdict(index) {
            Some(verdict) => verdict.failing.then_some((check, Some(verdict))),
            None => Some((check, None)),
        })
        .collect();
    if not_passing.is_empty() {
        return String::new();
    }
    fitting(LONGEST_NOTE, &KEPT_OF_ERRORS, |kept| {
        let noted = |(check, verdict): &(&Check, Option<&Verdict>)| Noted {
            name: check.name.clone(),
            since: verdict.map(|verdict| verdict.since.to_string()).unwrap_or_default(),
            error: verdict.map(|verdict| verdict.error.chars().take(kept).collect()).unwrap_or_default(),
        };
        not_passing.iter().map(noted).collect::<Vec<_>>()
    })
}

/// Reads a note. `None`: it cannot be read, and nothing is known of the checks.
pub fn noted(text: &str) -> Option<Vec<Noted>> {
    if text.is_empty() {
        return Some(Vec::new());
    }
    if text.len() > LONGEST_NOTE {
        return None;
    }
    serde_json::from_str(text).ok()
}
