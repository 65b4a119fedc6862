//! A directory on the active's own volume, kept on another volume.

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::api::{Api, DeleteParams, LogParams, PostParams};
use serde_json::{Value, json};

use crate::harness::*;

/// Runs a shell script with these claims mounted below `/claims`; what it prints.
async fn on_claims(world: &World, node: &str, claims: &[&str], script: &str) -> String {
    let pods: Api<Pod> = Api::namespaced(world.cluster.client.clone(), &world.namespace);
    let mounts: Vec<Value> =
        claims.iter().map(|claim| json!({"name": claim, "mountPath": format!("/claims/{claim}")})).collect();
    let volumes: Vec<Value> =
        claims.iter().map(|claim| json!({"name": claim, "persistentVolumeClaim": {"claimName": claim}})).collect();
    let pod = json!({
        "metadata": {"name": "hand"},
        "spec": {
            "restartPolicy": "Never",
            "nodeSelector": {"kubernetes.io/hostname": node},
            "securityContext": restricted_pod(),
            "containers": [{
                "name": "hand", "image": POSTGRESQL_IMAGE, "imagePullPolicy": "IfNotPresent",
                "command": ["sh", "-ec", script], "securityContext": restricted_container(), "volumeMounts": mounts,
            }],
            "volumes": volumes,
        },
    });
    let pod: Pod = serde_json::from_value(pod).expect("a pod");
    pods.create(&PostParams::default(), &pod).await.expect("the pod is made");
    let phase = until("the script ends", SOON, async || {
        let phase = pods.get("hand").await.ok()?.status?.phase?;
        matches!(phase.as_str(), "Succeeded" | "Failed").then_some(phase)
    })
    .await;
    let said = pods.logs("hand", &LogParams::default()).await.expect("its log");
    assert_eq!(phase, "Succeeded", "{script}: {said}");
    pods.delete("hand", &DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() })
        .await
        .expect("gone");
    until("the pod is gone", SOON, async || pods.get_opt("hand").await.ok()?.is_none().then_some(())).await;
    said.trim_end().to_owned()
}

#[test]
fn directory_is_kept_on_a_claim_and_put_back_with_all_that_is_in_it() {
    scenario("backup_directory", Turn::Shared, async |world| {
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(world.cluster.client.clone(), &world.namespace);
        let claim = json!({
            "metadata": {"name": "backups"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        });
        let claim = serde_json::from_value(claim).expect("a claim");
        claims.create(&PostParams::default(), &claim).await.expect("the claim is made");
        // Its volumes are a node's own, so both are on one.
        let node = world.cluster.nodes().await.remove(0);
        let destination = json!({"persistentVolumeClaim": {"claimName": "backups"}});
        let manifest = bot()
            .books_on_volume(20)
            .only_on(&node)
            .backed_up(json!({"directory": {"path": "/data/state"}}), destination);
        let bot = world.apply(manifest).await;
        let before = bot.until_trading().await;
        let pod = before.active.expect("one trades").pod;
        let claim = format!("data-{pod}");
        let state = format!("/claims/{claim}/state");
        let make = format!(
            "mkdir -p {state}/a/b; cd {state}; printf one >file; printf two >a/b/deep; chmod 0600 a/b/deep; : >empty"
        );
        on_claims(world, &node, &[&claim], &make).await;
        let look = format!("cd {state}; for f in $(ls) a/b/deep; do echo $f; done; cat file a/b/deep");
        let as_it_was = on_claims(world, &node, &[&claim], &look).await;
        let id = bot.back_up().await;

        let round = bot.begin_round("the directory is destroyed").await;
        on_claims(world, &node, &[&claim], &format!("cd {state}; rm -rf a file; printf three >other")).await;
        bot.restore().await;
        bot.first_order_of_next(&round).await;
        assert_eq!(on_claims(world, &node, &[&claim], &look).await, as_it_was);
        let kept = format!("ls /claims/backups/{}/doge/manifests", world.namespace);
        assert_eq!(on_claims(world, &node, &["backups"], &kept).await, format!("{id}.json"));
        bot.until_trading().await;
    });
}
