//! A folder as a tar, in the order of names, so that the same files make the same bytes.
//!
//! Links are kept as links and never followed. Owners are kept as numbers. Hard links become files of their own; extended
//! attributes are not kept; sockets, pipes and devices are left out.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use tar::{Builder, EntryType, Header};

use super::folder::{DEEPEST, Folder};
use super::{sink_failure, source_failed};
use crate::core::backup::report::Failure;

/// Entries at the top whose names begin so are what a restore needs for itself, no files of the user's.
pub const LEFT_OUT_PREFIX: &str = ".tradingbot-restore-";
/// The folder that some filesystems have at the top of a volume, for root alone.
pub const LOST_AND_FOUND: &str = "lost+found";
/// A file up to this size is read before it is written, again if it changed meanwhile.
const SMALL: u64 = 256 * 1024;
/// How often.
const ATTEMPTS: usize = 3;

/// Whether there is nothing in a folder to back up.
pub(super) fn is_empty(root: &Path) -> Result<bool, Failure> {
    let names = Folder::open(root).and_then(|folder| folder.names()).map_err(|error| cannot_read(root, &error))?;
    Ok(!names.iter().any(|name| is_wanted(name, true)))
}

/// Writes everything below a folder.
pub(super) fn write(root: &Path, sink: &mut dyn Write) -> Result<(), Failure> {
    if is_empty(root)? {
        return Err(source_failed(format!(
            "The directory {} is empty. A backup of nothing would take the place of a good one: is the path right, and \
             has the bot written there?",
            root.display()
        )));
    }
    let folder = Folder::open(root).map_err(|error| cannot_read(root, &error))?;
    let archive = Builder::new(BufWriter::with_capacity(256 * 1024, sink));
    let mut writing = Writing { root, archive, entries: 0, bytes: 0, small: Vec::new() };
    writing.folder(&folder, Path::new(""), 0)?;
    let Writing { archive, entries, bytes, .. } = writing;
    let finished = archive.into_inner().and_then(|mut sink| sink.flush());
    finished.map_err(|error| sink_failure(&error))?;
    tracing::info!("Read {entries} entries with {bytes} bytes below {}.", root.display());
    Ok(())
}

fn is_wanted(name: &OsStr, top: bool) -> bool {
    !top || (name != LOST_AND_FOUND && !name.as_bytes().starts_with(LEFT_OUT_PREFIX.as_bytes()))
}

fn cannot_read(path: &Path, error: &io::Error) -> Failure {
    let advice = match error.kind() {
        io::ErrorKind::NotFound => " Is spec.backup.source right, and has the bot made it?",
        io::ErrorKind::PermissionDenied => " The backup's pod has to run as a user that may read it.",
        _ => "",
    };
    source_failed(format!("{} cannot be read: {error}.{advice}", path.display()))
}

struct Writing<'a, W: Write> {
    root: &'a Path,
    archive: Builder<W>,
    entries: u64,
    bytes: u64,
    small: Vec<u8>,
}

