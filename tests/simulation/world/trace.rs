//! What happened, line by line, with virtual times: printed on request, and always condensed into one number by which
//! two runs of a seed are compared.

use std::collections::VecDeque;
use std::fmt::Display;
use std::hash::{DefaultHasher, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

/// So many of the latest lines are kept to show what led to a violation.
const KEPT: usize = 60;

/// The trace of one seed. Clones share it.
#[derive(Clone, Debug)]
pub struct Trace(Arc<Mutex<Lines>>);

#[derive(Debug)]
struct Lines {
    began: Instant,
    print: bool,
    condensed: DefaultHasher,
    latest: VecDeque<String>,
}

impl Trace {
    /// A trace that begins now.
    pub fn new(print: bool) -> Self {
        let lines = Lines { began: Instant::now(), print, condensed: DefaultHasher::new(), latest: VecDeque::new() };
        Self(Arc::new(Mutex::new(lines)))
    }

    /// Notes a line: who did what.
    pub fn line(&self, who: &str, what: impl Display) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let line = format!("{:12.6} {who}: {what}", lines.began.elapsed().as_secs_f64());
        lines.condensed.write(line.as_bytes());
        if lines.print {
            println!("{line}");
        }
        if lines.latest.len() == KEPT {
            lines.latest.pop_front();
        }
        lines.latest.push_back(line);
    }

    /// All lines in one number.
    pub fn condensed(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).condensed.finish()
    }

    /// The latest lines.
    pub fn latest(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).latest.iter().cloned().collect()
    }
}
