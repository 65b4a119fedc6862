//! Data that belongs to a slot.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use serde_json::json;

use crate::harness::*;

#[test]
fn every_slot_has_a_claim_of_its_own_that_outlives_its_pod() {
    scenario("claims", Turn::Shared, async |world| {
        let claims = json!([{"metadata": {"name": "data"}, "spec": {
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}
        }}]);
        let manifest = bot()
            .hot()
            .reconciled()
            .with("/spec/volumeClaimTemplates", claims)
            .with("/spec/template/spec/containers/0/volumeMounts", json!([{"name": "data", "mountPath": "/data"}]));
        let bot = world.apply(manifest).await;
        let before = bot.until_trading().await;
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(world.cluster.client.clone(), &world.namespace);
        let bound = async || {
            let all = claims.list(&ListParams::default()).await.expect("the claims can be listed").items;
            let phase = |c: &PersistentVolumeClaim| c.status.as_ref().and_then(|s| s.phase.clone());
            assert!(all.iter().all(|c| phase(c).as_deref() == Some("Bound")), "{all:?}");
            let mut uids: Vec<_> = all.iter().map(|c| (c.name_any(), c.uid())).collect();
            uids.sort();
            uids
        };
        let first = bound().await;
        let names: Vec<_> = first.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["data-doge-0", "data-doge-1"]);

        // The reconciliation mounts the candidate's claim, so it has to run on the candidate's node.
        let round = bot.begin_round("crash").await;
        bot.tell(&before.active.expect("one trades").pod, "crash").await;
        bot.first_order_of_next(&round).await;
        let step = bot.until_moved_beyond(before.epoch).await;
        assert!(step.reconciliation.is_some(), "{step:?}");
        assert_eq!(bound().await, first, "a failover made or lost a claim");
    });
}
