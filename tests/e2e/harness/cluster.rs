//! The cluster that all scenarios share, and the operator in it.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, DynamicObject, ListParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, Config, ResourceExt};
use tokio::sync::OnceCell;

use super::shell::kubeconfig;
use super::{seconds, until};

/// The label of every namespace that a scenario makes.
pub const LABEL: &str = "tradingbot.io/e2e";
/// Where the operator is.
pub const SYSTEM: &str = "tradingbot-system";
/// The operator's Deployment and its election Lease.
pub const OPERATOR: &str = "tradingbot-operator";

/// A connection. Each scenario has its own, because connections belong to a runtime and each has one.
#[derive(Clone)]
pub struct Cluster {
    pub client: Client,
}

/// Connects, and makes sure once that the operator is there with all its replicas.
pub async fn cluster() -> Cluster {
    static READY: OnceCell<()> = OnceCell::const_new();
    let file = kube::config::Kubeconfig::read_from(kubeconfig()).expect("the kubeconfig can be read");
    let mut config = Config::from_custom_kubeconfig(file, &Default::default()).await.expect("a valid kubeconfig");
    // Long polls at the exchange go through this client; what is asked for here has its own limits.
    config.read_timeout = None;
    config.default_retry = false;
    let cluster = Cluster { client: Client::try_from(config).expect("a client") };
    READY.get_or_init(|| cluster.until_operator_is_ready()).await;
    cluster
}

impl Cluster {
    /// Waits until every replica of the operator is ready and one of them leads.
    pub async fn until_operator_is_ready(&self) {
        let deployments: Api<Deployment> = Api::namespaced(self.client.clone(), SYSTEM);
        until("the operator of manifests/install.yaml is installed and ready", seconds(60), async || {
            let deployment = deployments.get(OPERATOR).await.ok()?;
            let wanted = deployment.spec?.replicas.unwrap_or(1);
            let status = deployment.status?;
            (status.ready_replicas == Some(wanted) && status.replicas == Some(wanted)).then_some(())
        })
        .await;
    }

    /// Objects of one of our kinds as JSON, as a person would write them.
    pub fn ours(&self, kind: &str, namespace: &str) -> Api<DynamicObject> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("tradingbot.io", "v1alpha1", kind));
        Api::namespaced_with(self.client.clone(), namespace, &resource)
    }

    /// The names of the nodes that take pods.
    pub async fn nodes(&self) -> Vec<String> {
        let list = Api::<Node>::all(self.client.clone()).list(&ListParams::default()).await.expect("the nodes");
        list.items
            .iter()
            .filter(|node| node.spec.as_ref().is_none_or(|s| s.taints.as_ref().is_none_or(Vec::is_empty)))
            .map(ResourceExt::name_any)
            .collect()
    }

    /// Waits until every node is ready.
    pub async fn until_nodes_are_ready(&self) {
        let nodes: Api<Node> = Api::all(self.client.clone());
        let ready = |node: &Node| {
            let conditions = node.status.as_ref().and_then(|s| s.conditions.as_ref());
            conditions.is_some_and(|all| all.iter().any(|c| c.type_ == "Ready" && c.status == "True"))
        };
        until("every node is ready", seconds(90), async || {
            nodes.list(&ListParams::default()).await.ok()?.items.iter().all(ready).then_some(())
        })
        .await;
    }

    /// A node that is none of these.
    pub async fn node_other_than(&self, others: &[&str]) -> String {
        let nodes = self.nodes().await;
        let found = nodes.into_iter().find(|node| !others.contains(&node.as_str()));
        found.unwrap_or_else(|| panic!("there is no node beside {others:?}: three are needed"))
    }

    /// The node a pod runs on.
    pub async fn node_of(&self, namespace: &str, pod: &str) -> String {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let pod = pods.get(pod).await.expect("the pod is there");
        pod.spec.and_then(|s| s.node_name).expect("the pod has a node")
    }

    /// GET of a path of the API server, also one that is a proxy to a pod or Service; the body as text.
    pub async fn get(&self, path: &str) -> Result<String, String> {
        let request = http::Request::get(path).body(Vec::new()).map_err(|e| e.to_string())?;
        self.client.request_text(request).await.map_err(|e| format!("GET {path}: {e}"))
    }

    /// POST of JSON to such a path.
    pub async fn post(&self, path: &str, body: &serde_json::Value) -> Result<String, String> {
        let request = http::Request::post(path).header("content-type", "application/json");
        let request = request.body(body.to_string().into_bytes()).map_err(|e| e.to_string())?;
        self.client.request_text(request).await.map_err(|e| format!("POST {path}: {e}"))
    }
}
