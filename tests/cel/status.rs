//! Epochs and tokens only grow, by whatever way the status is written.

use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::bot::smallest;
use super::cluster::{Cluster, refused};

fn applied(status: Value) -> Patch<Value> {
    Patch::Apply(json!({"apiVersion": "tradingbot.io/v1alpha1", "kind": "TradingBot", "status": status}))
}

#[tokio::test]
async fn an_epoch_never_falls_or_vanishes() {
    only_grows("epoch", "status.epoch must never fall or vanish, because an epoch is never used twice.").await;
}

#[tokio::test]
async fn a_fencing_token_never_falls_or_vanishes() {
    only_grows("token", "status.token must never fall or vanish, because a fencing token is never used twice.").await;
}

/// Reads and writes again where somebody wrote in between, such as an operator that runs on this cluster.
async fn put(write: impl AsyncFn() -> kube::Result<DynamicObject>) -> kube::Result<DynamicObject> {
    for _ in 0..20 {
        match write().await {
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            answer => return answer,
        }
    }
    write().await
}

async fn only_grows(field: &str, sentence: &str) {
    let cluster = Cluster::with_namespace(field).await;
    cluster.create("TradingBot", &smallest(), false).await.unwrap();
    let api = cluster.objects("TradingBot");
    let operator = PatchParams::apply("operator").force();
    api.patch_status("doge-jpy", &operator, &applied(json!({field: 7, "phase": "Active"}))).await.expect("7 is stored");
    api.patch_status("doge-jpy", &operator, &applied(json!({field: 7, "phase": "Suspect"}))).await.expect("7 may stay");

    let anyone = PatchParams::default();
    for status in [json!({field: 6}), json!({field: null}), Value::Null] {
        let what = format!("merge patch of {status}");
        let answer = api.patch_status("doge-jpy", &anyone, &Patch::Merge(json!({"status": status}))).await;
        refused(&what, answer.map(|_| Value::Null).map_err(|e| e.to_string()), sentence);
    }
    for status in [json!({field: 6}), json!({"phase": "Active"})] {
        let what = format!("server-side apply of {status}");
        let answer = api.patch_status("doge-jpy", &operator, &applied(status)).await;
        refused(&what, answer.map(|_| Value::Null).map_err(|e| e.to_string()), sentence);
    }
    // Taking everything back makes the status null, which is refused before any rule is asked.
    api.patch_status("doge-jpy", &operator, &applied(json!({}))).await.expect_err("an empty status is refused");
    for status in [json!({field: 6}), json!({"phase": "Active"}), Value::Null] {
        let what = format!("PUT of {status}");
        let answer = put(async || {
            let mut object = api.get("doge-jpy").await?;
            if status.is_null() {
                object.data.as_object_mut().unwrap().remove("status");
            } else {
                object.data["status"] = status.clone();
            }
            api.replace_status("doge-jpy", &PostParams::default(), &object).await
        })
        .await;
        refused(&what, answer.map(|_| Value::Null).map_err(|e| e.to_string()), sentence);
    }
    let patch = serde_json::from_value(json!([{"op": "remove", "path": "/status"}])).unwrap();
    let answer = api.patch_status("doge-jpy", &anyone, &Patch::<()>::Json(patch)).await;
    refused("JSON patch", answer.map(|_| Value::Null).map_err(|e| e.to_string()), sentence);

    // A write of the resource itself leaves the status alone, and a greater number is what grants write.
    let changed = put(async || {
        let mut object = api.get("doge-jpy").await?;
        object.data.as_object_mut().unwrap().remove("status");
        object.data["spec"]["replicas"] = json!(3);
        api.replace("doge-jpy", &PostParams::default(), &object).await
    });
    changed.await.expect("the spec may change");
    let stored = api.patch_status("doge-jpy", &operator, &applied(json!({field: 8}))).await.expect("8 follows 7");
    assert_eq!(stored.data["status"][field], 8);
    cluster.clean_up().await;
}
