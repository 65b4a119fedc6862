//! A tar is unpacked into a folder, and nowhere else, whatever its entries say.
//!
//! Every entry is reached folder by folder from the one that is held open, never through a link, and no file is written
//! twice. So links are made as they are, also those that lead outside: nothing is ever written through one.

use std::ffi::OsStr;
use std::fs::{File, FileTimes, Permissions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown, lchown, symlink};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime};

use tar::{Archive, Entry, EntryType, Header};

use super::{Remembering, content_failure};
use crate::backup::source::child::read_to_the_end;
use crate::backup::source::folder::Folder;
use crate::core::backup::report::{Failure, FailureReason};

/// What is copied at once, and the hole that a file gets where so many bytes are zeroes.
const CHUNK: usize = 64 * 1024;

/// Why a tar was not unpacked.
#[derive(Debug)]
pub(super) enum Unfit {
    /// The backup is no good, or could not be read on.
    Failed(Failure),
    /// The disk did not do as it should: what was being done.
    Disk(String, io::Error),
}

/// Unpacks all of it, and reads the content to its end.
pub(super) fn unpack(content: &mut dyn Read, root: &Folder) -> Result<(), Unfit> {
    let mut content = Remembering::new(content);
    let unpacked = entries(&mut content, root);
    let read = unpacked.and_then(|entries| {
        read_to_the_end(&mut content).map_err(|error| refused(error.to_string()))?;
        Ok(entries)
    });
    match (content.error.take(), read) {
        (Some(error), _) => Err(Unfit::Failed(content_failure(error))),
        (None, Ok(entries)) => {
            tracing::info!("Unpacked {entries} entries.");
            Ok(())
        }
        (None, Err(unfit)) => Err(unfit),
    }
}

fn refused(message: impl Into<String>) -> Unfit {
    let message = format!("The backup's tar is not one that can be unpacked: {}.", message.into());
    Unfit::Failed(Failure::new(FailureReason::Damaged, message))
}

fn entries(content: &mut Remembering<'_>, root: &Folder) -> Result<u64, Unfit> {
    let mut archive = Archive::new(content);
    let mut unpacking = Unpacking { root, parent: None, folders: Vec::new() };
    let mut count = 0;
    for entry in archive.entries().map_err(|error| refused(error.to_string()))? {
        let mut entry = entry.map_err(|error| refused(error.to_string()))?;
        unpacking.entry(&mut entry)?;
        count += 1;
    }
    unpacking.finish_folders()?;
    Ok(count)
}

struct Unpacking<'a> {
    root: &'a Folder,
    /// The folder of the last entry: the next one is most often in it as well.
    parent: Option<(PathBuf, Folder)>,
    /// Folders, which get their mode and time when nothing is written into them any more.
    folders: Vec<(PathBuf, Attributes)>,
}

impl Unpacking<'_> {
    fn entry<R: Read>(&mut self, entry: &mut Entry<'_, R>) -> Result<(), Unfit> {
        let bytes = entry.path_bytes().into_owned();
        let Some(path) = plain(&bytes) else {
            return Err(refused(format!("the entry '{}' leads outside", shown(&bytes))));
        };
        let attributes = Attributes::of(entry.header()).map_err(|error| refused(error.to_string()))?;
        let kind = entry.header().entry_type();
        // The folder itself, which some programs write first.
        let Some(name) = path.file_name() else { return Ok(()) };
        let failed = |error: io::Error| match error.raw_os_error() {
            Some(libc::ELOOP | libc::ENOTDIR) => refused(format!("the entry '{}' goes through a link", shown(&bytes))),
            Some(libc::EEXIST) => refused(format!("the entry '{}' is there twice", shown(&bytes))),
            _ => Unfit::Disk(format!("'{}' could not be written", shown(&bytes)), error),
        };
        let parent = self.parent(path.parent().unwrap_or(Path::new(""))).map_err(failed)?;
        match kind {
            EntryType::Directory => {
                parent.enter_or_make(name).map_err(failed)?;
                self.folders.push((path, attributes));
            }
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                let file = parent.create(name).map_err(failed)?;
                copy(entry, &file).map_err(|trouble| match trouble {
                    Copying::Content(error) => refused(format!("'{}' cannot be read: {error}", shown(&bytes))),
                    Copying::Disk(error) => failed(error),
                })?;
                attributes.apply(&file).map_err(failed)?;
            }
            EntryType::Symlink => {
                let target = entry.link_name_bytes().unwrap_or_default().into_owned();
                symlink(OsStr::from_bytes(&target), parent.at(name)).map_err(failed)?;
                let _ = lchown(parent.at(name), Some(attributes.uid), Some(attributes.gid));
            }
            _ => return Err(refused(format!("the entry '{}' is no file, folder or symbolic link", shown(&bytes)))),
        }
        Ok(())
    }

    fn parent(&mut self, path: &Path) -> io::Result<&Folder> {
        let known = match self.parent.take() {
            Some((known, folder)) if known == path => folder,
            _ => self.root.walk(path, true)?,
        };
        Ok(&self.parent.insert((path.to_owned(), known)).1)
    }

    fn finish_folders(&mut self) -> Result<(), Unfit> {
        // Those inside first: one that may not be entered any more hides them.
        for (path, attributes) in self.folders.iter().rev() {
            let finished = self.root.walk(path, false).and_then(|folder| attributes.apply(folder.file()));
            finished.map_err(|error| {
                Unfit::Disk(format!("the folder '{}' could not get its mode", path.display()), error)
            })?;
        }
        Ok(())
    }
}

