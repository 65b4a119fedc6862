//! What a command of the user's writes: a stream, or files.

use std::collections::BTreeMap;
use std::io::Write;

use super::child::{self, Streams};
use super::surroundings::Surroundings;
use super::{Produced, broken, source_failed, tree};
use crate::api::backup::{CommandSource, Output};
use crate::core::backup::manifest::Format;
use crate::core::backup::report::{Failure, FailureReason};

/// Where the command writes its files.
const BACKUP_DIR_ENV: &str = "TRADINGBOT_BACKUP_DIR";

pub(super) fn produce(
    around: &Surroundings,
    source: &CommandSource,
    sink: &mut dyn Write,
) -> Result<Produced, Failure> {
    let mut command = around.users_command(&source.command, "spec.backup.source.command.command")?;
    let name = source.command.first().cloned().unwrap_or_default();
    let what = format!("The command '{name}' of spec.backup.source");
    match source.output {
        Output::Stream => {
            let mut counting = Counting { sink, bytes: 0 };
            run(around, &what, &name, command, Streams::Into(&mut counting))?;
            if counting.bytes == 0 {
                return Err(source_failed(format!(
                    "{what} wrote nothing to its standard output. A command that writes files needs output: Files."
                )));
            }
            Ok(Produced { format: Format::Stream, tools: BTreeMap::new() })
        }
        Output::Files => {
            let folder = around.folder().map_err(|error| {
                around.scratch_failure(FailureReason::SourceFailed, "No folder could be made for the command", &error)
            })?;
            command.env(BACKUP_DIR_ENV, folder.path());
            run(around, &what, &name, command, Streams::Neither)?;
            if tree::is_empty(folder.path())? {
                return Err(source_failed(format!(
                    "{what} left the directory that {BACKUP_DIR_ENV} names empty: it has to write its files there."
                )));
            }
            tree::write(folder.path(), sink)?;
            Ok(Produced { format: Format::Tar, tools: BTreeMap::new() })
        }
    }
}

fn run(
    around: &Surroundings,
    what: &str,
    name: &str,
    command: std::process::Command,
    streams: Streams<'_>,
) -> Result<(), Failure> {
    let ended = child::run(name, command, streams).map_err(|error| broken(what, error))?;
    let Some(trouble) = ended.trouble() else { return Ok(()) };
    match around.scratch_is_full() {
        true => Err(around.full(FailureReason::SourceFailed, &format!("{what} {trouble}"))),
        false => Err(source_failed(format!("{what} {trouble}."))),
    }
}

struct Counting<'a> {
    sink: &'a mut dyn Write,
    bytes: u64,
}

impl Write for Counting<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let n = self.sink.write(bytes)?;
        self.bytes += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.sink.flush()
    }
}
