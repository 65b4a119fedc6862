//! The exchange's own log on its own clock. What is not in it did not happen.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use tokio::sync::watch;

use super::entry::{Entry, Kind};

/// The log. Sequence numbers begin at 1.
pub struct Log {
    started: Instant,
    entries: Vec<Arc<Entry>>,
    limit: usize,
    file: Option<File>,
    newest: watch::Sender<u64>,
}

impl Log {
    /// An empty log that takes `limit` entries and copies them to `file`.
    pub fn new(limit: usize, file: Option<File>) -> Self {
        Self { started: Instant::now(), entries: Vec::new(), limit, file, newest: watch::Sender::new(0) }
    }

    /// Microseconds since the start.
    pub fn now(&self) -> u64 {
        self.started.elapsed().as_micros() as u64
    }

    /// No room is left. An exchange that cannot log must not accept.
    pub fn is_full(&self) -> bool {
        self.entries.len() >= self.limit
    }

    /// Adds an entry, giving it its number and time.
    pub fn add(&mut self, mut entry: Entry) -> Arc<Entry> {
        entry.seq = self.entries.len() as u64 + 1;
        entry.us = self.now();
        entry.wall_milliseconds =
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |wall| wall.as_millis() as u64);
        if let Some(file) = &mut self.file {
            let line = serde_json::to_string(&entry).expect("an entry is always JSON");
            writeln!(file, "{line}").expect("the log file must be writable: without its log the exchange is no judge");
        }
        let entry = Arc::new(entry);
        self.entries.push(entry.clone());
        self.newest.send_replace(entry.seq);
        entry
    }

    /// Entries after this number.
    pub fn after(&self, seq: u64) -> &[Arc<Entry>] {
        &self.entries[(seq as usize).min(self.entries.len())..]
    }

    /// Tells of new entries by the number of the newest.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }
}

/// An entry to be filled in and added.
pub fn blank(kind: Kind) -> Entry {
    Entry {
        seq: 0,
        us: 0,
        wall_milliseconds: 0,
        kind,
        accepted: true,
        account: None,
        instance: None,
        token: None,
        epoch: None,
        key: None,
        client_order_id: None,
        sent_milliseconds: None,
        peer: None,
        state: None,
        count: None,
        text: None,
        recreated: false,
    }
}

/// Which entries somebody wants to see, and how long they would wait for one. A misspelt name is refused, lest a
/// test waits for the wrong thing.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// After this entry.
    #[serde(default)]
    pub since: u64,
    /// Milliseconds to wait for the first one.
    #[serde(alias = "timeout_ms")]
    pub wait: Option<u64>,
    /// At most so many.
    pub limit: Option<usize>,
    pub kind: Option<Kind>,
    pub accepted: Option<bool>,
    pub account: Option<String>,
    pub instance: Option<String>,
    /// Of any process but this.
    pub instance_not: Option<String>,
    pub token: Option<u64>,
    pub token_above: Option<u64>,
    pub state: Option<String>,
    /// A marker's text, or a reason.
    pub text: Option<String>,
}

impl Filter {
    /// Whether it is one of them.
    pub fn matches(&self, entry: &Entry) -> bool {
        fn same<T: PartialEq>(wanted: &Option<T>, found: &Option<T>) -> bool {
            wanted.is_none() || wanted == found
        }
        self.kind.is_none_or(|kind| kind == entry.kind)
            && self.accepted.is_none_or(|accepted| accepted == entry.accepted)
            && same(&self.account, &entry.account)
            && same(&self.instance, &entry.instance)
            && (self.instance_not.is_none() || self.instance_not != entry.instance)
            && same(&self.token, &entry.token)
            && self.token_above.is_none_or(|than| entry.token.is_some_and(|token| token > than))
            && same(&self.state, &entry.state)
            && same(&self.text, &entry.text)
    }
}
