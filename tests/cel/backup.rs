//! Bad and good `spec.backup`, and the objects that are made of it.

use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{Namespace, Pod, PodTemplateSpec};
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tradingbot::api::backup_config::Selection;
use tradingbot::api::backup_rules::is_readable;
use tradingbot::api::bot::TradingBot;
use tradingbot::controller::build::{self, BackupContext};
use tradingbot::core::failover::{Restore, RestoreRun, RestoreStep};

use super::bot::smallest;
use super::cluster::{Cluster, refused};

type Change = fn(&mut Value);

fn container(bot: &mut Value) -> &mut Value {
    &mut bot["spec"]["template"]["spec"]["containers"][0]
}

fn backup(bot: &mut Value) -> &mut Value {
    &mut bot["spec"]["backup"]
}

/// A bot with a claim of its own, one that all pods share and a folder of the node's.
fn bot() -> Value {
    let mut bot = smallest();
    let claim = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}});
    bot["spec"]["volumeClaimTemplates"] = json!([{"metadata": {"name": "data"}, "spec": claim}]);
    bot["spec"]["template"]["spec"]["volumes"] = json!([
        {"name": "tmp", "emptyDir": {}},
        {"name": "shared", "persistentVolumeClaim": {"claimName": "books"}},
    ]);
    bot["spec"]["template"]["spec"]["securityContext"] =
        json!({"runAsUser": 1000, "runAsNonRoot": true, "fsGroup": 1000, "seccompProfile": {"type": "RuntimeDefault"}});
    container(&mut bot)["securityContext"] =
        json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
    container(&mut bot)["volumeMounts"] = json!([
        {"name": "data", "mountPath": "/data"},
        {"name": "tmp", "mountPath": "/tmp"},
        {"name": "shared", "mountPath": "/shared"},
    ]);
    bot["spec"]["backup"] = json!({
        "source": {"command": {"command": ["/bot", "dump"]}},
        "destination": {"s3": {"bucket": "safe", "secretName": "s3"}},
        "schedules": [{"name": "daily", "schedule": "0 2 * * *"}],
    });
    bot
}

