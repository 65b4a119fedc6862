//! The reconciliation Job of an epoch: what runs before its candidate may trade.

use k8s_openapi::api::batch::v1::{Job, JobSpec, JobTemplateSpec};
use k8s_openapi::api::core::v1::*;
use kube::core::ObjectMeta;

use super::agent::value;
use super::borrowed::{self, mount_claims, stay_near};
use super::common::{COMPONENT_RECONCILIATION, labels, name, namespace, owned};
use super::pod::slot_of;
use crate::api::bot::{Reconciliation, TradingBot};
use crate::api::names::{LABEL_COMPONENT, LABEL_TOKEN};
use crate::core::failover::JobContext;
use crate::core::ids::FencingToken;
use crate::core::wrong::{self, Wrong};

/// The kubelet ends a program that outlives its deadline; so long may it take to end then.
const STOP_SECONDS: i64 = 10;
/// How much later the Job ends as a whole, with pods that no kubelet ever started.
pub(super) const START_SECONDS: i64 = 30;
/// How long a Job that ended is kept, for its logs.
pub(super) const KEEP_SECONDS: i32 = 24 * 3600;

/// The name of a token's Job; with the longest bot name and token it has 61 of the 63 characters that there may be.
pub fn job_name(bot: &str, token: FencingToken) -> String {
    if wrong::is(Wrong::JobNameWithoutEpoch) { format!("{bot}-r") } else { format!("{bot}-r-{token}") }
}

/// The Job of `token`; `None` where no reconciliation is configured. Its first container reports.
pub fn reconciliation_job(bot: &TradingBot, token: FencingToken, context: &JobContext) -> Option<Job> {
    let Reconciliation {
        command,
        job_template,
        run_on: _,
        on_failure: _,
        retries: _,
        on_discrepancy: _,
        deadline_seconds,
    } = bot.spec.reconciliation.as_ref()?;
    let JobTemplateSpec { metadata, spec } =
        job_template.clone().unwrap_or_else(|| job_of_the_bots_container(bot, command));
    let deadline = i64::from(*deadline_seconds);
    let mut job = spec.unwrap_or_default();
    let mut pod = job.template.spec.take().unwrap_or_default();
    let environment = environment(bot, token, context);
    for container in pod.containers.iter_mut().chain(pod.init_containers.iter_mut().flatten()) {
        let own = container.env.take().into_iter().flatten().filter(|e| !e.name.starts_with("TRADINGBOT_"));
        container.env = Some(environment.iter().cloned().chain(own).collect());
    }
    super::credentials::give(&mut pod, bot);
    if let Some(slot) = slot_of(name(bot), &context.to) {
        mount_claims(&mut pod, bot, slot);
        stay_near(&mut pod, bot, slot);
    }
    pod.restart_policy = Some("Never".into());
    // The kubelet enforces this one also on a node that is cut off (design, rule 5).
    pod.active_deadline_seconds = Some(deadline);
    pod.termination_grace_period_seconds =
        Some(pod.termination_grace_period_seconds.unwrap_or(STOP_SECONDS).min(STOP_SECONDS));

    let marks = |metadata: Option<ObjectMeta>| {
        let mut all = metadata.and_then(|m| m.labels).unwrap_or_default();
        all.extend(labels(bot));
        all.insert(LABEL_COMPONENT.to_owned(), COMPONENT_RECONCILIATION.to_owned());
        all.insert(LABEL_TOKEN.to_owned(), token.to_string());
        all
    };
    let inner = job.template.metadata.take();
    job.template = PodTemplateSpec {
        metadata: Some(ObjectMeta {
            annotations: inner.as_ref().and_then(|m| m.annotations.clone()),
            labels: Some(marks(inner)),
            ..ObjectMeta::default()
        }),
        spec: Some(pod),
    };
    let job = JobSpec {
        completions: Some(1),
        parallelism: Some(1),
        // A further attempt is a further epoch, with a token of its own.
        backoff_limit: Some(0),
        active_deadline_seconds: Some(deadline + START_SECONDS),
        // Not a second pod beside one that is still ending.
        pod_replacement_policy: Some("Failed".into()),
        ttl_seconds_after_finished: job.ttl_seconds_after_finished.or(Some(KEEP_SECONDS)),
        suspend: None,
        ..job
    };
    let outer = ObjectMeta {
        annotations: metadata.as_ref().and_then(|m| m.annotations.clone()),
        labels: Some(marks(metadata)),
        ..owned(bot, job_name(name(bot), token))
    };
    Some(Job { metadata: outer, spec: Some(job), status: None })
}

