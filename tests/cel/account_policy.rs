//! The Lease of an account is the operator's alone.

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, PostParams};
use serde_json::json;

use super::chart::{OPERATOR, SYSTEM, with_policies};
use super::cluster::{IN_FORCE, refused, soon};
use super::identity::{Identity, With};

#[tokio::test]
async fn no_service_account_but_the_operators_writes_an_accounts_lease() {
    let cluster = with_policies("account").await;
    let client = &cluster.client;
    // They are in the operator's namespace, which need not be there yet.
    let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": SYSTEM}})).expect("a namespace");
    let _ = Api::all(client.clone()).create(&PostParams::default(), &namespace).await;
    let bot = Identity::account(&cluster.namespace, "doge-agent-0");
    let binding = serde_json::from_value(json!({
        "metadata": {"generateName": "cel-account-"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [
            {"kind": "ServiceAccount", "name": "doge-agent-0", "namespace": cluster.namespace},
            {"kind": "ServiceAccount", "name": OPERATOR, "namespace": SYSTEM},
        ],
    }))
    .expect("a binding");
    let bindings: Api<RoleBinding> = Api::namespaced(client.clone(), SYSTEM);
    let binding = bindings.create(&PostParams::default(), &binding).await.expect("it is made").name_any();

    let leases = format!("/apis/coordination.k8s.io/v1/namespaces/{SYSTEM}/leases");
    let name = format!("account-{}", cluster.namespace);
    let lease = json!({"metadata": {"name": name, "labels": {"tradingbot.io/account": cluster.namespace}}, "spec": {}});
    let alone = "The Lease of an account is written by the operator alone";
    let one = format!("{leases}/{name}?dryRun=All");
    let holds = json!({"spec": {"holderIdentity": "a/doge/u"}});
    // The binding of this policy counts when the others do, give or take.
    soon("the policy is in force", IN_FORCE, async || {
        bot.create(client, &format!("{leases}?dryRun=All"), &lease).await.is_err()
    })
    .await;
    let operator = Identity::account(SYSTEM, OPERATOR);
    operator.create(client, &leases, &lease).await.expect("the operator makes it");
    for who in [bot.clone(), bot.in_pod("doge-0", "u0")] {
        refused("create", who.create(client, &format!("{leases}?dryRun=All"), &lease).await, alone);
        refused("change", who.change(client, &one, With::MergePatch, &holds).await, alone);
        let unlabelled = json!({"metadata": {"labels": null}});
        refused("label", who.change(client, &one, With::MergePatch, &unlabelled).await, alone);
        refused("delete", who.delete(client, &one).await, alone);
    }
    let one = one.trim_end_matches("?dryRun=All");
    operator.change(client, one, With::MergePatch, &holds).await.expect("the operator changes it");
    operator.delete(client, one).await.expect("the operator deletes it");
    bindings.delete(&binding, &DeleteParams::default()).await.expect("the binding goes");
    cluster.clean_up().await;
}
