//! A bot's backups and restores: asked for, waited for, and what its status says of them.

use std::time::Duration;

use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{ContainerStateTerminated, Event, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tradingbot::api::bot_status::BackupStatus;
use tradingbot::api::names::ANNOTATION_BACKUP_EPOCH;
use tradingbot::api::operation::{OperationPhase, TradingBotOperationStatus};

use super::bot::{Bot, SOON};
use super::{seconds, until};

/// How a program of a run ended.
#[derive(Clone, Debug)]
pub struct Ended {
    pub started: Timestamp,
    pub finished: Timestamp,
    pub exit_code: i32,
    pub message: String,
}

impl Bot {
    /// What the status says of its backups.
    pub async fn backups(&self) -> BackupStatus {
        self.status().await.backup.unwrap_or_default()
    }

    /// Makes a backup now, which has to succeed; its id.
    pub async fn back_up(&self) -> String {
        let before = self.backups().await.newest;
        let asked = self.ask("Backup", None).await;
        let ended = self.until_ended(&asked).await;
        assert_eq!(ended.phase, OperationPhase::Succeeded, "{ended:?}");
        let id = |s: &BackupStatus| s.newest.first().filter(|id| !before.contains(id)).cloned();
        let status =
            self.until("the status knows the backup", SOON, |s| s.backup.as_ref().and_then(id).is_some()).await;
        status.backup.as_ref().and_then(id).expect("it was just seen")
    }

    /// Makes a backup now, which fails; how the operation says it.
    pub async fn fail_to_back_up(&self) -> TradingBotOperationStatus {
        let asked = self.ask("Backup", None).await;
        let ended = self.until_ended(&asked).await;
        assert_eq!(ended.phase, OperationPhase::Failed, "{ended:?}");
        ended
    }

    /// Asks for a restore: of this id, or of the newest.
    pub async fn ask_to_restore(&self, id: Option<&str>) -> String {
        let mut restore = json!({"confirm": self.name});
        if let Some(id) = id {
            restore["id"] = json!(id);
        }
        self.ask_for(json!({"botName": self.name, "type": "Restore", "restore": restore})).await
    }

    /// Restores the newest, which has to succeed.
    pub async fn restore(&self) -> TradingBotOperationStatus {
        let asked = self.ask_to_restore(None).await;
        // A destination that does not answer is asked again for most of a minute, by the check and by the restore.
        let ended = self.until_ended_within(&asked, seconds(180)).await;
        assert_eq!(ended.phase, OperationPhase::Succeeded, "{ended:?}");
        ended
    }

    fn of<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.cluster.client.clone(), &self.namespace)
    }

    /// Its Jobs of a component, `backup` or `restore`, oldest first.
    pub async fn jobs(&self, component: &str) -> Vec<Job> {
        let selector = format!("tradingbot.io/bot={},tradingbot.io/component={component}", self.name);
        let (api, parameters) = (self.of::<Job>(), ListParams::default().labels(&selector));
        let mut jobs =
            until("the jobs can be listed", seconds(20), async || api.list(&parameters).await.ok()).await.items;
        jobs.sort_by_key(|job| job.creation_timestamp());
        jobs
    }

    /// Its CronJobs.
    pub async fn cron_jobs(&self) -> Vec<CronJob> {
        let (api, parameters) =
            (self.of::<CronJob>(), ListParams::default().labels(&format!("tradingbot.io/bot={}", self.name)));
        until("the CronJobs can be listed", seconds(20), async || api.list(&parameters).await.ok()).await.items
    }

    /// The pod of a Job, as soon as its container has started.
    pub async fn started_pod(&self, job: &str) -> Pod {
        let (api, parameters) = (self.of::<Pod>(), ListParams::default().labels(&format!("job-name={job}")));
        until(&format!("the pod of {job} runs"), SOON, async || {
            let pod = api.list(&parameters).await.ok()?.items.into_iter().next()?;
            let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
            statuses.iter().all(|c| c.state.as_ref().is_some_and(|s| s.waiting.is_none())).then_some(pod)
        })
        .await
    }

    /// How the program in the pod of a Job ended.
    pub async fn program_of(&self, job: &str) -> Ended {
        let (api, parameters) = (self.of::<Pod>(), ListParams::default().labels(&format!("job-name={job}")));
        let ended: ContainerStateTerminated = until(&format!("the program of {job} ends"), seconds(120), async || {
            let pod = api.list(&parameters).await.ok()?.items.into_iter().next()?;
            pod.status?.container_statuses?.first()?.state.as_ref()?.terminated.clone()
        })
        .await;
        Ended {
            started: ended.started_at.expect("it has started").0,
            finished: ended.finished_at.expect("it has ended").0,
            exit_code: ended.exit_code,
            message: ended.message.unwrap_or_default(),
        }
    }

    /// Waits until a Job has failed. The pod of one that was ended from outside is gone by then.
    pub async fn until_job_failed(&self, job: &str) {
        let api = self.of::<Job>();
        until(&format!("{job} has failed"), SOON, async || {
            let conditions = api.get(job).await.ok()?.status?.conditions?;
            conditions.iter().any(|c| c.type_ == "Failed" && c.status == "True").then_some(())
        })
        .await;
    }

    /// Waits for a condition with these words in its message; its reason and the message.
    pub async fn until_condition(&self, kind: &str, status: &str, words: &str) -> (String, String) {
        self.until_verdict(kind, status, &format!("says '{words}'"), SOON, |c| c.message.contains(words)).await
    }

    /// Waits for a condition with this reason; its message.
    pub async fn until_reason(&self, kind: &str, status: &str, reason: &str, limit: Duration) -> String {
        self.until_verdict(kind, status, &format!("gives {reason}"), limit, |c| c.reason == reason).await.1
    }

    async fn until_verdict(
        &self,
        kind: &str,
        status: &str,
        what: &str,
        limit: Duration,
        fits: impl Fn(&Condition) -> bool,
    ) -> (String, String) {
        let is = |c: &&Condition| c.type_ == kind && c.status == status && fits(c);
        let what = format!("{kind} is {status} and {what}");
        let seen = self.until(&what, limit, |s| s.conditions.iter().any(|c| is(&c))).await;
        let found = seen.conditions.iter().find(is).expect("it was just seen");
        let is_sentence = found.message.ends_with('.') || found.message.contains("Run: kubectl ");
        assert!(is_sentence, "no sentence: {}", found.message);
        (found.reason.clone(), found.message.clone())
    }

    /// Waits until an Event with this reason is told of the bot; what it says.
    pub async fn until_event(&self, reason: &str) -> String {
        let (api, parameters) = (
            self.of::<Event>(),
            ListParams::default().fields(&format!("involvedObject.name={},reason={reason}", self.name)),
        );
        until(&format!("the Event {reason}"), SOON, async || {
            api.list(&parameters).await.ok()?.items.into_iter().find_map(|event| event.message)
        })
        .await
    }

    /// Begins a run of a CronJob now, as Kubernetes does when its time has come; the Job's name.
    pub async fn begin_run_of(&self, cron_job: &str, name: &str) -> String {
        // One that was written for an epoch before begins runs that are ended.
        let there = async || {
            let epoch = self.status().await.epoch.to_string();
            let found = self.cron_jobs().await.into_iter().find(|c| c.name_any() == cron_job)?;
            let template = found.spec.as_ref()?.job_template.metadata.clone()?;
            (template.annotations?.get(ANNOTATION_BACKUP_EPOCH) == Some(&epoch)).then_some(found)
        };
        let from = until(&format!("the CronJob {cron_job} is there"), SOON, there).await;
        let owner = json!({
            "apiVersion": "batch/v1", "kind": "CronJob", "name": cron_job, "uid": from.uid(), "controller": true,
        });
        let template = from.spec.expect("it has a spec").job_template;
        let mut job = json!({"metadata": template.metadata.unwrap_or_default(), "spec": template.spec});
        job["metadata"]["name"] = json!(name);
        job["metadata"]["ownerReferences"] = json!([owner]);
        job["metadata"]["annotations"]["batch.kubernetes.io/cronjob-scheduled-timestamp"] = json!(Timestamp::now());
        let job: Job = serde_json::from_value(job).expect("a Job");
        self.of::<Job>().create(&PostParams::default(), &job).await.expect("the Job is made").name_any()
    }

    /// Orders a second since an entry.
    pub async fn rate_since(&self, round: &super::Round) -> f64 {
        let orders = self.orders_since(&round.marker).await;
        let Some(last) = orders.last() else { return 0.0 };
        #[expect(clippy::cast_precision_loss, reason = "a test has few orders")]
        let count = orders.len() as f64;
        count / super::seconds_between(&round.marker, last)
    }

    /// Everything in `spec.backup` that is said here is so from now on.
    pub async fn change_backup(&self, patch: Value) {
        let api: Api<tradingbot::api::bot::TradingBot> = self.of();
        let patch = Patch::Merge(json!({"spec": {"backup": patch}}));
        api.patch(&self.name, &PatchParams::default(), &patch).await.expect("the change is accepted");
    }
}
