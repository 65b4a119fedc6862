//! Commands in the bot's container.

use super::Tools;
use crate::agent::clock;
use crate::core::agent::Exit;

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
    let words = command.join(" ");
    let started = tools.starter.start(command, role);
    let mut running = started.map_err(|cause| format!("'{words}' could not be started: {cause}."))?;
    match (&mut running.end).await {
        Ok(Exit::Code(0)) => Ok(()),
        Ok(exit) => Err(format!("'{words}' {exit}.")),
        Err(_) => Err(format!("'{words}' was not waited for.")),
    }
}