/// A Job that runs `command` as the bot's container would. Init containers and sidecars are not part of it; who needs
/// them writes a job template.
fn job_of_the_bots_container(bot: &TradingBot, command: &[String]) -> JobTemplateSpec {
    let pod = borrowed::pod(bot, borrowed::container(bot, "reconcile", command.to_vec()));
    JobTemplateSpec {
        metadata: None,
        spec: Some(JobSpec { template: PodTemplateSpec { metadata: None, spec: Some(pod) }, ..JobSpec::default() }),
    }
}

fn environment(bot: &TradingBot, token: FencingToken, context: &JobContext) -> Vec<EnvVar> {
    let JobContext { epoch, previous_epoch, from, to, reason } = context;
    let reason = serde_json::to_value(reason).ok().and_then(|r| r.as_str().map(ToOwned::to_owned));
    vec![
        value("TRADINGBOT_NAME", name(bot).to_owned()),
        value("TRADINGBOT_NAMESPACE", namespace(bot).to_owned()),
        value("TRADINGBOT_EPOCH", epoch.to_string()),
        value("TRADINGBOT_FENCING_TOKEN", token.to_string()),
        value("TRADINGBOT_PREVIOUS_EPOCH", previous_epoch.to_string()),
        value("TRADINGBOT_FROM", from.clone().unwrap_or_default()),
        value("TRADINGBOT_TO", to.clone()),
        value("TRADINGBOT_REASON", reason.unwrap_or_default()),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::*;
    use crate::api::names::LABEL_SLOT;
    use crate::core::failover::Reason;
    use crate::core::ids::Epoch;

    const TOKEN: FencingToken = FencingToken(1_838_592_000_000_123);

    fn context() -> JobContext {
        JobContext {
            epoch: Epoch(7),
            previous_epoch: Epoch(5),
            from: Some("doge-jpy-0".into()),
            to: "doge-jpy-1".into(),
            reason: Reason::ContainerTerminated,
        }
    }

    fn parts(bot: &TradingBot) -> (Job, JobSpec, PodSpec) {
        let job = reconciliation_job(bot, TOKEN, &context()).unwrap();
        let spec = job.spec.clone().unwrap();
        let pod = spec.template.spec.clone().unwrap();
        (job, spec, pod)
    }

    #[test]
    fn a_bot_without_reconciliation_has_no_job() {
        assert_eq!(reconciliation_job(&fixtures::smallest(), TOKEN, &context()), None);
    }

    #[test]
    fn names_fit_with_the_longest_bot_name_and_token() {
        assert!(job_name(&"a".repeat(40), FencingToken((1 << 53) - 1)).len() <= 63);
    }

    #[test]
    fn the_command_runs_as_the_bots_container_would() {
        let (job, spec, pod) = parts(&fixtures::full());
        assert_eq!(job.metadata.name.as_deref(), Some("doge-jpy-r-1838592000000123"));
        assert_eq!(job.metadata.labels.unwrap()[LABEL_TOKEN], "1838592000000123");
        assert_eq!(spec.template.metadata.unwrap().labels.unwrap()[LABEL_COMPONENT], "reconciliation");
        assert_eq!((spec.backoff_limit, spec.active_deadline_seconds), (Some(0), Some(50)));
        assert_eq!((pod.active_deadline_seconds, pod.restart_policy.as_deref()), (Some(20), Some("Never")));
        let [container] = &pod.containers[..] else { panic!("one container") };
        assert_eq!(container.command.as_deref().unwrap(), ["/bot", "reconcile"]);
        assert_eq!((container.args.as_ref(), container.image.as_deref()), (None, Some("example/bot:1")));
        assert_eq!(container.security_context.as_ref().unwrap().run_as_user, Some(1000));
        assert_eq!(pod.service_account_name.as_deref(), Some("trader"));
        assert_eq!(pod.image_pull_secrets.unwrap()[0].name, "registry");
    }

    #[test]
    fn the_program_is_told_what_happened() {
        let (_, _, pod) = parts(&fixtures::full());
        let env: Vec<(&str, &str)> = pod.containers[0]
            .env
            .iter()
            .flatten()
            .map(|e| (e.name.as_str(), e.value.as_deref().unwrap_or_default()))
            .collect();
        for (name, wanted) in [
            ("TRADINGBOT_NAME", "doge-jpy"),
            ("TRADINGBOT_NAMESPACE", "money"),
            ("TRADINGBOT_EPOCH", "7"),
            ("TRADINGBOT_FENCING_TOKEN", "1838592000000123"),
            ("TRADINGBOT_PREVIOUS_EPOCH", "5"),
            ("TRADINGBOT_FROM", "doge-jpy-0"),
            ("TRADINGBOT_TO", "doge-jpy-1"),
            ("TRADINGBOT_REASON", "ContainerTerminated"),
            ("PAIR", "DOGE_JPY"),
        ] {
            assert_eq!(env.iter().filter(|e| e.0 == name).collect::<Vec<_>>(), [&(name, wanted)]);
        }
    }

    #[test]
    fn a_job_with_the_candidates_claims_lands_on_its_node() {
        let (_, _, pod) = parts(&fixtures::full());
        let volumes: Vec<_> = pod.volumes.iter().flatten().map(|v| v.name.as_str()).collect();
        assert_eq!(volumes, ["tmp", "data"], "only what is mounted, and the claim of the candidate's slot");
        let claim = pod.volumes.iter().flatten().find_map(|v| v.persistent_volume_claim.as_ref()).unwrap();
        assert_eq!(claim.claim_name, "data-doge-jpy-1");
        let required = pod.affinity.unwrap().pod_affinity.unwrap().required_during_scheduling_ignored_during_execution;
        assert_eq!(
            required.unwrap()[0].label_selector.as_ref().unwrap().match_labels.as_ref().unwrap()[LABEL_SLOT],
            "1"
        );
    }

    #[test]
    fn a_job_without_claims_only_prefers_the_candidates_node() {
        let mut bot = fixtures::full();
        bot.spec.volume_claim_templates.clear();
        let (_, _, pod) = parts(&bot);
        let near = pod.affinity.unwrap().pod_affinity.unwrap();
        assert!(near.required_during_scheduling_ignored_during_execution.is_none());
        assert!(near.preferred_during_scheduling_ignored_during_execution.is_some());
    }

    #[test]
    fn a_job_template_keeps_what_it_says_but_for_what_safety_needs() {
        let mut bot = fixtures::full();
        bot.spec.reconciliation = serde_json::from_value(serde_json::json!({
            "deadlineSeconds": 20,
            "jobTemplate": {"metadata": {"labels": {"a": "b"}}, "spec": {
                "backoffLimit": 6, "ttlSecondsAfterFinished": 60,
                "template": {"spec": {
                    "restartPolicy": "OnFailure", "activeDeadlineSeconds": 9999, "terminationGracePeriodSeconds": 600,
                    "containers": [{"name": "r", "image": "r", "env": [{"name": "TRADINGBOT_EPOCH", "value": "1"}]}],
                }},
            }},
        }))
        .unwrap();
        let (job, spec, pod) = parts(&bot);
        assert_eq!(job.metadata.labels.unwrap()["a"], "b");
        assert_eq!((spec.backoff_limit, spec.ttl_seconds_after_finished), (Some(0), Some(60)));
        assert_eq!(pod.restart_policy.as_deref(), Some("Never"));
        assert_eq!((pod.active_deadline_seconds, pod.termination_grace_period_seconds), (Some(20), Some(10)));
        let epochs: Vec<_> = pod.containers[0].env.iter().flatten().filter(|e| e.name == "TRADINGBOT_EPOCH").collect();
        assert_eq!((epochs.len(), epochs[0].value.as_deref()), (1, Some("7")));
    }
}
