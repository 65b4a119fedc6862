//! How the agent comes into a bot's pod: an init container brings its binary, and the bot's container starts it as its
//! first process, which starts the bot.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::*;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::common::{name, namespace};
use super::health;
use super::recovery;
use crate::api::agent_config::{
    AgentConfig, CredentialsConfig, GateConfig, HookAction, HookCall, KeyVariable, PeriodicCall, StepCall,
};
use crate::api::bot::{
    CredentialVariable, Credentials, DeadMansSwitch, ExecHook, Hook, Hooks, HttpHook, Lifecycle, OrderGate,
    ShutdownStep, TradingBot, TradingBotSpec,
};
use crate::api::health_config::HEALTH_SECRETS_DIR;
use crate::api::names::*;
use crate::api::wanted::{reconciles_restarts, stop_seconds};

/// The agent's name as container and volume.
const AGENT: &str = "tradingbot-agent";
const CREDENTIALS: &str = "tradingbot-credentials";
const HOOK_SECRETS: &str = "tradingbot-hooks";
const HEALTH_SECRETS: &str = "tradingbot-health";
const RUN: &str = "tradingbot-run";
/// The user that our images run as.
pub const USER: i64 = 65532;

/// Brings the agent's binary into the pod.
pub fn init_container(image: &str) -> Container {
    installer(image, AGENT, ["/tradingbot-agent", "install", AGENT_PATH])
}

/// A container of the operator's image that copies one of our programs into the volume of its own name. Restricted,
/// whatever the template's own containers may do.
pub fn installer(image: &str, name: &str, command: [&str; 3]) -> Container {
    let amounts: BTreeMap<String, Quantity> =
        [("cpu", "100m"), ("memory", "32Mi")].map(|(k, v)| (k.to_owned(), Quantity(v.to_owned()))).into();
    Container {
        name: name.to_owned(),
        image: Some(image.to_owned()),
        image_pull_policy: Some("IfNotPresent".into()),
        command: Some(command.map(str::to_owned).to_vec()),
        volume_mounts: Some(vec![mount(name, AGENT_DIR, false)]),
        // Requests that equal the limits leave the pod's quality of service as it is.
        resources: Some(ResourceRequirements { limits: Some(amounts.clone()), requests: Some(amounts), claims: None }),
        security_context: Some(restricted()),
        ..Container::default()
    }
}

/// What our own programs need of rights: none. Fit for restricted Pod Security.
pub fn restricted() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities { add: None, drop: Some(vec!["ALL".into()]) }),
        read_only_root_filesystem: Some(true),
        run_as_non_root: Some(true),
        run_as_user: Some(USER),
        seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".into(), localhost_profile: None }),
        ..SecurityContext::default()
    }
}

/// The volumes that the agent needs.
pub fn volumes(spec: &TradingBotSpec) -> Vec<Volume> {
    let binary = Volume {
        name: AGENT.into(),
        empty_dir: Some(EmptyDirVolumeSource { medium: None, size_limit: Some(Quantity("32Mi".into())) }),
        ..Volume::default()
    };
    let secrets = hook_secrets(spec);
    let secrets = (!secrets.is_empty()).then(|| projected(HOOK_SECRETS, secrets));
    let of_checks = health::secrets(spec);
    let of_checks = (!of_checks.is_empty()).then(|| projected(HEALTH_SECRETS, of_checks));
    // In memory: the bot reads what it may do from a page in it.
    let run = Volume {
        name: RUN.into(),
        empty_dir: Some(EmptyDirVolumeSource {
            medium: Some("Memory".into()),
            // Two copies of the largest Secret that there may be, while the keys of the exchange are replaced.
            size_limit: Some(Quantity(if spec.credentials.is_some() { "4Mi" } else { "1Mi" }.into())),
        }),
        ..Volume::default()
    };
    [binary, run, projected(CREDENTIALS, credentials())].into_iter().chain(secrets).chain(of_checks).collect()
}

/// What the API server is talked to with, apart from whatever token the template's own containers get.
fn credentials() -> Vec<VolumeProjection> {
    let token = VolumeProjection {
        service_account_token: Some(ServiceAccountTokenProjection {
            path: "token".into(),
            expiration_seconds: Some(3600),
            audience: None,
        }),
        ..VolumeProjection::default()
    };
    let authority = VolumeProjection {
        config_map: Some(ConfigMapProjection {
            name: "kube-root-ca.crt".into(),
            items: Some(vec![file("ca.crt", "ca.crt".into())]),
            optional: None,
        }),
        ..VolumeProjection::default()
    };
    let namespace = VolumeProjection {
        downward_api: Some(DownwardAPIProjection {
            items: Some(vec![DownwardAPIVolumeFile {
                path: "namespace".into(),
                field_ref: Some(field("metadata.namespace")),
                ..DownwardAPIVolumeFile::default()
            }]),
        }),
        ..VolumeProjection::default()
    };
    vec![token, authority, namespace]
}