const BAD: &[(&str, Change, &str)] = &[
    ("no source", |b| backup(b)["source"] = json!({}), "is one of command, postgresql, directory and sqlite"),
    (
        "two sources",
        |b| backup(b)["source"]["postgresql"] = json!({"secretName": "pg"}),
        "is one of command, postgresql, directory and sqlite: set exactly one",
    ),
    ("no place", |b| backup(b)["destination"] = json!({"prefix": "a"}), "set exactly one of them, and further places"),
    (
        "a copy to two places",
        |b| backup(b)["copies"] = json!([{"s3": {"bucket": "one"}, "googleCloudStorage": {"bucket": "two"}}]),
        "A destination of spec.backup is one of s3",
    ),
    (
        "a copy to the same place",
        |b| backup(b)["copies"] = json!([{"s3": {"bucket": "safe", "secretName": "s3"}}]),
        "name one place twice",
    ),
    (
        "two copies at one place",
        |b| backup(b)["copies"] = json!([{"s3": {"bucket": "one"}}, {"s3": {"bucket": "one"}}]),
        "name one place twice",
    ),
    (
        "a prefix that leads elsewhere",
        |b| backup(b)["destination"]["prefix"] = json!("a/../b"),
        "spec.backup.destination.prefix",
    ),
    ("a prefix from the root", |b| backup(b)["destination"]["prefix"] = json!("/a"), "spec.backup.destination.prefix"),
    (
        "a key of nobody",
        |b| backup(b)["destination"]["s3"]["serverSideEncryption"] = json!({"kmsKeyId": "k"}),
        "set type to AwsKms, or remove kmsKeyId",
    ),
    (
        "two schedules of one name",
        |b| backup(b)["schedules"] = json!([{"name": "a", "schedule": "@daily"}, {"name": "a", "schedule": "@weekly"}]),
        "spec.backup.schedules[1]: Duplicate value",
    ),
    ("no schedule", |b| backup(b)["schedules"] = json!([]), "spec.backup.schedules"),
    ("a name with separators", |b| backup(b)["schedules"][0]["name"] = json!("a/b"), "spec.backup.schedules[0].name"),
    (
        "a name of ours",
        |b| backup(b)["schedules"][0]["name"] = json!("on-demand"),
        "The names on-demand and verification in spec.backup.schedules",
    ),
    (
        "names that are too long together",
        |b| {
            backup(b)["schedules"][0]["name"] = json!("s".repeat(40));
        },
        "together must have at most 47 characters",
    ),
    (
        "a schedule that is none",
        |b| backup(b)["schedules"][0]["schedule"] = json!("at two"),
        "A schedule in spec.backup has the five fields",
    ),
    (
        "a verification whose schedule is none",
        |b| backup(b)["verification"] = json!({"schedule": "0 25 * * *"}),
        "A schedule in spec.backup has the five fields",
    ),
    (
        "a retention of zero",
        |b| backup(b)["schedules"][0]["retention"] = json!({"days": 0}),
        "A retention of 0 would keep nothing: set it to at least 1.",
    ),
    (
        "two retentions",
        |b| backup(b)["schedules"][0]["retention"] = json!({"days": 1, "count": 1}),
        "A retention in spec.backup.schedules is one of count, days, weeks and months",
    ),
    (
        "an empty retention",
        |b| backup(b)["schedules"][0]["retention"] = json!({}),
        "set exactly one of them, or remove retention",
    ),
    (
        "an objective that a daily schedule cannot meet",
        |b| backup(b)["recoveryPointObjectiveSeconds"] = json!(86_399),
        "spec.backup.recoveryPointObjectiveSeconds is shorter than the time between two backups: let a schedule run more often, as */15",
    ),
    (
        "an objective that rarer schedules do not help to meet",
        |b| {
            backup(b)["recoveryPointObjectiveSeconds"] = json!(86_000);
            backup(b)["schedules"] = json!([
                {"name": "daily", "schedule": "@daily"}, {"name": "weekly", "schedule": "0 3 * * 0"},
                {"name": "monthly", "schedule": "0 4 1 * *"}, {"name": "often", "schedule": "* * * * *", "suspend": true},
            ]);
        },
        "spec.backup.recoveryPointObjectiveSeconds is shorter than the time between two backups: let a schedule run more often, as */15",
    ),
    (
        "an objective beyond two schedules",
        |b| {
            backup(b)["recoveryPointObjectiveSeconds"] = json!(43_000);
            backup(b)["schedules"] =
                json!([{"name": "a", "schedule": "0 2 * * *"}, {"name": "b", "schedule": "0 14 * * *"}]);
        },
        "spec.backup.recoveryPointObjectiveSeconds is shorter than the time between two backups: let a schedule run more often, as */15",
    ),
    (
        "an objective of minutes with a schedule of many",
        |b| {
            backup(b)["recoveryPointObjectiveSeconds"] = json!(600);
            backup(b)["schedules"][0]["schedule"] = json!("*/15 * * * *");
        },
        "spec.backup.recoveryPointObjectiveSeconds is shorter than the time between two backups: let a schedule run more often, as */15",
    ),
    (
        "a directory that is not on a volume",
        |b| backup(b)["source"] = json!({"directory": {"path": "/etc"}}),
        "must be at or below a mountPath of the container that trades whose volume is a claim",
    ),
    (
        "a directory that no other pod sees",
        |b| backup(b)["source"] = json!({"directory": {"path": "/tmp/books"}}),
        "Other volumes, such as emptyDir and hostPath, cannot be shared",
    ),
    (
        "a database beside its volume",
        |b| backup(b)["source"] = json!({"sqlite": {"path": "/database/bot.db"}}),
        "must be at or below a mountPath",
    ),
    (
        "a path that leads elsewhere",
        |b| backup(b)["source"] = json!({"sqlite": {"path": "/data/../etc/x"}}),
        "must not have the parts . or .. in it",
    ),
    (
        "a claim of one pod",
        |b| {
            b["spec"]["volumeClaimTemplates"][0]["spec"]["accessModes"] = json!(["ReadWriteOncePod"]);
            backup(b)["source"] = json!({"sqlite": {"path": "/data/bot.db"}});
        },
        "set read to Clone in spec.backup.source",
    ),
    (
        "a clone of a claim of unknown size",
        |b| backup(b)["source"] = json!({"directory": {"path": "/shared", "read": "Clone"}}),
        "needs a claim of spec.volumeClaimTemplates, whose size and class are known",
    ),
    (
        "a path that every pod has for itself",
        |b| {
            container(b)["volumeMounts"][0]["subPathExpr"] = json!("$(HOME)");
            backup(b)["source"] = json!({"directory": {"path": "/data"}});
        },
        "and is mounted without subPathExpr",
    ),
    (
        "a command without a program",
        |b| backup(b)["source"]["command"]["command"] = json!([""]),
        "The first entry of a command in spec.backup is the program",
    ),
    (
        "a restore without a program",
        |b| backup(b)["restore"] = json!({"command": [""]}),
        "The first entry of a command in spec.backup is the program",
    ),
    (
        "a trial of what nobody knows how to restore",
        |b| backup(b)["verification"] = json!({"schedule": "@weekly", "verify": "Restore"}),
        "needs runner.command for what a command wrote",
    ),
    (
        "a trial of a dump with nowhere to go",
        |b| {
            backup(b)["source"] = json!({"postgresql": {"secretName": "pg"}});
            backup(b)["verification"] = json!({"schedule": "@weekly", "verify": "Restore"});
        },
        "needs to know into which database of PostgreSQL",
    ),
    (
        "a trial over the database itself",
        |b| {
            backup(b)["source"] = json!({"postgresql": {"secretName": "pg"}});
            let runner = json!({"secretName": "pg"});
            backup(b)["verification"] = json!({"schedule": "@weekly", "verify": "Restore", "runner": runner});
        },
        "every verification would overwrite the database that is backed up",
    ),
    (
        "a trial of what cannot be decrypted",
        |b| {
            backup(b)["source"] = json!({"sqlite": {"path": "/data/bot.db"}});
            backup(b)["encryption"] = json!({"recipients": [format!("age1{}", "q".repeat(58))]});
            backup(b)["verification"] = json!({"schedule": "@weekly", "verify": "Restore"});
        },
        "set spec.backup.encryption.identitySecretName, or set verify to Read",
    ),
    (
        "a recipient that is none",
        |b| backup(b)["encryption"] = json!({"recipients": ["ssh-ed25519 AAAA"]}),
        "spec.backup.encryption.recipients[0]",
    ),
    (
        "backups on the claim of a slot",
        |b| backup(b)["destination"] = json!({"persistentVolumeClaim": {"claimName": "data-doge-jpy-0"}}),
        "must not be one of the bot's own claims",
    ),
    (
        "a copy on the claim of all pods",
        |b| backup(b)["copies"] = json!([{"persistentVolumeClaim": {"claimName": "books"}}]),
        "must not be one of the bot's own claims",
    ),
];

