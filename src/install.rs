//! Puts the running program where containers find it, as an init container does for the agent and for backups.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Copies the running program to `destination`, so that it is there either whole or not at all.
///
/// # Errors
/// What the file system says; a path without a file's name is [`io::ErrorKind::InvalidFilename`].
pub(crate) fn install(destination: &Path) -> io::Result<()> {
    let name = destination.file_name().ok_or(io::ErrorKind::InvalidFilename)?;
    let mut draft_name = OsString::from(".");
    draft_name.push(name);
    draft_name.push(format!(".{}", std::process::id()));
    let draft = destination.with_file_name(draft_name);
    let put = || {
        fs::copy("/proc/self/exe", &draft)?;
        fs::set_permissions(&draft, fs::Permissions::from_mode(0o755))?;
        fs::File::open(&draft)?.sync_all()?;
        fs::rename(&draft, destination)
    };
    put().inspect_err(|_| {
        let _ = fs::remove_file(&draft);
    })
}