fn hook_secrets(spec: &TradingBotSpec) -> Vec<VolumeProjection> {
    let Hooks { promote, pause, resume, demote, dead_mans_switch } = &spec.hooks;
    let of = |hook: &'_ Option<Hook>| hook.as_ref().and_then(|hook| hook.http.clone());
    let switch = dead_mans_switch.as_ref().and_then(|switch| switch.http.as_ref());
    let reload = spec.credentials.as_ref().and_then(|credentials| of(&credentials.reload));
    let all = [
        hook_secret(of(promote).as_ref(), "promote"),
        hook_secret(of(pause).as_ref(), "pause"),
        hook_secret(of(resume).as_ref(), "resume"),
        hook_secret(of(demote).as_ref(), "demote"),
        hook_secret(switch, "dead-mans-switch"),
        hook_secret(reload.as_ref(), "reload"),
    ];
    let steps = spec.lifecycle.shutdown.iter().map(|step| hook_secret(step.http.as_ref(), &step_folder(&step.name)));
    all.into_iter().chain(steps).flatten().chain(recovery::secrets(spec)).collect()
}

/// The Secret that a hook authenticates with, in this folder of the Secrets of hooks.
pub fn hook_secret(http: Option<&HttpHook>, folder: &str) -> Option<VolumeProjection> {
    let secret = http?.basic_auth_secret_ref.as_ref()?;
    Some(VolumeProjection {
        secret: Some(SecretProjection {
            name: secret.name.clone(),
            items: Some(["username", "password"].map(|key| file(key, format!("{folder}/{key}"))).to_vec()),
            optional: None,
        }),
        ..VolumeProjection::default()
    })
}

/// Where the Secret of a step is mounted.
fn step_folder(step: &str) -> String {
    format!("shutdown-{step}")
}

/// Puts the agent before the bot's own command. What belongs to the agent, such as probes, replaces the template's.
pub fn inject(container: &mut Container, bot: &TradingBot) {
    let command = container.command.take().into_iter().chain(container.args.take()).flatten();
    let agent = [AGENT_PATH, "run", "--"].map(str::to_owned);
    container.command = Some(agent.into_iter().chain(command).collect());

    let mut all = environment(bot);
    let own = container.env.take().into_iter().flatten();
    all.extend(own.filter(|e| !e.name.starts_with("TRADINGBOT_")));
    container.env = Some(all);

    let mounts = container.volume_mounts.get_or_insert_default();
    mounts.push(mount(AGENT, AGENT_DIR, true));
    mounts.push(mount(RUN, RUN_DIR, false));
    mounts.push(mount(CREDENTIALS, AGENT_CREDENTIALS_DIR, true));
    if !hook_secrets(&bot.spec).is_empty() {
        mounts.push(mount(HOOK_SECRETS, HOOK_SECRETS_DIR, true));
    }
    if !health::secrets(&bot.spec).is_empty() {
        mounts.push(mount(HEALTH_SECRETS, HEALTH_SECRETS_DIR, true));
    }

    // Two pods of the host's network cannot share the agent's port: declared, the scheduler knows.
    let ports = container.ports.get_or_insert_default();
    let port = i32::from(PROBE_PORT);
    if !ports.iter().any(|p| p.container_port == port) {
        ports.push(ContainerPort { container_port: port, protocol: Some("TCP".into()), ..ContainerPort::default() });
    }

    container.readiness_probe = Some(Probe { period_seconds: Some(1), failure_threshold: Some(2), ..probe("/readyz") });
    container.liveness_probe = Some(Probe {
        period_seconds: Some(10),
        failure_threshold: Some(6),
        timeout_seconds: Some(5),
        ..probe("/healthz")
    });
    container.startup_probe = None;
    container.lifecycle = None;
    // The boot that ran in a container is its termination message, which is how its end becomes evidence (rule 11).
    container.termination_message_path = Some("/dev/termination-log".into());
    container.termination_message_policy = Some("File".into());
}

fn environment(bot: &TradingBot) -> Vec<EnvVar> {
    // Kubernetes would put variables for $(NAME) in it, also within a hook's command.
    let config = serde_json::to_string(&config(bot)).unwrap_or_default().replace('$', "$$");
    vec![
        value(AGENT_CONFIG_ENV, config),
        value("TRADINGBOT_NAME", name(bot).to_owned()),
        value("TRADINGBOT_NAMESPACE", namespace(bot).to_owned()),
        from_field("TRADINGBOT_POD", "metadata.name"),
        from_field("TRADINGBOT_POD_UID", "metadata.uid"),
        from_field("TRADINGBOT_NODE", "spec.nodeName"),
    ]
}

