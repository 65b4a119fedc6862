//! The CronJob of every schedule, and that of the verification.

use k8s_openapi::api::batch::v1::{CronJob, CronJobSpec, JobTemplateSpec};
use kube::core::ObjectMeta;

use super::BackupContext;
use super::run::Run;
use crate::api::backup::{Backup, Schedule, Verification, Verify};
use crate::api::backup_config::{Action, Selection};
use crate::api::backup_rules::is_readable;
use crate::api::bot::TradingBot;
use crate::api::names::SCHEDULE_VERIFICATION;
use crate::controller::build::common::{name, owned};

/// The time zone where none is set. Without one Kubernetes takes that of its own controller.
const UTC: &str = "Etc/UTC";
/// How many Jobs that ended are kept, of either outcome, for their logs and for the operator to read.
const HISTORY: i32 = 3;

/// The name of a schedule's CronJob; with the longest names it has 50 of the 52 characters that there may be.
pub fn schedule_name(bot: &str, schedule: &str) -> String {
    format!("{bot}-b-{schedule}")
}

/// The name of the verification's CronJob.
pub fn verification_name(bot: &str) -> String {
    format!("{bot}-verify")
}

/// The CronJob of every schedule, and that of the verification. A schedule that cannot be read has none, for the API
/// server would refuse it; a condition tells.
pub fn backup_cron_jobs(bot: &TradingBot, context: &BackupContext) -> Vec<CronJob> {
    let Some(backup) = &bot.spec.backup else { return Vec::new() };
    let schedules = backup.schedules.iter().filter(|schedule| is_readable(&schedule.schedule));
    let verification = backup.verification.iter().filter(|verification| is_readable(&verification.schedule));
    schedules
        .map(|schedule| of_schedule(bot, backup, schedule, context))
        .chain(verification.map(|verification| of_verification(bot, backup, verification, context)))
        .collect()
}

fn of_schedule(bot: &TradingBot, backup: &Backup, schedule: &Schedule, context: &BackupContext) -> CronJob {
    let Schedule { name: schedule_is, schedule: when, time_zone, retention: _, suspend, starting_deadline_seconds } =
        schedule;
    let run = Run {
        bot,
        backup,
        action: Action::Backup,
        schedule: schedule_is,
        epoch: context.epoch,
        slot: context.slot,
        image: &context.image,
        verify: Verify::Read,
        runner: None,
        selection: Selection::default(),
        deadline: backup.deadline_seconds,
    };
    let timing = Timing {
        when,
        time_zone: time_zone.as_deref(),
        suspend: backup.suspend || *suspend || context.paused,
        starting_deadline: *starting_deadline_seconds,
    };
    cron_job(schedule_name(name(bot), schedule_is), &run, &timing)
}

fn of_verification(bot: &TradingBot, backup: &Backup, verification: &Verification, context: &BackupContext) -> CronJob {
    let Verification { schedule: when, time_zone, verify, runner, suspend } = verification;
    let run = Run {
        bot,
        backup,
        action: Action::Verify,
        schedule: SCHEDULE_VERIFICATION,
        epoch: context.epoch,
        slot: context.slot,
        image: &context.image,
        verify: *verify,
        runner: runner.as_ref(),
        selection: Selection::default(),
        deadline: runner.as_ref().map_or(backup.deadline_seconds, |runner| runner.deadline_seconds),
    };
    let timing = Timing {
        when,
        time_zone: time_zone.as_deref(),
        suspend: backup.suspend || *suspend || context.paused,
        starting_deadline: None,
    };
    cron_job(verification_name(name(bot)), &run, &timing)
}

/// When a CronJob starts its Jobs.
struct Timing<'a> {
    when: &'a str,
    time_zone: Option<&'a str>,
    suspend: bool,
    starting_deadline: Option<u32>,
}

fn cron_job(named: String, run: &Run<'_>, timing: &Timing<'_>) -> CronJob {
    let Timing { when, time_zone, suspend, starting_deadline } = timing;
    let mut metadata = owned(run.bot, named);
    metadata.labels = Some(run.labels());
    let inner =
        ObjectMeta { labels: Some(run.labels()), annotations: Some(run.annotations()), ..ObjectMeta::default() };
    CronJob {
        metadata,
        spec: Some(CronJobSpec {
            schedule: (*when).to_owned(),
            time_zone: Some(time_zone.unwrap_or(UTC).to_owned()),
            concurrency_policy: Some("Forbid".into()),
            suspend: Some(*suspend),
            starting_deadline_seconds: starting_deadline.map(i64::from),
            successful_jobs_history_limit: Some(HISTORY),
            failed_jobs_history_limit: Some(HISTORY),
            job_template: JobTemplateSpec { metadata: Some(inner), spec: Some(run.job()) },
        }),
        status: None,
    }
}
