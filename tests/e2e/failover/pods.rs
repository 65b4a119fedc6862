//! Somebody deletes the active's pod.

use kube::ResourceExt;
use kube::api::{Api, DeleteParams};
use tradingbot::api::bot_status::{Evidence, Reason};

use crate::harness::*;

#[test]
fn deleted_pod_hands_over_and_is_made_again() {
    scenario("pod_deleted", Turn::Shared, async |world| {
        let bot = world.apply(bot().reconciled()).await;
        let before = bot.until_trading().await;
        let old = bot.active().await;
        let round = bot.begin_round("the pod is deleted").await;
        let pods: Api<k8s_openapi::api::core::v1::Pod> =
            Api::namespaced(world.cluster.client.clone(), &world.namespace);
        pods.delete(&old.name_any(), &DeleteParams::default()).await.expect("the pod is deleted");
        let first = bot.first_order_of_next(&round).await;
        let step = bot.until_moved_beyond(before.epoch).await;
        assert_eq!(step.evidence, Some(Evidence::Released), "an agent releases before it exits: {step:?}");
        assert_eq!(step.reason, Reason::PodDeleted, "{step:?}");
        assert_ne!(step.to_uid, old.uid());
        world.note("s to trade again", seconds_between(&round.marker, &first));
        let after = bot.until_trading().await;
        assert_eq!(after.standbys.summary, "1/1", "redundancy is back");
        assert!(bot.pods().await.iter().all(|p| p.uid() != old.uid()));
    });
}

#[test]
fn force_deleted_pod_is_not_evidence_that_its_container_stopped() {
    scenario("pod_force_deleted", Turn::Shared, async |world| {
        let bot = world.apply(bot().hot()).await;
        let before = bot.until_trading().await;
        let old = bot.active().await;
        // So the container goes on for seconds after the object is gone.
        bot.tell(&old.name_any(), "ignore-sigterm").await;
        let round = bot.begin_round("the pod is force-deleted").await;
        world.faults().force_delete(&world.namespace, &old.name_any()).await;
        let first = bot.first_order_of_next(&round).await;
        let last = bot.exchange.last_order_of(&round).await;
        let step = bot.until_moved_beyond(before.epoch).await;
        let evidence = step.evidence.expect("nobody trades without evidence");
        assert_ne!(evidence, Evidence::Confirmed, "nobody has confirmed anything");
        world.note("s that the old one traded on", seconds_between(&round.marker, &last));
        world.note("s to trade again", seconds_between(&round.marker, &first));
        world.note("evidence", format!("{evidence:?}"));
        assert_eq!(bot.until_trading().await.standbys.summary, "1/1", "redundancy is back");
    });
}
