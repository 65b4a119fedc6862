//! The pod of a slot.

use k8s_openapi::api::core::v1::{Pod, PodSpec, PodTemplateSpec, Toleration, TopologySpreadConstraint};

use super::access::{account_name, template_account};
use super::agent;
use super::claims::claim_volumes;
use super::common::{labels, name, owned, pod_labels, pod_selector};
use super::services::members_service_name;
use crate::api::bot::{TradingBot, TradingBotSpec};
use crate::api::names::{ANNOTATION_REVISION, LABEL_SLOT};
use crate::api::wanted::{revision, shutdown_time, stop_seconds};

/// On top of steps, hook and stop time: for the last renewal, for bytes still in sockets, and for the release itself.
const RELEASE_SECONDS: u64 = 10;

/// The name of a slot's pod.
pub fn pod_name(bot: &str, slot: u32) -> String {
    format!("{bot}-{slot}")
}

/// The slot of a pod of that name.
pub fn slot_of(bot: &str, pod: &str) -> Option<u32> {
    pod.strip_prefix(bot)?.strip_prefix('-')?.parse().ok()
}

/// The pod of a slot. `agent_image` is the operator's own image, which brings the agent.
pub fn pod(bot: &TradingBot, slot: u32, agent_image: &str) -> Pod {
    let TradingBotSpec {
        replicas: _,
        standby_mode: _,
        container_name,
        suspend: _,
        template: PodTemplateSpec { metadata: template_metadata, spec },
        volume_claim_templates: _,
        hooks: _,
        lifecycle: _,
        health: _,
        leadership: _,
        failover: _,
        reconciliation: _,
        order_gate: _,
        account: _,
        credentials: _,
        recovery: _,
        backup: _,
    } = &bot.spec;
    let template_metadata = template_metadata.clone().unwrap_or_default();
    let mut metadata = owned(bot, pod_name(name(bot), slot));
    let mut all = template_metadata.labels.unwrap_or_default();
    all.extend(labels(bot));
    all.extend(pod_labels(bot));
    all.insert(LABEL_SLOT.to_owned(), slot.to_string());
    metadata.labels = Some(all);
    let mut annotations = template_metadata.annotations.unwrap_or_default();
    annotations.insert(ANNOTATION_REVISION.to_owned(), revision(&bot.spec));
    metadata.annotations = Some(annotations);

    let mut spec = spec.clone().unwrap_or_default();
    spec.init_containers.get_or_insert_default().insert(0, agent::init_container(agent_image));
    let volumes = spec.volumes.get_or_insert_default();
    volumes.extend(claim_volumes(bot, slot));
    volumes.extend(agent::volumes(&bot.spec));
    if let Some(container) = spec.containers.iter_mut().find(|c| c.name == *container_name) {
        agent::inject(container, bot);
    }
    if template_account(bot).is_none() {
        spec.service_account_name = Some(account_name(bot, slot));
        spec.automount_service_account_token.get_or_insert(false);
    }
    spec.restart_policy = Some("Always".into());
    let grace = stop_seconds(&bot.spec) + shutdown_time(&bot.spec).as_secs() + RELEASE_SECONDS;
    spec.termination_grace_period_seconds = i64::try_from(grace).ok();
    if spec.subdomain.is_none() && spec.hostname.is_none() {
        // So every member has a name in DNS.
        spec.subdomain = Some(members_service_name(name(bot)));
        spec.hostname = Some(pod_name(name(bot), slot));
    }
    spread(&mut spec, bot);
    tolerate_lost_nodes(&mut spec);
    Pod { metadata, spec: Some(spec), status: None }
}

/// Over nodes and zones where there are several; a cluster of one node must do. The template's own wish wins.
fn spread(spec: &mut PodSpec, bot: &TradingBot) {
    if spec.topology_spread_constraints.as_ref().is_some_and(|own| !own.is_empty()) {
        return;
    }
    let over = |key: &str| TopologySpreadConstraint {
        max_skew: 1,
        topology_key: key.to_owned(),
        when_unsatisfiable: "ScheduleAnyway".into(),
        label_selector: Some(pod_selector(bot)),
        ..TopologySpreadConstraint::default()
    };
    let keys = ["kubernetes.io/hostname", "topology.kubernetes.io/zone"];
    spec.topology_spread_constraints = Some(keys.map(over).to_vec());
}

