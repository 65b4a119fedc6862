//! What runs of every kind are made of.

use k8s_openapi::api::batch::v1::{CronJob, JobSpec};
use k8s_openapi::api::core::v1::{Container, PodSpec};
use serde_json::{Value, json};

use super::*;
use crate::api::backup_config::{Action, BACKUP_CONFIG_ENV, BackupConfig, Selection};
use crate::api::bot::TradingBot;
use crate::api::names::*;
use crate::controller::build::fixtures;
use crate::core::failover::{Restore, RestoreRun, RestoreStep};

const IMAGE: &str = "op:1";

fn with(mut bot: TradingBot, backup: Value) -> TradingBot {
    let mut all = json!({
        "destination": {"s3": {"bucket": "safe", "secretName": "s3", "caSecretName": "ca"}},
        "schedules": [{"name": "daily", "schedule": "0 2 * * *"}],
    });
    all.as_object_mut().unwrap().extend(backup.as_object().unwrap().clone());
    bot.spec.backup = Some(serde_json::from_value(all).unwrap());
    bot
}

fn context() -> BackupContext {
    BackupContext { epoch: 7, slot: 1, paused: false, image: IMAGE.into() }
}

fn restore() -> Restore {
    Restore {
        operation: "again".into(),
        operation_uid: "0123456789-uid".into(),
        step: RestoreStep::Checking,
        id: None,
        slot: 1,
        target_changed: false,
        outcome: None,
    }
}

fn job_of(cron: &CronJob) -> (JobSpec, PodSpec, Container) {
    let job = cron.spec.as_ref().unwrap().job_template.spec.clone().unwrap();
    let pod = job.template.spec.clone().unwrap();
    let container = pod.containers[0].clone();
    (job, pod, container)
}

fn backup_run(bot: &TradingBot) -> (JobSpec, PodSpec, Container) {
    job_of(&backup_cron_jobs(bot, &context())[0])
}

fn verify_run(bot: &TradingBot) -> (JobSpec, PodSpec, Container) {
    job_of(backup_cron_jobs(bot, &context()).last().unwrap())
}

fn restore_run(bot: &TradingBot, run: RestoreRun) -> (JobSpec, PodSpec, Container) {
    let job = restore_job(bot, &restore(), run, &Selection::default(), IMAGE).unwrap().spec.unwrap();
    let pod = job.template.spec.clone().unwrap();
    let container = pod.containers[0].clone();
    (job, pod, container)
}

fn config(container: &Container) -> BackupConfig {
    let env = container.env.iter().flatten().find(|e| e.name == BACKUP_CONFIG_ENV).unwrap();
    serde_json::from_str(&env.value.as_ref().unwrap().replace("$$", "$")).unwrap()
}

fn has_variable(container: &Container, name: &str) -> bool {
    container.env.iter().flatten().any(|e| e.name == name)
}

fn secrets(container: &Container) -> Vec<String> {
    container.env_from.iter().flatten().filter_map(|e| e.secret_ref.as_ref()).map(|s| s.name.clone()).collect()
}

fn volumes(pod: &PodSpec) -> Vec<&str> {
    pod.volumes.iter().flatten().map(|v| v.name.as_str()).collect()
}

fn is_near(pod: &PodSpec) -> Option<String> {
    let near = pod.affinity.as_ref()?.pod_affinity.as_ref()?;
    let term = near.required_during_scheduling_ignored_during_execution.as_ref()?.first()?;
    term.label_selector.as_ref()?.match_labels.as_ref()?.get(LABEL_SLOT).cloned()
}

#[test]
fn a_bot_without_backups_has_no_objects_of_them() {
    assert!(backup_cron_jobs(&fixtures::full(), &context()).is_empty());
    assert_eq!(restore_job(&fixtures::full(), &restore(), RestoreRun::Check, &Selection::default(), IMAGE), None);
}

#[test]
fn names_fit_with_the_longest_bot_and_schedule() {
    assert!(schedule_name(&"a".repeat(7), &"s".repeat(40)).len() <= 52);
    assert!(schedule_name(&"a".repeat(40), &"s".repeat(7)).len() <= 52);
    assert!(verification_name(&"a".repeat(40)).len() <= 52);
    assert!(restore_job_name(&"a".repeat(40), RestoreRun::Apply, "01234567-89").len() <= 63);
}

