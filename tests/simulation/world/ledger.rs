//! Looks at what operators write down. For one resource, epochs only grow (I5), in its status and in its Lease. And what
//! lets another pod trade, or another bot of this name, is only done when no process of an earlier grant can trade any
//! more (I2): also where two could trade for less time than passes between two orders.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tradingbot::api::names::lease as key;
use tradingbot_simulation::api_server::ApiServer;

use super::exchange::{Exchange, Sender};
use super::plan::NAMESPACE;

/// What was written down so far. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Ledger(Arc<Mutex<Pages>>);

#[derive(Debug, Default)]
struct Pages {
    /// Changes of resources and of Leases that were looked at.
    seen: (u64, u64),
    /// By the uid of a resource.
    latest: BTreeMap<String, Page>,
    /// Somebody who is no operator sets back the epoch in the Lease of this bot.
    meddled: Vec<String>,
}

/// What was last written down for a resource.
#[derive(Clone, Debug, Default)]
struct Page {
    name: String,
    /// The epoch in its status.
    epoch: u64,
    /// The epoch in its Lease.
    of_lease: u64,
    /// Somebody takes it away by force.
    forced: bool,
}

impl Ledger {
    /// A person is about to set back the epoch in the Lease of this bot.
    pub fn meddled(&self, bot: &str) {
        self.lock().meddled.push(bot.to_owned());
    }

    /// Somebody is about to take this resource away from operators that may not have stopped its active yet.
    pub fn forced(&self, uid: &str) {
        self.lock().latest.entry(uid.to_owned()).or_default().forced = true;
    }

    /// The store is about to be put back: what was written down is as it was.
    pub fn restored(&self) {
        self.lock().latest.clear();
    }

    /// Looks whether anything is wrong. `traders`: the processes of an account that may trade at this moment.
    pub fn look(&self, api: &ApiServer, exchange: &Exchange, traders: impl Fn(&str) -> Vec<Sender>) {
        let mut pages = self.lock();
        let now = (api.changes("tradingbots"), api.changes("leases"));
        if std::mem::replace(&mut pages.seen, now) == now {
            return;
        }
        let can_trade = |name: &str, before: u64| -> Vec<String> {
            let earlier = traders(name).into_iter().filter(|trader| trader.token < before);
            earlier.map(|trader| format!("{} of epoch {}", trader.instance, trader.epoch)).collect()
        };
        let bots = api.all("tradingbots");
        let is_there = |uid: &String| bots.iter().any(|bot| bot["metadata"]["uid"] == uid.as_str());
        for (_, gone) in pages.latest.extract_if(.., |uid, page| !is_there(uid) && !page.name.is_empty()) {
            let alive = can_trade(&gone.name, u64::MAX);
            if !gone.forced && !alive.is_empty() {
                exchange.breaks("I2", format!("{}: the resource was let go while {alive:?} could trade", gone.name));
            }
        }
        for bot in &bots {
            let (name, uid) = (bot["metadata"]["name"].as_str(), bot["metadata"]["uid"].as_str());
            let (Some(name), Some(uid)) = (name, uid) else { continue };
            let lease = api.get("leases", NAMESPACE, name).unwrap_or_default();
            let of_status = bot["status"]["epoch"].as_u64().unwrap_or_default();
            let of_lease = epoch_of(&lease);
            let meddled = pages.meddled.iter().position(|meddled| meddled == name);
            let page = pages.latest.entry(uid.to_owned()).or_default().clone();
            if of_status < page.epoch {
                let fell = format!("{name}: the epoch in the status fell from {} to {of_status}", page.epoch);
                exchange.breaks("I5", fell);
            }
            let fell = of_lease.is_some_and(|epoch| epoch < page.of_lease);
            match meddled {
                Some(at) if fell => {
                    pages.meddled.remove(at);
                }
                _ if fell => {
                    let (before, epoch) = (page.of_lease, of_lease.unwrap_or_default());
                    exchange.breaks("I5", format!("{name}: the epoch in the Lease fell from {before} to {epoch}"));
                }
                _ => {}
            }
            if let Some(epoch) = of_lease.filter(|epoch| *epoch > page.of_lease) {
                let alive = can_trade(name, token_of(&lease).unwrap_or_default());
                if !alive.is_empty() {
                    exchange.breaks("I2", format!("{name}: epoch {epoch} was granted while {alive:?} could trade"));
                }
            }
            // A Lease that is gone has none, and one that an earlier bot of this name has left is not this one's: what
            // this one's operators grant is in its status before.
            let of_lease = of_lease.filter(|epoch| *epoch <= of_status).unwrap_or(page.of_lease);
            let page = Page { name: name.to_owned(), epoch: of_status, of_lease, ..page };
            pages.latest.insert(uid.to_owned(), page);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn epoch_of(lease: &Value) -> Option<u64> {
    lease["metadata"]["annotations"][key::EPOCH].as_str()?.parse().ok()
}

fn token_of(lease: &Value) -> Option<u64> {
    lease["metadata"]["annotations"][key::TOKEN].as_str()?.parse().ok()
}
