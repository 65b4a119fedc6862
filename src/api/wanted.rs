//! From a `TradingBot`'s spec to what decisions depend on.

use std::time::Duration;

use serde::Serialize;

use super::agent_config::CREDENTIALS_SECONDS;
use super::backup::{Destination, Runner};
use super::bot::*;
use super::health::{HealthCheck, HttpCheck, HttpFreshness};
use super::recovery::{EffectiveRule, effective};
use crate::core::failover;
use crate::core::gate::HostRule;
use crate::core::lease::Terms;

/// The stop time of a template that does not say `terminationGracePeriodSeconds`: what Kubernetes takes as well.
const DEFAULT_STOP_SECONDS: u64 = 30;
/// A process shall be there this long after it was started, before the promote hook's own time begins.
const START_SECONDS: u64 = 10;

/// The part of a bot's spec that decisions depend on.
pub fn spec_from(bot: &TradingBot) -> failover::Spec {
    let TradingBotSpec {
        replicas,
        standby_mode: _,
        container_name: _,
        suspend,
        template: _,
        volume_claim_templates: _,
        hooks,
        lifecycle: _,
        health: _,
        leadership,
        failover,
        reconciliation,
        order_gate: _,
        account,
        credentials,
        recovery,
        backup,
    } = &bot.spec;
    let FailoverPolicy { mode, target_seconds, in_place_restarts, cooldown_seconds, rate_limit } = failover;
    failover::Spec {
        replicas: *replicas,
        suspend: *suspend,
        deleting: bot.metadata.deletion_timestamp.is_some(),
        manual: *mode == FailoverMode::Manual,
        terms: terms_from(leadership),
        max_failovers: rate_limit.max_failovers,
        rate_period: seconds(rate_limit.period_seconds),
        cooldown: seconds(*cooldown_seconds),
        target: seconds(*target_seconds),
        restarts: *in_place_restarts,
        stop_time: Duration::from_secs(stop_seconds(&bot.spec)) + shutdown_time(&bot.spec),
        promotion_time: Duration::from_secs(START_SECONDS)
            + hook_time(hooks.promote.as_ref())
            + Duration::from_secs(credentials.as_ref().map_or(0, |_| CREDENTIALS_SECONDS)),
        reconciliation: reconciliation.as_ref().map(reconciliation_from),
        revision: revision(&bot.spec),
        account: account.as_ref().map(|Account { name, sharing: Sharing::Exclusive }| name.clone()),
        restore: backup
            .as_ref()
            .map(|backup| failover::RestorePolicy { deadline: seconds(backup.restore_deadline_seconds()) }),
        recovery: failover::RecoveryPolicy {
            rules: effective(&bot.spec).iter().map(recovery_rule).collect(),
            period: seconds(recovery.as_ref().map_or(Recovery::default().period_seconds, |r| r.period_seconds)),
        },
    }
}

/// The terms of the next grant.
pub fn terms_from(leadership: &Leadership) -> Terms {
    let Leadership { lease_duration_seconds, renew_period_seconds, renew_deadline_seconds, on_api_server_loss } =
        leadership;
    Terms {
        lease_duration: seconds(*lease_duration_seconds),
        renew_period: seconds(*renew_period_seconds),
        renew_deadline: seconds(*renew_deadline_seconds),
        on_api_server_loss: *on_api_server_loss,
    }
}

/// Seconds from SIGTERM to SIGKILL when the bot's process is stopped: the template's grace period.
pub fn stop_seconds(spec: &TradingBotSpec) -> u64 {
    let grace = spec.template.spec.as_ref().and_then(|s| s.termination_grace_period_seconds);
    grace.and_then(|s| u64::try_from(s).ok()).unwrap_or(DEFAULT_STOP_SECONDS)
}

/// The longest that everything before SIGTERM may take: the steps of the stop, and the demote hook.
pub fn shutdown_time(spec: &TradingBotSpec) -> Duration {
    let steps: Duration = spec.lifecycle.shutdown.iter().map(|step| seconds(step.timeout_seconds)).sum();
    steps + hook_time(spec.hooks.demote.as_ref())
}

/// The longest a hook may take.
pub fn hook_time(hook: Option<&Hook>) -> Duration {
    hook.map(|h| seconds(h.timeout_seconds)).unwrap_or_default()
}