#[test]
fn every_schedule_has_a_cron_job_and_the_verification_has_one() {
    let bot = with(
        fixtures::full(),
        json!({
            "source": {"command": {"command": ["/bot", "dump"]}},
            "schedules": [
                {"name": "daily", "schedule": "0 2 * * *", "timeZone": "Asia/Tokyo", "startingDeadlineSeconds": 600},
                {"name": "weekly", "schedule": "@weekly", "suspend": true, "retention": {"count": 4}},
                {"name": "monthly", "schedule": "@monthly"},
            ],
            "verification": {"schedule": "0 4 * * 0"},
        }),
    );
    let all = backup_cron_jobs(&bot, &context());
    let names: Vec<_> = all.iter().map(|cron| cron.metadata.name.as_deref().unwrap()).collect();
    assert_eq!(names, ["doge-jpy-b-daily", "doge-jpy-b-weekly", "doge-jpy-b-monthly", "doge-jpy-verify"]);
    let marks: Vec<_> = all.iter().map(|cron| cron.metadata.labels.as_ref().unwrap()[LABEL_SCHEDULE].clone()).collect();
    assert_eq!(marks, ["daily", "weekly", "monthly", "verification"]);
    let suspended: Vec<_> = all.iter().map(|cron| cron.spec.as_ref().unwrap().suspend.unwrap()).collect();
    assert_eq!(suspended, [false, true, false, false]);

    let daily = &all[0];
    assert_eq!(daily.metadata.owner_references.as_ref().unwrap()[0].uid, "bot-uid");
    let spec = daily.spec.as_ref().unwrap();
    assert_eq!((spec.time_zone.as_deref(), spec.starting_deadline_seconds), (Some("Asia/Tokyo"), Some(600)));
    assert_eq!(all[1].spec.as_ref().unwrap().time_zone.as_deref(), Some("Etc/UTC"));
    assert_eq!(spec.concurrency_policy.as_deref(), Some("Forbid"));
    let inner = spec.job_template.metadata.as_ref().unwrap();
    assert_eq!(inner.annotations.as_ref().unwrap()[ANNOTATION_BACKUP_EPOCH], "7");
    assert_eq!(inner.labels.as_ref().unwrap()[LABEL_COMPONENT], "backup");

    let (job, pod, container) = job_of(daily);
    let template = job.template.metadata.unwrap();
    assert_eq!(
        (&*template.labels.unwrap()[LABEL_BOT], &*template.annotations.unwrap()[ANNOTATION_BACKUP_EPOCH]),
        ("doge-jpy", "7")
    );
    assert_eq!((job.backoff_limit, job.active_deadline_seconds), (Some(0), Some(3630)));
    assert_eq!((pod.active_deadline_seconds, pod.restart_policy.as_deref()), (Some(3600), Some("Never")));
    let told = config(&container);
    assert_eq!(
        (told.action, told.epoch, told.schedule.as_str(), told.bot_uid.as_str()),
        (Action::Backup, 7, "daily", "bot-uid")
    );
    assert_eq!(
        (told.retention["daily"].days, told.retention["weekly"].count, told.retention["monthly"].months),
        (Some(30), Some(4), Some(12))
    );
    assert_eq!(config(&job_of(&all[3]).2).action, Action::Verify);

    let paused = backup_cron_jobs(&bot, &BackupContext { paused: true, ..context() });
    assert!(paused.iter().all(|cron| cron.spec.as_ref().unwrap().suspend == Some(true)));
}

