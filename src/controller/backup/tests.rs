//! Runs as the API server shows them, and what is made of them.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::ask::{Answer, Situation, answers};
use super::run::{Run, RunState, Subject, read};
use super::status::{fold, objective, of_spec};
use super::{View, conditions, end, events, names, retry};
use crate::api::backup::Backup;
use crate::api::backup_status::BackupStatus;
use crate::api::operation::TradingBotOperation;
use crate::controller::build::{job_by_hand, on_demand};
use crate::core::backup::report::{Catalogue, Failure, FailureReason, Made, Report};
use crate::core::failover::{Ledger, Phase, Record, Restore, RestoreStep};
use crate::core::ids::{Epoch, FencingToken, PodRef};

const START: i64 = 1_795_000_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(START + seconds).unwrap()
}

fn daily() -> Subject {
    Subject::Schedule("daily".into())
}

fn backup() -> Backup {
    serde_json::from_value(json!({
        "source": {"command": {"command": ["/dump"]}},
        "destination": {"persistentVolumeClaim": {"claimName": "kept"}},
        "schedules": [{"name": "daily", "schedule": "0 2 * * *"}, {"name": "weekly", "schedule": "0 3 * * 0"}],
        "recoveryPointObjectiveSeconds": 3600,
    }))
    .unwrap()
}

fn run(n: i64, subject: Subject, report: Report) -> Run {
    Run {
        job: format!("doge-b-{n}"),
        uid: format!("uid-{n}"),
        subject,
        created: at(n * 100),
        scheduled: true,
        epoch: Some(3),
        ended_by_us: false,
        active: false,
        state: RunState::Ended { finished: at(n * 100 + 30), report: Box::new(report) },
    }
}

fn made(n: i64, schedule: &str) -> Report {
    let id = crate::core::backup::BackupId::new(at(n * 100), schedule, u16::try_from(n).unwrap());
    Report {
        backup: Some(Made {
            id: id.clone(),
            started_time: at(n * 100),
            finished_time: at(n * 100 + 20),
            bytes: 1000 + n.unsigned_abs(),
            stored_bytes: 100,
        }),
        verified_time: Some(at(n * 100 + 25)),
        catalogue: Some(Catalogue {
            count: u32::try_from(n).unwrap(),
            stored_bytes: 100 * n.unsigned_abs(),
            oldest_time: Some(at(0)),
            newest: vec![id],
            ..Catalogue::default()
        }),
        ..Report::default()
    }
}

fn failed(reason: FailureReason, message: &str) -> Report {
    Report { failure: Some(Failure::new(reason, message)), ..Report::default() }
}

fn going(mut run: Run) -> Run {
    run.active = true;
    run.state = RunState::Running { waits: None };
    run
}

/// Runs of all kinds, by the bits of `seed`.
fn some_runs(seed: u64) -> Vec<Run> {
    (1..=8)
        .map(|n: i64| {
            let bits = seed.wrapping_mul(6_364_136_223_846_793_005).rotate_left(u32::try_from(n * 7).unwrap());
            let (name, subject) = match bits % 4 {
                0 => ("weekly", Subject::Schedule("weekly".into())),
                1 => ("daily", Subject::Verification),
                _ => ("daily", daily()),
            };
            let mut report = made(n, name);
            if bits & 16 != 0 {
                report.failure = Some(Failure::new(FailureReason::Damaged, "It is damaged."));
                report.damaged = report.backup.iter().map(|made| made.id.clone()).collect();
            }
            if bits & 32 != 0 {
                report.catalogue = None;
            }
            let run = run(n, subject, report);
            if bits & 192 == 192 { going(run) } else { run }
        })
        .collect()
}

#[test]
fn runs_count_once_in_any_order_and_in_any_number_of_rounds() {
    for seed in 0..500u64 {
        let runs = some_runs(seed);
        let all = fold(&BackupStatus::default(), &runs);
        let turned: Vec<Run> = runs.iter().rev().chain(&runs).cloned().collect();
        assert_eq!(fold(&BackupStatus::default(), &turned), all, "seed {seed}");
        // The operator starts anew in between, and some Jobs are gone by then.
        let cut = (seed % 8) as usize;
        let text = serde_json::to_string(&fold(&BackupStatus::default(), &runs[cut..])).unwrap();
        let between: BackupStatus = serde_json::from_str(&text).unwrap();
        assert_eq!(fold(&between, &runs[..cut]), all, "seed {seed}");
        assert_eq!(fold(&all, &runs[cut..]), all, "seed {seed}");
        assert!(all.last_success_time >= between.last_success_time && all.counted_time >= between.counted_time);
    }
}

