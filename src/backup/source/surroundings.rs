//! What a run has around it: an environment, and a folder for what cannot be streamed.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::api::backup_config::{BACKUP_CONFIG_ENV, SCRATCH_DIR};
use crate::core::backup::report::{Failure, FailureReason};

/// What a run has around it. Programs that it starts get this environment and no other.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// Where scratch folders are made.
    pub scratch: PathBuf,
    /// The environment of the programs that the run starts.
    pub environment: BTreeMap<OsString, OsString>,
}

impl Surroundings {
    /// Those of the pod: its environment without our own configuration.
    pub fn of_the_pod() -> Surroundings {
        let environment = std::env::vars_os().filter(|(name, _)| name != BACKUP_CONFIG_ENV).collect();
        Surroundings { scratch: SCRATCH_DIR.into(), environment }
    }

    /// A variable that is set and not empty.
    pub fn variable(&self, name: &str) -> Option<&OsStr> {
        self.environment.get(OsStr::new(name)).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }

    /// A program, with exactly this environment. It is looked for in this environment's `PATH`.
    pub fn command<A: AsRef<OsStr>>(
        &self,
        program: impl AsRef<OsStr>,
        arguments: impl IntoIterator<Item = A>,
    ) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).env_clear().envs(&self.environment);
        command
    }

    /// The user's command; it has at least a program.
    pub fn users_command(&self, words: &[String], field: &str) -> Result<Command, Failure> {
        let Some((program, arguments)) = words.split_first() else {
            let message = format!("{field} is empty: write the program and its arguments there.");
            return Err(Failure::new(FailureReason::Misconfigured, message));
        };
        Ok(self.command(program, arguments))
    }

    /// A new, empty folder in scratch that only we may enter. It goes when the value does.
    pub fn folder(&self) -> io::Result<ScratchFolder> {
        fs::create_dir_all(&self.scratch)?;
        // A pod that ran before in the same scratch leaves few; the bound is far from them.
        for n in 0..1000 {
            let path = self.scratch.join(format!("run-{}-{n}", std::process::id()));
            match DirBuilder::new().mode(0o700).create(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => return made.map(|()| ScratchFolder(path)),
            }
        }
        Err(io::Error::new(io::ErrorKind::AlreadyExists, "too many folders of earlier runs"))
    }

    /// Whether scratch has next to nothing left. A program of the user's that failed then failed for want of space,
    /// whatever it says itself.
    pub fn scratch_is_full(&self) -> bool {
        free_bytes(&self.scratch).is_some_and(|free| free < 64 * 1024)
    }

    /// Why something could not be written to scratch, or read from it.
    pub fn scratch_failure(&self, reason: FailureReason, doing: &str, error: &io::Error) -> Failure {
        match is_full(error) {
            true => self.full(reason, doing),
            false => Failure::new(reason, format!("{doing}: {error} (in {}).", self.scratch.display())),
        }
    }

    /// Scratch is full.
    pub fn full(&self, reason: FailureReason, doing: &str) -> Failure {
        Failure::new(
            reason,
            format!(
                "{doing}: the pod's scratch space {} is full. It is on the node's disk: free space there, or raise the \
                 limit of ephemeral-storage in spec.backup.resources.",
                self.scratch.display()
            ),
        )
    }
}

/// A folder in scratch that is removed with its content.
#[derive(Debug)]
pub struct ScratchFolder(PathBuf);

impl ScratchFolder {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for ScratchFolder {
    fn drop(&mut self) {
        // What cannot be removed goes with the pod.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Whether a disk, or a quota on it, has no room left.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSPC | libc::EDQUOT))
}

fn free_bytes(path: &Path) -> Option<u64> {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::CString::new(path.as_os_str().as_bytes()).ok()?;
    // SAFETY: statvfs is plain data, for which zeroes are a value.
    let mut found: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: the path ends with a zero byte and `found` lives through the call.
    let done = unsafe { libc::statvfs(path.as_ptr(), &raw mut found) };
    (done == 0).then(|| found.f_bavail.saturating_mul(found.f_frsize))
}
