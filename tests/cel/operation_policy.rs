//! Who may say that an active has stopped, and who may have a backup put back: the chart's policies, on a real API server.

use std::time::Duration;

use http::{Method, Request};
use kube::client::Body;
use serde_json::{Value, json};

use super::cluster::{Cluster, apply, kubectl, rendered, soon};

const EVERYTHING: &str = "tradingbot.io";

/// Who asks, to the API server.
struct Asker<'a> {
    user: &'a str,
    /// Whether the token is one of a pod.
    in_a_pod: bool,
}

async fn asked(cluster: &Cluster, asker: &Asker<'_>, spec: Value) -> Result<(), String> {
    let object = json!({"apiVersion": "tradingbot.io/v1alpha1", "kind": "TradingBotOperation",
        "metadata": {"name": "it"}, "spec": spec});
    let namespace = &cluster.namespace;
    let path = format!(
        "/apis/tradingbot.io/v1alpha1/namespaces/{namespace}/tradingbotoperations?dryRun=All&fieldValidation=Strict"
    );
    let mut request = Request::builder().method(Method::POST).uri(path).header("Content-Type", "application/json");
    request = request.header("Impersonate-User", asker.user).header("Impersonate-Group", "system:authenticated");
    if asker.in_a_pod {
        request = request.header("Impersonate-Extra-authentication.kubernetes.io%2Fpod-name", "doge-jpy-0");
    }
    let request = request.body(Body::from(object.to_string().into_bytes())).unwrap();
    let answer = cluster.client.send(request).await.expect("an answer");
    if answer.status().is_success() {
        return Ok(());
    }
    let body = answer.into_body().collect_bytes().await.expect("a body");
    Err(String::from_utf8_lossy(&body).into_owned())
}

fn confirmation() -> Value {
    json!({"botName": "doge-jpy", "type": "ConfirmStopped", "confirm": {"epoch": 7, "by": "mia"}})
}

fn restore() -> Value {
    json!({"botName": "doge-jpy", "type": "Restore", "restore": {"confirm": "doge-jpy"}})
}

/// A namespace where the policies hold, and where everybody may make operations, as with the role that the chart adds to
/// Kubernetes's own `edit`; `mia` may restore as well.
async fn with_policies(name: &str) -> Cluster {
    let cluster = Cluster::with_namespace(name).await;
    let namespace = cluster.namespace.clone();
    let role = |name: &str, verb: &str| {
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
            "metadata": {"name": name, "namespace": namespace},
            "rules": [{"apiGroups": [EVERYTHING], "resources": ["tradingbotoperations"], "verbs": [verb]}]})
    };
    let binding = |name: &str, kind: &str, subject: &str| {
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"name": name, "namespace": namespace},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": subject}]})
    };
    apply(&[role("operations", "create"), binding("operations", "Group", "system:authenticated")]);
    apply(&[role("restores", "restore"), binding("restores", "User", "mia")]);
    let scope = format!("watchNamespaces={{{namespace}}}");
    let name = format!("fullnameOverride={namespace}");
    let policies = rendered(&["--show-only", "templates/operation-policy.yaml", "--set", &scope, "--set", &name]);
    assert_eq!(policies.len(), 4, "two policies and their bindings");
    apply(&policies);
    // It takes a moment until the API server goes by a new policy.
    let bot = format!("system:serviceaccount:{namespace}:doge-jpy-agent-0");
    let bot = Asker { user: &bot, in_a_pod: false };
    soon("the policies are in force", Duration::from_secs(10), async || {
        asked(&cluster, &bot, confirmation()).await.is_err() && asked(&cluster, &bot, restore()).await.is_err()
    })
    .await;
    cluster
}

async fn clean_up(cluster: Cluster) {
    for kind in ["validatingadmissionpolicybinding", "validatingadmissionpolicy"] {
        for policy in ["operations", "restores"] {
            let gone = kubectl(&["delete", kind, &format!("{}-{policy}", cluster.namespace)]);
            assert!(gone.status.success(), "{gone:?}");
        }
    }
    cluster.clean_up().await;
}

fn refused(what: &str, sentence: &str, answer: Result<(), String>) {
    match answer {
        Ok(()) => panic!("{what}: was accepted"),
        Err(text) => assert!(text.contains(sentence), "{what}: {text}"),
    }
}

#[tokio::test]
async fn only_people_say_that_an_active_has_stopped() {
    let cluster = with_policies("confirm").await;
    let rival = format!("system:serviceaccount:{}:doge-jpy-agent-0", cluster.namespace);
    let bot = Asker { user: &rival, in_a_pod: false };
    let sentence = "Only a person can confirm that an active has stopped";
    refused("a bot's own account", sentence, asked(&cluster, &bot, confirmation()).await);
    let elsewhere = Asker { user: "system:serviceaccount:rivals:doge", in_a_pod: true };
    refused("a bot of another namespace", sentence, asked(&cluster, &elsewhere, confirmation()).await);

    let person = Asker { user: "mia", in_a_pod: false };
    asked(&cluster, &person, confirmation()).await.expect("a person may");
    let desk = Asker { user: "system:serviceaccount:people:mia", in_a_pod: false };
    asked(&cluster, &desk, confirmation()).await.expect("a person with an account of Kubernetes may");
    let planned = json!({"botName": "doge-jpy", "type": "Switchover"});
    asked(&cluster, &elsewhere, planned).await.expect("programs may ask for a planned move");
    clean_up(cluster).await;
}

#[tokio::test]
async fn putting_a_backup_back_takes_a_right_of_its_own() {
    let cluster = with_policies("restores").await;
    let editor = Asker { user: "tom", in_a_pod: false };
    let sentence = "tom may not restore bots";
    refused("who may make operations only", sentence, asked(&cluster, &editor, restore()).await);
    asked(&cluster, &editor, json!({"botName": "doge-jpy", "type": "Backup"})).await.expect("a backup harms nobody");

    let admin = Asker { user: "mia", in_a_pod: false };
    asked(&cluster, &admin, restore()).await.expect("who has the verb may");
    clean_up(cluster).await;
}
