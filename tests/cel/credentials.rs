//! What the operator may give to agents, and what not: the chart's policy on a real API server, with the operator's
//! verbs `escalate` and `bind`.

use std::path::Path;
use std::process::{Command, Stdio};

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::Client;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tradingbot::api::bot::TradingBot;
use tradingbot::controller::build;

use super::bot::smallest;
use super::cluster::{Cluster, IN_FORCE, kubeconfig, soon};

const GROUP: &str = "rbac.authorization.k8s.io";

/// The account that the chart names under the release name `operator-<namespace>`.
fn operator(cluster: &Cluster) -> String {
    format!("{}-tradingbot-operator", cluster.namespace)
}

/// The chart's policy for an operator in the test's own namespace.
fn rendered(cluster: &Cluster) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(root.join("tests/tools/tool"))
        .current_dir(root)
        .args(["helm", "template", &cluster.namespace, "charts/tradingbot-operator", "--namespace", &cluster.namespace])
        .args(["--show-only", "templates/credentials-policy.yaml"])
        .output()
        .expect("helm runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn kubectl(verb: &str, text: &str) {
    use std::io::Write;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let written = std::fs::read_to_string(root.join("target/cluster/env")).unwrap_or_default();
    let folder = written.lines().find_map(|line| line.strip_prefix("export BIN=")).unwrap_or_default();
    let program = Path::new(folder).join("kubectl");
    let program = if program.exists() { program } else { "kubectl".into() };
    let mut child = Command::new(program)
        .arg("--kubeconfig")
        .arg(kubeconfig())
        .args([verb, "-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("kubectl runs");
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "kubectl {verb}");
}

/// What the operator's role says of Roles, in this namespace alone.
async fn give_rights(cluster: &Cluster) {
    let name = operator(cluster);
    let verbs = ["get", "list", "watch", "create", "update", "patch", "delete"];
    let role = json!({"metadata": {"name": "operator"}, "rules": [
        {"apiGroups": [GROUP], "resources": ["roles", "rolebindings"], "verbs": verbs},
        {"apiGroups": [GROUP], "resources": ["roles"], "verbs": ["escalate", "bind"]},
    ]});
    let binding = json!({
        "metadata": {"name": "operator"}, "roleRef": {"apiGroup": GROUP, "kind": "Role", "name": "operator"},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": cluster.namespace}],
    });
    let create = PostParams::default();
    let roles = Api::<Role>::namespaced(cluster.client.clone(), &cluster.namespace);
    roles.create(&create, &serde_json::from_value(role).unwrap()).await.unwrap();
    let bindings = Api::<RoleBinding>::namespaced(cluster.client.clone(), &cluster.namespace);
    bindings.create(&create, &serde_json::from_value(binding).unwrap()).await.unwrap();
}

async fn apply_role(client: &Client, namespace: &str, role: &Value) -> Result<(), String> {
    let api = Api::<Role>::namespaced(client.clone(), namespace);
    let name = role["metadata"]["name"].as_str().unwrap();
    let outcome = api.patch(name, &PatchParams::apply("tests").force(), &Patch::Apply(role)).await;
    outcome.map(drop).map_err(|error| error.to_string())
}

async fn apply_binding(client: &Client, namespace: &str, binding: &Value) -> Result<(), String> {
    let api = Api::<RoleBinding>::namespaced(client.clone(), namespace);
    let name = binding["metadata"]["name"].as_str().unwrap();
    let outcome = api.patch(name, &PatchParams::apply("tests").force(), &Patch::Apply(binding)).await;
    outcome.map(drop).map_err(|error| error.to_string())
}

fn typed(mut object: Value, kind: &str) -> Value {
    object["apiVersion"] = json!("rbac.authorization.k8s.io/v1");
    object["kind"] = json!(kind);
    object
}

#[tokio::test]
async fn the_operator_gives_the_keys_to_one_slot_and_can_neither_read_them_nor_give_anything_else() {
    let cluster = Cluster::with_namespace("credentials").await;
    let namespace = cluster.namespace.as_str();
    let policy = rendered(&cluster);
    kubectl("apply", &policy);
    give_rights(&cluster).await;
    let client = cluster.acting_as(&operator(&cluster)).await;

    let mut object = smallest();
    object["metadata"]["namespace"] = json!(namespace);
    object["spec"]["credentials"] = json!({"secretName": "keys"});
    let bot: TradingBot = serde_json::from_value(object).unwrap();
    let keys = serde_json::from_value(json!({"metadata": {"name": "keys"}, "stringData": {"key": "planted"}})).unwrap();
    let secrets = Api::<Secret>::namespaced(cluster.client.clone(), namespace);
    secrets.create(&PostParams::default(), &keys).await.expect("a Secret");

    let role = |name: &str, rules: Value| {
        let labels = json!({"tradingbot.io/bot": "doge-jpy"});
        typed(json!({"metadata": {"name": name, "namespace": namespace, "labels": labels}, "rules": rules}), "Role")
    };
    let rule = |group: &str, resource: &str, names: Value, verbs: &[&str]| json!([{"apiGroups": [group], "resources": [resource], "resourceNames": names, "verbs": verbs}]);
    // Until the policy is in force. The first of what must not pass.
    let everything = role("doge-jpy-credentials", json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]));
    soon("a Role that may do everything is refused", IN_FORCE, async || {
        apply_role(&client, namespace, &everything)
            .await
            .is_err_and(|e| e.contains("only get on one Secret by its name"))
    })
    .await;
    let cases = [
        (
            role("doge-jpy-credentials", rule("", "secrets", json!(["keys"]), &["get", "list"])),
            "only get on one Secret",
        ),
        (
            role("doge-jpy-credentials", rule("", "secrets", json!(["keys", "more"]), &["get"])),
            "only get on one Secret",
        ),
        (role("doge-jpy-credentials", rule("", "configmaps", json!(["keys"]), &["get"])), "only get on one Secret"),
        (
            role("doge-jpy-credentials", json!([{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}])),
            "denied",
        ),
        (role("doge-jpy-agent", rule("", "secrets", json!(["keys"]), &["get"])), "on the bot's own Lease"),
        (
            role("doge-jpy-agent", rule("coordination.k8s.io", "leases", json!(["other"]), &["get"])),
            "on the bot's own Lease",
        ),
        (
            role("doge-jpy-agent", rule("coordination.k8s.io", "leases", json!(["doge-jpy"]), &["update"])),
            "on the bot's own Lease",
        ),
        (
            role("anything", rule("", "secrets", json!(["keys"]), &["get"])),
            "only the Roles <bot>-agent and <bot>-credentials",
        ),
    ];
    for (bad, sentence) in &cases {
        let outcome = apply_role(&client, namespace, bad).await;
        let error = outcome.expect_err(&bad.to_string());
        assert!(error.contains(sentence), "{bad}: {error}");
    }
    let unlabelled = typed(json!({"metadata": {"name": "doge-jpy-credentials"}}), "Role");
    assert!(apply_role(&client, namespace, &unlabelled).await.is_err());
    // Another's Role is neither changed nor deleted.
    let taken_over = role("operator", json!([]));
    assert!(apply_role(&client, namespace, &taken_over).await.unwrap_err().contains("carry the label"));
    let deleted = Api::<Role>::namespaced(client.clone(), namespace).delete("operator", &DeleteParams::default()).await;
    assert!(deleted.unwrap_err().to_string().contains("carry the label"));

    let good = typed(serde_json::to_value(build::credentials_role(&bot)).unwrap(), "Role");
    apply_role(&client, namespace, &good).await.expect("what the operator wants passes");
    let children = build::children(&bot, &Default::default(), &Default::default());
    let lease = typed(serde_json::to_value(children.role).unwrap(), "Role");
    apply_role(&client, namespace, &lease).await.expect("the agents' Role passes");
    let agents = typed(serde_json::to_value(children.role_binding).unwrap(), "RoleBinding");
    apply_binding(&client, namespace, &agents).await.expect("the agents' RoleBinding passes");

    let binding = |account: &str| {
        typed(serde_json::to_value(build::credentials_binding(&bot, account.to_owned())).unwrap(), "RoleBinding")
    };
    let changed = |pointer: &str, value: Value| {
        let mut bad = binding("doge-jpy-agent-0");
        *bad.pointer_mut(pointer).unwrap() = value;
        bad
    };
    // A policy of its own, in force at a time of its own. Asked for without being made, for it would be somebody's right.
    let bindings = Api::<RoleBinding>::namespaced(client.clone(), namespace);
    let dry = PatchParams::apply("tests").force().dry_run();
    let to_default = binding("default");
    soon("a RoleBinding to another account is refused", IN_FORCE, async || {
        let asked = bindings.patch("doge-jpy-credentials", &dry, &Patch::Apply(&to_default)).await;
        asked.is_err_and(|error| error.to_string().contains("only to one account <bot>-agent-<slot>"))
    })
    .await;
    for (bad, sentence) in [
        (binding("default"), "only to one account <bot>-agent-<slot>"),
        (binding("doge-jpy-agent-x"), "only to one account <bot>-agent-<slot>"),
        (binding("doge-jpy-agent-0-agent-1"), "only to one account <bot>-agent-<slot>"),
        (binding(&operator(&cluster)), "only to one account <bot>-agent-<slot>"),
        (changed("/subjects/0/namespace", json!("default")), "ServiceAccounts of the same namespace"),
        (
            changed("/subjects/0", json!({"kind": "User", "name": "doge-jpy-agent-0"})),
            "ServiceAccounts of the same namespace",
        ),
        // The operator may not bind ClusterRoles at all, so that the API server refuses these before any policy does.
        (
            changed("/roleRef", json!({"apiGroup": GROUP, "kind": "ClusterRole", "name": "view"})),
            "attempting to grant RBAC permissions not currently held",
        ),
        (changed("/roleRef/name", json!("operator")), "may bind only the Roles"),
        (changed("/metadata/name", json!("other")), "may bind only the Roles"),
    ] {
        let error = apply_binding(&client, namespace, &bad).await.expect_err(&bad.to_string());
        assert!(error.contains(sentence), "{bad}: {error}");
    }

    let slots = [cluster.acting_as("doge-jpy-agent-0").await, cluster.acting_as("doge-jpy-agent-1").await];
    let reads = async |client: &Client| Api::<Secret>::namespaced(client.clone(), namespace).get("keys").await.is_ok();
    assert!(!reads(&slots[0]).await && !reads(&slots[1]).await, "nobody before the grant");
    apply_binding(&client, namespace, &binding("doge-jpy-agent-0")).await.expect("the grant");
    let given = soon("the slot with the grant reads", IN_FORCE, async || reads(&slots[0]).await).await;
    assert!(!reads(&slots[1]).await && !reads(&client).await, "neither the standby nor the operator");
    // A switchover in one write, then a release.
    apply_binding(&client, namespace, &binding("doge-jpy-agent-1")).await.expect("the next grant");
    let moved = soon("the old slot does not read any more", IN_FORCE, async || !reads(&slots[0]).await).await;
    soon("the new slot reads", IN_FORCE, async || reads(&slots[1]).await).await;
    bindings.delete("doge-jpy-credentials", &DeleteParams::default()).await.expect("the release");
    let taken = soon("nobody reads any more", IN_FORCE, async || !reads(&slots[1]).await).await;
    println!("given after {given:?}, moved after {moved:?}, taken after {taken:?}");
    assert!(!reads(&client).await);

    kubectl("delete", &policy);
    cluster.clean_up().await;
}
