//! From a Job and its pods to what came of it.
//!
//! The report is read from the pod's status as soon as its container has ended: the Job's own conditions come seconds
//! later.

use k8s_openapi::api::batch::v1::Job as JobObject;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, Pod as PodObject};

use crate::api::names::{LABEL_OPERATION, LABEL_RESTORE_RUN, LABEL_TOKEN, RESTORE_RUN_APPLY, RESTORE_RUN_CHECK};
use crate::core::backup;
use crate::core::failover::{Job, JobState, RestoreJob, RestoreJobState, RestoreRun};
use crate::core::ids::FencingToken;
use crate::core::report;

/// Why a Job failed that did not end in time.
pub(super) const OUT_OF_TIME: &str = "it ran longer than its deadline and was ended.";

/// What a reconciliation Job says; `None`: it is none of ours.
pub fn read(object: &JobObject, pods: &[PodObject]) -> Option<Job> {
    let token = FencingToken::parse(object.metadata.labels.as_ref()?.get(LABEL_TOKEN)?)?;
    let Outcome { result, ended } = outcome(object, pods)?;
    let state = match result {
        JobResult::Running => JobState::Running,
        JobResult::Exited { code: 0, message } => match report::parse(&message) {
            Ok(report) => JobState::Succeeded(report),
            Err(malformed) => JobState::Failed(format!("{malformed}.")),
        },
        JobResult::Exited { code, message } => JobState::Failed(exit_sentence(code, &message)),
        JobResult::Failed(why) => JobState::Failed(why),
    };
    Some(Job { token, state, ended })
}

/// What a Job of a restore says; `None`: it is none.
pub fn read_restore(object: &JobObject, pods: &[PodObject]) -> Option<RestoreJob> {
    let run = restore_run(object)?;
    let operation_uid = object.metadata.labels.as_ref()?.get(LABEL_OPERATION)?.clone();
    let suspended = object.spec.as_ref().is_some_and(|spec| spec.suspend == Some(true));
    let Outcome { result, ended } = outcome(object, pods)?;
    let failed = |message: String, target_changed| RestoreJobState::Failed { message, target_changed };
    // What left no report may have come to any point.
    let silent = run == RestoreRun::Apply;
    let state = match result {
        JobResult::Running => RestoreJobState::Running,
        JobResult::Failed(why) => failed(why, silent),
        JobResult::Exited { code, message } => match (code, backup::report::parse(&message)) {
            (_, Ok(backup::report::Report { failure: Some(failure), .. })) => {
                failed(failure.message, silent && failure.target_changed)
            }
            (0, Ok(backup::report::Report { backup: Some(made), .. })) => RestoreJobState::Succeeded(made.id),
            (0, Ok(_)) => failed("the program ended well and names no backup.".into(), silent),
            (0, Err(malformed)) => failed(format!("{malformed}."), silent),
            (code, _) => failed(exit_sentence(code, &message), silent),
        },
    };
    Some(RestoreJob { operation_uid, run, suspended, state, ended })
}

fn restore_run(object: &JobObject) -> Option<RestoreRun> {
    match object.metadata.labels.as_ref()?.get(LABEL_RESTORE_RUN)?.as_str() {
        RESTORE_RUN_CHECK => Some(RestoreRun::Check),
        RESTORE_RUN_APPLY => Some(RestoreRun::Apply),
        _ => None,
    }
}

/// Whether this is the Job that puts a backup back for that operation.
pub fn puts_back(object: &JobObject, operation_uid: &str) -> bool {
    let its = object.metadata.labels.as_ref().and_then(|labels| labels.get(LABEL_OPERATION));
    its.is_some_and(|uid| uid == operation_uid) && restore_run(object) == Some(RestoreRun::Apply)
}

/// How a Job that runs one pod stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What came of it.
    pub result: JobResult,
    /// No pod of it runs any more, whatever the result.
    pub ended: bool,
}

/// What came of a Job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobResult {
    /// Not decided yet.
    Running,
    /// Its program ended by itself.
    Exited {
        /// Its exit code.
        code: i32,
        /// Its termination message.
        message: String,
    },
    /// It ended otherwise; why, a sentence.
    Failed(String),
}

