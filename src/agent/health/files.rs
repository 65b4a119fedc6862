//! Files of the bot's container, which may be on a file system that does not answer.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use tokio::task::spawn_blocking;

use super::stream::MOST_BYTES;

/// Looks at files for one check, on a thread of its own. While one look does not come back no other is begun.
#[derive(Clone, Default)]
pub(super) struct Disk(Arc<AtomicBool>);

/// So that the next look can begin, however this one ended.
struct Busy(Arc<AtomicBool>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Disk {
    /// Runs `look`.
    ///
    /// # Errors
    /// A sentence of its own, or of the look's.
    pub(super) async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce() -> Result<T, String> + Send + 'static,
    ) -> Result<T, String> {
        if self.0.swap(true, Ordering::AcqRel) {
            return Err("The file system has not answered since an earlier run.".into());
        }
        let busy = Busy(self.0.clone());
        let looked = spawn_blocking(move || {
            let result = look();
            drop(busy);
            result
        });
        looked.await.unwrap_or_else(|_| Err("The look at the file was given up.".into()))
    }
}

/// Whether a file has at most so many bytes.
pub(super) async fn size(disk: &Disk, path: &str, most: u64) -> Result<(), String> {
    let path = path.to_owned();
    disk.look(move || match std::fs::metadata(&path) {
        Ok(found) if found.len() > most => Err(format!("{path} has {} bytes, and may have {most}.", found.len())),
        Ok(_) => Ok(()),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(cause) => Err(format!("{path} cannot be looked at: {cause}.")),
    })
    .await
}

/// When a file was last written, milliseconds since the Unix epoch.
pub(super) async fn modified(disk: &Disk, path: &str) -> Result<i64, String> {
    let path = path.to_owned();
    disk.look(move || {
        let at = std::fs::metadata(&path).and_then(|found| found.modified());
        let at = at.map_err(|cause| format!("{path} cannot be looked at: {cause}."))?;
        let millis = |duration: std::time::Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Ok(at.duration_since(SystemTime::UNIX_EPOCH).map_or_else(|before| -millis(before.duration()), millis))
    })
    .await
}

/// What is in a file, if that is not much.
pub(super) async fn text(disk: &Disk, path: &str) -> Result<String, String> {
    let path = path.to_owned();
    disk.look(move || {
        let mut bytes = Vec::new();
        // Not waiting for the other end of a pipe.
        let opened = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(&path);
        let read = opened.and_then(|file| file.take(MOST_BYTES as u64 + 1).read_to_end(&mut bytes));
        read.map_err(|cause| format!("{path} cannot be read: {cause}."))?;
        if bytes.len() > MOST_BYTES {
            return Err(format!("{path} has more than {} KiB.", MOST_BYTES / 1024));
        }
        String::from_utf8(bytes).map_err(|_| format!("{path} is not UTF-8."))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_look_that_does_not_come_back_holds_up_no_other_check_and_is_not_repeated() {
        let disk = Disk::default();
        let (end, wait) = std::sync::mpsc::channel::<()>();
        let stuck = disk.clone();
        let mut first = Box::pin(stuck.look(move || wait.recv().map_err(|error| error.to_string())));
        // Begun, and given up.
        assert!(futures::poll!(&mut first).is_pending());
        drop(first);
        assert!(disk.look(|| Ok(())).await.unwrap_err().contains("since an earlier run"));
        assert_eq!(Disk::default().look(|| Ok(7)).await, Ok(7));
        end.send(()).unwrap();
        let mut tries = 0;
        while disk.look(|| Ok(())).await.is_err() {
            tries += 1;
            assert!(tries < 100_000, "it never came back");
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_file_may_be_as_large_as_it_is_said_and_one_without_end_is_given_up() {
        let disk = Disk::default();
        let path = std::env::temp_dir().join(format!("tradingbot-health-{}", std::process::id()));
        let path = path.to_str().unwrap();
        std::fs::write(path, "12345").unwrap();
        assert_eq!(size(&disk, path, 5).await, Ok(()));
        assert!(size(&disk, path, 4).await.unwrap_err().contains("has 5 bytes, and may have 4"));
        assert_eq!(text(&disk, path).await.as_deref(), Ok("12345"));
        assert!(modified(&disk, path).await.unwrap() > 1_600_000_000_000);
        std::fs::remove_file(path).unwrap();
        assert_eq!(size(&disk, path, 4).await, Ok(()), "what is not there is not too large");
        assert!(text(&disk, path).await.unwrap_err().contains("cannot be read"));
        assert!(text(&disk, "/dev/zero").await.unwrap_err().contains("more than 256 KiB"));
    }
}
