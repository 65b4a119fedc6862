//! Where a backup is put back: the real target, or a scratch place that proves it.
//!
//! Everything here blocks and belongs on a thread of its own. The content is read to its end before anything is called
//! done: whoever gives it can say at the end that it was not the right one.

mod postgresql;
mod runner;
mod sqlite;
mod swap;
mod unpack;

use std::io::{self, Read};

use crate::api::backup_config::BackupConfig;
use crate::backup::source::OneSource;
use crate::backup::source::child::{Broken, read_to_the_end};
use crate::backup::source::surroundings::Surroundings;
use crate::core::backup::BackupId;
use crate::core::backup::manifest::Format;
use crate::core::backup::report::{Failure, FailureReason};

/// Puts a backup back into the real target. A failure says whether it may have changed it.
pub fn restore(config: &BackupConfig, format: Format, id: &BackupId, content: &mut dyn Read) -> Result<(), Failure> {
    restore_in(&Surroundings::of_the_pod(), config, format, id, content)
}

/// As [`restore`], elsewhere than in a pod.
pub fn restore_in(
    around: &Surroundings,
    config: &BackupConfig,
    format: Format,
    id: &BackupId,
    content: &mut dyn Read,
) -> Result<(), Failure> {
    if !config.command.is_empty() {
        return runner::run(around, config, format, id, content);
    }
    let source = OneSource::of(&config.source)?;
    match (format, source) {
        (Format::PostgresqlCustom, OneSource::Postgresql(_)) => postgresql::restore(around, content),
        (Format::Tar, OneSource::Directory(source)) => swap::restore(source.path.as_ref(), content),
        (Format::Sqlite, OneSource::Sqlite(source)) => sqlite::restore(source.path.as_ref(), content),
        (Format::Stream, _) | (Format::Tar, OneSource::Command(_)) => Err(Failure::new(
            FailureReason::Misconfigured,
            format!(
                "The backup {id} is what a command wrote, and only a command can put it back: set \
                 spec.backup.restore.command."
            ),
        )),
        (format, source) => Err(Failure::new(
            FailureReason::Misconfigured,
            format!(
                "The backup {id} is {}, and spec.backup.source is now {}: set spec.backup.restore.command to one that \
                 puts it back.",
                described(format),
                source.field()
            ),
        )),
    }
}

/// Puts a backup into a scratch place, which proves that it can be put back. The real target is never touched.
///
/// Without a command: a tar is unpacked, an SQLite database written and checked for integrity, a stream read, and a dump of
/// PostgreSQL restored into the database that the environment names. Where it names none (`PGDATABASE` is not set) the
/// dump is decoded to its last row and restored nowhere.
pub fn rehearse(config: &BackupConfig, format: Format, id: &BackupId, content: &mut dyn Read) -> Result<(), Failure> {
    rehearse_in(&Surroundings::of_the_pod(), config, format, id, content)
}

/// As [`rehearse`], elsewhere than in a pod.
pub fn rehearse_in(
    around: &Surroundings,
    config: &BackupConfig,
    format: Format,
    id: &BackupId,
    content: &mut dyn Read,
) -> Result<(), Failure> {
    let rehearsed = match format {
        _ if !config.command.is_empty() => runner::run(around, config, format, id, content),
        Format::Stream => read_to_the_end(content).map(drop).map_err(content_failure),
        Format::Tar => runner::unpack_into_scratch(around, content).map(drop),
        Format::Sqlite => {
            let folder = runner::scratch(around)?;
            runner::database_into_scratch(around, &folder.path().join("database"), content)
        }
        Format::PostgresqlCustom => postgresql::rehearse(around, content),
    };
    // A scratch place is no target.
    rehearsed.map_err(|failure| Failure { target_changed: false, ..failure })
}

fn described(format: Format) -> &'static str {
    match format {
        Format::Stream => "a stream",
        Format::Tar => "files",
        Format::PostgresqlCustom => "a dump of a PostgreSQL database",
        Format::Sqlite => "an SQLite database",
    }
}

fn restore_failed(message: impl Into<String>) -> Failure {
    Failure::new(FailureReason::RestoreFailed, message)
}

fn with_target(changed: bool, failure: Failure) -> Failure {
    Failure { target_changed: changed, ..failure }
}

/// The content could not be read on. A failure that its reader wrapped is passed on as it is.
fn content_failure(error: io::Error) -> Failure {
    match error.downcast::<Failure>() {
        Ok(failure) => failure,
        Err(error) => restore_failed(format!("The backup could not be read on: {error}.")),
    }
}

/// Why a program that restores did not end by itself. `what` names it.
fn broken(what: &str, broken: Broken) -> Failure {
    match broken {
        Broken::Start(error) => {
            restore_failed(format!("{what} could not be started: {error}. Is it in the image of this pod?"))
        }
        Broken::Content(error) => content_failure(error),
        Broken::Lingers | Broken::Sink(_) => restore_failed(format!("{what} did not end.")),
        Broken::System(error) => restore_failed(format!("{what} could not be followed: {error}.")),
    }
}

/// Content that remembers why it could not be read: what reads a tar wraps errors in its own.
struct Remembering<'a> {
    content: &'a mut dyn Read,
    error: Option<io::Error>,
}

impl<'a> Remembering<'a> {
    fn new(content: &'a mut dyn Read) -> Remembering<'a> {
        Remembering { content, error: None }
    }
}

impl Read for Remembering<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.content.read(buffer) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                let kind = error.kind();
                self.error = Some(error);
                Err(kind.into())
            }
            read => read,
        }
    }
}
