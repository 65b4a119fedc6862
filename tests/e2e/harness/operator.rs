//! The operator of the cluster: who leads, what it counts, and how it is hit.

use std::collections::BTreeMap;

use futures::future::join_all;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, ListParams};

use super::cluster::{Cluster, OPERATOR, SYSTEM};
use super::faults::{Aim, Faults};
use super::{seconds, until};

/// The operator's pods.
pub struct Operator {
    pub cluster: Cluster,
}

impl Operator {
    /// The pod that leads.
    pub async fn leader(&self) -> String {
        let leases: Api<Lease> = Api::namespaced(self.cluster.client.clone(), SYSTEM);
        until("one replica of the operator leads", seconds(30), async || {
            let holder = leases.get(OPERATOR).await.ok()?.spec?.holder_identity.filter(|h| !h.is_empty())?;
            // `<pod>-<something new at every start>`
            Some(holder.rsplit_once('-')?.0.to_owned())
        })
        .await
    }

    /// The leader's node.
    pub async fn leaders_node(&self) -> String {
        self.cluster.node_of(SYSTEM, &self.leader().await).await
    }

    /// Who leads, as written in the election Lease: another text at every start of a process.
    pub async fn identity(&self) -> String {
        let leases: Api<Lease> = Api::namespaced(self.cluster.client.clone(), SYSTEM);
        until("the election Lease is held", seconds(30), async || {
            leases.get(OPERATOR).await.ok()?.spec?.holder_identity.filter(|h| !h.is_empty())
        })
        .await
    }

    /// The leader's process, to be killed.
    pub async fn aim_at_leader(&self) -> Aim {
        self.aim(&self.leader().await).await
    }

    /// The processes of all replicas.
    pub async fn aims(&self) -> Vec<Aim> {
        let pods: Api<Pod> = Api::namespaced(self.cluster.client.clone(), SYSTEM);
        let ours = ListParams::default().labels(&format!("app.kubernetes.io/name={OPERATOR}"));
        let list = pods.list(&ours).await.expect("the operator's pods");
        join_all(list.items.iter().map(async |pod| self.aim(&pod.name_any()).await)).await
    }

    async fn aim(&self, name: &str) -> Aim {
        let pods: Api<Pod> = Api::namespaced(self.cluster.client.clone(), SYSTEM);
        let pod = pods.get(name).await.expect("the operator's pod");
        let container = pod.spec.and_then(|s| s.containers.first().map(|c| c.name.clone())).expect("a container");
        Faults { cluster: self.cluster.clone() }.aim(SYSTEM, name, &container).await
    }

    /// Waits until a replica other than this one leads.
    pub async fn until_led_by_other_than(&self, identity: &str) -> String {
        until("another replica of the operator leads", seconds(30), async || {
            Some(self.identity().await).filter(|now| now != identity)
        })
        .await
    }

    /// Waits until all replicas are ready.
    pub async fn until_ready(&self) {
        self.cluster.until_operator_is_ready().await;
    }

    /// A counter summed over all replicas, by its labels as they stand in the page.
    pub async fn counters(&self, name: &str) -> BTreeMap<String, u64> {
        let pods: Api<Pod> = Api::namespaced(self.cluster.client.clone(), SYSTEM);
        let list = pods.list(&ListParams::default()).await.expect("the operator's pods");
        let mut sums = BTreeMap::new();
        for pod in list.items {
            let path = format!("/api/v1/namespaces/{SYSTEM}/pods/{}:8080/proxy/metrics", pod.name_any());
            let page = self.cluster.get(&path).await.expect("the metrics of every replica");
            for (labels, value) in page.lines().filter_map(|line| line.strip_prefix(name)).filter_map(sample) {
                *sums.entry(labels).or_default() += value;
            }
        }
        sums
    }
}

/// `{method="PUT",resource="pods"} 3` → (`method="PUT",resource="pods"`, 3).
fn sample(rest: &str) -> Option<(String, u64)> {
    let (labels, value) = rest.strip_prefix('{')?.split_once("} ")?;
    Some((labels.to_owned(), value.trim().parse().ok()?))
}
