//! The status is the operator's ledger, and its finalizer keeps a bot until the active has stopped.

use serde_json::json;

use super::bot::smallest;
use super::chart::{OPERATOR, SYSTEM, with_policies};
use super::cluster::refused;
use super::identity::{Identity, With};

#[tokio::test]
async fn the_status_is_written_by_the_operator_alone() {
    let cluster = with_policies("ledger").await;
    let (client, ns) = (&cluster.client, &cluster.namespace);
    cluster.create("TradingBot", &smallest(), false).await.expect("a bot");
    let operation = json!({
        "apiVersion": "tradingbot.io/v1alpha1", "kind": "TradingBotOperation", "metadata": {"name": "move"},
        "spec": {"botName": "doge-jpy", "type": "Switchover"},
    });
    cluster.create("TradingBotOperation", &operation, false).await.expect("an operation");
    let kinds = format!("/apis/tradingbot.io/v1alpha1/namespaces/{ns}");
    let rows = [
        (format!("{kinds}/tradingbots/doge-jpy/status"), json!({"status": {"epoch": 7}})),
        (format!("{kinds}/tradingbotoperations/move/status"), json!({"status": {"phase": "Succeeded"}})),
    ];
    let (ci, bot) = (Identity::account(ns, "ci"), Identity::account(ns, "doge-agent-0").in_pod("doge-0", "u0"));
    let system = Identity::account("kube-system", "cni").in_pod("cni-x", "u9");
    for (path, patch) in &rows {
        for who in [&ci, &bot, &system] {
            let alone = "is the ledger of who may be trading, and is written by the operator alone; ";
            refused(path, who.change(client, path, With::MergePatch, patch).await, alone);
        }
        let operator = Identity::account(SYSTEM, OPERATOR);
        operator.change(client, path, With::MergePatch, patch).await.expect("the operator writes it");
        let dry = format!("{path}?dryRun=All");
        Identity::person().change(client, &dry, With::MergePatch, patch).await.expect("a person may have to");
    }
    cluster.clean_up().await;
}

#[tokio::test]
async fn whoever_deploys_bots_changes_all_but_our_finalizer() {
    let cluster = with_policies("deploys").await;
    let (client, ns) = (&cluster.client, &cluster.namespace);
    let gitops = Identity::account(ns, "gitops").in_pod("gitops-0", "u5");
    let bots = format!("/apis/tradingbot.io/v1alpha1/namespaces/{ns}/tradingbots");
    let path = format!("{bots}/doge-jpy");
    gitops.create(client, &bots, &smallest()).await.expect("it makes a bot");
    let operator = Identity::account(SYSTEM, OPERATOR);
    let held = json!({"metadata": {"finalizers": ["example.com/other", "tradingbot.io/fencing"]}});
    operator.change(client, &path, With::MergePatch, &held).await.expect("the operator's finalizer");

    let change = json!({"metadata": {"labels": {"team": "a"}}, "spec": {"replicas": 3}});
    gitops.change(client, &path, With::MergePatch, &change).await.expect("it changes spec and metadata");
    let applied = format!("{path}?fieldManager=gitops&force=true");
    gitops.change(client, &applied, With::Apply, &smallest()).await.expect("it applies");
    let others = json!({"metadata": {"finalizers": ["tradingbot.io/fencing"]}});
    gitops.change(client, &path, With::MergePatch, &others).await.expect("it takes another finalizer off");

    let alone = "is taken off by the operator alone, when the active is known to have stopped.";
    let none = json!({"metadata": {"finalizers": null}});
    refused("patch", gitops.change(client, &path, With::MergePatch, &none).await, alone);
    let mut whole = smallest();
    whole["metadata"]["namespace"] = json!(ns);
    let stored = cluster.objects("TradingBot").get("doge-jpy").await.expect("it is there");
    whole["metadata"]["resourceVersion"] = json!(stored.metadata.resource_version);
    refused("replace", gitops.replace(client, &path, &whole).await, "instead of replacing it whole");

    gitops.delete(client, &path).await.expect("it deletes the bot");
    refused("while it goes", gitops.change(client, &path, With::MergePatch, &none).await, alone);
    operator.change(client, &path, With::MergePatch, &none).await.expect("the operator lets it go");
    assert!(cluster.objects("TradingBot").get_opt("doge-jpy").await.expect("an answer").is_none());
    cluster.clean_up().await;
}
