//! The user's command puts a backup back: a stream on its standard input, files in a directory.

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::unpack::{self, Unfit};
use super::{Remembering, broken, content_failure, restore_failed, with_target};
use crate::api::backup_config::BackupConfig;
use crate::backup::source::check_database;
use crate::backup::source::child::{self, Broken, Streams};
use crate::backup::source::folder::Folder;
use crate::backup::source::surroundings::{ScratchFolder, Surroundings};
use crate::core::backup::BackupId;
use crate::core::backup::manifest::Format;
use crate::core::backup::report::{Failure, FailureReason};

/// Where the command finds files.
const RESTORE_DIR_ENV: &str = "TRADINGBOT_RESTORE_DIR";
/// Which backup it is.
const BACKUP_ID_ENV: &str = "TRADINGBOT_BACKUP_ID";

/// Once the command runs, the target counts as changed.
pub(super) fn run(
    around: &Surroundings,
    config: &BackupConfig,
    format: Format,
    id: &BackupId,
    content: &mut dyn Read,
) -> Result<(), Failure> {
    let mut command = around.users_command(&config.command, "spec.backup.restore.command")?;
    command.env(BACKUP_ID_ENV, id.as_str());
    let name = config.command.first().cloned().unwrap_or_default();
    let what = format!("The restore command '{name}'");
    let files = match format {
        Format::Stream | Format::PostgresqlCustom => None,
        Format::Tar => Some(unpack_into_scratch(around, content)?),
        Format::Sqlite => {
            let folder = scratch(around)?;
            let path = config.source.sqlite.as_ref().map(|source| Path::new(&source.path));
            let name = path.and_then(Path::file_name).unwrap_or("database".as_ref());
            database_into_scratch(around, &folder.path().join(name), content)?;
            Some(folder)
        }
    };
    let ended = match &files {
        None => child::run(&name, command, Streams::From(content)),
        Some(folder) => {
            command.env(RESTORE_DIR_ENV, folder.path());
            child::run(&name, command, Streams::Neither)
        }
    };
    let ended = ended.map_err(|error| with_target(!matches!(error, Broken::Start(_)), broken(&what, error)))?;
    match ended.trouble() {
        None => Ok(()),
        Some(trouble) => {
            let sentence = format!("{what} {trouble}");
            let failure = match around.scratch_is_full() {
                true => around.full(FailureReason::RestoreFailed, &sentence),
                false => restore_failed(sentence + "."),
            };
            Err(with_target(true, failure))
        }
    }
}

pub(super) fn scratch(around: &Surroundings) -> Result<ScratchFolder, Failure> {
    around.folder().map_err(|error| {
        around.scratch_failure(FailureReason::RestoreFailed, "No folder could be made for the backup", &error)
    })
}

/// Unpacks a tar into a new folder in scratch.
pub(super) fn unpack_into_scratch(around: &Surroundings, content: &mut dyn Read) -> Result<ScratchFolder, Failure> {
    let folder = scratch(around)?;
    let failed = |doing: &str, error: &io::Error| around.scratch_failure(FailureReason::RestoreFailed, doing, error);
    let root = Folder::open(folder.path()).map_err(|error| failed("The scratch folder could not be opened", &error))?;
    unpack::unpack(content, &root).map_err(|unfit| match unfit {
        Unfit::Failed(failure) => failure,
        Unfit::Disk(doing, error) => failed(&doing, &error),
    })?;
    Ok(folder)
}

/// Writes an SQLite database into scratch and checks its integrity.
pub(super) fn database_into_scratch(around: &Surroundings, file: &Path, content: &mut dyn Read) -> Result<(), Failure> {
    match write_database(file, content) {
        Err(Unwritten::Content(error)) => return Err(content_failure(error)),
        Err(Unwritten::Disk(error)) => {
            let doing = "The database could not be written";
            return Err(around.scratch_failure(FailureReason::RestoreFailed, doing, &error));
        }
        Ok(()) => {}
    }
    check_database(file).map_err(|found| {
        Failure::new(FailureReason::Damaged, format!("The SQLite database in the backup is not sound: {found}."))
    })
}

/// Why a database could not be written.
pub(super) enum Unwritten {
    Content(io::Error),
    Disk(io::Error),
}

/// Writes the content into a file, which is made, and flushes it to the disk.
pub(super) fn write_database(file: &Path, content: &mut dyn Read) -> Result<(), Unwritten> {
    let mut to = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).map_err(Unwritten::Disk)?;
    let mut content = Remembering::new(content);
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let n = match content.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Unwritten::Content(content.error.take().unwrap_or(error))),
        };
        to.write_all(&buffer[..n]).map_err(Unwritten::Disk)?;
    }
    to.sync_all().map_err(Unwritten::Disk)
}
