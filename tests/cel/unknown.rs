//! A misspelt field is told to whoever wrote it: as a warning or a refusal that names it, by how the request asked.

use http::{Method, Request};
use kube::Api;
use kube::api::PostParams;
use kube::client::Body;
use serde_json::{Value, json};
use tradingbot::api::bot::TradingBot;
use tradingbot::api::record::{Seen, record_from, status_from};
use tradingbot::core::failover::Record;
use tradingbot::core::ids::Epoch;

use super::bot::smallest;
use super::cluster::{Cluster, kubectl};

type Change = fn(&mut Value);

fn operation() -> Value {
    json!({"apiVersion": "tradingbot.io/v1alpha1", "kind": "TradingBotOperation", "metadata": {"name": "move-it"},
        "spec": {"botName": "doge-jpy", "type": "Switchover"}})
}

fn with_job(bot: &mut Value) -> &mut Value {
    bot["spec"]["reconciliation"] =
        json!({"jobTemplate": {"spec": {"template": {"spec": {"containers": [{"name": "r", "image": "r"}]}}}}});
    &mut bot["spec"]["reconciliation"]["jobTemplate"]["spec"]
}

/// A misspelling in every part of the schemas, also in those that are Kubernetes's own.
const TYPOS: [(&str, Change, &str); 8] = [
    ("tradingbots", |b| b["spec"]["suspent"] = json!(true), "spec.suspent"),
    (
        "tradingbots",
        |b| b["spec"]["leadership"] = json!({"leaseDurationSecond": 5}),
        "spec.leadership.leaseDurationSecond",
    ),
    (
        "tradingbots",
        |b| b["spec"]["template"]["spec"]["containers"][0]["imagePullPolice"] = json!("Always"),
        "spec.template.spec.containers[0].imagePullPolice",
    ),
    ("tradingbots", |b| b["spec"]["template"]["metadata"] = json!({"label": {}}), "spec.template.metadata.label"),
    ("tradingbots", |b| with_job(b)["backofLimit"] = json!(1), "spec.reconciliation.jobTemplate.spec.backofLimit"),
    (
        "tradingbots",
        |b| {
            let spec = json!({"accessModes": ["ReadWriteOnce"], "storageClas": "x",
                "resources": {"requests": {"storage": "1Gi"}}});
            b["spec"]["volumeClaimTemplates"] = json!([{"metadata": {"name": "data"}, "spec": spec}]);
        },
        "spec.volumeClaimTemplates[0].spec.storageClas",
    ),
    ("tradingbotoperations", |o| o["spec"]["too"] = json!("doge-jpy-1"), "spec.too"),
    (
        "tradingbotoperations",
        |o| {
            o["spec"]["type"] = json!("ConfirmStopped");
            o["spec"]["confirm"] = json!({"epoch": 7, "by": "mia", "bye": "bob"});
        },
        "spec.confirm.bye",
    ),
];

/// The status of the answer, its warnings and its body.
async fn sent(cluster: &Cluster, plural: &str, object: &Value, validation: &str, dry: bool) -> (u16, String, String) {
    let namespace = &cluster.namespace;
    let dry = if dry { "&dryRun=All" } else { "" };
    let path =
        format!("/apis/tradingbot.io/v1alpha1/namespaces/{namespace}/{plural}?fieldValidation={validation}{dry}");
    let request = Request::builder().method(Method::POST).uri(path).header("Content-Type", "application/json");
    let request = request.body(Body::from(object.to_string().into_bytes())).unwrap();
    let answer = cluster.client.send(request).await.expect("an answer");
    let warnings: Vec<_> = answer
        .headers()
        .get_all("warning")
        .iter()
        .map(|w| String::from_utf8_lossy(w.as_bytes()).into_owned())
        .collect();
    let status = answer.status().as_u16();
    let body = answer.into_body().collect_bytes().await.expect("a body");
    (status, warnings.join("\n"), String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test]
async fn every_misspelt_field_is_named() {
    let cluster = Cluster::with_namespace("typos").await;
    let mut wrong = Vec::new();
    for (plural, change, path) in TYPOS {
        let mut object = if plural == "tradingbots" { smallest() } else { operation() };
        change(&mut object);
        let named = format!("unknown field \"{path}\"");
        let (status, warnings, _) = sent(&cluster, plural, &object, "Warn", true).await;
        // Quotes are escaped in the header.
        if status != 201 || !warnings.replace('\\', "").contains(&named) {
            wrong.push(format!("Warn: {path}: {status} {warnings}"));
        }
        let (status, _, body) = sent(&cluster, plural, &object, "Strict", true).await;
        if status != 400 || !body.replace('\\', "").contains(&named) {
            wrong.push(format!("Strict: {path}: {status} {body}"));
        }
    }
    cluster.clean_up().await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn kubectl_apply_refuses_a_misspelt_field_by_name() {
    let cluster = Cluster::with_namespace("typo").await;
    let mut bot = smallest();
    bot["spec"]["suspent"] = json!(true);
    let path = std::env::temp_dir().join(format!("{}.json", cluster.namespace));
    std::fs::write(&path, bot.to_string()).unwrap();
    let file = path.to_str().unwrap();
    let plain = kubectl(&["-n", &cluster.namespace, "apply", "-f", file]);
    let server_side = kubectl(&["-n", &cluster.namespace, "apply", "--server-side", "-f", file]);
    std::fs::remove_file(&path).unwrap();
    let stored = cluster.objects("TradingBot").get_opt("doge-jpy").await.expect("an answer");
    cluster.clean_up().await;
    for output in [plain, server_side] {
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && text.contains("suspent"), "{output:?}");
    }
    assert!(stored.is_none());
}

/// Whoever asks for it to be ignored gets what the schema knows, and the operator is not bothered.
#[tokio::test]
async fn what_is_unknown_and_ignored_is_not_stored_and_disturbs_nothing() {
    let cluster = Cluster::with_namespace("ignored").await;
    let mut bot = smallest();
    bot["spec"]["suspent"] = json!(true);
    bot["spec"]["template"]["spec"]["containers"][0]["imagePullPolice"] = json!("Always");
    let (status, warnings, body) = sent(&cluster, "tradingbots", &bot, "Ignore", false).await;
    assert_eq!((status, warnings.as_str()), (201, ""));
    assert!(!body.contains("\"suspent\":true") && !body.contains("\"imagePullPolice\":\"Always\""), "{body}");

    let bots: Api<TradingBot> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let read = bots.get("doge-jpy").await.expect("the operator reads it");
    assert!(!read.spec.suspend);
    let record = Record { epoch: Epoch(1), ..Record::default() };
    let seen = Seen { bot: "doge-jpy".into(), desired_replicas: 2, ..Seen::default() };
    let next = TradingBot { status: Some(status_from(&record, seen)), ..read };
    let written = bots.replace_status("doge-jpy", &PostParams::default(), &next).await.expect("its status is accepted");
    assert_eq!(record_from(&written.status.unwrap()), record);
    cluster.clean_up().await;
}