/// Whether every restart of the process is a release and a new grant.
pub fn reconciles_restarts(spec: &TradingBotSpec) -> bool {
    spec.reconciliation.as_ref().is_some_and(|r| r.run_on.contains(&MoveKind::Restart))
}

/// The operator's part of a rule.
fn recovery_rule(rule: &EffectiveRule<'_>) -> failover::RecoveryRule {
    let remedies = rule.rule.actions.iter().map(|action| action.type_.remedy());
    failover::RecoveryRule {
        name: rule.rule.name.clone(),
        remedies: remedies.filter(|remedy| !remedy.is_agents()).collect(),
        on_standbys: rule.is_on_standbys(),
    }
}

fn reconciliation_from(policy: &Reconciliation) -> failover::Reconciliation {
    let Reconciliation { command: _, job_template: _, run_on, on_failure, retries, on_discrepancy, deadline_seconds } =
        policy;
    failover::Reconciliation {
        run_on: run_on.clone(),
        on_failure: *on_failure,
        retries: *retries,
        proceed_on_discrepancy: *on_discrepancy == OnDiscrepancy::Proceed,
        deadline: seconds(*deadline_seconds),
    }
}

fn seconds(n: u32) -> Duration {
    Duration::from_secs(u64::from(n))
}

/// A sentence about the first host of the order gate that no agent could read, such as `1.2.3`. The schema refuses it; a
/// bot that was stored before it did is told so here.
pub fn bad_host(spec: &TradingBotSpec) -> Option<String> {
    let OrderGate { allowed_hosts, standby_hosts, no_proxy: _, network_policy: _ } = spec.order_gate.as_ref()?;
    let listed = |field, hosts: &[String]| {
        hosts.iter().find_map(|host| {
            let error = host.parse::<HostRule>().err()?;
            Some(format!("The entry '{host}' of spec.orderGate.{field} {error}: correct it."))
        })
    };
    listed("allowedHosts", allowed_hosts).or_else(|| listed("standbyHosts", standby_hosts))
}

/// A sentence about the first place of the template where every pod gets the Secret that only the active shall have: a
/// rule of the schema over all of them would be refused as too costly.
pub fn shared_credentials(spec: &TradingBotSpec) -> Option<String> {
    let secret = spec.credentials.as_ref()?.secret_name.as_str();
    let pod = spec.template.spec.as_ref()?;
    let of = |name: Option<&String>| name.is_some_and(|name| name == secret);
    let volume = pod.volumes.iter().flatten().find(|volume| {
        let projected = volume.projected.iter().flat_map(|p| p.sources.iter().flatten());
        of(volume.secret.as_ref().and_then(|s| s.secret_name.as_ref()))
            || projected.into_iter().any(|source| source.secret.as_ref().is_some_and(|s| s.name == secret))
    });
    let containers = || pod.containers.iter().chain(pod.init_containers.iter().flatten());
    let container = containers().find(|container| {
        let keys = container.env.iter().flatten().filter_map(|e| e.value_from.as_ref()?.secret_key_ref.as_ref());
        let all = container.env_from.iter().flatten().filter_map(|e| e.secret_ref.as_ref());
        keys.into_iter().any(|key| key.name == secret) || all.into_iter().any(|of| of.name == secret)
    });
    let Hooks { promote, pause, resume, demote, dead_mans_switch } = &spec.hooks;
    let hooks = [promote, pause, resume, demote].into_iter().flatten().map(|hook| &hook.http);
    let hooks = hooks.chain(dead_mans_switch.as_ref().map(|switch| &switch.http));
    let hooks = hooks.chain(spec.lifecycle.shutdown.iter().map(|step| &step.http));
    let recovery = spec.recovery.iter().flat_map(|recovery| &recovery.rules).flat_map(|rule| &rule.actions);
    let hooks = hooks.chain(recovery.filter_map(|action| action.hook.as_ref()).map(|hook| &hook.http));
    let reload = spec.credentials.as_ref().and_then(|c| c.reload.as_ref()).map(|hook| &hook.http);
    let hook = hooks
        .chain(reload)
        .flatten()
        .any(|http| http.basic_auth_secret_ref.as_ref().is_some_and(|named| named.name == secret));
    if let Some(check) = spec.health.checks.iter().find(|check| check_secret(check) == Some(secret)) {
        return Some(format!(
            "The check '{}' of spec.health gives every pod the Secret '{secret}', which spec.credentials keeps from \
             standbys: use another Secret there.",
            check.name
        ));
    }
    if let Some(place) = spec.backup.as_ref().and_then(|backup| backup_secret(backup, secret)) {
        return Some(format!(
            "The {place} of spec.backup gives the pods of backups the Secret '{secret}', which spec.credentials keeps for \
             the active: use another Secret there."
        ));
    }
    let place = match (volume, container) {
        (Some(volume), _) => format!("volume '{}' of spec.template", volume.name),
        (None, Some(container)) => format!("container '{}' of spec.template", container.name),
        (None, None) if hook => "basicAuthSecretRef of a hook".to_owned(),
        (None, None) => return None,
    };
    Some(format!(
        "The {place} gives every pod the Secret '{secret}', which spec.credentials keeps from standbys: remove it there, \
         or use another Secret."
    ))
}

