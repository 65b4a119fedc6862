//! The reconciliation program's report: JSON in the termination message of its container.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The kubelet keeps this many bytes of a termination message.
pub const MAX_BYTES: usize = 4096;

/// What a reconciliation found and did at the exchange.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct Report {
    /// Orders found open.
    pub open_orders_found: u32,
    /// How many of them were cancelled.
    pub orders_cancelled: u32,
    /// Positions compared with the bot's own books.
    pub positions_synced: u32,
    /// By how much each asset's balance differs from the bot's books.
    pub balances: Vec<Balance>,
    /// What does not fit and needs a person, as sentences.
    pub discrepancies: Vec<String>,
}

/// One asset's drift, as a decimal string.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Balance {
    /// The asset's name, e.g. `JPY`.
    pub asset: String,
    /// Exchange minus books, a decimal string.
    pub drift: String,
}

/// A report that cannot be used, as a sentence for the status.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedReport {
    /// The kubelet cut it.
    #[error(
        "the report fills all {MAX_BYTES} bytes that Kubernetes keeps and was cut: write a shorter one to the termination log"
    )]
    Cut,
    /// Not the JSON we expect.
    #[error(
        "the report is not the JSON that is expected ({0}): write one object with openOrdersFound, ordersCancelled, positionsSynced, balances, discrepancies"
    )]
    NotJson(String),
}

/// Reads a termination message. An empty one is an empty report: a program that only cleans up need not report.
pub fn parse(message: &str) -> Result<Report, MalformedReport> {
    if message.trim().is_empty() && message.len() < MAX_BYTES {
        return Ok(Report::default());
    }
    read(message).map_err(|unread| match unread {
        Unread::Cut => MalformedReport::Cut,
        Unread::NotJson(why) => MalformedReport::NotJson(why),
    })
}

/// Why a termination message is not the object that it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unread {
    /// The kubelet cut it.
    Cut,
    /// It is something else; why, not a sentence.
    NotJson(String),
}

/// Reads a termination message that is to be one JSON object.
///
/// # Errors
/// Why it is not.
pub fn read<T: DeserializeOwned>(message: &str) -> Result<T, Unread> {
    // An object first: serde would also fill the fields in order from a list.
    let object = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(message);
    object
        .and_then(|fields| serde_json::from_value(fields.into()))
        .map_err(|error| if message.len() >= MAX_BYTES { Unread::Cut } else { Unread::NotJson(error.to_string()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_and_an_empty_one_is_fine() {
        let text = r#"{"openOrdersFound":3,"ordersCancelled":3,"positionsSynced":1,"balances":[{"asset":"JPY","drift":"0"}],"discrepancies":[]}"#;
        assert_eq!(parse(text).unwrap().orders_cancelled, 3);
        assert_eq!(parse(" \n").unwrap(), Report::default());
    }

    #[test]
    fn nonsense_and_cut_reports_are_told_apart() {
        assert!(matches!(parse("done!"), Err(MalformedReport::NotJson(_))));
        assert!(matches!(parse(&format!("{{\"x\":\"{}", "a".repeat(MAX_BYTES))), Err(MalformedReport::Cut)));
        // Of a report that begins with that much white space, nothing but the white space is left.
        assert!(matches!(parse(&" ".repeat(MAX_BYTES)), Err(MalformedReport::Cut)));
        assert!(matches!(parse("[1]"), Err(MalformedReport::NotJson(_))));
    }
}