#[test]
fn a_failed_run_leaves_the_last_good_backup_where_it_was() {
    let good = run(1, daily(), made(1, "daily"));
    let bad = run(2, daily(), failed(FailureReason::DestinationFull, "The bucket is full."));
    let status = fold(&BackupStatus::default(), [&good, &bad]);
    assert!(status.last_id.unwrap().ends_with("-daily-0001"));
    assert_eq!(status.last_success_time.unwrap().0, at(100));
    assert_eq!((status.count, status.stored_bytes, status.last_bytes), (1, 100, Some(1001)));
    let last = status.schedules[0].last_run.clone().unwrap();
    assert_eq!((last.reason, last.message.as_str()), (Some(FailureReason::DestinationFull), "The bucket is full."));
}

#[test]
fn a_success_whose_copy_failed_keeps_the_sentence() {
    let report = Report { warnings: vec!["The copy in other failed.".into()], ..made(1, "daily") };
    let status = fold(&BackupStatus::default(), [&run(1, daily(), report)]);
    let view = View { status: of_spec(status, &backup(), at(200)), spec: backup(), ..View::default() };
    let told = conditions::verdicts(&view, at(200));
    let said = told.iter().find(|v| v.kind == "BackupSucceeded").unwrap();
    assert_eq!((said.status, said.reason), ("True", "SucceededWithWarnings"));
    assert!(said.message.contains("Schedule daily: The copy in other failed."), "{}", said.message);
}

#[test]
fn the_objective_is_missed_when_the_newest_backup_is_too_old_and_the_bot_is_looked_at_then() {
    let fresh = of_spec(BackupStatus::default(), &backup(), at(0));
    assert_eq!((fresh.since_time.clone().unwrap().0, fresh.objective_met), (at(0), Some(true)));
    assert_eq!(objective(&fresh, &backup(), at(3590)).unwrap().turns_after, Some(Duration::from_secs(11)));
    let late = of_spec(fresh, &backup(), at(3601));
    assert_eq!(late.objective_met, Some(false));
    let view = View { status: late.clone(), spec: backup(), ..View::default() };
    let told = conditions::verdicts(&view, at(3601));
    assert!(told.iter().any(|v| (v.kind, v.status, v.reason) == ("RecoveryPointObjectiveMet", "False", "NoBackup")));
    let made = of_spec(fold(&late, [&run(36, daily(), made(36, "daily"))]), &backup(), at(3650));
    assert_eq!(made.objective_met, Some(true));
    let without = Backup { recovery_point_objective_seconds: None, ..backup() };
    assert_eq!(of_spec(made, &without, at(9999)).objective_met, None);
}

fn cron_jobs() -> BTreeMap<String, Subject> {
    [("cron-daily".to_owned(), daily()), ("cron-verify".to_owned(), Subject::Verification)].into()
}

fn job(owner: &str, annotations: Value, status: Value) -> Job {
    serde_json::from_value(json!({
        "metadata": {
            "name": "doge-b-daily-1", "uid": "j", "creationTimestamp": at(0).to_string(), "annotations": annotations,
            "labels": {"tradingbot.io/bot": "doge", "tradingbot.io/component": "backup", "tradingbot.io/schedule": "daily"},
            "ownerReferences": [{"apiVersion": "batch/v1", "kind": "CronJob", "name": "c", "uid": owner, "controller": true}],
        },
        "status": status,
    }))
    .unwrap()
}

fn pod(phase: &str, state: Value) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": "p", "creationTimestamp": at(1).to_string(), "ownerReferences": [
            {"apiVersion": "batch/v1", "kind": "Job", "name": "doge-b-daily-1", "uid": "j", "controller": true}]},
        "spec": {"containers": [{"name": "backup"}]},
        "status": {"phase": phase, "containerStatuses": [
            {"name": "backup", "ready": false, "restartCount": 0, "image": "i", "imageID": "i", "state": state}]},
    }))
    .unwrap()
}

