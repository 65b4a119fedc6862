//! The CronJobs of a bot's backups, and the Jobs of its restores.

use k8s_openapi::api::batch::v1::{CronJob, Job};

use crate::api::backup_config::Selection;
use crate::api::bot::TradingBot;
use crate::core::failover::{Restore, RestoreRun};

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

/// The CronJob of every schedule, and that of the verification.
pub fn backup_cron_jobs(_bot: &TradingBot, _context: &BackupContext) -> Vec<CronJob> {
    Vec::new()
}

/// The Job of a restore. `selection` is what the operation asked for; a restore whose backup is known takes that one.
/// `None` where the bot has no `spec.backup`.
pub fn restore_job(
    _bot: &TradingBot,
    _restore: &Restore,
    _run: RestoreRun,
    _selection: &Selection,
    _image: &str,
) -> Option<Job> {
    None
}
