//! Resources that the schema accepts: all that is made of them, and that Kubernetes takes the names.

use std::collections::BTreeSet;
use std::sync::OnceLock;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;
use serde_json::{Value, json};

use super::made;
use crate::product::api::agent_config::AgentConfig;
use crate::product::api::backup_config::{BACKUP_CONFIG_ENV, BackupConfig, Selection};
use crate::product::api::bot::TradingBot;
use crate::product::api::names::AGENT_CONFIG_ENV;
use crate::product::api::{backup_rules, crds, wanted};
use crate::product::controller::build::{self, BackupContext};
use crate::product::core::failover::{JobContext, Reason, Restore, RestoreRun, RestoreStep};
use crate::product::core::ids::{Epoch, FencingToken, LARGEST_NUMBER};
use crate::source::{Source, trace};

const IMAGE: &str = "example/operator:1";

fn schema() -> &'static Value {
    static SCHEMA: OnceLock<Value> = OnceLock::new();
    SCHEMA.get_or_init(|| {
        let all = serde_json::to_value(crds::all()).expect("definitions are JSON");
        all[0]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"].clone()
    })
}

pub fn run(data: &[u8]) {
    let mut s = Source::new(data);
    let name = s.one_of(&["doge", "a", "doge-jpy-at-kraken-with-the-longest-name00"]);
    let mut spec = made::value(schema(), &mut s);
    follow_the_rules(&mut spec, name);
    trace("spec", &spec);
    let object = json!({
        "apiVersion": "tradingbot.io/v1alpha1", "kind": "TradingBot", "spec": spec,
        "metadata": {"name": name, "namespace": "trading", "uid": "0f0f0f0f-0000-4000-8000-0f0f0f0f0f0f"},
    });
    // Whatever the schema lets through is read, or the operator would not see it.
    let bot: TradingBot = serde_json::from_value(object).expect("what the schema accepts is read");
    let text = serde_json::to_value(&bot).expect("a bot is JSON");
    assert_eq!(serde_json::from_value::<TradingBot>(text).expect("a bot is read again"), bot);
    decided(&bot);
    children(&bot);
    pods(&bot);
    jobs(&bot, &mut s);
}

/// The rules in CEL that names and containers depend on, as `api::rules` has them.
fn follow_the_rules(spec: &mut Value, name: &str) {
    let mut names = BTreeSet::new();
    let container = spec.get("containerName").and_then(Value::as_str).unwrap_or("bot").to_owned();
    let containers = spec["template"]["spec"]["containers"].as_array_mut().expect("a template has containers");
    containers[0]["name"] = json!(container);
    containers[0]["command"] = json!(["/bot"]);
    containers.retain(|c| names.insert(c["name"].clone().to_string()));
    let replicas = spec.get("replicas").and_then(Value::as_u64).unwrap_or(2).clamp(1, 10);
    spec["replicas"] = json!(replicas);
    let mut claims = BTreeSet::new();
    if let Some(templates) = spec.get_mut("volumeClaimTemplates").and_then(Value::as_array_mut) {
        templates.retain(|template| claims.insert(template["metadata"]["name"].clone().to_string()));
    }
    let pod = &mut spec["template"]["spec"];
    if let Some(volumes) = pod.get_mut("volumes").and_then(Value::as_array_mut) {
        volumes.retain(|volume| !claims.contains(&volume["name"].to_string()));
    }
    if let Some(schedules) = spec.pointer_mut("/backup/schedules").and_then(Value::as_array_mut) {
        schedules.retain(|schedule| {
            let named = schedule["name"].as_str().unwrap_or_default();
            named.len() + name.len() <= 47 && !matches!(named, "on-demand" | "verification")
        });
    }
}

fn decided(bot: &TradingBot) {
    let spec = wanted::spec_from(bot);
    assert!((1..=10).contains(&spec.replicas) && spec.revision.len() == 16);
    assert_eq!(wanted::revision(&bot.spec), spec.revision, "one template has two revisions");
    assert!(spec.terms.lease_duration >= Duration::from_secs(4));
    // A grace period has no upper bound in the schema: whatever is added to it must fit.
    assert!(spec.stop_time.checked_add(Duration::from_secs(86_400)).is_some());
    for sentence in [wanted::bad_host(&bot.spec), wanted::shared_credentials(&bot.spec)].into_iter().flatten() {
        assert!(sentence.contains("spec."), "{sentence}");
    }
    if let Some((word, sentence)) = bot.spec.backup.as_ref().and_then(backup_rules::trouble) {
        assert!(word.bytes().all(|b| b.is_ascii_alphabetic()) && sentence.contains("spec.backup"), "{sentence}");
    }
}

/// Whether Kubernetes takes this as the name of an object, of at most so many characters, and its labels.
fn is_named(object: &ObjectMeta, most: usize) {
    let name = object.name.as_deref().expect("a child has a name");
    let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.');
    let ends = |end: Option<char>| end.is_some_and(|c| c.is_ascii_alphanumeric());
    assert!(plain && name.len() <= most && ends(name.chars().next()) && ends(name.chars().last()), "{name}");
    for (key, value) in object.labels.iter().flatten().filter(|(key, _)| key.starts_with("tradingbot.io/")) {
        let inner = value.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        let bounded = value.is_empty() || ends(value.chars().next()) && ends(value.chars().last());
        assert!(value.len() <= 63 && inner && bounded, "the label {key} of {name} is '{value}'");
    }
    assert_eq!(object.namespace.as_deref(), Some("trading"));
}

