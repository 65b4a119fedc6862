//! Which bots there are, and who is to be woken for which reason.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

/// A bot by namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BotKey {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl BotKey {
    /// From its parts.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for BotKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Why a bot is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trigger {
    /// This replica began to lead, or the bot is new to it.
    Start,
    /// The resource itself changed.
    Bot,
    /// Its Lease changed by more than a renewal.
    Lease,
    /// One of its pods changed.
    Pod,
    /// A reconciliation Job changed.
    Job,
    /// An operation on it changed.
    Operation,
    /// A node changed that one of its pods may run on.
    Node,
    /// The Lease of its account changed, or another bot of the account is gone.
    Account,
    /// Another object that belongs to it changed.
    Child,
    /// A time that the last decision named has come.
    Timer,
    /// The Lease was not renewed for too long.
    Silence,
    /// The last attempt did not get through.
    Retry,
}

impl Trigger {
    /// The label in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Trigger::Start => "start",
            Trigger::Bot => "bot",
            Trigger::Lease => "lease",
            Trigger::Pod => "pod",
            Trigger::Job => "job",
            Trigger::Operation => "operation",
            Trigger::Node => "node",
            Trigger::Account => "account",
            Trigger::Child => "child",
            Trigger::Timer => "timer",
            Trigger::Silence => "silence",
            Trigger::Retry => "retry",
        }
    }
}

/// Collects the reasons to look at one bot until its worker takes them.
#[derive(Debug, Default)]
pub struct Wake {
    reasons: Mutex<BTreeSet<Trigger>>,
    notify: Notify,
}

impl Wake {
    fn add(&self, trigger: Trigger) {
        self.reasons.lock().unwrap_or_else(PoisonError::into_inner).insert(trigger);
        self.notify.notify_one();
    }

    /// Waits until there is a reason, and takes all there are.
    pub async fn reasons(&self) -> BTreeSet<Trigger> {
        loop {
            let taken = std::mem::take(&mut *self.reasons.lock().unwrap_or_else(PoisonError::into_inner));
            if !taken.is_empty() {
                return taken;
            }
            self.notify.notified().await;
        }
    }
}

/// All bots that the watch knows, each with its wake.
#[derive(Debug, Default)]
pub struct Registry {
    bots: Mutex<BTreeMap<BotKey, Arc<Wake>>>,
    /// Told when a bot is new.
    arrivals: Notify,
}

impl Registry {
    /// Wakes a bot's worker; a bot that is not known is not worth waking.
    pub fn wake(&self, key: &BotKey, trigger: Trigger) {
        if let Some(wake) = self.lock().get(key) {
            wake.add(trigger);
        }
    }

    /// Wakes all bots.
    pub fn wake_all(&self, trigger: Trigger) {
        self.lock().values().for_each(|wake| wake.add(trigger));
    }

    /// Notes that a bot exists and wakes it.
    pub fn arrived(&self, key: BotKey) {
        self.lock().entry(key).or_default().add(Trigger::Bot);
        self.arrivals.notify_one();
    }

    /// Forgets a bot whose resource is gone. Its worker notices at its next look, so it is woken first.
    pub fn left(&self, key: &BotKey) {
        if let Some(wake) = self.lock().remove(key) {
            wake.add(Trigger::Bot);
        }
    }

    /// Every known bot.
    pub fn all(&self) -> Vec<(BotKey, Arc<Wake>)> {
        self.lock().iter().map(|(key, wake)| (key.clone(), wake.clone())).collect()
    }

    /// Whether this very bot is still known.
    pub fn knows(&self, key: &BotKey, wake: &Arc<Wake>) -> bool {
        self.lock().get(key).is_some_and(|known| Arc::ptr_eq(known, wake))
    }

    /// Waits until a bot has arrived since the last call.
    pub async fn arrival(&self) {
        self.arrivals.notified().await;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<BotKey, Arc<Wake>>> {
        self.bots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn reasons_that_come_while_a_worker_is_busy_are_taken_together() {
        let registry = Registry::default();
        let key = BotKey::new("ns", "doge");
        registry.wake(&key, Trigger::Pod);
        registry.arrived(key.clone());
        registry.wake(&key, Trigger::Lease);
        registry.wake(&key, Trigger::Lease);
        let (_, wake) = registry.all().remove(0);
        assert_eq!(wake.reasons().await, BTreeSet::from([Trigger::Bot, Trigger::Lease]));
        registry.left(&key);
        assert!(!registry.knows(&key, &wake));
        assert_eq!(wake.reasons().await, BTreeSet::from([Trigger::Bot]));
    }
}
