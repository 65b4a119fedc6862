//! Looks at what operators write down: for one resource, epochs only grow (I5), in its status and in its Lease.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tradingbot::api::names::lease as key;
use tradingbot_simulation::api_server::ApiServer;

use super::exchange::Exchange;
use super::plan::NAMESPACE;

/// What was written down so far. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Ledger(Arc<Mutex<Pages>>);

#[derive(Debug, Default)]
struct Pages {
    /// Changes of resources and of Leases that were looked at.
    seen: (u64, u64),
    /// By the uid of a resource: its epoch, and its Lease's.
    latest: BTreeMap<String, (u64, u64)>,
    /// Somebody who is no operator sets back the epoch in the Lease of this bot.
    meddled: Vec<String>,
}

impl Ledger {
    /// A person is about to set back the epoch in the Lease of this bot.
    pub fn meddled(&self, bot: &str) {
        self.lock().meddled.push(bot.to_owned());
    }

    /// The store is about to be put back: what was written down is as it was.
    pub fn restored(&self) {
        self.lock().latest.clear();
    }

    /// Looks whether anything fell.
    pub fn look(&self, api: &ApiServer, exchange: &Exchange) {
        let mut pages = self.lock();
        let now = (api.changes("tradingbots"), api.changes("leases"));
        if std::mem::replace(&mut pages.seen, now) == now {
            return;
        }
        for bot in api.all("tradingbots") {
            let (name, uid) = (bot["metadata"]["name"].as_str(), bot["metadata"]["uid"].as_str());
            let (Some(name), Some(uid)) = (name, uid) else { continue };
            let lease = api.get("leases", NAMESPACE, name).unwrap_or_default();
            let of_status = bot["status"]["epoch"].as_u64().unwrap_or_default();
            let of_lease = epoch_of(&lease);
            let meddled = pages.meddled.iter().position(|meddled| meddled == name);
            let (status, in_lease) = *pages.latest.entry(uid.to_owned()).or_default();
            if of_status < status {
                exchange.breaks("I5", format!("{name}: the epoch in the status fell from {status} to {of_status}"));
            }
            let fell = of_lease.is_some_and(|epoch| epoch < in_lease);
            match meddled {
                Some(at) if fell => {
                    pages.meddled.remove(at);
                }
                _ if fell => {
                    let epoch = of_lease.unwrap_or_default();
                    exchange.breaks("I5", format!("{name}: the epoch in the Lease fell from {in_lease} to {epoch}"));
                }
                _ => {}
            }
            // A Lease that is gone, or made anew by nobody's grant, has none.
            pages.latest.insert(uid.to_owned(), (of_status, of_lease.unwrap_or(in_lease)));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn epoch_of(lease: &Value) -> Option<u64> {
    lease["metadata"]["annotations"][key::EPOCH].as_str()?.parse().ok()
}