fn terminated(code: i32, reason: &str, message: &str) -> Pod {
    let state = json!({"exitCode": code, "reason": reason, "message": message, "finishedAt": at(40).to_string()});
    pod("Failed", json!({"terminated": state}))
}

#[test]
fn a_run_that_says_nothing_is_interrupted_and_it_is_said_how() {
    let failed = json!({"conditions": [{"type": "Failed", "status": "True", "reason": "DeadlineExceeded",
        "lastTransitionTime": at(90).to_string()}]});
    let by_us = json!({names::ANNOTATION_ENDED: "Trading moved to doge-1 while it ran."});
    for (job, pods, words) in [
        (job("cron-daily", json!({}), json!({})), vec![terminated(137, "OOMKilled", "")], "spec.backup.resources"),
        (job("cron-daily", json!({}), json!({})), vec![terminated(137, "Error", "")], "was killed with exit code 137"),
        (job("cron-daily", json!({}), json!({})), vec![terminated(0, "Completed", "hello")], "not the JSON"),
        (job("cron-daily", json!({}), failed.clone()), vec![], "spec.backup.deadlineSeconds"),
        (job("cron-daily", by_us.clone(), failed), vec![], "Trading moved to doge-1"),
        (job("cron-daily", by_us, json!({})), vec![terminated(143, "Error", "{}")], "Trading moved to doge-1"),
    ] {
        let run = read(&job, &pods, &cron_jobs()).unwrap();
        let failure = run.failure().unwrap();
        assert_eq!(failure.reason, FailureReason::Interrupted);
        assert!(failure.message.contains(words), "{failure}");
    }
}

#[test]
fn a_run_is_known_by_the_uid_of_its_cron_job() {
    assert_eq!(read(&job("of-somebody-else", json!({}), json!({})), &[], &cron_jobs()), None);
    let report = serde_json::to_string(&made(1, "daily")).unwrap();
    let run = read(
        &job("cron-daily", json!({"tradingbot.io/backup-epoch": "4"}), json!({})),
        &[terminated(0, "Completed", &report)],
        &cron_jobs(),
    );
    let run = run.unwrap();
    assert_eq!((run.subject.clone(), run.epoch, run.scheduled, run.active), (daily(), Some(4), true, false));
    assert_eq!(run.ended().unwrap(), (at(40), &made(1, "daily")));
    assert_eq!(events::ended(&run).unwrap().reason, "BackupSucceeded");
    let by_hand = job("cron-verify", json!({names::ANNOTATION_BY_HAND: "manual"}), json!({}));
    let run = read(&by_hand, &[], &cron_jobs()).unwrap();
    assert_eq!((run.subject, run.scheduled, run.active), (Subject::Verification, false, true));
}

#[test]
fn a_clock_that_is_years_ahead_does_not_meet_the_objective_for_ever() {
    let mut report = made(1, "daily");
    report.backup.as_mut().unwrap().started_time = "2040-01-01T00:00:00.5Z".parse().unwrap();
    let text = serde_json::to_string(&report).unwrap();
    let run =
        read(&job("cron-daily", json!({}), json!({})), &[terminated(0, "Completed", &text)], &cron_jobs()).unwrap();
    let status = fold(&BackupStatus::default(), [&run]);
    assert_eq!(status.last_success_time.unwrap().0, at(604_800));
}

