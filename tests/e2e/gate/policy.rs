//! The NetworkPolicy for standbys, and whether the cluster's network plugin cares.

use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::Api;
use serde_json::json;
use tradingbot::api::names::CANARY_PORT;

use super::path::condition;
use crate::harness::*;

/// Ten seconds until a policy counts as carried out, and a while for a busy machine.
const MEASURED: std::time::Duration = seconds(60);

fn policies(world: &World) -> Api<NetworkPolicy> {
    Api::namespaced(world.cluster.client.clone(), &world.namespace)
}

async fn until_measured(bot: &Bot, status: &str, reason: &str) -> String {
    let what = format!("NetworkPolicyEnforced is {status}/{reason}");
    let found = bot
        .until(&what, MEASURED, |s| {
            condition(s, "NetworkPolicyEnforced").is_some_and(|(found, why, _)| (found, why) == (status, reason))
        })
        .await;
    condition(&found, "NetworkPolicyEnforced").expect("it was just seen").2.to_owned()
}

#[test]
fn policy_that_the_cluster_does_not_enforce_is_said_so() {
    scenario("policy_not_enforced", Turn::Shared, async |world| {
        let bot = world.apply(bot().with("/spec/orderGate", json!({"networkPolicy": {}}))).await;
        bot.until_trading().await;
        let policy = policies(world).get("doge-standby").await.expect("the policy is made");
        let text = serde_json::to_string(&policy.spec).unwrap_or_default();
        let endpoints =
            world.cluster.get("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes").await;
        let endpoints: serde_json::Value = serde_json::from_str(&endpoints.expect("the slice")).expect("JSON");
        let address = endpoints["endpoints"][0]["addresses"][0].as_str().expect("an address");
        assert!(text.contains(&format!("{address}/32")), "the API server is not in it: {text}");
        // Plugins that enforce are there, too; the local cluster's does not.
        if cluster_env().get("CLUSTER_KIND").is_some_and(|kind| kind == "local") {
            let message = until_measured(&bot, "False", "NotEnforced").await;
            assert!(message.contains("network plugin lets through"), "{message}");
        }
    });
}

#[test]
fn policy_that_is_enforced_is_said_so_and_goes_when_it_is_wanted_no_more() {
    scenario("policy_enforced", Turn::Alone, async |world| {
        let faults = world.faults();
        let _closed: Vec<_> =
            world.cluster.nodes().await.iter().map(|node| faults.close_port(node, CANARY_PORT)).collect();
        let bot = world.apply(bot().with("/spec/orderGate", json!({"networkPolicy": {}}))).await;
        bot.until_trading().await;
        until_measured(&bot, "True", "Enforced").await;

        bot.change(json!({"spec": {"orderGate": null}})).await;
        until("the policy is gone", SOON, async || {
            policies(world).get_opt("doge-standby").await.ok()?.is_none().then_some(())
        })
        .await;
        bot.until("nothing is said of a policy", SOON, |s| condition(s, "NetworkPolicyEnforced").is_none()).await;
    });
}

#[test]
fn bot_that_ignores_its_proxy_is_said_to_go_past_its_gate() {
    scenario("gate_bypassed", Turn::Shared, async |world| {
        let past = json!(["--orders-per-second", "20", "--ignore-proxy"]);
        let bot = bot().with("/spec/orderGate", json!({})).with("/spec/template/spec/containers/0/args", past);
        let bot = world.apply(bot).await;
        bot.until_trading().await;
        let status = bot
            .until("the connection past the gate is found", SOON, |s| {
                condition(s, "OrdersFenced").is_some_and(|(status, why, _)| (status, why) == ("False", "GateBypassed"))
            })
            .await;
        let (_, _, message) = condition(&status, "OrdersFenced").expect("it was just seen");
        let exchange = bot.exchange.address.trim_start_matches("http://");
        assert!(message.contains(exchange), "the peer {exchange} is not named: {message}");
    });
}
