//! The NetworkPolicy for the pods that are not active.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort,
    NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::common::{COMPONENT_BOT, name, owned, pod_labels};
use crate::api::bot::{StandbyNetworkPolicy, TradingBot};
use crate::api::names::{CANARY_PORT, LABEL_COMPONENT, LABEL_ROLE};

const DNS_PORT: u16 = 53;

/// The name of the policy.
pub fn policy_name(bot: &str) -> String {
    format!("{bot}-standby")
}

/// Whether the bot asks for one.
pub fn policy_wanted(bot: &TradingBot) -> Option<&StandbyNetworkPolicy> {
    bot.spec.order_gate.as_ref()?.network_policy.as_ref()
}

/// The policy, where one is asked for. `api_server`: every address that leads to the API server, because agents need it;
/// a policy without any would take the Lease from every standby, so there is none then.
pub fn policy(bot: &TradingBot, api_server: &BTreeSet<SocketAddr>) -> Option<NetworkPolicy> {
    let StandbyNetworkPolicy { standby_egress } = policy_wanted(bot)?;
    if api_server.is_empty() {
        return None;
    }
    let mut metadata = owned(bot, policy_name(name(bot)));
    metadata.labels.get_or_insert_default().insert(LABEL_COMPONENT.to_owned(), COMPONENT_BOT.to_owned());
    let egress = [dns()].into_iter().chain(to_api_server(api_server)).chain(standby_egress.iter().cloned());
    Some(NetworkPolicy {
        metadata,
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(not_active(bot)),
            policy_types: Some(vec!["Ingress".into(), "Egress".into()]),
            ingress: Some(vec![all_but_the_canary()]),
            egress: Some(egress.collect()),
        }),
    })
}

/// Every pod of the bot that is not known to be the active, also one that lost its label because it is in doubt. Pods of
/// reconciliation Jobs are none of the bot's own: they must reach the exchange.
fn not_active(bot: &TradingBot) -> LabelSelector {
    LabelSelector {
        match_labels: Some(pod_labels(bot)),
        match_expressions: Some(vec![LabelSelectorRequirement {
            key: LABEL_ROLE.to_owned(),
            operator: "NotIn".into(),
            values: Some(vec!["active".into()]),
        }]),
    }
}

fn port(protocol: &str, first: u16, last: Option<u16>) -> NetworkPolicyPort {
    NetworkPolicyPort {
        protocol: Some(protocol.to_owned()),
        port: Some(IntOrString::Int(i32::from(first))),
        end_port: last.map(i32::from),
    }
}

/// Names are resolved by whatever the cluster has for that, at whatever address.
fn dns() -> NetworkPolicyEgressRule {
    let ports = ["UDP", "TCP"].map(|protocol| port(protocol, DNS_PORT, None)).to_vec();
    NetworkPolicyEgressRule { ports: Some(ports), to: None }
}

/// One rule a port. Plugins match before or after the Service's address was translated, so both addresses are in.
fn to_api_server(addresses: &BTreeSet<SocketAddr>) -> Vec<NetworkPolicyEgressRule> {
    let mut by_port: BTreeMap<u16, Vec<NetworkPolicyPeer>> = BTreeMap::new();
    for address in addresses {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let block = IPBlock { cidr: format!("{}/{bits}", address.ip()), except: None };
        let peer = NetworkPolicyPeer { ip_block: Some(block), ..NetworkPolicyPeer::default() };
        by_port.entry(address.port()).or_default().push(peer);
    }
    let rule = |(number, to)| NetworkPolicyEgressRule { ports: Some(vec![port("TCP", number, None)]), to: Some(to) };
    by_port.into_iter().map(rule).collect()
}

