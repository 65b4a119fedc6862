//! The CronJobs of a bot's backups, and the Jobs of its restores.

mod by_hand;
mod cron;
mod restore;
mod run;
mod volumes;

pub use by_hand::{job_by_hand, on_demand};
pub use cron::{backup_cron_jobs, schedule_name, verification_name};
pub use restore::{restore_job, restore_job_name};

use crate::api::backup::{Retention, Schedule};

/// What the CronJobs of a bot depend on besides its spec.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackupContext {
    /// The present epoch. A run of another one is ended: what it reads may have moved.
    pub epoch: u64,
    /// The slot of the pod that trades, or traded last: its volumes are read.
    pub slot: u32,
    /// No run may begin: the bot is being deleted, or a restore is being carried out.
    pub paused: bool,
    /// The operator's own image, which brings the program.
    pub image: String,
}

/// How long the backups of a schedule are kept: as it says, or as its name says.
pub fn retention_of(schedule: &Schedule) -> Retention {
    schedule.retention.unwrap_or_else(|| Retention::of_schedule(&schedule.name))
}

#[cfg(test)]
mod tests;