#[test]
fn a_command_runs_as_the_bot_does_near_its_claims_and_without_the_exchanges_keys() {
    let mut bot = with(fixtures::full(), json!({"source": {"command": {"command": ["/bot", "dump", "$(HOME)"]}}}));
    bot.spec.credentials = serde_json::from_value(json!({"secretName": "exchange"})).unwrap();
    let (_, pod, container) = backup_run(&bot);
    assert_eq!(container.command.as_deref().unwrap(), ["/.tradingbot/tradingbot-backup", "run"]);
    assert_eq!(container.image.as_deref(), Some("example/bot:1"));
    assert_eq!(container.security_context.as_ref().unwrap().run_as_user, Some(1000));
    assert!(has_variable(&container, "PAIR") && has_variable(&container, "TRADINGBOT_EPOCH"));
    assert_eq!(container.env.iter().flatten().filter(|e| e.name == "TRADINGBOT_NAME").count(), 1);
    let raw = container.env.as_ref().unwrap()[0].value.as_deref().unwrap();
    assert!(raw.contains("$$(HOME)"), "{raw}");
    assert!(volumes(&pod).contains(&"data") && volumes(&pod).contains(&"tmp") && !volumes(&pod).contains(&"unused"));
    assert_eq!(is_near(&pod).as_deref(), Some("1"));
    assert!(!serde_json::to_string(&pod).unwrap().contains("exchange"));
    assert_eq!((pod.service_account_name, pod.automount_service_account_token), (None, Some(false)));
    assert_eq!(pod.image_pull_secrets.unwrap()[0].name, "registry");
    let [install] = &pod.init_containers.unwrap()[..] else { panic!("one init container") };
    assert_eq!(
        install.command.as_deref().unwrap(),
        ["/tradingbot-backup", "install", "/.tradingbot/tradingbot-backup"]
    );
    assert_eq!(install.image.as_deref(), Some(IMAGE));
}

#[test]
fn a_command_does_not_see_claims_that_only_one_pod_can_have() {
    let mut bot = with(fixtures::full(), json!({"source": {"command": {"command": ["/bot", "dump"]}}}));
    bot.spec.volume_claim_templates[0].spec.access_modes = Some(vec!["ReadWriteOncePod".into()]);
    let (_, pod, container) = backup_run(&bot);
    assert!(!volumes(&pod).contains(&"data"));
    assert!(container.volume_mounts.unwrap().iter().all(|m| m.mount_path != "/data"));
}

#[test]
fn the_keys_of_destinations_are_files_and_the_identity_is_not_where_backups_are_made() {
    let bot = with(
        fixtures::smallest(),
        json!({
            "source": {"postgresql": {"secretName": "pg"}},
            "copies": [{"googleCloudStorage": {"bucket": "gcs", "secretName": "gcs"}}, {"persistentVolumeClaim": {"claimName": "vault"}}],
            "encryption": {"recipients": ["age1x"], "identitySecretName": "age"},
            "verification": {"schedule": "@weekly"},
        }),
    );
    let (_, pod, container) = backup_run(&bot);
    let places: Vec<_> = container
        .volume_mounts
        .iter()
        .flatten()
        .map(|m| (m.mount_path.as_str(), m.read_only.unwrap_or_default()))
        .collect();
    assert_eq!(
        places,
        [
            ("/.tradingbot", true),
            ("/.tradingbot-backup/secrets/0", true),
            ("/.tradingbot-backup/ca/0", true),
            ("/.tradingbot-backup/secrets/1", true),
            ("/.tradingbot-backup/claims/2", false),
            ("/.tradingbot-backup/scratch", false),
        ]
    );
    let secret = pod.volumes.iter().flatten().find_map(|v| v.secret.clone()).unwrap();
    assert_eq!(
        (secret.secret_name.as_deref(), secret.optional, secret.default_mode),
        (Some("s3"), Some(false), Some(0o440))
    );
    assert_eq!(secrets(&container), ["pg"]);
    assert!(!has_variable(&container, "PAIR") && is_near(&pod).is_none());
    let (_, pod, container) = verify_run(&bot);
    assert!(volumes(&pod).contains(&"tradingbot-identity"));
    assert_eq!(secrets(&container), Vec::<String>::new(), "a verification never finds the database of the bot");
    for run in [RestoreRun::Check, RestoreRun::Apply] {
        assert!(volumes(&restore_run(&bot, run).1).contains(&"tradingbot-identity"));
    }
}

#[test]
fn a_directory_is_read_on_the_node_of_the_slot_by_the_bots_user() {
    let bot = with(fixtures::full(), json!({"source": {"directory": {"path": "/data/books"}}}));
    let (_, pod, container) = backup_run(&bot);
    let claim = pod.volumes.iter().flatten().find_map(|v| v.persistent_volume_claim.clone()).unwrap();
    assert_eq!(claim.claim_name, "data-doge-jpy-1");
    let mount = container.volume_mounts.iter().flatten().find(|m| m.name == "data").unwrap();
    assert_eq!((mount.mount_path.as_str(), mount.read_only), ("/data", Some(true)));
    assert_eq!(is_near(&pod).as_deref(), Some("1"));
    assert_eq!(
        (container.image.as_deref(), container.security_context.as_ref().unwrap().run_as_user),
        (Some(IMAGE), Some(1000))
    );
    assert_eq!(pod.security_context.and_then(|c| c.fs_group), None, "the bot's files do not change hands");
    assert!(!has_variable(&container, "PAIR"));
    // Put back, it is written.
    let (_, _, container) = restore_run(&bot, RestoreRun::Apply);
    assert_eq!(container.volume_mounts.iter().flatten().find(|m| m.name == "data").unwrap().read_only, None);
    // Where only the image says as whom the bot runs, that image it is.
    let mut unknown = bot.clone();
    unknown.spec.template.spec.as_mut().unwrap().containers[0].security_context = None;
    assert_eq!(backup_run(&unknown).2.image.as_deref(), Some("example/bot:1"));
}