/// What the agent is told at the start of its pod. What may change from epoch to epoch is in the Lease instead.
pub fn config(bot: &TradingBot) -> AgentConfig {
    let TradingBotSpec {
        replicas: _,
        standby_mode,
        container_name: _,
        suspend: _,
        template,
        volume_claim_templates: _,
        hooks: Hooks { promote, pause: _, resume: _, demote, dead_mans_switch },
        lifecycle: Lifecycle { shutdown },
        health: _,
        leadership: _,
        failover,
        reconciliation: _,
        order_gate,
        account: _,
        credentials,
        recovery: _,
        backup: _,
    } = &bot.spec;
    AgentConfig {
        namespace: namespace(bot).to_owned(),
        bot: name(bot).to_owned(),
        standby_mode: *standby_mode,
        in_place_restarts: failover.in_place_restarts,
        reconcile_restarts: reconciles_restarts(&bot.spec),
        stop_seconds: stop_seconds(&bot.spec),
        promote: promote.as_ref().and_then(|hook| call(hook, "promote")),
        shutdown: shutdown.iter().filter_map(step_call).collect(),
        demote: demote.as_ref().and_then(|hook| call(hook, "demote")),
        dead_mans_switch: dead_mans_switch.as_ref().and_then(periodic_call),
        pausing: recovery::pausing(&bot.spec),
        gate: order_gate.as_ref().map(gate),
        credentials: credentials.as_ref().map(keys),
        recovery: recovery::config(&bot.spec),
        checks: health::checks(&bot.spec),
        host_network: template.spec.as_ref().is_some_and(|pod| pod.host_network == Some(true)),
        api_port: API_PORT,
        probe_port: PROBE_PORT,
    }
}

fn periodic_call(hook: &DeadMansSwitch) -> Option<PeriodicCall> {
    let DeadMansSwitch { exec, http, every_seconds, timeout_seconds } = hook;
    let once = Hook { exec: exec.clone(), http: http.clone(), timeout_seconds: *timeout_seconds };
    Some(PeriodicCall { call: call(&once, "dead-mans-switch")?, every_seconds: u64::from(*every_seconds) })
}

fn step_call(step: &ShutdownStep) -> Option<StepCall> {
    let ShutdownStep { name, exec, http, timeout_seconds } = step;
    let once = Hook { exec: exec.clone(), http: http.clone(), timeout_seconds: *timeout_seconds };
    Some(StepCall { name: name.clone(), call: call(&once, &step_folder(name))? })
}

fn keys(credentials: &Credentials) -> CredentialsConfig {
    let Credentials { secret_name, environment, reload } = credentials;
    CredentialsConfig {
        secret_name: secret_name.clone(),
        environment: environment
            .iter()
            .map(|CredentialVariable { name, key }| KeyVariable { name: name.clone(), key: key.clone() })
            .collect(),
        reload: reload.as_ref().and_then(|hook| call(hook, "reload")),
    }
}

fn gate(gate: &OrderGate) -> GateConfig {
    let OrderGate { allowed_hosts, standby_hosts, no_proxy, network_policy } = gate;
    GateConfig {
        port: GATE_PORT,
        allowed_hosts: allowed_hosts.clone(),
        standby_hosts: standby_hosts.clone(),
        no_proxy: no_proxy.clone(),
        canary_port: network_policy.as_ref().map(|_| CANARY_PORT),
    }
}

/// The schema lets no hook through that calls nothing.
pub fn call(hook: &Hook, folder: &str) -> Option<HookCall> {
    let Hook { exec, http, timeout_seconds } = hook;
    let action = match (exec, http) {
        (Some(ExecHook { command }), _) => HookAction::Exec { command: command.clone() },
        (None, Some(HttpHook { method, port, path, headers, basic_auth_secret_ref })) => HookAction::Http {
            method: method.clone(),
            port: *port,
            path: path.clone(),
            headers: headers.iter().map(|h| (h.name.clone(), h.value.clone())).collect(),
            basic_auth_dir: basic_auth_secret_ref.as_ref().map(|_| format!("{HOOK_SECRETS_DIR}/{folder}")),
        },
        (None, None) => return None,
    };
    Some(HookCall { action, timeout_seconds: u64::from(*timeout_seconds) })
}

pub fn value(name: &str, value: String) -> EnvVar {
    EnvVar { name: name.to_owned(), value: Some(value), value_from: None }
}

fn from_field(name: &str, path: &str) -> EnvVar {
    let from = EnvVarSource { field_ref: Some(field(path)), ..EnvVarSource::default() };
    EnvVar { name: name.to_owned(), value: None, value_from: Some(from) }
}

fn field(path: &str) -> ObjectFieldSelector {
    ObjectFieldSelector { api_version: Some("v1".into()), field_path: path.to_owned() }
}

pub fn file(key: &str, path: String) -> KeyToPath {
    KeyToPath { key: key.to_owned(), path, mode: None }
}

fn projected(name: &str, sources: Vec<VolumeProjection>) -> Volume {
    Volume {
        name: name.to_owned(),
        // Readable for every user: a pod's containers need not run as the same one.
        projected: Some(ProjectedVolumeSource { default_mode: Some(0o444), sources: Some(sources) }),
        ..Volume::default()
    }
}

pub fn mount(volume: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: volume.to_owned(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    }
}

fn probe(path: &str) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::Int(i32::from(PROBE_PORT)),
            ..HTTPGetAction::default()
        }),
        timeout_seconds: Some(1),
        ..Probe::default()
    }
}
