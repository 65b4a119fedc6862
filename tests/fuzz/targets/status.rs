//! What is stored in a status, as an earlier version or anybody with the right to write it could have left it.

use crate::product::api::bot_status::TradingBotStatus;
use crate::product::api::operation::{TradingBotOperationSpec, TradingBotOperationStatus};
use crate::product::api::record::{Seen, record_from, status_from};

/// A bot's.
pub fn of_bot(data: &[u8]) {
    let Ok(status) = serde_json::from_slice::<TradingBotStatus>(data) else { return };
    let record = record_from(&status);
    // What does not fit into a record is gone once, and then nothing more.
    let stored = status_from(&record, Seen { bot: "doge".into(), ..Seen::default() });
    let text = serde_json::to_vec(&stored).expect("a status is JSON");
    let read: TradingBotStatus = serde_json::from_slice(&text).expect("a status is read again");
    assert_eq!(read, stored);
    assert_eq!(record_from(&read), record);
    // The ledger and what only grows are never lost, or the next grant would not wait.
    assert_eq!(record.trading.is_some(), status.trading.is_some());
    assert_eq!((record.epoch.0, record.token.0, record.fenced.0), (status.epoch, status.token, status.fenced_epoch));
    assert_eq!(record.jobs.len(), status.jobs.len());
    assert_eq!(record.restore.is_some(), status.restore.is_some());
    if let (Some(ledger), Some(trading)) = (&record.trading, &status.trading) {
        assert_eq!(ledger.lease_duration.as_secs(), u64::from(trading.lease_duration_seconds));
        assert!(ledger.boot.as_ref().is_none_or(|boot| Some(boot.to_string()) == trading.boot));
    }
}

/// What somebody asks for, and what was told about it.
pub fn of_operation(data: &[u8]) {
    if let Ok(spec) = serde_json::from_slice::<TradingBotOperationSpec>(data) {
        let text = serde_json::to_vec(&spec).expect("a spec is JSON");
        assert_eq!(serde_json::from_slice::<TradingBotOperationSpec>(&text).expect("it is read again"), spec);
    }
    if let Ok(status) = serde_json::from_slice::<TradingBotOperationStatus>(data) {
        let text = serde_json::to_vec(&status).expect("a status is JSON");
        assert_eq!(serde_json::from_slice::<TradingBotOperationStatus>(&text).expect("it is read again"), status);
    }
}
