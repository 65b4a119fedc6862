//! `install DEST`: puts this very program where the bot's container finds it.

use std::path::Path;

use super::config::Refusal;

/// Copies the running program to `destination`, so that it is there either whole or not at all.
pub(super) fn install(destination: &Path) -> Result<(), Refusal> {
    if destination.file_name().is_none() {
        return Err(Refusal::Install(format!("'{}' is not the path of a file to write", destination.display())));
    }
    crate::install::install(destination)
        .map_err(|cause| Refusal::Install(format!("copying the agent for {} failed: {cause}", destination.display())))
}
