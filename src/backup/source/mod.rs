//! What is backed up: reading it, as one stream, without holding it in memory.
//!
//! Everything here blocks and belongs on a thread of its own.

pub mod child;
mod command;
pub mod folder;
mod pipe;
mod postgresql;
mod said;
mod sqlite;
pub mod surroundings;
mod tree;

use std::collections::BTreeMap;
use std::io::{self, Write};

use crate::api::backup::Source;
use crate::api::backup_config::BackupConfig;
use crate::core::backup::manifest::Format;
use crate::core::backup::report::{Failure, FailureReason};

pub use postgresql::missing_program;
pub use sqlite::{beside, check_database, sqlite_failure};
use surroundings::Surroundings;
pub use tree::{LEFT_OUT_PREFIX, LOST_AND_FOUND};

/// What came out of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Produced {
    /// What it is.
    pub format: Format,
    /// The versions of the programs that made it, by name.
    pub tools: BTreeMap<String, String>,
}

/// The source of a configuration, which is exactly one.
#[derive(Clone, Copy, Debug)]
pub enum OneSource<'a> {
    /// A command.
    Command(&'a crate::api::backup::CommandSource),
    /// A PostgreSQL database.
    Postgresql(&'a crate::api::backup::PostgresqlSource),
    /// A directory.
    Directory(&'a crate::api::backup::DirectorySource),
    /// An SQLite database.
    Sqlite(&'a crate::api::backup::SqliteSource),
}

impl<'a> OneSource<'a> {
    /// The one that is set.
    pub fn of(source: &'a Source) -> Result<OneSource<'a>, Failure> {
        let Source { command, postgresql, directory, sqlite } = source;
        match (command, postgresql, directory, sqlite) {
            (Some(command), None, None, None) => Ok(OneSource::Command(command)),
            (None, Some(postgresql), None, None) => Ok(OneSource::Postgresql(postgresql)),
            (None, None, Some(directory), None) => Ok(OneSource::Directory(directory)),
            (None, None, None, Some(sqlite)) => Ok(OneSource::Sqlite(sqlite)),
            _ => Err(Failure::new(
                FailureReason::Misconfigured,
                "spec.backup.source has to be exactly one of command, postgresql, directory and sqlite.",
            )),
        }
    }

    /// Its field in spec.backup.source.
    pub fn field(&self) -> &'static str {
        match self {
            OneSource::Command(_) => "command",
            OneSource::Postgresql(_) => "postgresql",
            OneSource::Directory(_) => "directory",
            OneSource::Sqlite(_) => "sqlite",
        }
    }
}

/// Writes everything that is to be backed up into the sink.
///
/// A sink that fails with `BrokenPipe` is one that nobody waits for any more: programs are stopped, and the failure is
/// `Interrupted`.
pub fn produce(config: &BackupConfig, sink: &mut dyn Write) -> Result<Produced, Failure> {
    produce_in(&Surroundings::of_the_pod(), config, sink)
}

/// As [`produce`], elsewhere than in a pod.
pub fn produce_in(around: &Surroundings, config: &BackupConfig, sink: &mut dyn Write) -> Result<Produced, Failure> {
    match OneSource::of(&config.source)? {
        OneSource::Command(source) => command::produce(around, source, sink),
        OneSource::Postgresql(_) => postgresql::produce(around, config.compression, sink),
        OneSource::Directory(source) => {
            tree::write(source.path.as_ref(), sink)?;
            Ok(Produced { format: Format::Tar, tools: BTreeMap::new() })
        }
        OneSource::Sqlite(source) => sqlite::produce(around, source.path.as_ref(), sink),
    }
}

fn source_failed(message: impl Into<String>) -> Failure {
    Failure::new(FailureReason::SourceFailed, message)
}

/// The sink took no more. Why is for whoever holds its other end to say.
fn sink_failure(error: &io::Error) -> Failure {
    Failure::new(FailureReason::Interrupted, format!("What was read from the source could not be passed on: {error}."))
}

/// Why a program that makes a backup did not end by itself. `what` names it, such as `the command 'dump'`.
fn broken(what: &str, broken: child::Broken) -> Failure {
    match broken {
        child::Broken::Start(error) => {
            source_failed(format!("{what} could not be started: {error}. Is it in the image of the backup's pod?"))
        }
        child::Broken::Sink(error) => sink_failure(&error),
        child::Broken::Lingers => source_failed(format!(
            "{what} ended, but a process that it left behind keeps its standard output open, so the backup may not be \
             complete: let the command wait for everything it starts."
        )),
        child::Broken::Content(error) | child::Broken::System(error) => {
            source_failed(format!("{what} could not be followed: {error}."))
        }
    }
}
