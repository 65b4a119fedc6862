//! What the status says of the way to the exchange.

use serde_json::json;
use tradingbot::api::bot_status::TradingBotStatus;

use crate::harness::*;

/// A condition's status, reason and message.
pub fn condition<'a>(status: &'a TradingBotStatus, kind: &str) -> Option<(&'a str, &'a str, &'a str)> {
    let found = status.conditions.iter().find(|c| c.type_ == kind)?;
    Some((&found.status, &found.reason, &found.message))
}

fn is_fenced_by(status: &TradingBotStatus, reason: &str) -> bool {
    condition(status, "OrdersFenced").is_some_and(|(_, found, _)| found == reason)
}

#[test]
fn without_a_gate_processes_are_killed_only_and_the_status_says_what_that_means() {
    scenario("killed_only", Turn::Shared, async |world| {
        let bot = world.apply(bot()).await;
        bot.until_trading().await;
        let status = bot.until("it is said how orders are fenced", SOON, |s| is_fenced_by(s, "KilledOnly")).await;
        let (fenced, _, message) = condition(&status, "OrdersFenced").expect("a condition");
        assert_eq!(fenced, "False");
        assert!(message.contains("when a link heals") && message.contains("set spec.orderGate"), "{message}");

        bot.change(json!({"spec": {"suspend": true}})).await;
        bot.until("nobody trades, so nothing is said", SOON, |s| {
            condition(s, "OrdersFenced")
                .is_some_and(|(status, reason, _)| (status, reason) == ("Unknown", "NobodyTrades"))
        })
        .await;
    });
}

#[test]
fn through_the_gate_trading_moves_as_ever_and_the_agent_counts_what_passed() {
    scenario("gated", Turn::Shared, async |world| {
        let bot = world.apply(bot().hot().with("/spec/orderGate", json!({}))).await;
        let before = bot.until_trading().await;
        bot.until("it is said how orders are fenced", SOON, |s| is_fenced_by(s, "Gated")).await;
        let pod = before.active.expect("one trades").pod;
        let metrics = format!("/api/v1/namespaces/{}/pods/{pod}:9798/proxy/metrics", world.namespace);
        let metrics = world.cluster.get(&metrics).await.expect("the agent tells its metrics");
        let sent = metrics.lines().find_map(|line| line.strip_prefix("tradingbot_gate_sent_bytes_total "));
        assert!(sent.is_some_and(|bytes| bytes != "0"), "no order went through the gate: {metrics}");
        let round = bot.begin_round("crash").await;
        bot.tell(&pod, "crash").await;
        bot.first_order_of_next(&round).await;
        bot.until("the next active is gated, too", SOON, |s| s.epoch > before.epoch && is_fenced_by(s, "Gated")).await;
    });
}

#[test]
fn with_the_right_to_do_so_connections_are_destroyed() {
    scenario("sockets_destroyed", Turn::Shared, async |world| {
        let rights = json!({
            "runAsUser": 0, "runAsNonRoot": false, "allowPrivilegeEscalation": false, "seccompProfile": {"type": "RuntimeDefault"},
            "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]},
        });
        world.admit_privileged_pods().await;
        let bot = world.apply(bot().with("/spec/template/spec/containers/0/securityContext", rights)).await;
        let before = bot.until_trading().await;
        bot.until("it is said how orders are fenced", SOON, |s| is_fenced_by(s, "SocketsDestroyed")).await;
        // Nothing that is needed goes with them: trading moves as ever.
        let round = bot.begin_round("crash").await;
        bot.tell(&before.active.expect("one trades").pod, "crash").await;
        bot.first_order_of_next(&round).await;
        bot.until("the next active destroys, too", SOON, |s| {
            s.epoch > before.epoch && is_fenced_by(s, "SocketsDestroyed")
        })
        .await;
    });
}
