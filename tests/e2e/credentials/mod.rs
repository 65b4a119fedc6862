//! The exchange's keys, seen where they count: in the orders, and in what each pod's own token may read.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::json;

use crate::harness::*;

const SECRET: &str = "exchange-keys";

fn secret(key: &str) -> Secret {
    serde_json::from_value(json!({"metadata": {"name": SECRET}, "stringData": {"api-key": key}})).expect("a Secret")
}

async fn as_pod(bot: &Bot, pod: &str) -> Client {
    client_of(&bot.cluster, &bot.pod(pod).await.expect("the pod is there")).await
}

/// Whether a pod may read the keys, by reading them.
async fn reads(world: &World, client: &Client) -> bool {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &world.namespace);
    match secrets.get(SECRET).await {
        Ok(_) => true,
        Err(kube::Error::Api(status)) if status.code == 403 => false,
        Err(error) => panic!("neither given nor refused: {error}"),
    }
}

#[test]
fn only_the_active_reads_the_keys_and_a_new_key_reaches_the_orders_without_a_restart() {
    scenario("credentials", Turn::Shared, async |world| {
        let secrets: Api<Secret> = Api::namespaced(world.cluster.client.clone(), &world.namespace);
        secrets.create(&PostParams::default(), &secret("aaaa-first")).await.expect("the Secret is made");
        let manifest = bot().reconciled().with("/spec/credentials", json!({"secretName": SECRET}));
        let bot = world.apply(manifest).await;
        let before = bot.until_trading().await;
        let active = before.active.clone().expect("one trades").pod;
        let standby = bot.standby().await;
        let round = bot.begin_round("switchover").await;
        assert_eq!(round.order.key.as_deref(), Some("aaaa"), "orders carry the key");

        let (first, second) = (as_pod(&bot, &active).await, as_pod(&bot, &standby).await);
        assert!(reads(world, &first).await && !reads(world, &second).await, "the active alone");
        let (status, reason, _) = bot.condition("CredentialsWithheld").await.expect("it is said");
        assert_eq!((status.as_str(), reason.as_str()), ("True", "ActiveOnly"));

        let operation = bot.ask("Switchover", Some(&standby)).await;
        let order = bot.first_order_of_next(&round).await;
        assert_eq!(order.key.as_deref(), Some("aaaa"), "the next active has the key before its first order");
        bot.until_ended(&operation).await;
        until("the old slot may not read any more", seconds(5), async || (!reads(world, &first).await).then_some(()))
            .await;
        assert!(reads(world, &second).await);

        let changed = Instant::now();
        let patch = Patch::Merge(json!({"stringData": {"api-key": "bbbb-second"}}));
        secrets.patch(SECRET, &PatchParams::default(), &patch).await.expect("the Secret is changed");
        let since = order.seq;
        let rotated = until("an order carries the new key", seconds(30), async || {
            let orders = bot.exchange.orders(&bot.account, since).await;
            orders.into_iter().find(|order| order.key.as_deref() == Some("bbbb"))
        })
        .await;
        assert_eq!(rotated.instance, order.instance, "the process was not restarted");
        assert!(changed.elapsed() < Duration::from_secs(20));
        world.note("s to the new key", changed.elapsed().as_secs_f64());
    });
}
