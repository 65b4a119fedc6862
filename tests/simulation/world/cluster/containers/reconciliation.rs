//! The reconciliation program: what `paper-reconcile` of the examples does, and how it misbehaves.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use super::environment;
use crate::world::cluster::{Site, text};

/// How the reconciliations that start next misbehave. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Misbehaviour(Arc<Mutex<Vec<How>>>);

/// How a reconciliation misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It does not end.
    Hangs,
    /// It ends with an error.
    Fails,
}

impl Misbehaviour {
    /// The next one hangs.
    pub fn hang(&self) {
        self.add(How::Hangs);
    }

    /// The next one fails.
    pub fn fail(&self) {
        self.add(How::Fails);
    }

    /// All behave from now on; answers how many would have misbehaved.
    pub fn end(&self) -> usize {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)).len()
    }

    fn add(&self, how: How) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(how);
    }

    fn next(&self) -> Option<How> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }
}

/// Runs the program of this pod, and answers with its exit code and its termination message.
pub fn run(site: Site, node: String, pod: &Value) -> impl Future<Output = (u8, String)> + use<> {
    let variable = |name: &str| environment(pod, name).unwrap_or_default();
    let account = variable("TRADINGBOT_NAME");
    let number = |name: &str| variable(name).parse().unwrap_or_default();
    let (token, epoch): (u64, u64) = (number("TRADINGBOT_FENCING_TOKEN"), number("TRADINGBOT_EPOCH"));
    let name = text(pod, "/metadata/name").to_owned();
    let how = site.misbehaviour.next();
    async move {
        let Site { exchange, network, random, trace, .. } = &site;
        trace.line(&name, format_args!("reconciles token {token}, {how:?}"));
        tokio::time::sleep(random.millis(50, 400)).await;
        let reached = || network.node_reaches_exchange(&node);
        let unreached = || (1, "the exchange does not answer".to_owned());
        if !reached() {
            return unreached();
        }
        // Kubernetes may start it twice. By the second time the bot may trade already.
        if exchange.has_succeeded(&account, token) {
            return (0, json!({}).to_string());
        }
        exchange.reconciliation(&account, token, epoch, "Started");
        match how {
            Some(How::Hangs) => std::future::pending().await,
            Some(How::Fails) => {
                exchange.reconciliation(&account, token, epoch, "Failed");
                return (1, "the books cannot be read".to_owned());
            }
            None => {}
        }
        tokio::time::sleep(random.millis(100, 1_500)).await;
        if !reached() {
            return unreached();
        }
        if !exchange.has_succeeded(&account, token) {
            exchange.reconciliation(&account, token, epoch, "Succeeded");
        }
        (0, json!({"openOrdersFound": 1, "ordersCancelled": 1, "positionsSynced": 1}).to_string())
    }
}