const GOOD: &[(&str, Change)] = &[
    ("the smallest", |_| {}),
    ("names of 47 characters", |b| backup(b)["schedules"][0]["name"] = json!("s".repeat(39))),
    ("a directory", |b| backup(b)["source"] = json!({"directory": {"path": "/data"}})),
    ("a directory below", |b| backup(b)["source"] = json!({"directory": {"path": "/data/books/.new"}})),
    ("a shared claim", |b| backup(b)["source"] = json!({"directory": {"path": "/shared/x"}})),
    ("a clone", |b| {
        b["spec"]["volumeClaimTemplates"][0]["spec"]["accessModes"] = json!(["ReadWriteOncePod"]);
        backup(b)["source"] = json!({"sqlite": {"path": "/data/bot.db", "read": "Clone"}});
    }),
    ("an objective that is met exactly", |b| backup(b)["recoveryPointObjectiveSeconds"] = json!(86_400)),
    ("an objective that two schedules meet together", |b| {
        backup(b)["recoveryPointObjectiveSeconds"] = json!(43_200);
        backup(b)["schedules"] =
            json!([{"name": "a", "schedule": "0 2 * * *"}, {"name": "b", "schedule": "0 14 * * *"}]);
    }),
    ("an objective with a schedule that cannot be judged at once", |b| {
        backup(b)["recoveryPointObjectiveSeconds"] = json!(60);
        backup(b)["schedules"][0]["schedule"] = json!("0,30 9-17 * * 1-5");
    }),
    ("an objective while all schedules pause", |b| {
        backup(b)["recoveryPointObjectiveSeconds"] = json!(60);
        backup(b)["schedules"][0]["suspend"] = json!(true);
    }),
    ("backups on a claim", |b| {
        backup(b)["destination"] = json!({"persistentVolumeClaim": {"claimName": "vault"}, "prefix": "bots/a.b"});
        backup(b)["copies"] = json!([{"s3": {"bucket": "far", "region": "eu-west-1",
            "serverSideEncryption": {"type": "AwsKms", "kmsKeyId": "k"}, "storageClass": "STANDARD_IA"}}]);
    }),
    ("a trial by a command", |b| {
        backup(b)["verification"] =
            json!({"schedule": "@weekly", "verify": "Restore", "runner": {"command": ["/check"]}});
    }),
    ("a trial of a dump", |b| {
        backup(b)["source"] = json!({"postgresql": {"secretName": "pg"}});
        backup(b)["verification"] =
            json!({"schedule": "@weekly", "verify": "Restore", "runner": {"secretName": "scratch"}});
    }),
];

