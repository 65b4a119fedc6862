//! The Jobs of a restore: one that reads the backup while the bot trades on, and one that puts it back.

use k8s_openapi::api::batch::v1::{Job, JobSpec};

use super::run::Run;
use crate::api::backup::Verify;
use crate::api::backup_config::{Action, Selection};
use crate::api::bot::TradingBot;
use crate::api::names::{LABEL_OPERATION, LABEL_RESTORE_RUN, RESTORE_RUN_APPLY, RESTORE_RUN_CHECK};
use crate::controller::build::common::{name, owned};
use crate::controller::build::job::KEEP_SECONDS;
use crate::core::backup::ON_DEMAND;
use crate::core::failover::{Restore, RestoreRun};

/// The name of a restore's Job; with the longest bot name it has 57 characters.
pub fn restore_job_name(bot: &str, run: RestoreRun, operation_uid: &str) -> String {
    let run = match run {
        RestoreRun::Check => "check",
        RestoreRun::Apply => "restore",
    };
    let short: String = operation_uid.chars().take(8).collect();
    format!("{bot}-{run}-{short}")
}

/// The Job of a restore. `selection` is what the operation asked for; a restore whose backup is known takes that one.
/// `None` where the bot has no `spec.backup`.
pub fn restore_job(
    bot: &TradingBot,
    restore: &Restore,
    run: RestoreRun,
    selection: &Selection,
    image: &str,
) -> Option<Job> {
    let backup = bot.spec.backup.as_ref()?;
    let Restore { operation: _, operation_uid, step: _, id, slot, target_changed: _, outcome: _ } = restore;
    let selection = match id {
        Some(id) => Selection { id: Some(id.clone()), before: None },
        None => selection.clone(),
    };
    let made = Run {
        bot,
        backup,
        action: match run {
            RestoreRun::Check => Action::Check,
            RestoreRun::Apply => Action::Restore,
        },
        schedule: ON_DEMAND,
        epoch: bot.status.as_ref().map_or(0, |status| status.epoch),
        slot: *slot,
        image,
        verify: Verify::Read,
        runner: backup.restore.as_ref(),
        selection,
        deadline: backup.restore_deadline_seconds(),
    };
    let marks = [
        (LABEL_OPERATION, operation_uid.as_str()),
        (
            LABEL_RESTORE_RUN,
            match run {
                RestoreRun::Check => RESTORE_RUN_CHECK,
                RestoreRun::Apply => RESTORE_RUN_APPLY,
            },
        ),
    ];
    let mut labels = made.labels();
    labels.extend(marks.map(|(key, value)| (key.to_owned(), value.to_owned())));
    let mut job = JobSpec { ttl_seconds_after_finished: Some(KEEP_SECONDS), ..made.job() };
    job.template.metadata.get_or_insert_default().labels = Some(labels.clone());
    let mut metadata = owned(bot, restore_job_name(name(bot), run, operation_uid));
    metadata.labels = Some(labels);
    metadata.annotations = Some(made.annotations());
    Some(Job { metadata, spec: Some(job), status: None })
}
