//! WATCH: which events there are and when each is due. How they travel is the link's business.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::failure::Failure;
use super::kinds::Kind;
use super::request::Request;
use super::select::Selector;
use super::serve::shown;
use super::store::{Change, State, at_version};

/// A bookmark comes at least this often.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// The last one comes so long before the watch ends.
const LAST_BOOKMARK: Duration = Duration::from_secs(2);

/// One open watch.
#[derive(Debug)]
pub(super) struct Watch {
    kind: &'static Kind,
    request: Request,
    selector: Selector,
    /// What it begins with: objects that are there already.
    first: VecDeque<Value>,
    /// Changes up to this version were looked at.
    seen: u64,
    /// Events up to this version are not wanted; it may lie in the future.
    from: u64,
    breaks: u64,
    began: Instant,
    end: Instant,
    /// `None`: none are wanted.
    bookmark: Option<Instant>,
    over: bool,
}

/// What a watch has to say next.
#[derive(Debug)]
pub(super) enum Next {
    /// An event that came to be at this time.
    Event(Instant, Value),
    /// Nothing before this time, unless something changes.
    Wait(Instant),
    /// It ends as agreed, at this time.
    End(Instant),
    /// The connection breaks.
    Broken,
}

impl Watch {
    pub(super) fn begin(state: &State, kind: &'static Kind, request: &Request) -> Result<Watch, Failure> {
        let selector = request.selector(kind)?;
        let now = Instant::now();
        let asked = request.version()?;
        let end = now + request.watch_limit();
        let bookmarks = request.is_set("allowWatchBookmarks");
        let from = asked.filter(|version| *version > 0).unwrap_or(state.version);
        let initial = asked.is_none_or(|version| version == 0) || request.is_set("sendInitialEvents");
        let mut watch = Watch {
            kind,
            request: request.clone(),
            selector,
            first: VecDeque::new(),
            seen: from.min(state.version),
            from: from.min(if initial { state.version } else { u64::MAX }),
            breaks: state.breaks,
            began: now,
            end,
            bookmark: bookmarks.then(|| next_bookmark(now, end)),
            over: false,
        };
        if initial {
            watch.seen = state.version;
            let objects = state.listed(kind, request.namespace.as_deref(), state.version);
            for object in objects.values().filter(|object| watch.selector.selects(object)) {
                watch.first.push_back(json!({"type": "ADDED", "object": shown(object, request)}));
            }
            if request.is_set("sendInitialEvents") {
                let mut mark = watch.bookmark_at(state.version);
                mark["object"]["metadata"]["annotations"] = json!({"k8s.io/initial-events-end": "true"});
                watch.first.push_back(mark);
            }
        } else if from < state.floor {
            // The real one, too, answers that a watch began, and then that it did not.
            let failure = Failure::expired(format!("too old resource version: {from} ({})", state.floor));
            watch.first.push_back(json!({"type": "ERROR", "object": failure.to_status()}));
            watch.over = true;
        }
        Ok(watch)
    }

    /// Looks for what is to be told next.
    pub(super) fn next(&mut self, state: &State) -> Next {
        if let Some(event) = self.first.pop_front() {
            return Next::Event(self.began, event);
        }
        if self.over {
            return Next::End(self.began);
        }
        if self.breaks != state.breaks {
            return Next::Broken;
        }
        let now = Instant::now();
        while let Some(change) = state.change_after(self.seen).filter(|_| self.seen >= state.floor) {
            if change.at > self.end {
                return Next::End(self.end);
            }
            self.seen = change.version;
            if let Some(event) = self.event(change) {
                return Next::Event(change.at, event);
            }
        }
        if self.seen < state.floor {
            // What was not told yet is forgotten.
            return Next::Broken;
        }
        if now >= self.end {
            return Next::End(self.end);
        }
        match self.bookmark {
            Some(due) if now >= due => {
                self.bookmark = Some(next_bookmark(now, self.end));
                Next::Event(now, self.bookmark_at(state.version))
            }
            Some(due) => Next::Wait(due.min(self.end)),
            None => Next::Wait(self.end),
        }
    }

    fn event(&self, change: &Change) -> Option<Value> {
        let (plural, namespace, _) = &change.id;
        let here = self.request.namespace.as_ref().is_none_or(|wanted| wanted == namespace);
        if *plural != self.kind.plural || !here || change.version <= self.from {
            return None;
        }
        let selected = |object: &Option<Arc<Value>>| object.clone().filter(|object| self.selector.selects(object));
        let (kind, object) = match (selected(&change.before), selected(&change.after)) {
            (None, None) => return None,
            (None, Some(after)) => ("ADDED", shown(&after, &self.request)),
            (Some(_), Some(after)) => ("MODIFIED", shown(&after, &self.request)),
            // As it was last, or as it was while it was still selected.
            (Some(before), None) => ("DELETED", shown(&at_version(&before, change.version), &self.request)),
        };
        Some(json!({"type": kind, "object": object}))
    }

    fn bookmark_at(&self, version: u64) -> Value {
        let object = json!({
            "kind": self.kind.kind, "apiVersion": self.kind.api_version(),
            "metadata": {"resourceVersion": version.to_string()},
        });
        json!({"type": "BOOKMARK", "object": shown(&object, &self.request)})
    }
}

fn next_bookmark(now: Instant, end: Instant) -> Instant {
    let last = end.checked_sub(LAST_BOOKMARK).unwrap_or(end);
    // After the last one there is time for none.
    if now < last { last.min(now + BOOKMARK_EVERY) } else { end + BOOKMARK_EVERY }
}
