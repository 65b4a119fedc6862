//! An SQLite database is put back: written and checked beside the old one, then renamed into its place.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use super::runner::{Unwritten, write_database};
use super::{content_failure, restore_failed, with_target};
use crate::backup::source::surroundings::is_full;
use crate::backup::source::{beside, check_database};
use crate::core::backup::report::{Failure, FailureReason};

/// What belongs to the old database and must never meet the new one: SQLite would play it back into it.
const COMPANIONS: [&str; 3] = ["-wal", "-journal", "-shm"];
const NEW: &str = ".tradingbot-restore-new";
const OLD: &str = ".tradingbot-restore-old";

/// Nothing has the database open: nobody trades.
pub(super) fn restore(path: &Path, content: &mut dyn Read) -> Result<(), Failure> {
    let failed = |doing: &str, error: &io::Error| disk_failure(path, doing, error);
    let parent = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(parent).map_err(|error| failed("its folder could not be made", &error))?;
    let new = beside(path, NEW);
    remove(&new).map_err(|error| failed("what an earlier restore left could not be removed", &error))?;
    let written = write_and_check(path, &new, content);
    if let Err(failure) = written {
        let _ = remove(&new);
        return Err(failure);
    }
    put_in_place(path, &new)?;
    File::open(parent)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| with_target(true, failed("it may not be on the disk", &error)))?;
    // The old one is worth nothing any more, and is taken away by the next restore where it cannot be now.
    for ending in ["", "-wal", "-journal", "-shm"] {
        if let Err(error) = remove(&beside(path, &format!("{OLD}{ending}"))) {
            tracing::warn!("What was there before {} was restored could not be removed: {error}.", path.display());
        }
    }
    Ok(())
}

fn write_and_check(path: &Path, new: &Path, content: &mut dyn Read) -> Result<(), Failure> {
    write_database(new, content).map_err(|error| match error {
        Unwritten::Content(error) => content_failure(error),
        Unwritten::Disk(error) => disk_failure(path, "it could not be written beside the old one", &error),
    })?;
    check_database(new).map_err(|found| {
        Failure::new(
            FailureReason::Damaged,
            format!("The SQLite database in the backup is not sound: {found}. {} is as it was before.", path.display()),
        )
    })?;
    match fs::metadata(path) {
        Ok(old) => {
            fs::set_permissions(new, fs::Permissions::from_mode(old.mode() & 0o777))
                .map_err(|error| disk_failure(path, "the new one could not get the old one's mode", &error))?;
            // Only root may give files away; anybody else made the old one as well, or must be able to write it anyhow.
            let _ = chown(new, Some(old.uid()), Some(old.gid()));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(disk_failure(path, "the old one could not be looked at", &error)),
    }
    Ok(())
}

/// The old one and its companions out of the way, the new one in. What fails is taken back.
fn put_in_place(path: &Path, new: &Path) -> Result<(), Failure> {
    let mut moved: Vec<(PathBuf, PathBuf)> = Vec::new();
    // The companions first: should this be cut short, none of them is left to be played back into the new one.
    let steps = COMPANIONS
        .iter()
        .copied()
        .chain([""])
        .map(|ending| (beside(path, ending), beside(path, &format!("{OLD}{ending}"))));
    let mut failed = None;
    for (from, to) in steps {
        match fs::rename(&from, &to) {
            Ok(()) => moved.push((from, to)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
    }
    let failed = failed.or_else(|| fs::rename(new, path).err());
    let Some(error) = failed else { return Ok(()) };
    let taken_back = moved.iter().rev().all(|(from, to)| fs::rename(to, from).is_ok());
    let _ = remove(new);
    let failure = disk_failure(path, "it could not be put in the place of the old one", &error);
    Err(with_target(!taken_back, failure))
}

fn disk_failure(path: &Path, doing: &str, error: &io::Error) -> Failure {
    let advice = match error {
        error if is_full(error) => " The volume is full: it has to hold the old and the new one for a while.",
        error if error.kind() == io::ErrorKind::PermissionDenied => {
            " The restore's pod has to run as a user that may write there."
        }
        _ => "",
    };
    restore_failed(format!("The SQLite database {} was not restored, {doing}: {error}.{advice}", path.display()))
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