#[tokio::test]
async fn bad_backups_are_refused_with_a_sentence_that_says_what_to_change() {
    let cluster = Cluster::with_namespace("badbackup").await;
    for (what, change, sentence) in BAD {
        let mut bot = bot();
        change(&mut bot);
        refused(what, cluster.create("TradingBot", &bot, true).await, sentence);
    }
    cluster.clean_up().await;
}

#[tokio::test]
async fn good_backups_are_accepted() {
    let cluster = Cluster::with_namespace("goodbackup").await;
    for (what, change) in GOOD {
        let mut bot = bot();
        change(&mut bot);
        if let Err(error) = cluster.create("TradingBot", &bot, true).await {
            panic!("{what}: {error}");
        }
    }
    cluster.clean_up().await;
}

const SCHEDULES: [&str; 40] = [
    "* * * * *",
    "0 2 * * *",
    "  0 2 * * *",
    "0 2 * *",
    "0 0 2 * * *",
    "60 * * * *",
    "59 23 31 12 6",
    "0 24 * * *",
    "0 0 0 * *",
    "0 0 32 * *",
    "0 0 * 0 *",
    "0 0 * 13 *",
    "0 0 * * 7",
    "*/5 * * * *",
    "*/0 * * * *",
    "*/90 * * * *",
    "5/10 * * * *",
    "1-5/2 * * * *",
    "5-1 * * * *",
    "1,2,3 * * * *",
    "0 0 ? * ?",
    "0 0 * jan,JUL mon-Fri",
    "0 0 * january *",
    "0 0 * * monday",
    "0 0 L * *",
    "0 0 15W * *",
    "0 0 * * 5#3",
    "-1 * * * *",
    "a b c d e",
    "1.5 * * * *",
    "1/2/3 * * * *",
    "1-2-3 * * * *",
    "@hourly",
    "@midnight",
    "@annually",
    "@Daily",
    "@reboot",
    "@every 1h",
    "TZ=Asia/Tokyo 0 2 * * *",
    "CRON_TZ=Asia/Tokyo 0 2 * * *",
];