/// Ingress is as free as without a policy but for one port, at which it shows whether policies are enforced.
fn all_but_the_canary() -> NetworkPolicyIngressRule {
    let ports = vec![
        port("TCP", 1, Some(CANARY_PORT - 1)),
        port("TCP", CANARY_PORT + 1, Some(u16::MAX)),
        port("UDP", 1, Some(u16::MAX)),
        port("SCTP", 1, Some(u16::MAX)),
    ];
    NetworkPolicyIngressRule { from: None, ports: Some(ports) }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::fixtures;
    use super::super::job::reconciliation_job;
    use super::super::pod::pod;
    use super::*;
    use crate::api::bot::OrderGate;
    use crate::core::ids::FencingToken;

    fn addresses() -> BTreeSet<SocketAddr> {
        ["10.90.0.1:6443", "10.96.0.1:443", "[fd00::1]:6443"].map(|text| text.parse().unwrap()).into()
    }

    fn asking(mut bot: TradingBot) -> TradingBot {
        let rule = json!([{"to": [{"podSelector": {"matchLabels": {"app": "db"}}}], "ports": [{"port": 5432}]}]);
        let standby_egress = serde_json::from_value(rule).unwrap();
        let network_policy = Some(StandbyNetworkPolicy { standby_egress });
        bot.spec.order_gate = Some(OrderGate { network_policy, ..OrderGate::default() });
        bot
    }

    fn made() -> Value {
        serde_json::to_value(policy(&asking(fixtures::full()), &addresses())).unwrap()
    }

    fn is_selected(labels: &BTreeMap<String, String>) -> bool {
        let spec = policy(&asking(fixtures::full()), &addresses()).unwrap().spec.unwrap();
        let selector = spec.pod_selector.unwrap();
        let all = selector.match_labels.unwrap().iter().all(|(key, value)| labels.get(key) == Some(value));
        let none = selector.match_expressions.unwrap().iter().all(|e| {
            assert_eq!(e.operator, "NotIn");
            labels.get(&e.key).is_none_or(|value| !e.values.as_ref().unwrap().contains(value))
        });
        all && none
    }

    #[test]
    fn there_is_one_only_where_it_is_asked_for_and_the_api_server_is_known() {
        assert_eq!(policy(&fixtures::full(), &addresses()), None);
        let mut bot = fixtures::full();
        bot.spec.order_gate = Some(OrderGate::default());
        assert_eq!(policy(&bot, &addresses()), None);
        assert_eq!(policy(&asking(fixtures::full()), &BTreeSet::new()), None);
        let made = made();
        assert_eq!(made["metadata"]["name"], "doge-jpy-standby");
        assert_eq!(made["metadata"]["ownerReferences"][0]["uid"], "bot-uid");
    }

    #[test]
    fn pods_that_are_not_active_are_selected_and_reconciliation_is_not() {
        let bot = asking(fixtures::full());
        let mut labels = pod(&bot, 0, "op:1").metadata.labels.unwrap();
        assert!(is_selected(&labels), "one without a role is in doubt");
        for (role, selected) in [("standby", true), ("candidate", true), ("active", false)] {
            labels.insert(LABEL_ROLE.into(), role.into());
            assert_eq!(is_selected(&labels), selected, "{role}");
        }
        let job = reconciliation_job(&bot, FencingToken(7), &fixtures::first_start()).unwrap();
        let of_job = job.spec.unwrap().template.metadata.unwrap().labels.unwrap();
        assert!(!is_selected(&of_job));
    }

    #[test]
    fn a_standby_reaches_names_the_api_server_and_what_is_listed() {
        let egress = made()["spec"]["egress"].clone();
        let block = |cidr: &str| json!({"ipBlock": {"cidr": cidr}});
        let tcp = |port: u16| json!([{"protocol": "TCP", "port": port}]);
        assert_eq!(
            egress,
            json!([
                {"ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]},
                {"ports": tcp(443), "to": [block("10.96.0.1/32")]},
                {"ports": tcp(6443), "to": [block("10.90.0.1/32"), block("fd00::1/128")]},
                {"ports": [{"port": 5432}], "to": [{"podSelector": {"matchLabels": {"app": "db"}}}]},
            ])
        );
    }

    #[test]
    fn everybody_reaches_every_port_but_the_canary() {
        let ports = made()["spec"]["ingress"][0]["ports"].clone();
        let open = |wanted: u64, protocol: &str| {
            ports.as_array().unwrap().iter().any(|p| {
                p["protocol"] == protocol
                    && (p["port"].as_u64().unwrap()..=p["endPort"].as_u64().unwrap()).contains(&wanted)
            })
        };
        assert!(open(1, "TCP") && open(9798, "TCP") && open(9800, "TCP") && open(65535, "TCP"));
        assert!(!open(9799, "TCP") && open(9799, "UDP") && open(9799, "SCTP"));
        assert!(made()["spec"]["ingress"][0].get("from").is_none());
    }
}
