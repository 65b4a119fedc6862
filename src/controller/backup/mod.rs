//! Follows the runs of a bot's backups: keeps their CronJobs, learns from Jobs what came of them, and writes it into the
//! status.
//!
//! [`Backups::look`] only computes and is part of every round. [`Backups::follow`] writes; it runs while the worker waits
//! and is dropped as soon as there is a reason to look at the bot again, so it is never in the way of a failover. All
//! that it does can be done again.

pub mod ask;
pub mod conditions;
pub mod end;
pub mod events;
mod follow;
pub mod metrics;
pub mod names;
pub mod retry;
pub mod run;
pub mod status;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::CronJob;
use kube::ResourceExt as _;

use self::run::{Run, RunState, SLOW_START, Subject};
use super::build::{self, BackupContext};
use super::children::Children;
use super::observe::Observed;
use super::worker::Operator;
use crate::api::backup::Backup;
use crate::api::backup_rules;
use crate::api::backup_status::BackupStatus;
use crate::core::failover::{Record, last_slot};

/// Why backups cannot be made as the spec says: one word and a sentence.
pub type Trouble = (&'static str, String);

/// What a worker knows of its bot's backups.
#[derive(Debug, Default)]
pub struct Backups {
    children: Children,
    /// What our CronJobs are for, by uid.
    cron_jobs: BTreeMap<String, Subject>,
    /// A spec, and what is wrong with it: found once, because it takes milliseconds that a failover would wait for.
    judged: Option<(Backup, Option<Trouble>)>,
    /// A CronJob or Job that could not be written, a sentence.
    refused: Option<String>,
    /// Runs that were told, by uid, of those that are still there.
    told: BTreeSet<String>,
    /// All runs that are there have been looked at once: from now on whatever is not in `told` is new.
    settled: bool,
}

/// What is known of a bot's backups in one round.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    /// `spec.backup`.
    pub spec: Backup,
    /// For the status.
    pub status: BackupStatus,
    /// Why they cannot be made as the spec says.
    pub trouble: Option<Trouble>,
    /// A restore keeps them from beginning.
    pub paused: bool,
    /// Runs that do not come to start, and what they wait for, a sentence.
    pub waiting: Vec<(Subject, String)>,
}

/// One look: what there is to say, and when to look again.
#[derive(Debug, Default)]
pub struct Look {
    /// For status and conditions; `None`: the bot has no `spec.backup`.
    pub view: Option<View>,
    /// Runs that ended and were not told yet.
    pub news: Vec<Run>,
    /// When something turns by itself.
    pub wake_after: Option<Duration>,
    ended: BTreeSet<String>,
}

impl Backups {
    /// What the Jobs and pods that were read live say.
    pub fn look(&mut self, observed: &Observed) -> Look {
        let Some(backup) = &observed.bot.spec.backup else { return Look::default() };
        let trouble = self.judge(backup);
        let now = now(observed);
        let written = observed.bot.status.as_ref();
        let before = written.and_then(|status| status.backup.clone()).unwrap_or_default();
        let runs = self.runs(observed);
        let status = status::of_spec(status::fold(&before, &runs), backup, now);
        let (mut waiting, mut turns) = (Vec::new(), Vec::new());
        for run in &runs {
            if let RunState::Running { waits: Some((since, why)) } = &run.state {
                match Duration::try_from(SLOW_START - now.duration_since(*since)) {
                    Ok(left) if left != Duration::ZERO => turns.push(left + Duration::from_secs(1)),
                    _ => waiting.push((run.subject.clone(), format!("{} does not start: {why}", run.subject.title()))),
                }
            }
        }
        turns.extend(status::objective(&status, backup, now).and_then(|objective| objective.turns_after));
        let is_news = |run: &&Run| {
            let later = || status::is_news(status::last_run(&before, &run.subject), run);
            run.ended().is_some() && !self.told.contains(&run.uid) && (self.settled || later())
        };
        let refused = || self.refused.clone().map(|why| ("WriteRefused", why));
        let view = View {
            spec: backup.clone(),
            status,
            trouble: trouble.or_else(refused),
            paused: written.is_some_and(|status| status.restore.is_some()),
            waiting,
        };
        Look {
            view: Some(view),
            news: runs.iter().filter(is_news).cloned().collect(),
            wake_after: turns.into_iter().min(),
            ended: runs.iter().filter(|run| run.ended().is_some()).map(|run| run.uid.clone()).collect(),
        }
    }

    /// What is wrong with the spec.
    fn judge(&mut self, backup: &Backup) -> Option<Trouble> {
        if self.judged.as_ref().is_none_or(|(judged, _)| judged != backup) {
            self.judged = Some((backup.clone(), backup_rules::trouble(backup)));
        }
        self.judged.as_ref().and_then(|(_, trouble)| trouble.clone())
    }

    /// The status that says it was written: tells what is new, once.
    pub fn tell(&mut self, operator: &Operator, observed: &Observed, look: Look) {
        let key = super::registry::BotKey::new(
            observed.bot.metadata.namespace.clone().unwrap_or_default(),
            observed.bot.name_any(),
        );
        for run in &look.news {
            operator.metrics.backups.ended(&key, run);
        }
        let events = look.news.iter().filter_map(events::ended).collect();
        operator.events.publish(&kube::Resource::object_ref(&observed.bot, &()), events);
        self.told = look.ended;
        self.settled = !self.cron_jobs.is_empty();
    }

    /// All runs of our CronJobs.
    fn runs(&self, observed: &Observed) -> Vec<Run> {
        observed.jobs.iter().filter_map(|job| run::read(job, &observed.other_pods, &self.cron_jobs)).collect()
    }
}

/// The CronJobs that are wanted.
fn wanted(observed: &Observed, record: &Record, image: &str) -> Vec<CronJob> {
    let bot = &observed.bot;
    let context = BackupContext {
        epoch: record.epoch.0,
        slot: last_slot(record, &observed.facts.pods),
        paused: is_paused(observed, record),
        image: image.to_owned(),
    };
    build::backup_cron_jobs(bot, &context)
}

/// From the first step of a restore on: retention must not remove what is being checked, and a backup of a half restored
/// target would be the newest and could take the place of a good one, also after the restore failed.
fn is_paused(observed: &Observed, record: &Record) -> bool {
    observed.bot.metadata.deletion_timestamp.is_some() || record.restore.is_some()
}

fn now(observed: &Observed) -> Timestamp {
    let millis = i64::try_from(observed.facts.wall.0).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX)
}
