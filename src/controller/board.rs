//! What was last decided for every bot, for the gauges.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::metrics::Metrics;
use super::registry::BotKey;
use crate::api::backup_status::BackupStatus;
use crate::api::names::SCHEDULE_VERIFICATION;
use crate::core::backup::ON_DEMAND;
use crate::core::failover::Record;

/// The last of every bot.
#[derive(Debug, Default)]
pub struct Board(Mutex<BTreeMap<BotKey, Shown>>);

/// What is known of one bot.
#[derive(Debug)]
pub struct Shown {
    /// What was decided.
    pub record: Record,
    /// How many of its standbys are ready.
    pub ready: u32,
    /// Its backups.
    pub backup: Option<BackupStatus>,
}

impl Board {
    /// Sets the gauges.
    pub fn show(&self, metrics: &Metrics) {
        let all = self.lock();
        metrics.set_bots(all.values().map(|shown| (&shown.record, shown.ready)));
        metrics.backups.set(all.iter().filter_map(|(key, shown)| Some((key, shown.backup.as_ref()?))));
    }

    /// Notes what was decided.
    pub fn set(&self, key: BotKey, shown: Shown) {
        self.lock().insert(key, shown);
    }

    /// Forgets a bot that is gone, and what was counted of it alone.
    pub fn remove(&self, key: &BotKey, metrics: &Metrics) {
        let status = self.lock().remove(key).and_then(|shown| shown.backup).unwrap_or_default();
        let schedules = status.schedules.iter().map(|schedule| schedule.name.as_str());
        metrics.backups.forget(key, schedules.chain([ON_DEMAND, SCHEDULE_VERIFICATION]));
    }

    /// Forgets all bots: another replica leads.
    pub fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<BotKey, Shown>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