/// A path that stays below where it begins; `None` for one that does not.
fn plain(bytes: &[u8]) -> Option<PathBuf> {
    let mut path = PathBuf::new();
    for component in Path::new(OsStr::from_bytes(bytes)).components() {
        match component {
            Component::Normal(name) => path.push(name),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    (!bytes.contains(&0)).then_some(path)
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace(char::is_control, "?").chars().take(200).collect()
}

/// What a file has beside its content.
struct Attributes {
    mode: u32,
    uid: u32,
    gid: u32,
    changed: SystemTime,
}

impl Attributes {
    fn of(header: &Header) -> io::Result<Attributes> {
        let number = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        Ok(Attributes {
            mode: header.mode()? & 0o7777,
            uid: number(header.uid()?),
            gid: number(header.gid()?),
            changed: SystemTime::UNIX_EPOCH + Duration::from_secs(header.mtime()?.min(1 << 40)),
        })
    }

    /// Owners are given back as far as we may: root may, others have the group at most.
    fn apply(&self, file: &File) -> io::Result<()> {
        if fchown(file, Some(self.uid), Some(self.gid)).is_err() {
            let _ = fchown(file, None, Some(self.gid));
        }
        let found = file.metadata()?;
        let mut mode = self.mode;
        if found.uid() != self.uid || found.gid() != self.gid {
            // A program that runs as its owner must not run as another.
            mode &= if found.is_dir() { 0o3777 } else { 0o777 };
        }
        file.set_permissions(Permissions::from_mode(mode))?;
        file.set_times(FileTimes::new().set_modified(self.changed))
    }
}

enum Copying {
    Content(io::Error),
    Disk(io::Error),
}

/// Zeroes become holes: a sparse file may be larger than the disk.
fn copy(from: &mut impl Read, mut to: &File) -> Result<(), Copying> {
    let mut buffer = vec![0; CHUNK];
    let (mut length, mut hole) = (0_u64, false);
    loop {
        let mut filled = 0;
        while filled < CHUNK {
            match from.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Copying::Content(error)),
            }
        }
        if filled == 0 {
            break;
        }
        length += filled as u64;
        hole = filled == CHUNK && buffer.iter().all(|&byte| byte == 0);
        match hole {
            true => to.seek(SeekFrom::Current(CHUNK as i64)).map(drop),
            false => to.write_all(&buffer[..filled]),
        }
        .map_err(Copying::Disk)?;
    }
    if hole {
        to.set_len(length).map_err(Copying::Disk)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn only_paths_that_stay_below_are_plain() {
        assert_eq!(plain(b"./a/b"), Some("a/b".into()));
        assert_eq!(plain(b"a//b/"), Some("a/b".into()));
        assert_eq!(plain(b"./"), Some("".into()));
        for outside in [&b"/etc/x"[..], b"../x", b"a/../../x", b"a/..", b"a\0b"] {
            assert_eq!(plain(outside), None, "{}", shown(outside));
        }
    }

    #[test]
    fn setuid_never_survives_a_change_of_the_owner() {
        let folder = std::env::temp_dir().join(format!("attributes-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("program");
        let file = File::create(&path).unwrap();
        let own = file.metadata().unwrap();
        let keep = Attributes { mode: 0o4750, uid: own.uid(), gid: own.gid(), changed: SystemTime::UNIX_EPOCH };
        keep.apply(&file).unwrap();
        assert_eq!(file.metadata().unwrap().mode() & 0o7777, 0o4750);
        fs::remove_dir_all(&folder).unwrap();
    }
}