fn is_json(object: &impl Serialize) -> Value {
    serde_json::to_value(object).expect("a child is JSON")
}

fn children(bot: &TradingBot) {
    let api_server = ["10.96.0.1:443".parse().expect("an address")].into();
    let children = build::children(bot, &BTreeSet::new(), &api_server);
    children.services.iter().for_each(|service| is_named(&service.metadata, 63));
    children.service_accounts.iter().for_each(|account| is_named(&account.metadata, 253));
    is_named(&children.role.metadata, 253);
    is_named(&children.role_binding.metadata, 253);
    is_named(&children.budget.metadata, 253);
    children.policy.iter().for_each(|policy| is_named(&policy.metadata, 253));
    let unowned = children.service_accounts.iter().all(|account| account.metadata.owner_references.is_none());
    assert!(
        unowned && children.role.metadata.owner_references.is_none(),
        "a foreground delete takes the agent's rights first"
    );
    is_json(&children.services);
    for service in &children.services {
        let ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
        let names: Vec<_> = ports.map(|port| port.name.clone()).collect();
        let different: BTreeSet<_> = names.iter().collect();
        assert_eq!(different.len(), names.len(), "two ports of a Service have one name: {names:?}");
    }
    if let Some(role) = build::credentials_role(bot) {
        is_named(&role.metadata, 253);
    }
}

/// The variables of a container, each once.
fn variable<'a>(container: &'a Value, name: &str) -> Option<&'a str> {
    let mut named = container["env"].as_array().into_iter().flatten().filter(|variable| variable["name"] == name);
    let first = named.next();
    assert!(named.next().is_none(), "{name} is set twice");
    first.and_then(|variable| variable["value"].as_str())
}

fn pods(bot: &TradingBot) {
    for slot in [0, bot.spec.replicas - 1] {
        for claim in build::claims(bot, slot) {
            is_named(&claim.metadata, 253);
        }
        let pod = build::pod(bot, slot, IMAGE);
        is_named(&pod.metadata, 63);
        let pod = is_json(&pod);
        let containers = pod["spec"]["containers"].as_array().expect("a pod has containers");
        let bots = containers.iter().find(|c| c["name"] == bot.spec.container_name.as_str()).expect("there is the bot");
        // It is started by the agent, which reads its configuration.
        assert_eq!(bots["command"][1], "run");
        let config = variable(bots, AGENT_CONFIG_ENV).expect("the agent is told what it needs");
        let config: AgentConfig = serde_json::from_str(config).expect("an agent reads what the operator writes");
        assert_eq!(Some(&config.bot), bot.metadata.name.as_ref());
        let init = pod["spec"]["initContainers"].as_array().into_iter().flatten();
        let names: Vec<_> = containers.iter().chain(init).map(|container| container["name"].to_string()).collect();
        let ours = names.iter().filter(|name| name.starts_with("\"tradingbot-")).count();
        assert!((1..=names.len()).contains(&ours), "the agent is installed by nobody: {names:?}");
    }
}

fn jobs(bot: &TradingBot, s: &mut Source<'_>) {
    let context = JobContext {
        epoch: Epoch(7),
        previous_epoch: Epoch(6),
        from: s.maybe(|_| "doge-0".into()),
        to: "doge-1".into(),
        reason: Reason::LeaseNotRenewed,
    };
    let job = build::reconciliation_job(bot, FencingToken(LARGEST_NUMBER), &context);
    assert_eq!(job.is_some(), bot.spec.reconciliation.is_some());
    if let Some(job) = &job {
        is_named(&job.metadata, 63);
        let deadline = job.spec.as_ref().and_then(|spec| spec.template.spec.as_ref()?.active_deadline_seconds);
        assert!(deadline.is_some_and(|seconds| seconds > 0), "a reconciliation that nobody ends");
    }
    let context = BackupContext { epoch: 7, slot: 0, paused: s.flag(), image: IMAGE.into() };
    for cron_job in build::backup_cron_jobs(bot, &context) {
        is_named(&cron_job.metadata, 52);
        let object = is_json(&cron_job);
        is_configured(&object["spec"]["jobTemplate"]["spec"]["template"]["spec"]);
        let by_hand = build::job_by_hand(&cron_job, "uid", "by-hand".into(), ("a", "b"));
        assert!(by_hand.is_some_and(|job| build::on_demand(job).is_some()));
    }
    let restore = Restore {
        operation: "put-back".into(),
        operation_uid: "0e0e0e0e-0000-4000-8000-0e0e0e0e0e0e".into(),
        step: RestoreStep::Checking,
        id: None,
        slot: 0,
        target_changed: false,
        outcome: None,
    };
    for run in [RestoreRun::Check, RestoreRun::Apply] {
        let job = build::restore_job(bot, &restore, run, &Selection::default(), IMAGE);
        assert_eq!(job.is_some(), bot.spec.backup.is_some());
        if let Some(job) = job {
            is_named(&job.metadata, 63);
            is_configured(&is_json(&job)["spec"]["template"]["spec"]);
        }
    }
}

/// Some container of a backup's pod is told what to do, in words that its program reads.
fn is_configured(pod: &Value) {
    let all = ["initContainers", "containers"].into_iter().filter_map(|list| pod[list].as_array()).flatten();
    let configured: Vec<_> = all.filter_map(|container| variable(container, BACKUP_CONFIG_ENV)).collect();
    assert!(!configured.is_empty(), "nothing in the pod of a backup knows what to do");
    for config in configured {
        serde_json::from_str::<BackupConfig>(config).expect("the program reads what the operator writes");
    }
}
