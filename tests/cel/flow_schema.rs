//! In which line of the API server the requests of agents and operator wait.

use http::HeaderMap;
use k8s_openapi::api::flowcontrol::v1::FlowSchema;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use kube::client::Body;

use super::chart::{OPERATOR, SYSTEM, install};
use super::cluster::{Cluster, IN_FORCE, soon};
use super::identity::Identity;

/// The FlowSchema that the API server put a request into, and its priority level.
async fn flow_of(cluster: &Cluster, who: &Identity, method: &str, path: &str) -> (String, String) {
    let body = (method == "PATCH").then(|| ("application/merge-patch+json", serde_json::json!({})));
    let request = who.request(method, path, body.as_ref().map(|(kind, value)| (*kind, value)));
    let answer = cluster.client.send(request.map(Body::from)).await.expect("an answer");
    let uid = |headers: &HeaderMap, name: &str| {
        let value = headers.get(name).unwrap_or_else(|| panic!("{path}: no {name}, and status {}", answer.status()));
        value.to_str().expect("text").to_owned()
    };
    let uid = uid(answer.headers(), "x-kubernetes-pf-flowschema-uid");
    let all = Api::<FlowSchema>::all(cluster.client.clone()).list(&ListParams::default()).await.expect("FlowSchemas");
    let found = all.items.into_iter().find(|f| f.uid().as_deref() == Some(&uid)).expect("one of them");
    let level = found.spec.as_ref().expect("a spec").priority_level_configuration.name.clone();
    (found.name_any(), level)
}

#[tokio::test]
async fn lease_requests_of_agents_and_operator_wait_in_the_line_of_leader_election() {
    let cluster = Cluster::with_namespace("flow").await;
    install("flow-schema.yaml");
    let ns = &cluster.namespace;
    let agent = Identity::account(ns, "doge-agent-0").in_pod("doge-0", "u0");
    let operator = Identity::account(SYSTEM, OPERATOR);
    let leases = format!("/apis/coordination.k8s.io/v1/namespaces/{ns}/leases");
    let one = format!("{leases}/doge");
    let watch = format!("{leases}?watch=1&timeoutSeconds=1&fieldSelector=metadata.name%3Ddoge");
    let (pods, bots) = (format!("/api/v1/namespaces/{ns}/pods"), "/apis/tradingbot.io/v1alpha1/tradingbots");
    let every_lease = "/apis/coordination.k8s.io/v1/leases?watch=1&timeoutSeconds=1";
    let (agents, own_leases) = ("tradingbot-operator-agents", "tradingbot-operator-leases");

    // The API server takes new ones up by and by.
    soon("the FlowSchemas count", IN_FORCE, async || {
        flow_of(&cluster, &agent, "GET", &one).await.0 == agents
            && flow_of(&cluster, &operator, "GET", &one).await.0 == own_leases
            && flow_of(&cluster, &operator, "GET", &pods).await.0 == OPERATOR
    })
    .await;

    let other = Identity::account(ns, "ci");
    let controller = Identity::account("kube-system", "generic-garbage-collector");
    let rows = [
        (&agent, "GET", one.as_str(), agents, "leader-election"),
        (&agent, "PATCH", &one, agents, "leader-election"),
        (&agent, "GET", &watch, agents, "leader-election"),
        (&operator, "GET", &one, own_leases, "leader-election"),
        (&operator, "PATCH", &one, own_leases, "leader-election"),
        (&operator, "GET", &leases, own_leases, "leader-election"),
        (&operator, "GET", every_lease, own_leases, "leader-election"),
        (&operator, "GET", &pods, OPERATOR, "workload-high"),
        (&operator, "GET", bots, OPERATOR, "workload-high"),
        (&operator, "GET", "/version", OPERATOR, "workload-high"),
        // What agents do not ask for, and what is asked for by others, waits where it did.
        (&agent, "GET", &leases, "service-accounts", "workload-low"),
        (&agent, "GET", every_lease, "service-accounts", "workload-low"),
        (&agent, "DELETE", &one, "service-accounts", "workload-low"),
        (&agent, "GET", &pods, "service-accounts", "workload-low"),
        (&other, "GET", &pods, "service-accounts", "workload-low"),
        (&other, "GET", bots, "service-accounts", "workload-low"),
        (&controller, "GET", &one, "system-leader-election", "leader-election"),
        (&controller, "GET", &pods, "kube-system-service-accounts", "workload-high"),
    ];
    for (who, method, path, schema, level) in rows {
        let found = flow_of(&cluster, who, method, path).await;
        assert_eq!(found, (schema.to_owned(), level.to_owned()), "{method} {path} of {who:?}");
    }
    cluster.clean_up().await;
}
