//! A backup reads what the active writes. When trading moves, or what it reads is overwritten, it is ended: what it made
//! would be torn.

use super::run::{Run, RunState, Subject};
use crate::core::failover::{Record, RestoreStep};

/// Why this run is to be ended, a sentence; `None`: it may go on.
pub fn reason(run: &Run, record: &Record) -> Option<String> {
    let goes_on = matches!(run.state, RunState::Running { .. }) && run.active;
    if !goes_on || run.ended_by_us || run.subject == Subject::Verification {
        return None;
    }
    if let Some(restore) = record.restore.as_ref().filter(|restore| restore.step > RestoreStep::Checking) {
        return Some(format!("{} put a backup back while it ran.", restore.operation));
    }
    let made_in = run.epoch.filter(|epoch| *epoch != record.epoch.0)?;
    let ledger = record.trading.as_ref().map(|ledger| &ledger.pod);
    let to = ledger.or(record.current.as_ref().and_then(|current| current.to.as_ref()));
    let to = to.map_or_else(|| "on".to_owned(), |pod| format!("to {}", pod.name));
    Some(format!(
        "Trading moved {to} while it ran: it was begun in epoch {made_in}, and this is epoch {}.",
        record.epoch
    ))
}
