//! Files below a folder, without ever following a link out of it.
//!
//! A folder is held open, and everything in it is reached by one name through the descriptor. So it stays the same folder
//! whatever is renamed or linked meanwhile.

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

/// How many folders may be inside each other: each holds a descriptor open.
pub const DEEPEST: usize = 200;

/// A folder that is held open.
#[derive(Debug)]
pub struct Folder(File);

impl Folder {
    /// Opens one by its path; where that is a link, what it leads to.
    pub fn open(path: &Path) -> io::Result<Folder> {
        OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY).open(path).map(Folder)
    }

    /// The path of an entry, which is never followed further than to the entry. A name is not `..` and has no slash.
    pub fn at(&self, name: &OsStr) -> PathBuf {
        let mut path = PathBuf::from(format!("/proc/self/fd/{}", self.0.as_raw_fd()));
        path.push(name);
        path
    }

    /// Opens a folder in it, never through a link.
    pub fn enter(&self, name: &OsStr) -> io::Result<Folder> {
        let flags = libc::O_DIRECTORY | libc::O_NOFOLLOW;
        OpenOptions::new().read(true).custom_flags(flags).open(self.at(name)).map(Folder)
    }

    /// Opens a folder in it, and makes it before where there is none.
    pub fn enter_or_make(&self, name: &OsStr) -> io::Result<Folder> {
        match DirBuilder::new().mode(0o700).create(self.at(name)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => self.enter(name),
        }
    }

    /// Opens the folder that a path below this one leads to, never through a link; missing ones are made if asked for.
    pub fn walk(&self, path: &Path, make: bool) -> io::Result<Folder> {
        let mut reached = Folder(self.0.try_clone()?);
        for component in path.components() {
            let Component::Normal(name) = component else {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path leads outside"));
            };
            reached = if make { reached.enter_or_make(name)? } else { reached.enter(name)? };
        }
        Ok(reached)
    }

    /// Opens a file in it for reading, never through a link, and never waiting for anybody as a pipe would.
    pub fn read(&self, name: &OsStr) -> io::Result<File> {
        OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(self.at(name))
    }

    /// Makes a file in it that was not there before.
    pub fn create(&self, name: &OsStr) -> io::Result<File> {
        OpenOptions::new().write(true).create_new(true).mode(0o600).custom_flags(libc::O_NOFOLLOW).open(self.at(name))
    }

    /// The names in it, in order.
    pub fn names(&self) -> io::Result<Vec<OsString>> {
        let entries = fs::read_dir(self.at(OsStr::new(".")))?;
        let mut names = entries.map(|entry| entry.map(|entry| entry.file_name())).collect::<io::Result<Vec<_>>>()?;
        names.sort_unstable();
        Ok(names)
    }

    /// Whether there is such an entry; a link counts, wherever it leads.
    pub fn has(&self, name: &OsStr) -> io::Result<bool> {
        match fs::symlink_metadata(self.at(name)) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes an entry with all that is below it. Folders that their owner may not write to are made writable for it.
    pub fn remove_tree(&self, name: &OsStr) -> io::Result<()> {
        match fs::remove_dir_all(self.at(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                self.make_writable(name, 0)?;
                fs::remove_dir_all(self.at(name))
            }
            done => done,
        }
    }

    fn make_writable(&self, name: &OsStr, depth: usize) -> io::Result<()> {
        let found = fs::symlink_metadata(self.at(name))?;
        if !found.is_dir() || depth > DEEPEST {
            return Ok(());
        }
        fs::set_permissions(self.at(name), Permissions::from_mode(found.permissions().mode() | 0o700))?;
        let folder = self.enter(name)?;
        for name in folder.names()? {
            folder.make_writable(&name, depth + 1)?;
        }
        Ok(())
    }

    /// Everything that was written to its volume is on the disk when this is done.
    pub fn sync_volume(&self) -> io::Result<()> {
        // SAFETY: an open descriptor.
        match unsafe { libc::syncfs(self.0.as_raw_fd()) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// The folder's own descriptor.
    pub fn file(&self) -> &File {
        &self.0
    }
}