/// How a Job of one pod stands, by its own conditions and by those of `pods` that are its; `None` for an object that the
/// API server has not stored.
pub fn outcome(object: &JobObject, pods: &[PodObject]) -> Option<Outcome> {
    let uid = object.metadata.uid.as_deref()?;
    let own: Vec<&PodObject> = pods_of(uid, pods).collect();
    let results: Vec<Option<&ContainerStateTerminated>> = own.iter().map(|pod| result(pod)).collect();
    let condition = |kind: &str| {
        let all = object.status.as_ref().and_then(|s| s.conditions.as_deref()).unwrap_or_default();
        all.iter().find(|c| c.type_ == kind && c.status == "True")
    };
    let none_runs = results.iter().zip(&own).all(|(result, pod)| result.is_some() || is_over(pod));
    // A pod that counts as failed and is there no more may have been removed by force, its program running on where
    // the node is cut off. Of one that counts as succeeded a kubelet has told.
    let failed = object.status.as_ref().and_then(|s| s.failed).unwrap_or(0);
    let all_told = own.len() >= usize::try_from(failed).unwrap_or(0);
    let finished = condition("Failed").is_some() || !own.is_empty();
    let ended = none_runs && (condition("Complete").is_some() || (finished && all_told));
    // Kubernetes may start the pod twice. One result counts, and only when no second pod runs beside it any more.
    let succeeded = results.iter().flatten().find(|t| t.exit_code == 0).or(results.iter().flatten().next());
    // The kubelet enforces the pod's deadline, also where nobody tells the Job's controller.
    let out_of_time =
        own.iter().any(|pod| pod.status.as_ref().and_then(|s| s.reason.as_deref()) == Some("DeadlineExceeded"));
    let exited = |ended: &ContainerStateTerminated| JobResult::Exited {
        code: ended.exit_code,
        message: ended.message.clone().unwrap_or_default(),
    };
    let result = match (succeeded, condition("Failed")) {
        _ if out_of_time && succeeded.is_none_or(|t| t.exit_code != 0) => JobResult::Failed(OUT_OF_TIME.into()),
        (_, Some(failed)) if succeeded.is_none_or(|t| t.exit_code != 0) => {
            let why = failed.reason.as_deref().unwrap_or("Failed");
            match (why, succeeded) {
                ("DeadlineExceeded", _) => JobResult::Failed(OUT_OF_TIME.into()),
                (_, Some(ended)) => exited(ended),
                _ => JobResult::Failed(format!("{why}: {}", failed.message.as_deref().unwrap_or("no more is known."))),
            }
        }
        (Some(ended), _) if none_runs => exited(ended),
        _ => JobResult::Running,
    };
    Some(Outcome { result, ended })
}

fn exit_sentence(code: i32, message: &str) -> String {
    let said: String = message.trim().chars().take(300).collect();
    let said = if said.is_empty() { "it left no message".to_owned() } else { format!("it says: {said}") };
    format!("the program ended with exit code {code}; {said}.")
}

/// The pods that the Job of this uid made.
pub(super) fn pods_of<'a>(uid: &'a str, pods: &'a [PodObject]) -> impl Iterator<Item = &'a PodObject> {
    pods.iter().filter(move |pod| controller_uid(pod) == Some(uid))
}

/// How the program ended: the first container is the one that reports.
pub(super) fn result(pod: &PodObject) -> Option<&ContainerStateTerminated> {
    let name = &pod.spec.as_ref()?.containers.first()?.name;
    let statuses = pod.status.as_ref()?.container_statuses.as_deref()?;
    statuses.iter().find(|c| c.name == *name)?.state.as_ref()?.terminated.as_ref()
}

fn is_over(pod: &PodObject) -> bool {
    matches!(pod.status.as_ref().and_then(|s| s.phase.as_deref()), Some("Succeeded" | "Failed"))
}

