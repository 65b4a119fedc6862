//! SIGKILL to every process in the container but the agent and its guard (design, rule 8).
//!
//! Everything here is for callers that must not allocate or lock: the guard thread and the guard process.

use std::io::Error;
use std::sync::atomic::{AtomicI32, Ordering};

use crate::core::wrong::{self, Wrong};

/// The bot's process group, for [`Wrong::GuardOnProcessGroup`] alone. The guard process was forked before it is known.
static GROUP: AtomicI32 = AtomicI32::new(0);

/// The bot was started at the head of this process group.
pub(super) fn note_group(pid: i32) {
    if wrong::is(Wrong::GuardOnProcessGroup) {
        GROUP.store(pid, Ordering::SeqCst);
    }
}

/// Sends SIGKILL to every process but PID 1 and the caller. The kernel does it under a lock that fork needs, too, so
/// that a bot that forks fast does not get away.
pub(super) fn everything() {
    if wrong::is(Wrong::GuardOnProcessGroup) {
        return the_bots_group();
    }
    // SAFETY: no memory is involved.
    unsafe { libc::kill(-1, libc::SIGKILL) };
}

/// What [`Wrong::GuardOnProcessGroup`] does.
fn the_bots_group() {
    let group = GROUP.load(Ordering::SeqCst);
    if group != 0 {
        // SAFETY: no memory is involved.
        unsafe { libc::kill(-group, libc::SIGKILL) };
    }
}

/// Whether a process is left besides PID 1, the caller and `spared`. Zombies do not count: they run no more.
/// Where the process table cannot be read, the answer is yes.
pub(super) fn anything_left(spared: i32) -> bool {
    if wrong::is(Wrong::GuardOnProcessGroup) {
        return false;
    }
    // SAFETY: getpid has no preconditions.
    let own = unsafe { libc::getpid() };
    // SAFETY: the path is a C string; the descriptor is closed below.
    let directory = unsafe { libc::open(c"/proc".as_ptr(), libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC) };
    if directory < 0 {
        return true;
    }
    let found = scan(directory, |pid| pid != 1 && pid != own && pid != spared && is_alive(directory, pid));
    // SAFETY: the descriptor is ours.
    unsafe { libc::close(directory) };
    found
}

/// Offset of `d_reclen` and of `d_name` in `struct linux_dirent64`.
const RECORD_LENGTH: usize = 16;
const RECORD_NAME: usize = 19;

fn scan(directory: i32, mut wanted: impl FnMut(i32) -> bool) -> bool {
    let mut buffer = [0u8; 4096];
    loop {
        // SAFETY: the buffer is as long as we say.
        let read = unsafe { libc::syscall(libc::SYS_getdents64, directory, buffer.as_mut_ptr(), buffer.len()) };
        let Ok(read) = usize::try_from(read) else { return true };
        if read == 0 {
            return false;
        }
        let mut rest = &buffer[..read];
        while rest.len() > RECORD_NAME {
            let length = usize::from(u16::from_ne_bytes([rest[RECORD_LENGTH], rest[RECORD_LENGTH + 1]]));
            if length <= RECORD_NAME || length > rest.len() {
                return true;
            }
            if let Some(pid) = number(&rest[RECORD_NAME..length])
                && wanted(pid)
            {
                return true;
            }
            rest = &rest[length..];
        }
    }
}

/// The leading decimal number of a name that ends with a zero byte and is nothing but a number.
fn number(name: &[u8]) -> Option<i32> {
    let digits = name.split(|byte| *byte == 0).next()?;
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0i32, |value, byte| {
        let digit = byte.is_ascii_digit().then(|| i32::from(byte - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

fn is_alive(directory: i32, pid: i32) -> bool {
    let mut path = [0u8; 24];
    let length = write_path(&mut path, pid);
    debug_assert!(length < path.len());
    // SAFETY: `path` ends with a zero byte; the descriptor is closed below.
    let file = unsafe { libc::openat(directory, path.as_ptr().cast(), libc::O_RDONLY | libc::O_CLOEXEC) };
    if file < 0 {
        return !is_gone();
    }
    let mut buffer = [0u8; 512];
    // SAFETY: the buffer is as long as we say; the descriptor is ours.
    let read = unsafe {
        let read = libc::read(file, buffer.as_mut_ptr().cast(), buffer.len());
        let gone = read < 0 && is_gone();
        libc::close(file);
        if gone {
            return false;
        }
        read
    };
    let Ok(read) = usize::try_from(read) else { return true };
    state_of(&buffer[..read]).is_none_or(|state| !matches!(state, b'Z' | b'X'))
}

/// Whether the last call failed because the process is no more.
fn is_gone() -> bool {
    matches!(Error::last_os_error().raw_os_error(), Some(libc::ENOENT | libc::ESRCH))
}

/// The state in `/proc/<pid>/stat`: after the last parenthesis, because the name before it may contain any character.
fn state_of(stat: &[u8]) -> Option<u8> {
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    stat.get(end + 2).copied()
}

fn write_path(path: &mut [u8; 24], pid: i32) -> usize {
    let mut digits = [0u8; 10];
    let mut first = digits.len();
    let mut rest = pid.unsigned_abs();
    while first > 0 {
        first -= 1;
        digits[first] = b'0' + u8::try_from(rest % 10).unwrap_or_default();
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    let mut length = 0;
    for byte in digits[first..].iter().chain(b"/stat") {
        path[length] = *byte;
        length += 1;
    }
    length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_alive_until_it_is_a_zombie_or_gone() {
        let directory = std::fs::File::open("/proc").unwrap();
        let fd = std::os::fd::AsRawFd::as_raw_fd(&directory);
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        assert!(is_alive(fd, pid));
        assert!(scan(fd, |seen| seen == pid));
        child.kill().unwrap();
        let dead = (0..1000).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(1));
            !is_alive(fd, pid)
        });
        assert!(dead, "a killed child that nobody reaped is a zombie and does not count");
        child.wait().unwrap();
        assert!(!is_alive(fd, pid));
    }

    #[test]
    fn names_cannot_hide_a_state() {
        assert_eq!(state_of(b"7 (a) Z (b)) R 1 2"), Some(b'R'));
        assert_eq!(state_of(b"7 (x) Z 1"), Some(b'Z'));
        assert_eq!(number(b"123\0\0"), Some(123));
        assert_eq!(number(b"12a\0"), None);
        assert_eq!(number(b"self\0"), None);
    }
}
