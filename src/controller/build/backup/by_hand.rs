//! A Job made by hand from the CronJob of a schedule, as `kubectl create job --from` makes one: the CronJob's history
//! limits clean it up.

use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::core::ObjectMeta;

use crate::api::backup_config::{BACKUP_CONFIG_ENV, BackupConfig};
use crate::api::names::LABEL_SCHEDULE;
use crate::controller::backup::names::ANNOTATION_BY_HAND;
use crate::core::backup::ON_DEMAND;

/// The Job of this `name` from the template of `cron_job`, which is stored under `uid`. It has `label` besides those of
/// the template.
pub fn job_by_hand(cron_job: &CronJob, uid: &str, name: String, label: (&str, &str)) -> Option<Job> {
    let template = cron_job.spec.as_ref()?.job_template.clone();
    let owner = OwnerReference {
        api_version: "batch/v1".into(),
        kind: "CronJob".into(),
        name: cron_job.metadata.name.clone()?,
        uid: uid.to_owned(),
        controller: Some(true),
        // With it the API server asks for rights on the CronJob's finalizers.
        block_owner_deletion: None,
    };
    let ObjectMeta { labels, annotations, .. } = template.metadata.unwrap_or_default();
    let mut labels = labels.unwrap_or_default();
    labels.insert(label.0.to_owned(), label.1.to_owned());
    let mut annotations = annotations.unwrap_or_default();
    annotations.insert(ANNOTATION_BY_HAND.to_owned(), "manual".to_owned());
    let metadata = ObjectMeta {
        name: Some(name),
        namespace: cron_job.metadata.namespace.clone(),
        labels: Some(labels),
        annotations: Some(annotations),
        owner_references: Some(vec![owner]),
        ..ObjectMeta::default()
    };
    Some(Job { metadata, spec: template.spec, status: None })
}

/// A Job of a schedule, as one that belongs to none; `None` where its program has no configuration to change.
pub fn on_demand(mut job: Job) -> Option<Job> {
    let label = || (LABEL_SCHEDULE.to_owned(), ON_DEMAND.to_owned());
    job.metadata.labels.get_or_insert_default().extend([label()]);
    let template = &mut job.spec.as_mut()?.template;
    template.metadata.get_or_insert_default().labels.get_or_insert_default().extend([label()]);
    let mut variables =
        template.spec.iter_mut().flat_map(|pod| &mut pod.containers).flat_map(|c| c.env.iter_mut().flatten());
    let variable = variables.find(|variable| variable.name == BACKUP_CONFIG_ENV)?;
    let config: BackupConfig = serde_json::from_str(variable.value.as_deref()?).ok()?;
    let config = BackupConfig { schedule: ON_DEMAND.into(), ..config };
    variable.value = Some(serde_json::to_string(&config).ok()?);
    Some(job)
}