impl<W: Write> Writing<'_, W> {
    fn shown(&self, path: &Path) -> PathBuf {
        self.root.join(path)
    }

    fn folder(&mut self, folder: &Folder, path: &Path, depth: usize) -> Result<(), Failure> {
        if depth > DEEPEST {
            let message = format!("{} is more than {DEEPEST} folders deep.", self.shown(path).display());
            return Err(source_failed(message));
        }
        let names = folder.names().map_err(|error| cannot_read(&self.shown(path), &error))?;
        for name in names.iter().filter(|name| is_wanted(name, depth == 0)) {
            let path = path.join(name);
            match self.entry(folder, name, &path, depth) {
                Err(Trouble::Vanished) => {
                    tracing::warn!("{} vanished before it was read, and is left out.", self.shown(&path).display());
                }
                Err(Trouble::Failed(failure)) => return Err(failure),
                Ok(()) => {}
            }
        }
        Ok(())
    }

    fn entry(&mut self, folder: &Folder, name: &OsStr, path: &Path, depth: usize) -> Result<(), Trouble> {
        let trouble = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => Trouble::Vanished,
            _ => Trouble::Failed(cannot_read(&self.shown(path), &error)),
        };
        let found = fs::symlink_metadata(folder.at(name)).map_err(trouble)?;
        let kind = found.file_type();
        if kind.is_dir() {
            let inside = folder.enter(name).map_err(trouble)?;
            self.header(path, EntryType::Directory, &found, 0, None, io::empty())?;
            return self.folder(&inside, path, depth + 1).map_err(Trouble::Failed);
        }
        if kind.is_symlink() {
            let target = fs::read_link(folder.at(name)).map_err(trouble)?;
            return self.header(path, EntryType::Symlink, &found, 0, Some(&target), io::empty());
        }
        if kind.is_file() {
            let file = folder.read(name).map_err(trouble)?;
            let found = file.metadata().map_err(trouble)?;
            return match found.len() <= SMALL {
                true => self.small_file(path, file),
                false => self.large_file(path, file, &found),
            };
        }
        let what = if kind.is_socket() { "a socket" } else { "a pipe or a device" };
        tracing::warn!("{} is {what}, and is left out.", self.shown(path).display());
        Ok(())
    }

    fn small_file(&mut self, path: &Path, mut file: File) -> Result<(), Trouble> {
        let mut content = std::mem::take(&mut self.small);
        let mut last = None;
        for _ in 0..ATTEMPTS {
            content.clear();
            let read = io::Seek::rewind(&mut file)
                .and_then(|()| file.metadata())
                .and_then(|before| (&file).take(4 * SMALL).read_to_end(&mut content).map(|_| before))
                .and_then(|before| file.metadata().map(|after| (before, after)));
            let (before, after) = read.map_err(|error| Trouble::Failed(cannot_read(&self.shown(path), &error)))?;
            let same = is_unchanged(&before, &after) && after.len() == content.len() as u64;
            last = Some(after);
            if same {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let Some(found) = last else { return Err(Trouble::Vanished) };
        if found.len() != content.len() as u64 {
            self.warn_of_change(path);
        }
        let written = self.header(path, EntryType::Regular, &found, content.len() as u64, None, content.as_slice());
        self.small = content;
        written
    }

    fn large_file(&mut self, path: &Path, file: File, found: &Metadata) -> Result<(), Trouble> {
        let mut reading = Exactly { file: &file, left: found.len(), error: None };
        let written = self.header(path, EntryType::Regular, found, found.len(), None, &mut reading);
        if let Some(error) = reading.error {
            let shown = self.shown(path);
            let failure = match error.kind() {
                io::ErrorKind::UnexpectedEof => source_failed(format!(
                    "{} became shorter while it was read, so what was read of it is no good.",
                    shown.display()
                )),
                _ => cannot_read(&shown, &error),
            };
            return Err(Trouble::Failed(failure));
        }
        written?;
        if file.metadata().is_ok_and(|after| !is_unchanged(found, &after)) {
            self.warn_of_change(path);
        }
        Ok(())
    }

    fn warn_of_change(&self, path: &Path) {
        tracing::warn!(
            "{} was written while it was read: the backup has what was there then, of different moments perhaps.",
            self.shown(path).display()
        );
    }

    fn header(
        &mut self,
        path: &Path,
        kind: EntryType,
        found: &Metadata,
        size: u64,
        link: Option<&Path>,
        content: impl Read,
    ) -> Result<(), Trouble> {
        let mut name = path.as_os_str().as_bytes().to_vec();
        if kind == EntryType::Directory {
            name.push(b'/');
        }
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(found.mode() & 0o7777);
        header.set_uid(found.uid().into());
        header.set_gid(found.gid().into());
        header.set_mtime(u64::try_from(found.mtime()).unwrap_or(0));
        header.set_size(size);
        let link = link.map(|link| link.as_os_str().as_bytes());
        let old = header.as_old_mut();
        let long_name = !put(&mut old.name, &name);
        let long_link = link.is_some_and(|link| !put(&mut old.linkname, link));
        header.set_cksum();
        let written = (|| {
            if long_name {
                self.archive.append(&long(EntryType::GNULongName, &name), name.chain([0].as_slice()))?;
            }
            if let (true, Some(link)) = (long_link, link) {
                self.archive.append(&long(EntryType::GNULongLink, link), link.chain([0].as_slice()))?;
            }
            self.archive.append(&header, content)
        })();
        written.map_err(|error| Trouble::Failed(sink_failure(&error)))?;
        self.entries += 1;
        self.bytes += size;
        Ok(())
    }
}

enum Trouble {
    /// It is not there any more.
    Vanished,
    Failed(Failure),
}

/// Whether all of it has room.
fn put(field: &mut [u8; 100], bytes: &[u8]) -> bool {
    let n = bytes.len().min(field.len());
    field[..n].copy_from_slice(&bytes[..n]);
    n == bytes.len()
}

/// What precedes an entry whose name, or link, is too long for its header.
fn long(kind: EntryType, bytes: &[u8]) -> Header {
    let mut header = Header::new_gnu();
    put(&mut header.as_old_mut().name, b"././@LongLink");
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(bytes.len() as u64 + 1);
    header.set_cksum();
    header
}

fn is_unchanged(before: &Metadata, after: &Metadata) -> bool {
    let of = |found: &Metadata| (found.len(), found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec());
    of(before) == of(after)
}

/// As many bytes as the header promised, and no more.
struct Exactly<'a> {
    file: &'a File,
    left: u64,
    error: Option<io::Error>,
}

impl Read for Exactly<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if wanted == 0 {
            return Ok(0);
        }
        let read = match self.file.read(&mut buffer[..wanted]) {
            Ok(0) => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            read => read,
        };
        match read {
            Ok(n) => {
                self.left -= n as u64;
                Ok(n)
            }
            Err(error) => {
                let kind = error.kind();
                self.error = Some(error);
                Err(kind.into())
            }
        }
    }
}
