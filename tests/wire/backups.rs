//! What is written for backups: CronJobs, runs that are ended or made once more, and operations of the type `Backup`.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use jiff::Timestamp;
use kube::runtime::events::{Recorder, Reporter};
use serde_json::{Value, json};
use tradingbot::api::bot::TradingBot;
use tradingbot::controller::backup::Backups;
use tradingbot::controller::election::Leadership;
use tradingbot::controller::events::Publisher;
use tradingbot::controller::metrics::Metrics;
use tradingbot::controller::observe::Observed;
use tradingbot::controller::scope::Scope;
use tradingbot::controller::worker::Operator;
use tradingbot::core::failover::{Observation, Phase, Record};
use tradingbot::core::ids::Epoch;
use tradingbot::core::time::Wall;

use crate::scripted::{Answer, Seen, Tape, client};

const CRON_JOB: &str = "/apis/batch/v1/namespaces/ns/cronjobs/doge-b-daily";
const JOBS: &str = "/apis/batch/v1/namespaces/ns/jobs";
const ASKED: &str = "/apis/tradingbot.io/v1alpha1/namespaces/ns/tradingbotoperations/now/status";
const NOW: i64 = 1_795_000_000;

fn bot() -> TradingBot {
    serde_json::from_value(json!({
        "apiVersion": "tradingbot.io/v1alpha1", "kind": "TradingBot",
        "metadata": {"name": "doge", "namespace": "ns", "uid": "bot-uid", "resourceVersion": "10"},
        "spec": {
            "template": {"spec": {"containers": [{"name": "bot", "image": "example/bot:1", "command": ["/bot"]}]}},
            "backup": {
                "source": {"command": {"command": ["/dump"]}},
                "destination": {"persistentVolumeClaim": {"claimName": "kept"}},
                "schedules": [{"name": "daily", "schedule": "0 2 * * *"}],
            },
        },
    }))
    .unwrap()
}

fn observed(jobs: &[Value], operations: &[Value]) -> Observed {
    let read = |value: &Value| serde_json::from_value(value.clone()).unwrap();
    Observed {
        bot: bot(),
        lease: None,
        pods: Vec::new(),
        jobs: jobs.iter().map(read).collect(),
        other_pods: Vec::new(),
        account: None,
        operations: operations.iter().map(|value| serde_json::from_value(value.clone()).unwrap()).collect(),
        facts: Observation { wall: Wall(u64::try_from(NOW).unwrap() * 1000), ..Observation::default() },
    }
}

fn operator(leadership: Leadership, answers: Vec<Answer>) -> (Operator, Tape) {
    let (requests, tape) = client(answers);
    let reporter = Reporter { controller: "tradingbot-operator".into(), instance: None };
    let operator = Operator {
        client: requests,
        leadership,
        world: tradingbot::controller::watches::World::default(),
        revisions: Arc::default(),
        metrics: Metrics::new().unwrap(),
        events: Publisher::new(Recorder::new(client([]).0, reporter)),
        agent_image: "example/operator:1".into(),
        namespace: "tradingbot-system".into(),
        scope: Scope::parse("").unwrap(),
        board: Arc::default(),
        policies: Arc::default(),
    };
    (operator, tape)
}

fn leading() -> Leadership {
    Leadership::until_further_notice(Duration::from_secs(600))
}

fn trading(epoch: u64) -> Record {
    Record { phase: Phase::Active, epoch: Epoch(epoch), ..Record::default() }
}

/// No CronJob is there, and then the one that was applied.
fn applied() -> Vec<Answer> {
    let cron_job = json!({
        "apiVersion": "batch/v1", "kind": "CronJob",
        "metadata": {"name": "doge-b-daily", "namespace": "ns", "uid": "cron-uid", "generation": 1, "resourceVersion": "5"},
    });
    vec![Answer::Refused(404, "cronjobs \"doge-b-daily\" not found"), Answer::Object(cron_job)]
}

fn job(status: &Value) -> Value {
    json!({
        "metadata": {
            "name": "doge-b-daily-1", "namespace": "ns", "uid": "job-uid",
            "creationTimestamp": Timestamp::from_second(NOW - 100).unwrap().to_string(),
            "annotations": {"tradingbot.io/backup-epoch": "3"},
            "labels": {"tradingbot.io/bot": "doge", "tradingbot.io/component": "backup", "tradingbot.io/schedule": "daily"},
            "ownerReferences": [
                {"apiVersion": "batch/v1", "kind": "CronJob", "name": "doge-b-daily", "uid": "cron-uid", "controller": true}],
        },
        "status": status,
    })
}

/// One round with these answers after the CronJob was applied; the requests that followed it.
async fn follow(jobs: &[Value], operations: &[Value], record: &Record, answers: Vec<Answer>) -> Vec<Seen> {
    let (operator, tape) = operator(leading(), applied().into_iter().chain(answers).collect());
    let mut backups = Backups::default();
    let known_now = backups.follow(&operator, &observed(jobs, operations), record).await.unwrap();
    assert!(known_now, "which Jobs are ours is known from now on");
    let requests = tape.requests();
    assert_eq!(tape.lines()[..2], [format!("GET {CRON_JOB}"), format!("PATCH {CRON_JOB}")]);
    requests[2..].to_vec()
}