#[tokio::test]
async fn a_schedule_that_no_cron_job_takes_is_refused_or_flagged() {
    let cluster = Cluster::with_namespace("schedules").await;
    let api: Api<CronJob> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let mut wrong = Vec::new();
    for schedule in SCHEDULES {
        let pod = json!({"restartPolicy": "Never", "containers": [{"name": "c", "image": "c"}]});
        let cron = json!({"metadata": {"name": "c"}, "spec": {"schedule": schedule, "timeZone": "Etc/UTC",
            "jobTemplate": {"spec": {"template": {"spec": pod}}}}});
        let taken = api.create(&dry, &serde_json::from_value(cron).unwrap()).await.is_ok();
        let mut bot = bot();
        backup(&mut bot)["schedules"][0]["schedule"] = json!(schedule);
        let accepted = cluster.create("TradingBot", &bot, true).await.is_ok();
        // Those that end before they begin are for the condition; intervals are refused though CronJobs take them.
        let good = accepted && is_readable(schedule);
        if good && !taken || taken && !good && !schedule.starts_with("@every") {
            wrong.push(format!("'{schedule}': a CronJob {taken}, the rule {accepted}, read {}", is_readable(schedule)));
        }
        if !taken && accepted && schedule != "5-1 * * * *" {
            wrong.push(format!("'{schedule}' should be refused at once"));
        }
    }
    cluster.clean_up().await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Tries the pod of a Job, which the API server otherwise looks at only when the Job is stored.
async fn pod_taken(cluster: &Cluster, template: &PodTemplateSpec, what: &str) {
    let mut pod = Pod { spec: template.spec.clone(), metadata: template.metadata.clone().unwrap(), status: None };
    pod.metadata.name = Some("run".into());
    let api: Api<Pod> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    if let Err(error) = api.create(&PostParams { dry_run: true, ..PostParams::default() }, &pod).await {
        panic!("the pod of {what}: {error}");
    }
}

#[tokio::test]
async fn every_object_of_backups_is_accepted_under_restricted_pod_security_and_applied_twice_stays_as_it_is() {
    let cluster = Cluster::with_namespace("runs").await;
    let restricted = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
    let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
    namespaces.patch(&cluster.namespace, &PatchParams::default(), &Patch::Merge(restricted)).await.expect("a label");
    // Pods are refused before the namespace's account is there.
    let accounts: Api<k8s_openapi::api::core::v1::ServiceAccount> =
        Api::namespaced(cluster.client.clone(), &cluster.namespace);
    super::cluster::soon("the default account is there", super::cluster::IN_FORCE, async || {
        accounts.get_opt("default").await.unwrap().is_some()
    })
    .await;

    let sources = [
        json!({"command": {"command": ["/bot", "dump"]}}),
        json!({"postgresql": {"secretName": "pg", "image": "example/pg:17"}}),
        json!({"directory": {"path": "/data"}}),
        json!({"sqlite": {"path": "/data/bot.db"}}),
        json!({"sqlite": {"path": "/data/bot.db", "read": "Clone"}}),
    ];
    for (n, source) in sources.into_iter().enumerate() {
        let mut object = bot();
        object["metadata"]["name"] = json!(format!("bot{n}"));
        let all = backup(&mut object);
        all["source"] = source;
        all["destination"]["s3"]["caSecretName"] = json!("ca");
        all["copies"] = json!([{"persistentVolumeClaim": {"claimName": "vault"}}]);
        all["encryption"] = json!({"recipients": [format!("age1{}", "q".repeat(58))], "identitySecretName": "age"});
        let runner = json!({"command": ["/check"], "secretName": "scratch"});
        all["verification"] = json!({"schedule": "@weekly", "verify": "Restore", "runner": runner});
        let stored = cluster.create("TradingBot", &object, false).await.expect("the bot is accepted");
        let bot: TradingBot = serde_json::from_value(stored).unwrap();

        // Paused, so that nothing begins.
        let context = BackupContext { epoch: 3, slot: 0, paused: true, image: "example/operator:1".into() };
        let cron_jobs: Api<CronJob> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
        let parameters = PatchParams::apply("tradingbot-operator").force();
        for cron in build::backup_cron_jobs(&bot, &context) {
            let name = cron.metadata.name.clone().unwrap();
            let mut versions = Vec::new();
            for _ in 0..2 {
                let made = cron_jobs.patch(&name, &parameters, &Patch::Apply(&cron)).await;
                versions.push(made.unwrap_or_else(|error| panic!("{name}: {error}")).metadata.resource_version);
            }
            assert_eq!(versions[0], versions[1], "{name} changes when it is applied again");
            let template = cron.spec.unwrap().job_template.spec.unwrap().template;
            pod_taken(&cluster, &template, &name).await;
        }
        let restore = Restore {
            operation: "again".into(),
            operation_uid: format!("{n}2345678-uid"),
            step: RestoreStep::Checking,
            id: None,
            slot: 0,
            target_changed: false,
            outcome: None,
        };
        for run in [RestoreRun::Check, RestoreRun::Apply] {
            let job = build::restore_job(&bot, &restore, run, &Selection::default(), "example/operator:1").unwrap();
            let name = job.metadata.name.clone().unwrap();
            let jobs: Api<Job> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
            let dry = PostParams { dry_run: true, ..PostParams::default() };
            jobs.create(&dry, &job).await.unwrap_or_else(|error| panic!("{name}: {error}"));
            pod_taken(&cluster, &job.spec.unwrap().template, &name).await;
        }
    }
    cluster.clean_up().await;
}
