//! Which scenarios may run beside each other.

use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, ListParams};
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::cluster::{LABEL, cluster};
use super::until;
use super::world::keeps_namespaces;

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
            let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
            let ours = ListParams::default().labels(LABEL);
            until("all namespaces of earlier scenarios are gone", Duration::from_secs(90), async || {
                namespaces.list_metadata(&ours).await.ok().filter(|list| list.items.is_empty())
            })
            .await;
        }
        held
    }
}