fn controller_uid(pod: &PodObject) -> Option<&str> {
    let owners = pod.metadata.owner_references.as_deref().unwrap_or_default();
    owners.iter().find(|o| o.controller == Some(true)).map(|o| o.uid.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn job(status: Value) -> JobObject {
        serde_json::from_value(
            json!({"metadata": {"name": "r", "uid": "j", "labels": {LABEL_TOKEN: "7"}}, "status": status}),
        )
        .unwrap()
    }

    fn pod(state: Value) -> PodObject {
        serde_json::from_value(json!({
            "metadata": {"ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": "r", "uid": "j", "controller": true}]},
            "spec": {"containers": [{"name": "reconcile"}]},
            "status": {"containerStatuses": [{"name": "reconcile", "ready": false, "restartCount": 0, "image": "i", "imageID": "i", "state": state}]}
        }))
        .unwrap()
    }

    fn ended(exit: i32, message: &str) -> Value {
        json!({"terminated": {"exitCode": exit, "message": message}})
    }

    #[test]
    fn the_report_counts_as_soon_as_the_container_has_ended() {
        let read = read(&job(json!({})), &[pod(ended(0, r#"{"ordersCancelled": 2}"#))]).unwrap();
        assert!(read.ended);
        assert!(matches!(read.state, JobState::Succeeded(r) if r.orders_cancelled == 2));
    }

    #[test]
    fn a_job_that_was_started_twice_counts_once_and_not_before_both_have_ended() {
        let running = pod(json!({"running": {}}));
        let done = pod(ended(0, "{}"));
        let both = read(&job(json!({})), &[done.clone(), running]).unwrap();
        assert_eq!((both.state, both.ended), (JobState::Running, false));
        let failed = pod(ended(1, ""));
        assert!(matches!(read(&job(json!({})), &[failed, done]).unwrap().state, JobState::Succeeded(_)));
    }

    #[test]
    fn failures_nonsense_and_deadlines_are_sentences() {
        let state = |job: JobObject, pod: PodObject| read(&job, &[pod]).unwrap().state;
        for (found, text) in [
            (state(job(json!({})), pod(ended(3, "no key"))), "exit code 3; it says: no key"),
            (state(job(json!({})), pod(ended(0, "done!"))), "not the JSON"),
            (
                state(
                    job(json!({"conditions": [{"type": "Failed", "status": "True", "reason": "DeadlineExceeded"}]})),
                    pod(json!({"running": {}})),
                ),
                "longer than its deadline",
            ),
        ] {
            assert!(matches!(&found, JobState::Failed(why) if why.contains(text)), "{found:?}");
        }
    }

    #[test]
    fn a_program_that_the_kubelet_ended_at_the_deadline_ran_too_long() {
        let mut late = pod(ended(137, ""));
        late.status.as_mut().unwrap().reason = Some("DeadlineExceeded".into());
        let read = read(&job(json!({})), &[late]).unwrap();
        assert!(matches!(read.state, JobState::Failed(why) if why.contains("longer than its deadline")));
    }

    #[test]
    fn a_job_without_pods_has_not_ended_unless_it_says_so() {
        assert!(!read(&job(json!({})), &[]).unwrap().ended);
        let finished = |kind: &str| json!({"conditions": [{"type": kind, "status": "True", "reason": "x"}]});
        // Its controller was refused every pod.
        assert!(read(&job(finished("Failed")), &[]).unwrap().ended);
        // Its pod is removed like any old one.
        assert!(read(&job(finished("Complete")), &[]).unwrap().ended);
    }

    #[test]
    fn a_failed_pod_that_is_gone_may_have_been_removed_by_force_and_run_on() {
        let conditions = json!([{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}]);
        let twice = |failed: u32| job(json!({"conditions": conditions, "failed": failed}));
        let told = pod(ended(1, "no key"));
        assert!(!read(&twice(1), &[]).unwrap().ended);
        assert!(read(&twice(1), std::slice::from_ref(&told)).unwrap().ended);
        assert!(!read(&twice(2), std::slice::from_ref(&told)).unwrap().ended);
        assert!(read(&twice(2), &[told.clone(), told]).unwrap().ended);
    }

    fn restore_job(run: &str, suspend: bool) -> JobObject {
        let labels = json!({LABEL_OPERATION: "u", LABEL_RESTORE_RUN: run});
        serde_json::from_value(json!({
            "metadata": {"name": "r", "uid": "j", "labels": labels},
            "spec": {"suspend": suspend, "template": {}}
        }))
        .unwrap()
    }

    #[test]
    fn a_restore_succeeds_only_with_the_name_of_a_backup() {
        let made = json!({"id": "20261124T020000Z-daily-3f9a", "startedTime": "2026-11-24T02:00:00Z",
            "finishedTime": "2026-11-24T02:00:00Z", "bytes": 1, "storedBytes": 1});
        let report = json!({"backup": made}).to_string();
        let read = read_restore(&restore_job("apply", false), &[pod(ended(0, &report))]).unwrap();
        assert!(read.ended && !read.suspended && matches!(read.state, RestoreJobState::Succeeded(_)));
        let nameless = read_restore(&restore_job("apply", false), &[pod(ended(0, "{}"))]).unwrap();
        assert!(matches!(nameless.state, RestoreJobState::Failed { target_changed: true, .. }));
        let made_only = read_restore(&restore_job("apply", true), &[]).unwrap();
        assert!(made_only.suspended && !made_only.ended && made_only.state == RestoreJobState::Running);
        assert_eq!(read_restore(&job(json!({})), &[]), None);
    }

    #[test]
    fn what_left_no_report_may_have_changed_its_target_unless_it_only_read() {
        let failure = |target_changed| {
            use backup::report::{Failure, FailureReason};
            let failure = Failure { target_changed, ..Failure::new(FailureReason::RestoreFailed, "No space.") };
            let report = backup::report::Report { failure: Some(failure), ..Default::default() };
            serde_json::to_string(&report).unwrap()
        };
        for (run, message, changed) in [
            ("apply", failure(false), false),
            ("apply", failure(true), true),
            ("apply", String::new(), true),
            ("apply", "killed".into(), true),
            ("check", String::new(), false),
        ] {
            let read = read_restore(&restore_job(run, false), &[pod(ended(1, &message))]).unwrap();
            let RestoreJobState::Failed { target_changed, .. } = read.state else { panic!("{read:?}") };
            assert_eq!(target_changed, changed, "{run}: {message}");
        }
    }
}