#[test]
fn a_database_is_written_beside_the_bot_or_read_from_a_clone_of_its_claim() {
    let mut bot = with(fixtures::full(), json!({"source": {"sqlite": {"path": "/data/bot.db", "read": "Clone"}}}));
    let container = &mut bot.spec.template.spec.as_mut().unwrap().containers[0];
    container.volume_mounts.as_mut().unwrap()[0].sub_path = Some("db".into());
    let (_, pod, container) = backup_run(&bot);
    let data = pod.volumes.iter().flatten().find(|v| v.name == "data").unwrap();
    assert!(data.persistent_volume_claim.is_none());
    let claim = &data.ephemeral.as_ref().unwrap().volume_claim_template.as_ref().unwrap().spec;
    assert_eq!(claim.data_source.as_ref().unwrap().name, "data-doge-jpy-1");
    assert_eq!(claim.resources.as_ref().unwrap().requests.as_ref().unwrap()["storage"].0, "1Gi");
    let mount = container.volume_mounts.iter().flatten().find(|m| m.name == "data").unwrap();
    assert_eq!((mount.read_only, mount.sub_path.as_deref()), (None, Some("db")));
    assert_eq!(is_near(&pod), None);
    let (_, pod, _) = restore_run(&bot, RestoreRun::Apply);
    assert!(pod.volumes.iter().flatten().any(|v| v.name == "data" && v.persistent_volume_claim.is_some()));
    assert_eq!(is_near(&pod).as_deref(), Some("1"));
}

#[test]
fn the_deepest_mount_has_the_path() {
    let mut bot = fixtures::full();
    let container = &mut bot.spec.template.spec.as_mut().unwrap().containers[0];
    container.volume_mounts.as_mut().unwrap()[1].mount_path = "/data/tmp/".into();
    let at = |path: &str| super::volumes::covering(&bot, path).map(|m| m.name.as_str());
    for (path, wanted) in
        [("/data", Some("data")), ("/data/tmp", Some("tmp")), ("/data/tmpfs", Some("data")), ("/database", None)]
    {
        assert_eq!(at(path), wanted, "{path}");
    }
}

#[test]
fn reading_what_is_stored_needs_nothing_of_the_bot_and_no_rights() {
    let bot = with(
        fixtures::full(),
        json!({"source": {"command": {"command": ["/dump"]}}, "verification": {"schedule": "@weekly"}}),
    );
    for (_, pod, container) in [verify_run(&bot), restore_run(&bot, RestoreRun::Check)] {
        assert_eq!(container.image.as_deref(), Some(IMAGE));
        assert_eq!(container.security_context.unwrap().run_as_non_root, Some(true));
        assert_eq!(pod.security_context.as_ref().unwrap().fs_group, Some(65532));
        assert!(!volumes(&pod).contains(&"data") && is_near(&pod).is_none());
        assert_eq!(pod.tolerations.unwrap().len(), 1, "it may run where the bot may");
    }
}

#[test]
fn a_verification_by_the_users_command_never_finds_the_way_to_what_the_bot_works_with() {
    let runner =
        json!({"command": ["/check"], "image": "example/check:1", "secretName": "scratch", "deadlineSeconds": 60});
    let bot = with(
        fixtures::full(),
        json!({
            "source": {"postgresql": {"secretName": "pg"}},
            "verification": {"schedule": "@weekly", "verify": "Restore", "runner": runner},
        }),
    );
    let (job, pod, container) = verify_run(&bot);
    assert_eq!((container.image.as_deref(), job.active_deadline_seconds), (Some("example/check:1"), Some(90)));
    assert_eq!(secrets(&container), ["scratch"]);
    assert!(!has_variable(&container, "PAIR"));
    assert!(!volumes(&pod).contains(&"data") && volumes(&pod).contains(&"tmp"));
    assert_eq!(config(&container).command, ["/check"]);
}

