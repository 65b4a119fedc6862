//! Bad and good `TradingBotOperation`s.

use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::cluster::{Cluster, refused};

fn operation(spec: Value) -> Value {
    json!({
        "apiVersion": "tradingbot.io/v1alpha1",
        "kind": "TradingBotOperation",
        "metadata": {"name": "move-it"},
        "spec": spec
    })
}

#[tokio::test]
async fn bad_operations_are_refused_with_a_sentence_that_says_what_to_change() {
    let cases = [
        (
            json!({"botName": "doge", "type": "Dance"}),
            "supported values: \"Switchover\", \"Failover\", \"ConfirmStopped\"",
        ),
        (json!({"type": "Switchover"}), "spec.botName: Required value"),
        (json!({"botName": "doge", "type": "ConfirmStopped"}), "set confirm.epoch and confirm.by there"),
        (
            json!({"botName": "doge", "type": "Failover", "confirm": {"epoch": 1, "by": "mia"}}),
            "spec.confirm belongs to the type ConfirmStopped and to no other",
        ),
        (
            json!({"botName": "doge", "type": "ConfirmStopped", "to": "doge-1", "confirm": {"epoch": 1, "by": "mia"}}),
            "spec.to has no meaning for the type ConfirmStopped: remove it.",
        ),
        (
            json!({"botName": "doge", "type": "ConfirmStopped", "confirm": {"epoch": 1, "by": " "}}),
            "spec.confirm.by in body should match",
        ),
        (
            json!({"botName": "doge", "type": "ConfirmStopped", "confirm": {"epoch": 0, "by": "mia"}}),
            "spec.confirm.epoch in body should be greater than or equal to 1",
        ),
        (
            json!({"botName": "doge", "type": "Switchover", "to": "shiba-1"}),
            "spec.to must be the name of one of the bot's pods, which is the bot's name, '-' and a number",
        ),
        (json!({"botName": "doge", "type": "Switchover", "to": "doge-x"}), "spec.to must be the name of one of the"),
        (json!({"botName": "doge", "type": "Switchover", "to": "doge-01"}), "spec.to must be the name of one of the"),
        (json!({"botName": "doge", "type": "Restore"}), "spec.restore belongs to the type Restore and to no other"),
        (
            json!({"botName": "doge", "type": "Failover", "restore": {"confirm": "doge"}}),
            "spec.restore belongs to the type Restore and to no other",
        ),
        (
            json!({"botName": "doge", "type": "Restore", "restore": {"confirm": "yes"}}),
            "If that is meant, set spec.restore.confirm to the name of the bot",
        ),
        (
            json!({"botName": "doge", "type": "Restore", "restore": {"confirm": "doge",
                "id": "20261124T020000Z-daily-3f9a", "before": "2026-11-24T00:00:00Z"}}),
            "spec.restore names a backup either by id or as the newest before a time",
        ),
        (
            json!({"botName": "doge", "type": "Restore", "restore": {"confirm": "doge", "id": "../20261124T020000Z-daily-3f9a"}}),
            "spec.restore.id in body should match",
        ),
        (
            json!({"botName": "doge", "type": "Switchover", "backup": {"schedule": "daily"}}),
            "spec.backup belongs to the type Backup and to no other",
        ),
        (
            json!({"botName": "doge", "type": "Backup", "backup": {"schedule": "a/b"}}),
            "spec.backup.schedule in body should match",
        ),
        (
            json!({"botName": "doge", "type": "Backup", "to": "doge-1"}),
            "spec.to has no meaning for the types Backup and",
        ),
    ];
    let cluster = Cluster::with_namespace("badop").await;
    for (spec, sentence) in cases {
        let what = spec.to_string();
        refused(&what, cluster.create("TradingBotOperation", &operation(spec), true).await, sentence);
    }
    cluster.clean_up().await;
}

#[tokio::test]
async fn good_operations_are_accepted() {
    let cases = [
        json!({"botName": "doge", "type": "Switchover"}),
        json!({"botName": "doge", "type": "Switchover", "to": "doge-0"}),
        json!({"botName": "doge-2", "type": "Switchover", "to": "doge-2-11"}),
        json!({"botName": "doge", "type": "Failover", "to": "doge-1", "reason": "The node smells of smoke."}),
        json!({"botName": "doge", "type": "ConfirmStopped", "confirm": {"epoch": 7, "by": "mia"}}),
        json!({"botName": "doge", "type": "Backup"}),
        json!({"botName": "doge", "type": "Backup", "backup": {"schedule": "daily"}}),
        json!({"botName": "doge", "type": "Restore", "restore": {"confirm": "doge"}}),
        json!({"botName": "doge", "type": "Restore", "restore": {"confirm": "doge", "before": "2026-11-24T00:00:00Z"}}),
        json!({"botName": "doge", "type": "Restore", "restore": {"confirm": "doge", "id": "20261124T020000Z-daily-3f9a"}}),
    ];
    let cluster = Cluster::with_namespace("goodop").await;
    for spec in cases {
        cluster.create("TradingBotOperation", &operation(spec.clone()), true).await.expect("accepted");
    }
    cluster.clean_up().await;
}

#[tokio::test]
async fn an_operation_never_changes_and_stays_as_it_ended() {
    let cluster = Cluster::with_namespace("fixedop").await;
    let spec = json!({"botName": "doge", "type": "Switchover"});
    cluster.create("TradingBotOperation", &operation(spec), false).await.unwrap();
    let api = cluster.objects("TradingBotOperation");
    let merge = |patch: Value| Patch::Merge(patch);
    let parameters = PatchParams::default();
    let answer = api.patch("move-it", &parameters, &merge(json!({"spec": {"to": "doge-1"}}))).await;
    let answer = answer.map(|_| Value::Null).map_err(|e| e.to_string());
    refused("another target", answer, "An operation is asked for once and cannot be changed");

    let status = |phase: &str| merge(json!({"status": {"phase": phase}}));
    for phase in ["Running", "Failed"] {
        api.patch_status("move-it", &parameters, &status(phase)).await.expect("accepted");
    }
    for patch in [status("Running"), merge(json!({"status": {"phase": null}})), merge(json!({"status": null}))] {
        let answer = api.patch_status("move-it", &parameters, &patch).await;
        let answer = answer.map(|_| Value::Null).map_err(|e| e.to_string());
        refused("a second run", answer, "An operation that has ended stays as it ended");
    }
    cluster.clean_up().await;
}
