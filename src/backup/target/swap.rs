//! A directory is put back: unpacked into a folder of its own in it, then swapped in, entry by entry.
//!
//! The directory itself may be where a volume is mounted and cannot be renamed; what is in it can. Everything stays on
//! one volume, so a swap is renames alone. Until it begins nothing of the old content is touched; what fails in it is taken
//! back.

use std::ffi::{OsStr, OsString};
use std::fs::{self, Permissions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::unpack::{self, Unfit};
use super::{restore_failed, with_target};
use crate::backup::source::folder::Folder;
use crate::backup::source::surroundings::is_full;
use crate::backup::source::{LEFT_OUT_PREFIX, LOST_AND_FOUND};
use crate::core::backup::report::Failure;

/// Puts the files of a tar in the place of all that is in the directory.
pub(super) fn restore(path: &Path, content: &mut dyn Read) -> Result<(), Failure> {
    let failed = |doing: &str, error: &io::Error| disk_failure(path, doing, error);
    fs::create_dir_all(path).map_err(|error| failed("it could not be made", &error))?;
    let root = Folder::open(path).map_err(|error| failed("it could not be opened", &error))?;
    let new = OsString::from(format!("{LEFT_OUT_PREFIX}new"));
    // Files of a restore that was cut short: they come from a backup, and from there again.
    root.remove_tree(&new).map_err(|error| failed("what an earlier restore left could not be removed", &error))?;
    let unpacked = stage(path, &root, &new, content);
    let swapped = unpacked.and_then(|folder| swap(path, &root, &folder));
    if let Err(error) = root.remove_tree(&new) {
        tracing::warn!("{} could not be removed: {error}.", path.join(&new).display());
    }
    swapped?;
    // The old content, also of restores that were cut short: the new one is complete and on the disk.
    for name in root.names().unwrap_or_default().iter().filter(|name| is_ours(name)) {
        if let Err(error) = root.remove_tree(name) {
            tracing::warn!("The old content in {} could not be removed: {error}.", path.join(name).display());
        }
    }
    Ok(())
}

fn stage(path: &Path, root: &Folder, new: &OsStr, content: &mut dyn Read) -> Result<Folder, Failure> {
    let failed = |doing: &str, error: &io::Error| disk_failure(path, doing, error);
    let folder = root.enter_or_make(new).map_err(|error| failed("no folder could be made in it", &error))?;
    unpack::unpack(content, &folder).map_err(|unfit| match unfit {
        Unfit::Failed(failure) => failure,
        Unfit::Disk(doing, error) => failed(&doing, &error),
    })?;
    folder.sync_volume().map_err(|error| failed("the new files could not be flushed to the disk", &error))?;
    Ok(folder)
}

/// One rename of a swap, to be taken back.
struct Moved<'a> {
    from: &'a Folder,
    to: &'a Folder,
    name: OsString,
}

fn swap(path: &Path, root: &Folder, new: &Folder) -> Result<(), Failure> {
    let failed = |doing: &str, error: &io::Error| disk_failure(path, doing, error);
    let (old_name, old) =
        old_folder(root).map_err(|error| failed("no folder could be made for the old content", &error))?;
    let mut moved = Vec::new();
    let done = move_all(root, &old, &mut moved)
        .and_then(|()| move_all(new, root, &mut moved))
        .and_then(|()| root.sync_volume());
    let Err(error) = done else { return Ok(()) };
    let taken_back = moved.iter().rev().all(|Moved { from, to, name }| rename(to, from, name).is_ok());
    let failure = failed("the new files could not be put in the place of the old ones", &error);
    match taken_back {
        true => {
            let _ = fs::remove_dir(root.at(&old_name));
            Err(failure)
        }
        false => {
            let where_it_is = path.join(&old_name);
            let message = format!("{} The old content is in {}.", failure.message, where_it_is.display());
            Err(with_target(true, restore_failed(message)))
        }
    }
}

/// Moves every entry but our own, and the one that belongs to the filesystem.
fn move_all<'a>(from: &'a Folder, to: &'a Folder, moved: &mut Vec<Moved<'a>>) -> io::Result<()> {
    for name in from.names()? {
        if is_ours(&name) || name == LOST_AND_FOUND {
            continue;
        }
        // Two folders that are both there cannot take each other's place by a rename; nothing of that name is.
        if to.has(&name)? {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("'{}' came back", name.display())));
        }
        rename(from, to, &name)
            .map_err(|error| io::Error::new(error.kind(), format!("'{}': {error}", name.display())))?;
        moved.push(Moved { from, to, name });
    }
    Ok(())
}

/// Moves one entry. A folder that its owner may not write to cannot be moved either, for it would have another parent: it
/// may be written to for that moment.
fn rename(from: &Folder, to: &Folder, name: &OsStr) -> io::Result<()> {
    let refused = match fs::rename(from.at(name), to.at(name)) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => error,
        done => return done,
    };
    // What is no folder was refused for another reason.
    let folder = from.enter(name).map_err(|_| refused)?;
    let mode = folder.file().metadata()?.permissions();
    folder.file().set_permissions(Permissions::from_mode(mode.mode() | 0o700))?;
    let moved = fs::rename(from.at(name), to.at(name));
    folder.file().set_permissions(mode)?;
    moved
}

/// A folder for the old content. One that an earlier restore left is kept until a restore succeeds.
fn old_folder(root: &Folder) -> io::Result<(OsString, Folder)> {
    for n in 0..100 {
        let name = OsString::from(format!("{LEFT_OUT_PREFIX}old-{n}"));
        if !root.has(&name)? {
            let folder = root.enter_or_make(&name)?;
            return Ok((name, folder));
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "too many folders of earlier restores"))
}

fn is_ours(name: &OsStr) -> bool {
    name.as_bytes().starts_with(LEFT_OUT_PREFIX.as_bytes())
}

fn disk_failure(path: &Path, doing: &str, error: &io::Error) -> Failure {
    let advice = match error {
        error if is_full(error) => " The volume is full: it has to hold the old and the new files for a while.",
        error if error.kind() == io::ErrorKind::PermissionDenied => {
            " The restore's pod has to run as a user that may write there."
        }
        _ => "",
    };
    restore_failed(format!("The directory {} was not restored, {doing}: {error}.{advice}", path.display()))
}