#[test]
fn a_restore_takes_the_backup_that_was_found_and_goes_where_its_secret_says() {
    let mut bot = with(
        fixtures::full(),
        json!({"source": {"postgresql": {"secretName": "pg", "image": "example/pg:17"}}, "deadlineSeconds": 100}),
    );
    bot.status = Some(serde_json::from_value(json!({"epoch": 9})).unwrap());
    let mut wanted = restore();
    let selection = Selection { id: None, before: Some("2026-11-24T00:00:00Z".parse().unwrap()) };
    let check = restore_job(&bot, &wanted, RestoreRun::Check, &selection, IMAGE).unwrap();
    assert_eq!(check.metadata.name.as_deref(), Some("doge-jpy-check-01234567"));
    let told = config(&check.spec.as_ref().unwrap().template.spec.as_ref().unwrap().containers[0]);
    assert_eq!((told.action, told.selection, told.epoch), (Action::Check, selection.clone(), 9));

    wanted.id = Some("20261123T020000Z-daily-3f9a".parse().unwrap());
    let apply = restore_job(&bot, &wanted, RestoreRun::Apply, &selection, IMAGE).unwrap();
    assert_eq!(apply.metadata.name.as_deref(), Some("doge-jpy-restore-01234567"));
    let labels = apply.metadata.labels.unwrap();
    assert_eq!(
        (&*labels[LABEL_OPERATION], &*labels[LABEL_RESTORE_RUN], &*labels[LABEL_COMPONENT]),
        ("0123456789-uid", "apply", "restore")
    );
    assert!(!labels.contains_key(LABEL_SCHEDULE));
    assert_eq!(apply.metadata.annotations.unwrap()[ANNOTATION_BACKUP_EPOCH], "9");
    let spec = apply.spec.unwrap();
    assert_eq!((spec.ttl_seconds_after_finished, spec.active_deadline_seconds), (Some(86_400), Some(130)));
    assert_eq!(spec.template.metadata.unwrap().labels.unwrap()[LABEL_RESTORE_RUN], "apply");
    let container = &spec.template.spec.unwrap().containers[0];
    assert_eq!((config(container).selection.id, config(container).selection.before), (wanted.id, None));
    assert_eq!((container.image.as_deref(), secrets(container)), (Some("example/pg:17"), vec!["pg".to_owned()]));

    bot.spec.backup.as_mut().unwrap().restore =
        serde_json::from_value(json!({"command": ["/load"], "secretName": "new", "deadlineSeconds": 50})).unwrap();
    let (job, _, container) = restore_run(&bot, RestoreRun::Apply);
    assert_eq!((secrets(&container), job.active_deadline_seconds), (vec!["new".to_owned()], Some(80)));
    assert!(!has_variable(&container, "PAIR"), "its own variables would win against the Secret's");
}

#[test]
fn memory_is_limited_and_what_is_asked_for_is_kept() {
    let bot =
        |resources| with(fixtures::full(), json!({"source": {"sqlite": {"path": "/data/x"}}, "resources": resources}));
    let memory = |resources: Value| {
        let limits = backup_run(&bot(resources)).2.resources.unwrap().limits.unwrap();
        limits["memory"].0.clone()
    };
    assert_eq!(memory(Value::Null), "256Mi");
    assert_eq!(memory(json!({"requests": {"cpu": "1"}})), "256Mi");
    assert_eq!(memory(json!({"requests": {"memory": "1Gi"}})), "1Gi");
    assert_eq!(memory(json!({"limits": {"memory": "64Mi"}})), "64Mi");
}

#[test]
fn an_account_of_the_cloud_is_used_where_one_is_named() {
    let bot = with(
        fixtures::full(),
        json!({
            "source": {"command": {"command": ["/dump"]}}, "serviceAccountName": "vault",
            "destination": {"azureBlob": {"account": "acc", "container": "safe"}},
        }),
    );
    let (job, pod, _) = backup_run(&bot);
    assert_eq!((pod.service_account_name.as_deref(), pod.automount_service_account_token), (Some("vault"), None));
    assert_eq!(job.template.metadata.unwrap().labels.unwrap()["azure.workload.identity/use"], "true");
}
