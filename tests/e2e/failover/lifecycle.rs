//! Changes of the resource: its template, its size, its end; and of the Lease by somebody else.

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use serde_json::json;
use tradingbot::api::bot_status::{Phase, Trigger};

use crate::harness::*;

#[test]
fn rolling_update_replaces_standbys_first_and_moves_once() {
    scenario("rolling_update", Turn::Shared, async |world| {
        let bot = world.apply(bot().hot().reconciled().replicas(3)).await;
        let before = bot.until_trading().await;
        let old: Vec<_> = bot.pods().await.iter().filter_map(ResourceExt::uid).collect();
        let round = bot.begin_round("rolling update").await;
        let variable = json!({"name": "VERSION", "value": "2"});
        bot.change_by(json!([{"op": "add", "path": "/spec/template/spec/containers/0/env/-", "value": variable}]))
            .await;
        let first = bot.first_order_of_next(&round).await;
        let step = bot.until_moved_beyond(before.epoch).await;
        assert_eq!(step.trigger, Trigger::RollingUpdate, "{step:?}");
        until("all pods are new and ready", SOON, async || {
            let pods = bot.pods().await;
            let new = pods.iter().all(|p| p.uid().is_some_and(|uid| !old.contains(&uid)));
            (pods.len() == 3 && new).then_some(())
        })
        .await;
        let after = bot.until_trading().await;
        assert_eq!(
            after.failover.total,
            before.failover.total + 1,
            "an update moves trading once: {:?}",
            after.failover.history
        );
        let last = bot.exchange.last_order_of(&round).await;
        world.note("s without trading", seconds_between(&last, &first));
    });
}

#[test]
fn scaling_up_and_down_leaves_the_active_alone() {
    scenario("scale", Turn::Shared, async |world| {
        let bot = world.apply(bot()).await;
        bot.until_trading().await;
        let round = bot.begin_round("scale to 3 and back").await;
        for (replicas, summary) in [(3, "2/2"), (2, "1/1")] {
            bot.change(json!({"spec": {"replicas": replicas}})).await;
            bot.until("as many standbys as wanted", SOON, |s| s.standbys.summary == summary).await;
            until("as many pods as wanted", SOON, async || (bot.pods().await.len() == replicas).then_some(())).await;
        }
        bot.assert_undisturbed_since(&round).await;
        assert_eq!(bot.status().await.epoch, 1);
    });
}

#[test]
fn deleted_bot_stops_gracefully_before_anything_goes() {
    scenario("delete", Turn::Shared, async |world| {
        let bot = world.apply(bot().reconciled()).await;
        bot.until_trading().await;
        let round = bot.begin_round("delete").await;
        bot.delete().await;
        bot.until_gone().await;
        let gone = bot.mark("gone").await;
        let last = bot.exchange.last_order_of(&round).await;
        assert!(last.seq < gone.seq);
        until("its pods and its Lease are gone", SOON, async || {
            (bot.pods().await.is_empty() && bot.lease().await.is_none()).then_some(())
        })
        .await;
        let late = bot.orders_since(&gone).await;
        assert!(late.is_empty(), "a deleted bot trades: {late:?}");
    });
}

#[test]
fn bot_made_again_at_once_never_meets_its_predecessor() {
    scenario("delete_and_make_again", Turn::Shared, async |world| {
        let manifest = bot().hot().reconciled();
        let bot = world.apply(manifest.clone()).await;
        bot.until_trading().await;
        let round = bot.begin_round("delete and make again").await;
        bot.delete().await;
        let object = manifest.env("EXCHANGE_URL", &bot.exchange.address).object;
        until("the name is free, and taken again at once", SOON, async || bot.create(&object).await.ok()).await;
        bot.exchange.mark(json!({"text": "made again", "account": bot.account, "recreated": true})).await;
        let first = bot.first_order_of_next(&round).await;
        assert!(first.token > Some(round.token()), "tokens grow over a deletion");
        assert_eq!(bot.until_trading().await.epoch, 1);
    });
}

#[test]
fn deleted_namespace_stops_the_active_first() {
    scenario("namespace_deleted", Turn::Shared, async |world| {
        // The judge must outlive the namespace that is deleted.
        let elsewhere = World::new("namespace_deleted_bots").await;
        let exchange = world.exchange().await;
        let bot = elsewhere.apply_at(exchange, bot()).await;
        bot.until_trading().await;
        let round = bot.begin_round("the namespace is deleted").await;
        let namespaces: Api<Namespace> = Api::all(world.cluster.client.clone());
        namespaces.delete(&elsewhere.namespace, &DeleteParams::default()).await.expect("the namespace is deleted");
        until("the namespace is gone", seconds(90), async || {
            namespaces.get_opt(&elsewhere.namespace).await.ok()?.is_none().then_some(())
        })
        .await;
        let gone = bot.mark("gone").await;
        assert!(bot.exchange.last_order_of(&round).await.seq < gone.seq);
        assert!(bot.exchange.try_wait(seconds(2), &bot.at(&format!("since={}", gone.seq))).await.is_none());
        bot.exchange.assert_clean(&bot.account, false, &[]).await;
    });
}

#[test]
fn deleted_lease_is_no_evidence() {
    scenario("lease_deleted", Turn::Shared, async |world| {
        let bot = world.apply(bot().hot().reconciled()).await;
        let before = bot.until_trading().await;
        let round = bot.begin_round("the Lease is deleted").await;
        bot.leases().delete("doge", &DeleteParams::default()).await.expect("the Lease is deleted");
        let first = bot.first_order_of_next(&round).await;
        let last = bot.exchange.last_order_of(&round).await;
        bot.until_moved_beyond(before.epoch).await;
        world.note("s the old one traded on", seconds_between(&round.marker, &last));
        world.note("s to trade again", seconds_between(&round.marker, &first));
        bot.until_trading().await;
    });
}

#[test]
fn lease_edited_by_hand_lets_nobody_trade_beside_the_active() {
    scenario("lease_edited", Turn::Shared, async |world| {
        let bot = world.apply(bot().hot().reconciled()).await;
        let before = bot.until_trading().await;
        let standby = bot.standby().await;
        let uid = bot.pod(&standby).await.and_then(|p| p.uid()).expect("the standby has a uid");
        let edits = [
            ("holder", json!({"spec": {"holderIdentity": format!("{standby}/{uid}")}})),
            ("epoch", json!({"metadata": {"annotations": {"tradingbot.io/epoch": "1"}}})),
            ("permit", json!({"metadata": {"annotations": {"tradingbot.io/permit": "nonsense"}}})),
            ("blank", json!({"metadata": {"annotations": null}, "spec": null})),
        ];
        let mut epoch = before.epoch;
        for (what, edit) in edits {
            let round = bot.begin_round(what).await;
            let changed = bot.leases().patch("doge", &PatchParams::default(), &Patch::Merge(edit)).await;
            let _: Lease = changed.expect("the Lease can be edited");
            let first = bot.first_order_of_next(&round).await;
            world.note(&format!("s after {what}"), seconds_between(&round.marker, &first));
            let status = bot.until_trading().await;
            assert!(status.epoch > epoch, "{what}: the epoch stands at {}", status.epoch);
            epoch = status.epoch;
            assert_eq!(status.phase, Phase::Active);
        }
    });
}
