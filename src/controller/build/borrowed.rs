//! What the pods of Jobs take from the bot's own: image, environment, volumes, rights and place.

use k8s_openapi::api::core::v1::*;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::claims::claim_volumes;
use super::common::pod_labels;
use crate::api::bot::TradingBot;
use crate::api::names::LABEL_SLOT;

/// The template's container that trades.
pub fn bots_container(bot: &TradingBot) -> Option<&Container> {
    bot.spec.template.spec.as_ref()?.containers.iter().find(|c| c.name == bot.spec.container_name)
}

/// A container that runs `command` as the bot's container would: its image, environment, volumes and rights.
pub fn container(bot: &TradingBot, name: &str, command: Vec<String>) -> Container {
    let own = bots_container(bot).cloned().unwrap_or_default();
    Container {
        name: name.to_owned(),
        command: Some(command),
        termination_message_path: Some("/dev/termination-log".into()),
        termination_message_policy: Some("File".into()),
        image: own.image,
        image_pull_policy: own.image_pull_policy,
        env: own.env,
        env_from: own.env_from,
        resources: own.resources,
        security_context: own.security_context,
        volume_mounts: own.volume_mounts,
        volume_devices: own.volume_devices,
        working_dir: own.working_dir,
        ..Container::default()
    }
}

/// A pod that runs `container` where and as the bot's pods run, with those of the template's volumes that it mounts.
pub fn pod(bot: &TradingBot, container: Container) -> PodSpec {
    let template = bot.spec.template.spec.clone().unwrap_or_default();
    let used = |volume: &Volume| is_mounted(&container, &volume.name);
    let volumes = template.volumes.into_iter().flatten().filter(used).collect();
    PodSpec {
        volumes: Some(volumes),
        containers: vec![container],
        affinity: template.affinity,
        automount_service_account_token: template.automount_service_account_token,
        dns_config: template.dns_config,
        dns_policy: template.dns_policy,
        enable_service_links: template.enable_service_links,
        host_aliases: template.host_aliases,
        host_network: template.host_network,
        host_users: template.host_users,
        image_pull_secrets: template.image_pull_secrets,
        node_selector: template.node_selector,
        priority_class_name: template.priority_class_name,
        runtime_class_name: template.runtime_class_name,
        scheduler_name: template.scheduler_name,
        security_context: template.security_context,
        service_account_name: template.service_account_name.or(template.service_account),
        tolerations: template.tolerations,
        ..PodSpec::default()
    }
}

pub fn is_mounted(container: &Container, volume: &str) -> bool {
    let files = container.volume_mounts.iter().flatten().any(|m| m.name == volume);
    files || container.volume_devices.iter().flatten().any(|d| d.name == volume)
}

/// The slot's own claims, where a container mounts them by name.
pub fn mount_claims(pod: &mut PodSpec, bot: &TradingBot, slot: u32) {
    let volumes = pod.volumes.get_or_insert_default();
    for claim in claim_volumes(bot, slot) {
        let wanted = pod.containers.iter().any(|c| is_mounted(c, &claim.name));
        if wanted && !volumes.iter().any(|v| v.name == claim.name) {
            volumes.push(claim);
        }
    }
}

/// On the node of the slot's pod if a claim is mounted, for most can be mounted on one node only; else there by
/// preference, because the image is there already. Where it must be, the template's other wishes about nodes are void.
pub fn stay_near(pod: &mut PodSpec, bot: &TradingBot, slot: u32) {
    let mut of_slot = pod_labels(bot);
    of_slot.insert(LABEL_SLOT.to_owned(), slot.to_string());
    let near = PodAffinityTerm {
        label_selector: Some(LabelSelector { match_labels: Some(of_slot), match_expressions: None }),
        topology_key: "kubernetes.io/hostname".into(),
        ..PodAffinityTerm::default()
    };
    let must = pod.volumes.iter().flatten().any(|v| v.persistent_volume_claim.is_some());
    if must {
        let required = PodAffinity {
            required_during_scheduling_ignored_during_execution: Some(vec![near]),
            ..PodAffinity::default()
        };
        pod.affinity = Some(Affinity { pod_affinity: Some(required), ..Affinity::default() });
        // That pod may be on a node that takes no new pods.
        pod.tolerations.get_or_insert_default().push(Toleration {
            key: Some("node.kubernetes.io/unschedulable".into()),
            operator: Some("Exists".into()),
            effect: Some("NoSchedule".into()),
            ..Toleration::default()
        });
        return;
    }
    let preferred = WeightedPodAffinityTerm { weight: 100, pod_affinity_term: near };
    let node_affinity = pod.affinity.take().and_then(|a| a.node_affinity);
    let pod_affinity = PodAffinity {
        preferred_during_scheduling_ignored_during_execution: Some(vec![preferred]),
        ..PodAffinity::default()
    };
    pod.affinity = Some(Affinity { node_affinity, pod_affinity: Some(pod_affinity), pod_anti_affinity: None });
}