/// Kubernetes deletes pods from nodes that it has not heard of for five minutes. Here that helps nobody: trading has
/// moved long before, a standby is replaced without waiting for its node, and a pod that is deleted while its node is
/// away is stopped as soon as the node is back. Under `onApiServerLoss: Continue` that would be the active which was
/// told to trade on. So bots stay until the operator removes them, unless the template says otherwise.
fn tolerate_lost_nodes(spec: &mut PodSpec) {
    let own = spec.tolerations.get_or_insert_default();
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        if !own.iter().any(|t| t.key.as_deref() == Some(key)) {
            own.push(Toleration {
                key: Some(key.to_owned()),
                operator: Some("Exists".into()),
                effect: Some("NoExecute".into()),
                toleration_seconds: None,
                value: None,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::*;
    use crate::api::agent_config::{AgentConfig, HookAction, StandbyMode};
    use crate::api::bot::{ExecHook, Hook};
    use crate::api::names::{AGENT_CONFIG_ENV, LABEL_BOT, LABEL_COMPONENT, LABEL_ROLE};

    fn spec(bot: &TradingBot) -> PodSpec {
        pod(bot, 1, "op:1").spec.unwrap()
    }

    #[test]
    fn the_bot_is_started_by_the_agent() {
        let spec = spec(&fixtures::full());
        let [install] = spec.init_containers.as_deref().unwrap() else { panic!("one init container") };
        assert_eq!(install.image.as_deref(), Some("op:1"));
        assert_eq!(
            install.command.as_deref().unwrap(),
            ["/tradingbot-agent", "install", "/.tradingbot/tradingbot-agent"]
        );
        let bot = &spec.containers[0];
        assert_eq!(
            bot.command.as_deref().unwrap(),
            ["/.tradingbot/tradingbot-agent", "run", "--", "/bot", "--pair", "DOGE_JPY"]
        );
        assert_eq!(bot.args, None);
        let read_only: Vec<_> =
            bot.volume_mounts.iter().flatten().filter(|m| m.read_only == Some(true)).map(|m| &*m.mount_path).collect();
        assert_eq!(read_only, ["/.tradingbot", "/.tradingbot-credentials", "/.tradingbot-hooks"]);
        assert_eq!(bot.readiness_probe.as_ref().unwrap().period_seconds, Some(1));
        assert_eq!(bot.termination_message_policy.as_deref(), Some("File"));
    }

    #[test]
    fn the_agent_is_told_all_it_needs_and_the_template_cannot_tell_it_otherwise() {
        let spec = spec(&fixtures::full());
        let env = spec.containers[0].env.as_deref().unwrap();
        let of = |name: &str| env.iter().filter(|e| e.name == name).collect::<Vec<_>>();
        let [config] = of(AGENT_CONFIG_ENV)[..] else { panic!("one configuration") };
        let config: AgentConfig = serde_json::from_str(config.value.as_deref().unwrap()).unwrap();
        assert_eq!((config.bot.as_str(), config.namespace.as_str()), ("doge-jpy", "money"));
        assert_eq!((config.standby_mode, config.stop_seconds), (StandbyMode::Hot, 5));
        let HookAction::Http { basic_auth_dir, port, .. } = config.promote.unwrap().action else { panic!("http") };
        assert_eq!((basic_auth_dir.as_deref(), port), (Some("/.tradingbot-hooks/promote"), 8080));
        let [pause, cancel] = &config.shutdown[..] else { panic!("two steps") };
        assert_eq!((pause.name.as_str(), cancel.call.timeout_seconds), ("stop-new-orders", 60));
        let HookAction::Http { basic_auth_dir, .. } = &pause.call.action else { panic!("http") };
        assert_eq!(basic_auth_dir.as_deref(), Some("/.tradingbot-hooks/shutdown-stop-new-orders"));
        assert_eq!(of("TRADINGBOT_NAME").len(), 1);
        assert_eq!(of("PAIR").len(), 1);
    }

    #[test]
    fn kubernetes_puts_no_variables_into_what_the_agent_is_told() {
        let mut bot = fixtures::smallest();
        let command = vec!["/stop".to_owned(), "$(KUBERNETES_SERVICE_HOST) $x".to_owned()];
        bot.spec.hooks.demote = Some(Hook { exec: Some(ExecHook { command }), http: None, timeout_seconds: 1 });
        let config = spec(&bot).containers[0].env.as_ref().unwrap()[0].value.clone().unwrap();
        // As Kubernetes reads it: $$ stands for one $, and nothing else is left to replace.
        assert!(config.contains("$$(KUBERNETES_SERVICE_HOST) $$x"), "{config}");
    }

    #[test]
    fn a_pod_is_known_by_bot_slot_and_revision_and_has_no_role_yet() {
        let bot = fixtures::full();
        let meta = pod(&bot, 1, "op:1").metadata;
        let labels = meta.labels.unwrap();
        assert_eq!(meta.name.as_deref(), Some("doge-jpy-1"));
        assert_eq!((&*labels[LABEL_BOT], &*labels[LABEL_SLOT], &*labels[LABEL_COMPONENT]), ("doge-jpy", "1", "bot"));
        assert!(!labels.contains_key(LABEL_ROLE) && labels["team"] == "desk");
        assert_eq!(meta.annotations.unwrap()[ANNOTATION_REVISION], revision(&bot.spec));
        let owner = &meta.owner_references.unwrap()[0];
        assert_eq!((owner.uid.as_str(), owner.controller), ("bot-uid", Some(true)));
    }

    #[test]
    fn there_is_time_to_stop_and_release_before_the_kubelet_kills() {
        // 5 s to stop, 30 s and 60 s for the steps, 4 s for the demote hook, 10 s to release.
        assert_eq!(spec(&fixtures::full()).termination_grace_period_seconds, Some(109));
        assert_eq!(spec(&fixtures::smallest()).termination_grace_period_seconds, Some(40));
    }

    #[test]
    fn the_smallest_bot_is_spread_stays_on_lost_nodes_and_runs_under_its_slots_account() {
        let spec = spec(&fixtures::smallest());
        let spread = spec.topology_spread_constraints.unwrap();
        assert!(spread.iter().all(|s| s.when_unsatisfiable == "ScheduleAnyway") && spread.len() == 2);
        assert!(spec.tolerations.unwrap().iter().all(|t| t.toleration_seconds.is_none()));
        assert_eq!(spec.service_account_name.as_deref(), Some("doge-jpy-agent-1"));
        assert_eq!(spec.automount_service_account_token, Some(false));
    }

    #[test]
    fn what_the_template_says_is_kept() {
        let spec = spec(&fixtures::full());
        assert_eq!(spec.service_account_name.as_deref(), Some("trader"));
        assert_eq!(spec.automount_service_account_token, None);
        assert_eq!(spec.containers[1].name, "log");
        assert_eq!(spec.containers[1].command, None);
        let unreachable = spec.tolerations.unwrap();
        let own: Vec<_> = unreachable.iter().filter(|t| t.toleration_seconds == Some(30)).collect();
        assert_eq!((own.len(), unreachable.len()), (1, 2));
        let claims: Vec<_> = spec.volumes.iter().flatten().filter_map(|v| v.persistent_volume_claim.as_ref()).collect();
        assert_eq!(claims[0].claim_name, "data-doge-jpy-1");
    }

    #[test]
    fn a_pods_slot_is_in_its_name() {
        assert_eq!(slot_of("doge-jpy", "doge-jpy-12"), Some(12));
        assert_eq!(slot_of("doge", "doge-jpy-12"), None);
        assert_eq!(slot_of("doge-jpy", "doge-jpy"), None);
    }
}
