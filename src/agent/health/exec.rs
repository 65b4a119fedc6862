//! Commands in the bot's container.

use super::Tools;
use crate::agent::{clock, hooks};

/// Runs a command; dropped, it is killed with everything that it has started in its group.
///
/// # Errors
/// A sentence.
pub(super) async fn check(tools: &Tools, round: u64, command: &[String]) -> Result<(), String> {
    // No process is started when everything was just killed: up to here the agent may have been frozen, and the end of
    // the round may not have reached this task yet.
    if !tools.is_present(round, clock::now()) {
        return Err("The bot's role has just changed.".into());
    }
    let role = tools.board.borrow().leadership;
    let called = hooks::exec(command, role, &tools.starter).await;
    called.map_err(|cause| format!("'{}' {cause}.", command.join(" ")))
}
