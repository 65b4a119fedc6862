//! `manifests/install.yaml`: everything that `kubectl apply` needs to install the operator.

use serde_json::{Value, json};

use super::api_server;
use crate::api::crds;

/// The path of the file in the repository.
pub const PATH: &str = "manifests/install.yaml";
/// The namespace that the operator runs in.
pub const NAMESPACE: &str = "tradingbot-system";
const NAME: &str = "tradingbot-operator";
/// Where the admin server listens: `/live`, `/ready` and `/metrics`.
const ADMIN_PORT: u16 = 8080;

/// The image of this version.
pub fn image() -> String {
    format!("ghcr.io/tradingbot-io/{NAME}:{}", env!("CARGO_PKG_VERSION"))
}

/// The whole file.
pub fn yaml() -> String {
    let crds = crds::all().iter().map(crds::yaml).collect::<Vec<_>>();
    let rest = [
        namespace(),
        service_account(),
        cluster_role(),
        cluster_role_binding(),
        api_server_role(),
        api_server_role_binding(),
        role_for_people("view", &["view", "edit", "admin"], &["get", "list", "watch"]),
        role_for_people("edit", &["edit", "admin"], &["create", "update", "patch", "delete"]),
        service(),
        disruption_budget(),
        deployment(),
    ];
    let documents: Vec<String> = crds.into_iter().chain(rest.iter().map(crds::yaml)).collect();
    crds::GENERATED.to_owned() + &documents.join("---\n")
}

fn labels() -> Value {
    json!({"app.kubernetes.io/name": NAME})
}

fn in_namespace() -> Value {
    json!({"name": NAME, "namespace": NAMESPACE, "labels": labels()})
}

fn namespace() -> Value {
    let labels = json!({"app.kubernetes.io/name": NAME, "pod-security.kubernetes.io/enforce": "restricted"});
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}})
}

fn service_account() -> Value {
    json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": in_namespace()})
}

/// What the operator may do. It holds on Leases whatever it gives to agents, so it may give it; it reads no Secret and
/// deletes no volume claim.
fn cluster_role() -> Value {
    let rule = |group: &str, resources: &[&str], verbs: &[&str]| json!({"apiGroups": [group], "resources": resources, "verbs": verbs});
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": NAME, "labels": labels()},
        "rules": [
            rule("tradingbot.io", &["tradingbots"], &["get", "list", "watch", "patch"]),
            rule("tradingbot.io", &["tradingbotoperations"], &["get", "list", "watch"]),
            rule("tradingbot.io", &["tradingbots/status", "tradingbotoperations/status"], &["update"]),
            rule("coordination.k8s.io", &["leases"], &["get", "list", "watch", "create", "update", "patch", "delete"]),
            rule("", &["pods"], &["list", "watch", "create", "patch", "delete"]),
            rule("", &["services"], &["get", "list", "watch", "create", "patch"]),
            rule("", &["serviceaccounts"], &["get", "list", "watch", "create", "patch", "delete"]),
            rule("", &["persistentvolumeclaims"], &["get", "list", "watch", "create"]),
            rule("", &["nodes"], &["list", "watch"]),
            rule("rbac.authorization.k8s.io", &["roles", "rolebindings"], &["get", "list", "watch", "create", "patch", "delete"]),
            rule("policy", &["poddisruptionbudgets"], &["get", "list", "watch", "create", "patch"]),
            rule("networking.k8s.io", &["networkpolicies"], &["get", "list", "watch", "create", "patch", "delete"]),
            rule("batch", &["jobs"], &["list", "watch", "create", "delete"]),
            rule("events.k8s.io", &["events"], &["create", "patch"]),
        ],
    })
}

fn cluster_role_binding() -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": NAME, "labels": labels()},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": NAME},
        "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}],
    })
}

/// NetworkPolicies have to leave the way to the API server open, and its Service's endpoints say where that leads.
fn api_server_role() -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": NAME, "namespace": api_server::NAMESPACE, "labels": labels()},
        "rules": [{"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]}],
    })
}

