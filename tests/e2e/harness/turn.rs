//! Which scenarios may run beside each other.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams, ObjectMeta};
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use tradingbot::api::bot::TradingBot;

use super::cluster::cluster;
use super::until;
use super::world::{PREFIX, keeps_namespaces};

/// How a scenario shares the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It disturbs nothing but its own pods.
    Shared,
    /// It disturbs nodes, the API server or the operator, or counts what the operator does.
    Alone,
}

static TURNS: RwLock<()> = RwLock::const_new(());

/// Held for as long as a scenario runs.
#[expect(dead_code, reason = "they are held, not read")]
pub enum Held {
    Shared(RwLockReadGuard<'static, ()>),
    Alone(RwLockWriteGuard<'static, ()>),
}

impl Turn {
    /// Waits for its turn; alone also means that nothing of earlier scenarios is left.
    pub async fn take(self) -> Held {
        if self == Turn::Shared {
            return Held::Shared(TURNS.read().await);
        }
        let held = Held::Alone(TURNS.write().await);
        let cluster = cluster().await;
        cluster.until_nodes_are_ready().await;
        cluster.until_operator_is_ready().await;
        if !keeps_namespaces() {
            // The namespaces themselves take another 15 s, in which nothing is in them any more.
            let (pods, bots): (Api<Pod>, Api<TradingBot>) =
                (Api::all(cluster.client.clone()), Api::all(cluster.client.clone()));
            let all = ListParams::default();
            let ours = |meta: &ObjectMeta| meta.namespace.as_deref().is_some_and(|n| n.starts_with(PREFIX));
            until("all pods and bots of earlier scenarios are gone", Duration::from_secs(90), async || {
                let (pods, bots) = (pods.list_metadata(&all).await.ok()?, bots.list_metadata(&all).await.ok()?);
                let left =
                    pods.items.iter().map(|p| &p.metadata).chain(bots.items.iter().map(|b| &b.metadata)).any(ours);
                (!left).then_some(())
            })
            .await;
        }
        held
    }
}
