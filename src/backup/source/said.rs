//! What a program says on its standard error: into our log line by line, and the end of it into our sentences.

use std::collections::VecDeque;
use std::io::Read;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::pipe::{Ready, wait_for};

/// A line that is longer becomes several.
const LONGEST_LINE: usize = 1000;
/// So many lines are logged; a program that says more would only push the rest out of the node's log.
const LOGGED_LINES: u64 = 1000;
/// How many bytes of the end are kept, so that a sentence with them fits into a report.
const KEPT: usize = 700;
/// How long is listened on after the program has ended, to one that left a child behind which goes on talking.
const AFTERWARDS: Duration = Duration::from_millis(500);

/// Listens to a pipe in a thread of its own, so that a program never waits for us to read its complaints.
#[derive(Debug)]
pub(super) struct Listener {
    said: Arc<Mutex<Said>>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Listener {
    pub(super) fn start(name: &str, mut pipe: impl Read + AsFd + Send + 'static) -> Listener {
        let said = Arc::new(Mutex::new(Said::new(name)));
        let ended = Arc::new(AtomicBool::new(false));
        let (to, over) = (Arc::clone(&said), Arc::clone(&ended));
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 8192];
            let mut until = None;
            loop {
                let ready = wait_for(pipe.as_fd(), Ready::Read, Duration::from_millis(50)).unwrap_or(true);
                if over.load(Ordering::Acquire) {
                    let until = *until.get_or_insert_with(|| Instant::now() + AFTERWARDS);
                    if !ready || Instant::now() >= until {
                        break;
                    }
                }
                if ready {
                    match pipe.read(&mut buffer) {
                        Ok(0) | Err(_) => break,
                        Ok(n) => to.lock().unwrap_or_else(PoisonError::into_inner).hear(&buffer[..n]),
                    }
                }
            }
        });
        Listener { said, ended, thread: Some(thread) }
    }

    /// The end of what was said. The program has ended.
    pub(super) fn end(mut self) -> String {
        self.ended.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.said.lock().unwrap_or_else(PoisonError::into_inner).end()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
    }
}

#[derive(Debug)]
struct Said {
    name: String,
    line: Vec<u8>,
    lines: u64,
    kept: VecDeque<String>,
    kept_bytes: usize,
}

impl Said {
    fn new(name: &str) -> Said {
        Said { name: name.to_owned(), line: Vec::new(), lines: 0, kept: VecDeque::new(), kept_bytes: 0 }
    }

    fn hear(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if byte != b'\n' {
                self.line.push(byte);
            }
            if byte == b'\n' || self.line.len() >= LONGEST_LINE {
                self.finish_line();
            }
        }
    }

    fn finish_line(&mut self) {
        let text = String::from_utf8_lossy(&self.line).replace(char::is_control, " ");
        self.line.clear();
        let text = text.trim_end();
        if text.is_empty() {
            return;
        }
        self.lines += 1;
        match self.lines {
            n if n < LOGGED_LINES => tracing::info!("{}: {text}", self.name),
            LOGGED_LINES => {
                tracing::info!("{} says more than {LOGGED_LINES} lines; the rest is not logged.", self.name)
            }
            _ => {}
        }
        self.kept_bytes += text.len();
        self.kept.push_back(text.to_owned());
        while self.kept.len() > 1 && self.kept_bytes > KEPT {
            self.kept_bytes -= self.kept.pop_front().map_or(0, |line| line.len());
        }
    }

    fn end(&mut self) -> String {
        self.finish_line();
        let all = self.kept.iter().map(String::as_str).collect::<Vec<_>>().join("; ");
        match all.char_indices().rev().nth(KEPT) {
            Some((at, _)) => format!("…{}", &all[at..]),
            None => all,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_much_talk_is_kept() {
        let mut said = Said::new("talker");
        for n in 0..10_000 {
            said.hear(format!("line {n}\n").as_bytes());
        }
        said.hear(b"the cause");
        let end = said.end();
        assert!(end.ends_with("line 9999; the cause"), "{end}");
        assert!(end.len() <= 2 * KEPT, "{}", end.len());
    }

    #[test]
    fn one_endless_line_takes_no_memory() {
        let mut said = Said::new("talker");
        for _ in 0..1000 {
            said.hear(&[b'x'; 8192]);
        }
        assert!(said.line.capacity() <= 4 * LONGEST_LINE);
        assert!(said.end().chars().count() <= KEPT + 2);
    }

    #[test]
    fn control_characters_never_reach_the_log() {
        let mut said = Said::new("talker");
        said.hear(b"\x1b[31mred\r\n");
        assert_eq!(said.end(), " [31mred");
    }
}
