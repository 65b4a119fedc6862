//! Who may say that an active has stopped: the chart's policy, on a real API server.

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

#[tokio::test]
async fn only_people_say_that_an_active_has_stopped() {
    let cluster = Cluster::with_namespace("confirm").await;
    let namespace = cluster.namespace.clone();
    // Everybody here may make operations, as with the role that the chart adds to Kubernetes's own `edit`.
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
        "metadata": {"name": "operations", "namespace": namespace},
        "rules": [{"apiGroups": [EVERYTHING], "resources": ["tradingbotoperations"], "verbs": ["create"]}]});
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": {"name": "operations", "namespace": namespace},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "operations"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:authenticated"}]});
    apply(&[role, binding]);
    let scope = format!("watchNamespaces={{{namespace}}}");
    let name = format!("fullnameOverride={namespace}");
    let policy = rendered(&["--show-only", "templates/operation-policy.yaml", "--set", &scope, "--set", &name]);
    assert_eq!(policy.len(), 2, "a policy and its binding");
    apply(&policy);

    let rival = format!("system:serviceaccount:{namespace}:doge-jpy-agent-0");
    let bot = Asker { user: &rival, in_a_pod: false };
    let sentence = "Only a person can confirm that an active has stopped";
    // It takes a moment until the API server goes by a new policy.
    soon("the policy is in force", Duration::from_secs(10), async || {
        asked(&cluster, &bot, confirmation()).await.is_err()
    })
    .await;
    let refused = |what: &str, answer: Result<(), String>| match answer {
        Ok(()) => panic!("{what}: was accepted"),
        Err(text) => assert!(text.contains(sentence), "{what}: {text}"),
    };
    refused("a bot's own account", asked(&cluster, &bot, confirmation()).await);
    let elsewhere = Asker { user: "system:serviceaccount:rivals:doge", in_a_pod: true };
    refused("a bot of another namespace", asked(&cluster, &elsewhere, confirmation()).await);

    let person = Asker { user: "mia", in_a_pod: false };
    asked(&cluster, &person, confirmation()).await.expect("a person may");
    let desk = Asker { user: "system:serviceaccount:people:mia", in_a_pod: false };
    asked(&cluster, &desk, confirmation()).await.expect("a person with an account of Kubernetes may");
    let planned = json!({"botName": "doge-jpy", "type": "Switchover"});
    asked(&cluster, &elsewhere, planned).await.expect("programs may ask for a planned move");

    for kind in ["validatingadmissionpolicybinding", "validatingadmissionpolicy"] {
        let gone = kubectl(&[
            "delete",
            kind,
            "-l",
            "app.kubernetes.io/name=tradingbot-operator",
            "--field-selector",
            &format!("metadata.name={namespace}-operations"),
        ]);
        assert!(gone.status.success(), "{gone:?}");
    }
    cluster.clean_up().await;
}
