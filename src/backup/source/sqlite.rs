//! An SQLite database that is being written: its online backup, never a copy of the file.
//!
//! What it costs the writer:
//! - In WAL mode nothing: the copy is one read transaction, and readers and writers do not wait for each other. The WAL
//!   file is not started over while it lasts, so it grows by what is written meanwhile.
//! - With a rollback journal a reader keeps writers out. The copy is first tried in small steps, each of which keeps them
//!   out for a few milliseconds; what is written in between makes it begin anew. After [`FRESH_STARTS`] of these, or
//!   [`PATIENCE`], the rest is one step that keeps writers out for as long as copying the whole takes, roughly a second
//!   for 200 MiB. A database that is written all the time belongs in WAL mode.
//!
//! The database's own files are opened by SQLite alone: whoever else opens and closes them in this process takes the locks
//! away that SQLite holds on them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::surroundings::Surroundings;
use super::{Produced, sink_failure, source_failed};
use crate::core::backup::manifest::Format;
use crate::core::backup::report::{Failure, FailureReason};

/// How long a lock of somebody else's is waited for.
const BUSY: Duration = Duration::from_secs(10);
/// How many pages a small step has: 1 MiB with pages of the usual size.
const STEP: i32 = 256;
/// The pause between two of them, in which writers have their turn.
const PAUSE: Duration = Duration::from_millis(2);
/// How often a copy in small steps may have to begin anew.
const FRESH_STARTS: u32 = 3;
/// How long small steps are tried.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often a step may find the database locked for [`BUSY`].
const LOCKED: u32 = 3;

pub(super) fn produce(around: &Surroundings, path: &Path, sink: &mut dyn Write) -> Result<Produced, Failure> {
    let scratch = |doing: &str, error: &io::Error| around.scratch_failure(FailureReason::SourceFailed, doing, error);
    let folder = around.folder().map_err(|error| scratch("No folder could be made for the copy", &error))?;
    let copy = folder.path().join("database");
    copy_database(around, path, &copy)?;
    check_database(&copy).map_err(|found| {
        source_failed(format!(
            "The copy of the SQLite database {} is not sound, so the database is not: {found}.",
            path.display()
        ))
    })?;
    let mut file = File::open(&copy).map_err(|error| scratch("The copy could not be opened", &error))?;
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let n = match io::Read::read(&mut file, &mut buffer) {
            Ok(0) => break,
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(scratch("The copy could not be read", &error)),
        };
        sink.write_all(&buffer[..n]).map_err(|error| sink_failure(&error))?;
    }
    let tools = BTreeMap::from([("sqlite".to_owned(), rusqlite::version().to_owned())]);
    Ok(Produced { format: Format::Sqlite, tools })
}

fn copy_database(around: &Surroundings, path: &Path, copy: &Path) -> Result<(), Failure> {
    let failed = |doing: &str, error: &rusqlite::Error| sqlite_failure(path, doing, error);
    match std::fs::metadata(path) {
        Ok(found) if !found.is_file() => {
            return Err(source_failed(format!("{} is no file, so it is no SQLite database.", path.display())));
        }
        Ok(found) if found.len() == 0 => {
            return Err(source_failed(format!(
                "The SQLite database {} is empty: nothing was ever written to it.",
                path.display()
            )));
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(source_failed(format!(
                "There is no SQLite database {}: has the bot made it, and is spec.backup.source.sqlite.path right?",
                path.display()
            )));
        }
        Err(error) => return Err(source_failed(format!("{} cannot be looked at: {error}.", path.display()))),
    }
    let with_wal = beside(path, "-wal").exists();
    let source = open_source(path).map_err(|error| failed("could not be opened", &error))?;
    source.busy_timeout(BUSY).map_err(|error| failed("could not be set up", &error))?;
    if with_wal {
        // Whoever closes a database last writes its WAL into it, which would keep a bot out that is just starting. A WAL
        // that was not there before us goes with us.
        source
            .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
            .map_err(|error| failed("could not be set up", &error))?;
    }
    let mode: String = source
        .query_row("PRAGMA journal_mode", [], |row| row.get(0))
        .map_err(|error| failed("could not be read", &error))?;
    let mut target = Connection::open(copy).map_err(|error| failed("could not be copied", &error))?;
    // A copy that is cut short is thrown away: neither a journal nor a flush is worth anything to it.
    target
        .execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;")
        .map_err(|error| failed("could not be copied", &error))?;
    let begun = Instant::now();
    let backup = Backup::new(&source, &mut target).map_err(|error| failed("could not be copied", &error))?;
    let whole =
        mode.eq_ignore_ascii_case("wal") || !in_small_steps(path, &backup, begun).map_err(|e| full(around, e))?;
    if whole {
        in_one_step(path, &backup).map_err(|e| full(around, e))?;
    }
    let pages = backup.progress().pagecount;
    drop(backup);
    tracing::info!(
        "Copied {pages} pages of the SQLite database {} (journal mode {mode}) in {} ms.",
        path.display(),
        begun.elapsed().as_millis()
    );
    Ok(())
}