fn api_server_role_binding() -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": NAME, "namespace": api_server::NAMESPACE, "labels": labels()},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": NAME},
        "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}],
    })
}

/// What the cluster's own roles for people grant on our kinds.
fn role_for_people(what: &str, joins: &[&str], verbs: &[&str]) -> Value {
    let mut labels = labels();
    for role in joins {
        labels[format!("rbac.authorization.k8s.io/aggregate-to-{role}")] = json!("true");
    }
    let kinds = ["tradingbots", "tradingbotoperations"];
    let scale = (what == "edit").then(|| json!({"apiGroups": ["tradingbot.io"], "resources": ["tradingbots/scale"], "verbs": ["get", "update", "patch"]}));
    let rules: Vec<Value> = [json!({"apiGroups": ["tradingbot.io"], "resources": kinds, "verbs": verbs})]
        .into_iter()
        .chain(scale)
        .collect();
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": format!("{NAME}-{what}"), "labels": labels},
        "rules": rules,
    })
}

fn service() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": in_namespace(),
        "spec": {"selector": labels(), "ports": [{"name": "admin", "port": ADMIN_PORT, "targetPort": "admin"}]},
    })
}

fn disruption_budget() -> Value {
    json!({
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": in_namespace(),
        "spec": {"minAvailable": 1, "selector": {"matchLabels": labels()}, "unhealthyPodEvictionPolicy": "AlwaysAllow"},
    })
}

fn deployment() -> Value {
    let from = |path: &str| json!({"fieldRef": {"fieldPath": path}});
    let probe = |path: &str, period: u32| json!({"httpGet": {"path": path, "port": "admin"}, "periodSeconds": period, "timeoutSeconds": 2});
    let container = json!({
        "name": "operator",
        "image": image(),
        "imagePullPolicy": "IfNotPresent",
        "command": ["/tradingbot-operator"],
        "args": ["run"],
        "env": [
            {"name": "POD_NAME", "valueFrom": from("metadata.name")},
            {"name": "POD_NAMESPACE", "valueFrom": from("metadata.namespace")},
            {"name": "POD_UID", "valueFrom": from("metadata.uid")},
            // The agents come from the operator's own image.
            {"name": "OPERATOR_IMAGE", "value": image()},
        ],
        "ports": [{"name": "admin", "containerPort": ADMIN_PORT, "protocol": "TCP"}],
        "livenessProbe": probe("/live", 10),
        "readinessProbe": probe("/ready", 2),
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": true,
        },
    });
    // A replica on a node that was lost is replaced after half a minute instead of five.
    let leave = |key: &str| json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 30});
    let apart = json!({"weight": 100, "podAffinityTerm": {
        "labelSelector": {"matchLabels": labels()}, "topologyKey": "kubernetes.io/hostname",
    }});
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": in_namespace(),
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": labels()},
            "template": {
                "metadata": {"labels": labels()},
                "spec": {
                    "serviceAccountName": NAME,
                    "securityContext": {
                        "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [apart]}},
                    "tolerations": [leave("node.kubernetes.io/not-ready"), leave("node.kubernetes.io/unreachable")],
                    "containers": [container],
                },
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_what_the_code_says() {
        crds::check_file(PATH, &yaml());
    }

    #[test]
    fn the_operator_may_give_agents_what_they_need_and_read_no_secret() {
        let role = cluster_role();
        let rules = role["rules"].as_array().unwrap();
        let verbs = |resource: &str| {
            let rule = rules.iter().find(|r| r["resources"].as_array().unwrap().contains(&json!(resource)));
            rule.map(|r| r["verbs"].as_array().unwrap().clone()).unwrap_or_default()
        };
        for verb in ["get", "watch", "patch"] {
            assert!(verbs("leases").contains(&json!(verb)), "{verb}");
        }
        assert!(verbs("secrets").is_empty());
        assert!(!verbs("persistentvolumeclaims").contains(&json!("delete")));
    }
}
