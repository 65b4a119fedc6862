//! What is backed up and how it is put back, against real programs, files and databases.

mod commands;
mod directories;
mod postgres;
mod postgresql;
mod runners;
mod sqlite;
mod tars;
use std::collections::BTreeMap;
use std::ffi::{CString, OsString};
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::ptr::null;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tradingbot::api::backup::{CommandSource, DirectorySource, Output, PostgresqlSource, Source, SqliteSource};
use tradingbot::api::backup_config::BackupConfig;
use tradingbot::backup::source::surroundings::Surroundings;
use tradingbot::backup::source::{Produced, produce_in};
use tradingbot::backup::target::{rehearse_in, restore_in};
use tradingbot::core::backup::BackupId;
use tradingbot::core::backup::manifest::Format;
use tradingbot::core::backup::report::Failure;

/// A folder of one test, and the surroundings of its runs.
pub struct Place {
    folder: PathBuf,
    pub around: Surroundings,
}

impl Place {
    pub fn new() -> Place {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("backup-sources-{}-{n}", std::process::id()));
        let scratch = folder.join("scratch");
        fs::create_dir_all(&scratch).expect("a folder can be made");
        let path = OsString::from("/usr/local/bin:/usr/bin:/bin");
        let environment = BTreeMap::from([(OsString::from("PATH"), path)]);
        Place { folder, around: Surroundings { scratch, environment } }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// What is left in scratch.
    pub fn left_in_scratch(&self) -> usize {
        fs::read_dir(&self.around.scratch).expect("there is scratch").count()
    }

    pub fn produce(&self, config: &BackupConfig) -> Result<(Produced, Vec<u8>), Failure> {
        let mut content = Vec::new();
        let produced = produce_in(&self.around, config, &mut content);
        assert_eq!(self.left_in_scratch(), 0, "scratch is left as it was");
        produced.map(|produced| (produced, content))
    }

    pub fn restore(&self, config: &BackupConfig, format: Format, content: &[u8]) -> Result<(), Failure> {
        let restored = restore_in(&self.around, config, format, &id(), &mut &content[..]);
        assert_eq!(self.left_in_scratch(), 0, "scratch is left as it was");
        restored
    }

    pub fn rehearse(&self, config: &BackupConfig, format: Format, content: &[u8]) -> Result<(), Failure> {
        let rehearsed = rehearse_in(&self.around, config, format, &id(), &mut &content[..]);
        assert_eq!(self.left_in_scratch(), 0, "scratch is left as it was");
        rehearsed
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

pub fn id() -> BackupId {
    "20261124T020000Z-daily-003f".parse().expect("it is one")
}

fn words(command: &[&str]) -> Vec<String> {
    command.iter().map(ToString::to_string).collect()
}

pub fn shell(script: &str) -> Vec<String> {
    words(&["sh", "-c", script])
}

fn of(source: Source) -> BackupConfig {
    BackupConfig { source, ..BackupConfig::default() }
}

pub fn command(script: &str, output: Output) -> BackupConfig {
    let command = CommandSource { command: shell(script), output, image: None };
    of(Source { command: Some(command), ..Source::default() })
}

pub fn postgresql() -> BackupConfig {
    of(Source { postgresql: Some(PostgresqlSource::default()), ..Source::default() })
}

pub fn directory(path: &Path) -> BackupConfig {
    let path = path.to_str().expect("UTF-8").to_owned();
    of(Source { directory: Some(DirectorySource { path, ..DirectorySource::default() }), ..Source::default() })
}

pub fn sqlite(path: &Path) -> BackupConfig {
    let path = path.to_str().expect("UTF-8").to_owned();
    of(Source { sqlite: Some(SqliteSource { path, ..SqliteSource::default() }), ..Source::default() })
}

pub fn with_runner(config: BackupConfig, script: &str) -> BackupConfig {
    BackupConfig { command: shell(script), ..config }
}

/// A sink that nobody reads any more after so many bytes.
pub struct GivenUp(pub usize);

impl Write for GivenUp {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0 {
            0 => Err(io::ErrorKind::BrokenPipe.into()),
            left => {
                let n = left.min(bytes.len());
                self.0 -= n;
                Ok(n)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Content that turns out to be damaged when it was read.
pub struct Turns<'a>(pub &'a [u8], pub Option<Failure>);

impl Read for Turns<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => self.1.take().map_or(Ok(0), |failure| Err(io::Error::other(failure))),
            n => Ok(n),
        }
    }
}

/// What was mounted; it goes with the value.
pub struct Mounted(CString);

impl Drop for Mounted {
    fn drop(&mut self) {
        // SAFETY: a system call on a path that ends with a zero byte.
        unsafe { libc::umount2(self.0.as_ptr(), libc::MNT_DETACH) };
    }
}

/// Mounts a small filesystem there that only this thread, and what it starts, can see. Needs root.
pub fn mount_small(at: &Path) -> Mounted {
    fs::create_dir_all(at).expect("a folder can be made");
    let at = CString::new(at.to_str().expect("UTF-8")).expect("no zero");
    // SAFETY: system calls on this thread alone; all strings end with a zero byte and live through the calls.
    unsafe {
        assert_eq!(libc::unshare(libc::CLONE_NEWNS), 0, "the test needs root");
        let private = libc::MS_REC | libc::MS_PRIVATE;
        assert_eq!(libc::mount(null(), c"/".as_ptr(), null(), private, null()), 0);
        let size = c"size=1m".as_ptr().cast();
        assert_eq!(libc::mount(c"small".as_ptr(), at.as_ptr(), c"tmpfs".as_ptr(), 0, size), 0);
    }
    Mounted(at)
}

/// As long as it lives this thread has the rights of another user, and of no group of root's.
pub struct AsUser;

impl AsUser {
    pub fn new(user: u32) -> AsUser {
        become_user(user);
        AsUser
    }
}

impl Drop for AsUser {
    fn drop(&mut self) {
        become_user(0);
    }
}

fn become_user(user: u32) {
    let same = -1;
    // SAFETY: the bare system call changes this thread alone.
    let done = unsafe { libc::syscall(libc::SYS_setresuid, same, user, same) };
    assert_eq!(done, 0, "the test needs root");
}

/// Waits for something that is about to be so.
pub fn until(what: &str, mut so: impl FnMut() -> bool) {
    let bound = Instant::now() + Duration::from_secs(20);
    while !so() {
        assert!(Instant::now() < bound, "{what} did not come about");
        std::thread::sleep(Duration::from_millis(10));
    }
}