/// Whether it came to an end.
fn in_small_steps(path: &Path, backup: &Backup<'_, '_>, begun: Instant) -> Result<bool, Failure> {
    let (mut left, mut anew, mut locked) = (i32::MAX, 0, 0);
    while begun.elapsed() < PATIENCE {
        match backup.step(STEP).map_err(|error| sqlite_failure(path, "could not be copied", &error))? {
            StepResult::Done => return Ok(true),
            StepResult::More => {}
            _ => {
                locked += 1;
                if locked >= LOCKED {
                    return Err(stays_locked(path));
                }
            }
        }
        let now = backup.progress().remaining;
        anew += u32::from(now > left);
        left = now;
        if anew >= FRESH_STARTS {
            break;
        }
        std::thread::sleep(PAUSE);
    }
    tracing::info!(
        "The SQLite database {} is written all the time without a WAL: the rest is copied in one step, which its writers \
         wait for.",
        path.display()
    );
    Ok(false)
}

fn in_one_step(path: &Path, backup: &Backup<'_, '_>) -> Result<(), Failure> {
    for _ in 0..LOCKED {
        match backup.step(-1).map_err(|error| sqlite_failure(path, "could not be copied", &error))? {
            StepResult::Done => return Ok(()),
            _ => std::thread::sleep(PAUSE),
        }
    }
    Err(stays_locked(path))
}

fn stays_locked(path: &Path) -> Failure {
    source_failed(format!(
        "The SQLite database {} stays locked by a writer; a transaction of the bot's lasts longer than {} s.",
        path.display(),
        BUSY.as_secs()
    ))
}

/// A copy that found no room is about scratch.
fn full(around: &Surroundings, failure: Failure) -> Failure {
    match around.scratch_is_full() || failure.message.contains("database or disk is full") {
        true => around.full(FailureReason::SourceFailed, failure.message.trim_end_matches('.')),
        false => failure,
    }
}

/// Never makes the file. Written it is only as a reader of a WAL has to, and where a crash left a journal to play back; on
/// a volume that is mounted read-only SQLite falls back to reading.
fn open_source(path: &Path) -> rusqlite::Result<Connection> {
    let plain = OpenFlags::SQLITE_OPEN_NO_MUTEX;
    match Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | plain) {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::CannotOpen) => {
            Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | plain)
        }
        opened => opened,
    }
}

/// Why something about an SQLite database failed.
pub fn sqlite_failure(path: &Path, doing: &str, error: &rusqlite::Error) -> Failure {
    let advice = match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => " It is no SQLite database, or an encrypted one.",
        Some(ErrorCode::PermissionDenied | ErrorCode::ReadOnly | ErrorCode::CannotOpen) => {
            " A reader of a database in WAL mode has to write to its folder: the volume must be mounted writable, and the \
             backup's pod run as the bot's user."
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            " A transaction of the bot's lasts longer than is waited for."
        }
        Some(ErrorCode::DatabaseCorrupt) => " The database is damaged.",
        _ => "",
    };
    source_failed(format!("The SQLite database {} {doing}: {error}.{advice}", path.display()))
}

/// Whether a database that nobody else has open is sound; otherwise what is wrong. No file is made beside it.
pub fn check_database(path: &Path) -> Result<(), String> {
    // For SQLite a file without a byte is a database without a table.
    if std::fs::metadata(path).map_err(|error| error.to_string())?.len() == 0 {
        return Err("it is empty".to_owned());
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let found = Connection::open_with_flags(unchanging(path), flags).and_then(|database| {
        let mut statement = database.prepare("PRAGMA integrity_check(5)")?;
        let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
        rows.collect::<Result<Vec<_>, _>>()
    });
    match found {
        Ok(lines) if lines == ["ok"] => Ok(()),
        Ok(lines) => Err(lines.join("; ").chars().take(500).collect()),
        Err(error) => Err(error.to_string()),
    }
}

/// The address of a file that nobody changes: SQLite then locks nothing and looks for no WAL.
fn unchanging(path: &Path) -> String {
    let mut uri = String::from("file:");
    for &byte in path.as_os_str().as_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' => uri.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => uri.push(char::from(byte)),
            byte => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri + "?immutable=1"
}

/// A file beside another, by what its name ends with: the same database's, or a draft of it.
pub fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}