/// The Secret that a check needs, if it does.
pub fn check_secret(check: &HealthCheck) -> Option<&str> {
    let HealthCheck { http, freshness, postgres, redis, .. } = check;
    let fresh = freshness.as_ref().and_then(|freshness| freshness.http.as_ref());
    let request = match (http, fresh) {
        (Some(HttpCheck { request, .. }), _) | (None, Some(HttpFreshness { request, .. })) => Some(request),
        (None, None) => None,
    };
    let named = request
        .and_then(|request| request.basic_auth_secret_ref.as_ref())
        .or_else(|| postgres.as_ref()?.secret_ref.as_ref())
        .or_else(|| redis.as_ref()?.secret_ref.as_ref());
    named.map(|secret| secret.name.as_str())
}

/// Where pods of backups, verifications and restores get a Secret.
fn backup_secret(backup: &Backup, secret: &str) -> Option<&'static str> {
    let of = |name: Option<&String>| name.is_some_and(|name| name == secret);
    let destinations = || [&backup.destination].into_iter().chain(&backup.copies);
    let keys = destinations().any(|Destination { prefix: _, s3, google_cloud_storage, azure_blob, .. }| {
        of(s3.as_ref().and_then(|at| at.secret_name.as_ref()))
            || of(s3.as_ref().and_then(|at| at.ca_secret_name.as_ref()))
            || of(google_cloud_storage.as_ref().and_then(|at| at.secret_name.as_ref()))
            || of(azure_blob.as_ref().and_then(|at| at.secret_name.as_ref()))
    });
    let identity = backup.encryption.as_ref().and_then(|e| e.identity_secret_name.as_ref());
    let verification = backup.verification.as_ref().and_then(|v| v.runner.as_ref());
    let runner = |runner: Option<&Runner>| of(runner.and_then(|runner| runner.secret_name.as_ref()));
    match () {
        () if keys => Some("destination or one of the copies"),
        () if of(backup.source.postgresql.as_ref().map(|p| &p.secret_name)) => Some("source.postgresql"),
        () if of(identity) => Some("encryption.identitySecretName"),
        () if runner(verification) => Some("verification.runner"),
        () if runner(backup.restore.as_ref()) => Some("restore"),
        () => None,
    }
}

/// Everything of a spec that pods are made from.
#[derive(Serialize)]
struct PodSource<'a> {
    standby_mode: StandbyMode,
    container_name: &'a str,
    template: &'a k8s_openapi::api::core::v1::PodTemplateSpec,
    claims: Vec<&'a str>,
    hooks: &'a Hooks,
    in_place_restarts: u32,
    reconcile_restarts: bool,
    // Left out where they are not set, so that pods made before they existed are not outdated.
    #[serde(skip_serializing_if = "Option::is_none")]
    gate: Option<GateSource<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credentials: Option<&'a Credentials>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    shutdown: &'a [ShutdownStep],
    #[serde(skip_serializing_if = "Option::is_none")]
    recovery: Option<&'a Recovery>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    checks: &'a [HealthCheck],
}

