//! The Services, and the budget for evictions.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{ContainerPort, Service, ServicePort, ServiceSpec};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::common::{name, owned, pod_labels, pod_selector};
use crate::api::bot::TradingBot;
use crate::api::names::{LABEL_ROLE, PROBE_PORT};

/// The Service of whoever trades.
pub fn active_service_name(bot: &str) -> String {
    format!("{bot}-active")
}

/// The headless Service of all the bot's pods.
pub fn members_service_name(bot: &str) -> String {
    format!("{bot}-members")
}

pub fn services(bot: &TradingBot) -> Vec<Service> {
    let ports = ports(bot);
    let mut active = pod_labels(bot);
    active.insert(LABEL_ROLE.to_owned(), "active".to_owned());
    vec![
        Service {
            metadata: owned(bot, active_service_name(name(bot))),
            spec: Some(ServiceSpec {
                selector: Some(active),
                ports: Some(ports.clone()),
                type_: Some("ClusterIP".into()),
                ..ServiceSpec::default()
            }),
            status: None,
        },
        Service {
            metadata: owned(bot, members_service_name(name(bot))),
            spec: Some(ServiceSpec {
                selector: Some(pod_labels(bot)),
                ports: Some(ports),
                type_: Some("ClusterIP".into()),
                cluster_ip: Some("None".into()),
                // Members find each other before they are ready.
                publish_not_ready_addresses: Some(true),
                ..ServiceSpec::default()
            }),
            status: None,
        },
    ]
}

/// The ports that the bot's container declares, and the agent's: a Service needs one.
fn ports(bot: &TradingBot) -> Vec<ServicePort> {
    let container = bot.spec.template.spec.iter().flat_map(|pod| &pod.containers);
    let declared = container.filter(|c| c.name == bot.spec.container_name).flat_map(|c| c.ports.iter().flatten());
    let agent = ContainerPort {
        container_port: i32::from(PROBE_PORT),
        name: Some("tradingbot".into()),
        ..ContainerPort::default()
    };
    let mut seen = BTreeSet::new();
    declared
        .chain([&agent])
        .filter_map(|port| {
            let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".into());
            let fresh = seen.insert((port.container_port, protocol.clone()));
            fresh.then(|| ServicePort {
                name: Some(port_name(port, &protocol)),
                port: port.container_port,
                target_port: Some(IntOrString::Int(port.container_port)),
                protocol: Some(protocol),
                ..ServicePort::default()
            })
        })
        .collect()
}

fn port_name(port: &ContainerPort, protocol: &str) -> String {
    port.name.clone().unwrap_or_else(|| format!("{}-{}", protocol.to_lowercase(), port.container_port))
}

/// One pod at a time may be evicted; a single pod may be, or its node could never be drained. A pod that is not ready
/// may always be: it keeps nothing up.
pub fn budget(bot: &TradingBot) -> PodDisruptionBudget {
    let replicas = i32::try_from(bot.spec.replicas).unwrap_or(i32::MAX);
    PodDisruptionBudget {
        metadata: owned(bot, name(bot).to_owned()),
        spec: Some(PodDisruptionBudgetSpec {
            // An integer: over pods without a scale subresource nothing else works.
            min_available: Some(IntOrString::Int(replicas.saturating_sub(1).max(0))),
            max_unavailable: None,
            selector: Some(pod_selector(bot)),
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".into()),
        }),
        status: None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::*;

    #[test]
    fn the_active_service_selects_on_the_role_and_has_the_bots_ports() {
        let [active, members] = services(&fixtures::full()).try_into().unwrap();
        let spec = active.spec.unwrap();
        assert_eq!(spec.selector.unwrap()[LABEL_ROLE], "active");
        let ports: Vec<_> = spec.ports.unwrap().into_iter().map(|p| (p.name.unwrap(), p.port)).collect();
        assert_eq!(ports, [("tcp-8080".to_owned(), 8080), ("tradingbot".to_owned(), 9798)]);
        let spec = members.spec.unwrap();
        assert_eq!(spec.cluster_ip.as_deref(), Some("None"));
        assert!(!spec.selector.unwrap().contains_key(LABEL_ROLE));
    }

    #[test]
    fn one_pod_at_a_time_may_be_evicted() {
        let mut bot = fixtures::smallest();
        for (replicas, kept) in [(3, 2), (2, 1), (1, 0)] {
            bot.spec.replicas = replicas;
            assert_eq!(budget(&bot).spec.unwrap().min_available, Some(IntOrString::Int(kept)));
        }
    }
}