#[test]
fn a_pod_that_cannot_start_is_spoken_of() {
    let image = pod("Pending", json!({"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}));
    let secret = pod("Pending", json!({"waiting": {"reason": "ContainerCreating"}}));
    for (pod, words) in [(image, "ImagePullBackOff"), (secret, "a Secret or a volume")] {
        let run = read(&job("cron-daily", json!({}), json!({})), &[pod], &cron_jobs()).unwrap();
        let RunState::Running { waits: Some((since, why)) } = run.state else { panic!("it does not wait") };
        assert!(since == at(1) && why.contains(words) && why.contains("p"), "{why}");
    }
}

fn trading(epoch: u64) -> Record {
    Record {
        phase: Phase::Active,
        epoch: Epoch(epoch),
        trading: Some(Ledger {
            epoch: Epoch(epoch),
            token: FencingToken(9),
            pod: PodRef { name: "doge-1".into(), uid: "u".into() },
            boot: None,
            lease_duration: Duration::from_secs(10),
            on_api_server_loss: crate::core::lease::OnApiServerLoss::Stop,
        }),
        ..Record::default()
    }
}

fn restoring(step: RestoreStep) -> Record {
    let restore = Restore {
        operation: "back".into(),
        operation_uid: "o".into(),
        step,
        id: None,
        slot: 0,
        target_changed: false,
        outcome: None,
    };
    Record { restore: Some(restore), ..trading(3) }
}

#[test]
fn a_backup_of_another_epoch_is_ended_once_and_a_verification_goes_on() {
    let running = going(run(1, daily(), Report::default()));
    assert_eq!(end::reason(&running, &trading(3)), None);
    let why = end::reason(&running, &trading(4)).unwrap();
    assert!(why.starts_with("Trading moved to doge-1 while it ran"), "{why}");
    assert_eq!(end::reason(&Run { ended_by_us: true, ..running.clone() }, &trading(4)), None);
    assert_eq!(end::reason(&Run { subject: Subject::Verification, ..running.clone() }, &trading(4)), None);
    assert_eq!(end::reason(&run(1, daily(), Report::default()), &trading(4)), None, "it is over");
    assert_eq!(end::reason(&running, &restoring(RestoreStep::Checking)), None);
    assert!(end::reason(&running, &restoring(RestoreStep::Stopping)).unwrap().contains("back"));
}

#[test]
fn a_scheduled_backup_that_failed_is_made_once_more_and_nothing_more_often() {
    let bad = run(1, daily(), failed(FailureReason::Interrupted, "Trading moved."));
    let due = |runs: &[Run], record: &Record, after: i64| {
        let status = fold(&BackupStatus::default(), runs);
        retry::due(runs, record, &backup(), &status, at(after)).len()
    };
    let only = std::slice::from_ref(&bad);
    assert_eq!(due(only, &trading(4), 200), 1);
    assert_eq!(due(only, &Record { phase: Phase::Suspended, ..trading(4) }, 200), 1);
    assert_eq!(due(only, &Record { phase: Phase::Fencing, ..trading(4) }, 200), 0, "trading is being moved");
    assert_eq!(due(only, &restoring(RestoreStep::Checking), 200), 0);
    assert_eq!(due(only, &trading(4), 4000), 0, "too long ago");
    assert_eq!(due(&[run(1, daily(), made(1, "daily"))], &trading(4), 200), 0, "it succeeded");
    assert_eq!(due(&[Run { scheduled: false, ..bad.clone() }], &trading(4), 200), 0, "nobody's schedule");
    assert_eq!(due(&[run(1, Subject::Verification, failed(FailureReason::Damaged, "x"))], &trading(4), 200), 0);
    let again = Run {
        scheduled: false,
        job: retry::name_of(&bad.job),
        ..run(2, daily(), failed(FailureReason::Interrupted, "x"))
    };
    assert_eq!(due(&[bad.clone(), again.clone()], &trading(4), 300), 0, "it was made once more");
    assert_eq!(due(&[bad.clone(), going(run(2, daily(), Report::default()))], &trading(4), 300), 0, "one is under way");
    // The Job of the retry was deleted, but the status knows of it.
    let status = fold(&BackupStatus::default(), [&bad, &again]);
    assert!(retry::due(only, &trading(4), &backup(), &status, at(300)).is_empty());
    let suspended = Backup { suspend: true, ..backup() };
    assert!(retry::due(only, &trading(4), &suspended, &BackupStatus::default(), at(200)).is_empty());
}

fn operation(name: &str, schedule: Option<&str>, phase: &str) -> TradingBotOperation {
    serde_json::from_value(json!({
        "apiVersion": "tradingbot.io/v1alpha1", "kind": "TradingBotOperation",
        "metadata": {"name": name, "namespace": "ns", "uid": format!("{name}-0123456789")},
        "spec": {"botName": "doge", "type": "Backup", "backup": {"schedule": schedule}},
        "status": {"phase": phase},
    }))
    .unwrap()
}

fn answer(
    operations: &[TradingBotOperation],
    record: &Record,
    backup: Option<&Backup>,
    runs: &[(String, Run)],
) -> Vec<Answer> {
    let situation = Situation { bot: "doge", deleting: false, backup, record, runs };
    answers(&operations.iter().collect::<Vec<_>>(), &situation)
}

#[test]
fn one_backup_at_a_time_is_made_on_demand() {
    let spec = backup();
    let two = [operation("a", None, "Pending"), operation("b", Some("daily"), "Pending")];
    let told = answer(&two, &trading(3), Some(&spec), &[]);
    assert_eq!(told[0], Answer::Begin { job: "doge-b-a0123456".into(), schedule: None });
    assert!(matches!(&told[1], Answer::Wait(why) if why.starts_with("a makes a backup")));
    let running = [operation("a", None, "Running"), two[1].clone()];
    let going = ("a-0123456789".to_owned(), going(run(1, daily(), Report::default())));
    let told = answer(&running, &trading(3), Some(&spec), std::slice::from_ref(&going));
    assert!(matches!(told[..], [Answer::Nothing, Answer::Wait(_)]));
    let done = ("a-0123456789".to_owned(), run(1, daily(), made(1, "daily")));
    let told = answer(&running, &trading(3), Some(&spec), &[done]);
    assert!(matches!(&told[0], Answer::Succeeded { message, .. } if message.contains("-daily-0001 was made")));
    assert!(matches!(&told[1], Answer::Begin { schedule: Some(name), .. } if name == "daily"));
    let told = answer(&running[..1], &trading(3), Some(&spec), &[]);
    assert!(matches!(&told[0], Answer::Failed { reason: "Interrupted", .. }), "its Job is gone");
}

#[test]
fn a_backup_that_cannot_be_made_is_refused_with_a_sentence() {
    let spec = backup();
    let asked = |schedule| [operation("a", schedule, "Pending")];
    for (told, reason, words) in [
        (answer(&asked(None), &trading(3), None, &[]), "NotConfigured", "no spec.backup"),
        (answer(&asked(Some("hourly")), &trading(3), Some(&spec), &[]), "UnknownSchedule", "daily, weekly"),
        (answer(&asked(None), &restoring(RestoreStep::Broken), Some(&spec), &[]), "RestoreRuns", "back"),
    ] {
        let [Answer::Failed { reason: told, message }] = &told[..] else { panic!("{told:?}") };
        assert!(*told == reason && message.contains(words), "{message}");
    }
}

#[test]
fn a_job_made_by_hand_is_the_cron_jobs_and_one_on_demand_says_so_to_its_program() {
    let mut bot = crate::controller::build::fixtures::smallest();
    bot.spec.backup = Some(backup());
    let context = super::BackupContext { epoch: 3, image: "operator".into(), ..super::BackupContext::default() };
    let cron: CronJob = super::build::backup_cron_jobs(&bot, &context).remove(0);
    assert_eq!(Subject::of(&cron, "doge-jpy"), Some(daily()));
    let job = job_by_hand(&cron, "cron-uid", "made".into(), (names::LABEL_RETRY_OF, "old")).unwrap();
    let owner = job.metadata.owner_references.clone().unwrap().remove(0);
    assert_eq!((owner.kind.as_str(), owner.uid.as_str(), owner.controller), ("CronJob", "cron-uid", Some(true)));
    assert_eq!(job.metadata.annotations.as_ref().unwrap()[names::ANNOTATION_BY_HAND], "manual");
    assert_eq!(job.metadata.labels.as_ref().unwrap()[names::LABEL_RETRY_OF], "old");
    let asked = serde_json::to_string(&on_demand(job).unwrap()).unwrap();
    assert!(
        asked.contains(r#"\"schedule\":\"on-demand\""#) && asked.contains(r#""tradingbot.io/schedule":"on-demand""#)
    );
    assert!(!asked.contains(r#"\"schedule\":\"daily\""#), "{asked}");
}