/// What of the gate pods are made from; the NetworkPolicy itself is not.
#[derive(Serialize)]
struct GateSource<'a> {
    allowed_hosts: &'a [String],
    standby_hosts: &'a [String],
    no_proxy: &'a [String],
    canary: bool,
}

/// The hash of everything that pods are made from: pods with another one are replaced, standbys first. The operator's
/// own version is not part of it, so that an upgrade of the operator alone moves no trading.
pub fn revision(spec: &TradingBotSpec) -> String {
    let TradingBotSpec {
        replicas: _,
        standby_mode,
        container_name,
        suspend: _,
        template,
        volume_claim_templates,
        hooks,
        lifecycle: Lifecycle { shutdown },
        health: Health { checks },
        leadership: _,
        failover,
        reconciliation: _,
        order_gate,
        account: _,
        credentials,
        recovery,
        backup: _,
    } = spec;
    let source = PodSource {
        standby_mode: *standby_mode,
        container_name,
        template,
        claims: volume_claim_templates.iter().map(|c| c.metadata.name.as_str()).collect(),
        hooks,
        in_place_restarts: failover.in_place_restarts,
        reconcile_restarts: reconciles_restarts(spec),
        gate: order_gate.as_ref().map(|gate| GateSource {
            allowed_hosts: &gate.allowed_hosts,
            standby_hosts: &gate.standby_hosts,
            no_proxy: &gate.no_proxy,
            canary: gate.network_policy.is_some(),
        }),
        credentials: credentials.as_ref(),
        recovery: recovery.as_ref(),
        shutdown,
        checks,
    };
    // Maps in it are ordered, so the same spec always gives the same text.
    let text = serde_json::to_vec(&source).unwrap_or_default();
    format!("{:016x}", fnv1a(&text))
}

