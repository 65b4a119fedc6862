//! What [`Wrong::TimerKeptOverRestart`](crate::core::wrong::Wrong::TimerKeptOverRestart) does: expiry timers that
//! outlive the operator which started them, as if they were written down, and are taken up by the next one.
//!
//! Of the thread, not of the process: in a simulation operators end and start anew on one thread.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use super::registry::BotKey;
use crate::core::silence::{Link, Sighting};
use crate::core::time::Mono;

thread_local! {
    static TIMERS: RefCell<BTreeMap<BotKey, Mono>> = const { RefCell::new(BTreeMap::new()) };
    static LINK: Cell<Option<Link>> = const { Cell::new(None) };
}

/// Forgets them, for another simulation on this thread.
pub fn forget() {
    TIMERS.take();
    LINK.set(None);
}

/// Keeps a bot's timer.
pub(super) fn keep(key: &BotKey, since: Mono) {
    TIMERS.with_borrow_mut(|timers| timers.insert(key.clone(), since));
}

/// The kept timer, for whatever version the Lease has now.
pub(super) fn taken_up(key: &BotKey, version: Option<&str>) -> Option<Sighting> {
    let at = TIMERS.with_borrow(|timers| timers.get(key).copied())?;
    Some(Sighting { version: version.map(str::to_owned), at })
}

/// Keeps the chain of proofs that the link to the API server lives.
pub(super) fn keep_link(link: Link) {
    LINK.set(Some(link));
}

/// The kept chain, as if it had gone on until the write that was sent at `sent_at`.
pub(super) fn link(sent_at: Mono) -> Option<Link> {
    LINK.get().map(|link| link.taken_up(sent_at))
}
