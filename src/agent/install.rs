//! `install DEST`: puts this very program where the bot's container finds it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::config::Refusal;

/// Copies the running program to `destination`, so that it is there either whole or not at all.
pub(super) fn install(destination: &Path) -> Result<(), Refusal> {
    let failed = |what: &str, cause: std::io::Error| {
        Refusal::Install(format!("{what} for {} failed: {cause}", destination.display()))
    };
    let name = destination
        .file_name()
        .ok_or_else(|| Refusal::Install(format!("'{}' is not the path of a file to write", destination.display())))?;
    let mut draft_name = std::ffi::OsString::from(".");
    draft_name.push(name);
    draft_name.push(format!(".{}", std::process::id()));
    let draft = destination.with_file_name(draft_name);
    let put = || -> std::io::Result<()> {
        fs::copy("/proc/self/exe", &draft)?;
        fs::set_permissions(&draft, fs::Permissions::from_mode(0o755))?;
        fs::File::open(&draft)?.sync_all()?;
        fs::rename(&draft, destination)
    };
    put().map_err(|cause| {
        let _ = fs::remove_file(&draft);
        failed("copying the agent", cause)
    })
}