/// FNV-1a, 64 bits: the standard library's hasher may change from release to release, and with it every revision.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn smallest() -> TradingBot {
        serde_json::from_value(serde_json::json!({
            "apiVersion": "tradingbot.io/v1alpha1", "kind": "TradingBot", "metadata": {"name": "doge-jpy"},
            "spec": {"template": {"spec": {"containers": [{"name": "bot", "image": "example/bot:1", "command": ["/bot"]}]}}}
        }))
        .unwrap()
    }

    #[test]
    fn a_spec_with_only_a_template_has_every_default() {
        let spec = spec_from(&smallest());
        assert_eq!((spec.replicas, spec.suspend, spec.manual, spec.restarts), (2, false, false, 1));
        assert_eq!(spec.terms.lease_duration, Duration::from_secs(10));
        assert_eq!(spec.terms.renew_deadline, Duration::from_secs(6));
        assert_eq!((spec.max_failovers, spec.rate_period), (5, Duration::from_secs(3600)));
        assert_eq!((spec.stop_time, spec.promotion_time), (Duration::from_secs(30), Duration::from_secs(10)));
        assert!(spec.reconciliation.is_none());
    }

    #[test]
    fn hooks_and_the_grace_period_make_the_times_of_stopping_and_promotion() {
        let mut bot = smallest();
        bot.spec.template.spec.as_mut().unwrap().termination_grace_period_seconds = Some(3);
        let hook =
            |s| Some(Hook { exec: Some(ExecHook { command: vec!["/x".into()] }), http: None, timeout_seconds: s });
        bot.spec.hooks = Hooks { promote: hook(7), demote: hook(4), ..Hooks::default() };
        let spec = spec_from(&bot);
        assert_eq!((spec.stop_time, spec.promotion_time), (Duration::from_secs(7), Duration::from_secs(17)));
        let step = |timeout_seconds| ShutdownStep { name: "s".into(), exec: None, http: None, timeout_seconds };
        bot.spec.lifecycle.shutdown = [30, 60, 120, 30].map(step).to_vec();
        assert_eq!(spec_from(&bot).stop_time, Duration::from_secs(247), "3 to stop, 4 for the hook, 240 for the steps");
    }

    #[test]
    fn a_host_that_looks_like_one_and_is_none_is_named() {
        let mut bot = smallest();
        bot.spec.order_gate = Some(OrderGate { allowed_hosts: vec!["api.x.com".into()], ..OrderGate::default() });
        assert_eq!(bad_host(&bot.spec), None);
        bot.spec.order_gate =
            Some(OrderGate { standby_hosts: vec!["a:443".into(), "1.2.3".into()], ..OrderGate::default() });
        let sentence = bad_host(&bot.spec).unwrap();
        assert!(sentence.contains("'1.2.3' of spec.orderGate.standbyHosts is neither a host name"), "{sentence}");
    }

    #[test]
    fn a_template_that_gives_every_pod_the_actives_secret_is_named() {
        let mut bot = smallest();
        let keys = |bot: &mut TradingBot| {
            bot.spec.credentials =
                Some(Credentials { secret_name: "keys".into(), environment: Vec::new(), reload: None });
        };
        bot.spec.template.spec = serde_json::from_value(serde_json::json!({
            "containers": [{"name": "bot"}, {"name": "log", "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "a"}}}]}],
        }))
        .unwrap();
        assert_eq!(shared_credentials(&bot.spec), None, "without credentials there is nothing to keep");
        keys(&mut bot);
        let sentence = shared_credentials(&bot.spec).unwrap();
        assert!(sentence.contains("container 'log'") && sentence.contains("Secret 'keys'"), "{sentence}");
        for volume in [
            serde_json::json!({"name": "v", "secret": {"secretName": "keys"}}),
            serde_json::json!({"name": "v", "projected": {"sources": [{"secret": {"name": "keys"}}]}}),
        ] {
            bot.spec.template.spec =
                serde_json::from_value(serde_json::json!({"containers": [{"name": "bot"}], "volumes": [volume]}))
                    .unwrap();
            assert!(shared_credentials(&bot.spec).unwrap().contains("volume 'v'"));
        }
        bot.spec.template.spec = serde_json::from_value(
            serde_json::json!({"containers": [{"name": "bot", "envFrom": [{"secretRef": {"name": "other"}}]}]}),
        )
        .unwrap();
        assert_eq!(shared_credentials(&bot.spec), None);
        bot.spec.hooks.promote =
            serde_json::from_value(serde_json::json!({"http": {"port": 1, "basicAuthSecretRef": {"name": "keys"}}}))
                .unwrap();
        assert!(shared_credentials(&bot.spec).unwrap().contains("basicAuthSecretRef"));
        bot.spec.hooks.promote = None;
        let step = serde_json::json!({"name": "s", "timeoutSeconds": 1,
            "http": {"port": 1, "basicAuthSecretRef": {"name": "keys"}}});
        bot.spec.lifecycle.shutdown = vec![serde_json::from_value(step).unwrap()];
        assert!(shared_credentials(&bot.spec).unwrap().contains("basicAuthSecretRef"));
        bot.spec.lifecycle.shutdown.clear();
        bot.spec.backup = Some(
            serde_json::from_value(serde_json::json!({
                "source": {"postgresql": {"secretName": "pg"}}, "schedules": [],
                "destination": {"s3": {"bucket": "safe", "secretName": "s3"}},
                "copies": [{"googleCloudStorage": {"bucket": "safe", "secretName": "keys"}}],
            }))
            .unwrap(),
        );
        assert!(shared_credentials(&bot.spec).unwrap().contains("one of the copies of spec.backup"));
    }

    #[test]
    fn only_what_pods_are_made_from_changes_the_revision() {
        let old = smallest();
        let mut same = old.clone();
        same.spec.replicas = 3;
        same.spec.suspend = true;
        same.spec.leadership.lease_duration_seconds = 20;
        same.spec.failover.cooldown_seconds = 1;
        assert_eq!(revision(&old.spec), revision(&same.spec));
        let mut other = old.clone();
        other.spec.failover.in_place_restarts = 2;
        assert_ne!(revision(&old.spec), revision(&other.spec));
        let mut image = old.clone();
        image.spec.template.spec.as_mut().unwrap().containers[0].image = Some("example/bot:2".into());
        assert_ne!(revision(&old.spec), revision(&image.spec));
        let mut steps = old.clone();
        steps.spec.lifecycle.shutdown =
            vec![ShutdownStep { name: "s".into(), exec: None, http: None, timeout_seconds: 1 }];
        assert_ne!(revision(&old.spec), revision(&steps.spec));
        // Pods carry it: if this value changes, an upgrade of the operator moves every bot.
        assert_eq!(revision(&old.spec).len(), 16);
    }
}