#[tokio::test]
async fn a_schedule_becomes_a_cron_job_of_the_present_epoch_and_is_written_once() {
    let (operator, tape) = operator(leading(), applied());
    let mut backups = Backups::default();
    let observed = observed(&[], &[]);
    assert!(backups.follow(&operator, &observed, &trading(3)).await.unwrap());
    assert!(!backups.follow(&operator, &observed, &trading(3)).await.unwrap());
    let [_, written] = tape.requests().try_into().unwrap();
    assert_eq!(written.method, Method::PATCH);
    let template = &written.body["spec"]["jobTemplate"];
    assert_eq!(template["metadata"]["annotations"]["tradingbot.io/backup-epoch"], "3");
    assert_eq!(written.body["metadata"]["ownerReferences"][0]["uid"], "bot-uid");
}

#[tokio::test]
async fn a_cron_job_that_is_refused_is_said_and_one_of_somebody_else_is_left_alone() {
    let strangers = Answer::Object(json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "doge-b-daily", "uid": "other"},
    }));
    let refused = vec![Answer::Refused(404, "not found"), Answer::Refused(422, "spec.schedule: Invalid value")];
    for (answers, words) in [(vec![strangers], "belongs to something else"), (refused, "spec.schedule: Invalid value")]
    {
        let (operator, tape) = operator(leading(), answers);
        let mut backups = Backups::default();
        let observed = observed(&[], &[]);
        assert!(backups.follow(&operator, &observed, &trading(3)).await.unwrap());
        let (_, said) = backups.look(&observed).view.unwrap().trouble.unwrap();
        assert!(said.contains(words), "{said}");
        assert!(tape.requests().len() <= 2);
    }
}

#[tokio::test]
async fn a_backup_that_runs_while_trading_moves_is_ended_at_its_uid() {
    let [ended] = follow(&[job(&json!({}))], &[], &trading(4), vec![Answer::Accepted("9")]).await.try_into().unwrap();
    assert_eq!((ended.method, ended.path), (Method::PATCH, format!("{JOBS}/doge-b-daily-1")));
    assert_eq!(
        (&ended.body["metadata"]["uid"], &ended.body["spec"]["activeDeadlineSeconds"]),
        (&json!("job-uid"), &json!(1))
    );
    let why = ended.body["metadata"]["annotations"]["tradingbot.io/ended"].as_str().unwrap();
    assert!(why.starts_with("Trading moved"), "{why}");
    assert!(follow(&[job(&json!({}))], &[], &trading(3), vec![]).await.is_empty(), "its own epoch");
}

#[tokio::test]
async fn a_failed_backup_is_made_once_more_by_a_job_of_its_cron_job() {
    let failed = json!({"conditions": [{"type": "Failed", "status": "True", "reason": "DeadlineExceeded",
        "lastTransitionTime": Timestamp::from_second(NOW - 10).unwrap().to_string()}]});
    let [retry] = follow(&[job(&failed)], &[], &trading(4), vec![Answer::Accepted("9")]).await.try_into().unwrap();
    assert_eq!((retry.method, retry.path.as_str()), (Method::POST, JOBS));
    let meta = &retry.body["metadata"];
    assert_eq!(meta["name"], "doge-b-daily-1-r");
    assert_eq!(meta["annotations"]["cronjob.kubernetes.io/instantiate"], "manual");
    assert_eq!(meta["annotations"]["tradingbot.io/backup-epoch"], "4", "of the present template");
    assert_eq!(meta["labels"]["tradingbot.io/retry-of"], "job-uid");
    assert_eq!(
        (&meta["ownerReferences"][0]["uid"], &meta["ownerReferences"][0]["controller"]),
        (&json!("cron-uid"), &json!(true))
    );

    // It was created, and nobody heard so.
    let there = json!({
        "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadataList", "metadata": {"resourceVersion": "1"},
        "items": [{"metadata": meta}],
    });
    let again = vec![Answer::Refused(409, "jobs.batch already exists"), Answer::Object(there)];
    assert_eq!(follow(&[job(&failed)], &[], &trading(4), again).await.len(), 2);
}

fn asked(type_: &Value) -> Value {
    json!({
        "apiVersion": "tradingbot.io/v1alpha1", "kind": "TradingBotOperation",
        "metadata": {"name": "now", "namespace": "ns", "uid": "0a1b2c3d-4e5f", "resourceVersion": "7"},
        "spec": {"botName": "doge", "type": "Backup", "backup": type_},
    })
}

#[tokio::test]
async fn a_backup_that_is_asked_for_is_a_job_and_then_running() {
    let answers = vec![Answer::Accepted("9"), Answer::Accepted("8")];
    let requests = follow(&[], &[asked(&json!({}))], &trading(3), answers).await;
    let [made, told] = requests.try_into().unwrap();
    assert_eq!((made.method, made.path.as_str()), (Method::POST, JOBS));
    assert_eq!(made.body["metadata"]["name"], "doge-b-0a1b2c3d");
    assert_eq!(made.body["metadata"]["labels"]["tradingbot.io/schedule"], "on-demand");
    assert_eq!((told.method, told.path.as_str()), (Method::PUT, ASKED));
    assert_eq!(
        (&told.body["status"]["phase"], &told.body["metadata"]["resourceVersion"]),
        (&json!("Running"), &json!("7"))
    );

    let unknown = asked(&json!({"schedule": "hourly"}));
    let [refused] = follow(&[], &[unknown], &trading(3), vec![Answer::Accepted("8")]).await.try_into().unwrap();
    assert_eq!((refused.path.as_str(), &refused.body["status"]["phase"]), (ASKED, &json!("Failed")));
}

#[tokio::test]
async fn a_replica_that_does_not_lead_writes_nothing_for_backups() {
    let (operator, tape) = operator(Leadership::default(), applied());
    let mut backups = Backups::default();
    backups.follow(&operator, &observed(&[], &[]), &trading(3)).await.unwrap_err();
    assert_eq!(tape.lines(), [format!("GET {CRON_JOB}")]);
}
