//! What Prometheus sees of backups. A backup that is missing is missed by its bot, so these have the bot as a label: a few
//! series for each bot with `spec.backup`.

use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec, Opts, Registry};

use super::run::Run;
use crate::api::backup_status::BackupStatus;
use crate::controller::registry::BotKey;

const SUCCEEDED: &str = "Succeeded";
const FAILED: &str = "Failed";

/// The metrics of backups.
#[derive(Clone, Debug)]
pub struct BackupMetrics {
    last_success: GaugeVec,
    last_verified: GaugeVec,
    oldest: GaugeVec,
    stored_bytes: IntGaugeVec,
    last_bytes: IntGaugeVec,
    objective_met: IntGaugeVec,
    runs: IntCounterVec,
}

impl BackupMetrics {
    /// Registers them.
    ///
    /// # Errors
    /// Never in practice: only when two metrics had one name.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let bot = ["namespace", "bot"];
        let time = |name: &str, help: &str, labels: &[&str]| {
            let metric = GaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(metric.clone()))?;
            Ok::<_, prometheus::Error>(metric)
        };
        let number = |name: &str, help: &str| {
            let metric = IntGaugeVec::new(Opts::new(name, help), &bot)?;
            registry.register(Box::new(metric.clone()))?;
            Ok::<_, prometheus::Error>(metric)
        };
        let runs = IntCounterVec::new(
            Opts::new("tradingbot_backup_runs_total", "Runs of backups and verifications that ended, by result."),
            &["namespace", "bot", "schedule", "result"],
        )?;
        registry.register(Box::new(runs.clone()))?;
        Ok(Self {
            last_success: time(
                "tradingbot_backup_last_success_timestamp_seconds",
                "The point that the newest good backup of a schedule recovers.",
                &["namespace", "bot", "schedule"],
            )?,
            last_verified: time(
                "tradingbot_backup_last_verified_timestamp_seconds",
                "When a backup was last read in full and found good.",
                &bot,
            )?,
            oldest: time(
                "tradingbot_backup_oldest_timestamp_seconds",
                "The point that the oldest backup recovers.",
                &bot,
            )?,
            stored_bytes: number("tradingbot_backup_stored_bytes", "Bytes of all good backups as they are stored.")?,
            last_bytes: number("tradingbot_backup_last_bytes", "Bytes of the content of the newest good backup.")?,
            objective_met: number(
                "tradingbot_backup_objective_met",
                "1 while the newest good backup is no older than the recovery-point objective.",
            )?,
            runs,
        })
    }

    /// Counts a run that ended.
    pub fn ended(&self, key: &BotKey, run: &Run) {
        let result = if run.failure().is_some() { FAILED } else { SUCCEEDED };
        self.runs.with_label_values(&[&key.namespace, &key.name, run.subject.as_str(), result]).inc();
    }

    /// Forgets the runs of a bot that is gone.
    pub fn forget<'a>(&self, key: &BotKey, schedules: impl IntoIterator<Item = &'a str>) {
        for schedule in schedules {
            for result in [SUCCEEDED, FAILED] {
                // One that was never counted is not there, and that is no fault.
                let _ = self.runs.remove_label_values(&[&key.namespace, &key.name, schedule, result]);
            }
        }
    }

    /// Sets the gauges from what is known of every bot's backups.
    pub fn set<'a>(&self, bots: impl Iterator<Item = (&'a BotKey, &'a BackupStatus)>) {
        for gauge in [&self.last_success, &self.last_verified, &self.oldest] {
            gauge.reset();
        }
        for gauge in [&self.stored_bytes, &self.last_bytes, &self.objective_met] {
            gauge.reset();
        }
        for (key, status) in bots {
            let bot = [key.namespace.as_str(), key.name.as_str()];
            for schedule in &status.schedules {
                if let Some(time) = &schedule.last_success_time {
                    self.last_success.with_label_values(&[bot[0], bot[1], &schedule.name]).set(seconds(time.0));
                }
            }
            let times =
                [(&self.last_verified, &status.last_verified_time), (&self.oldest, &status.oldest_recoverable_time)];
            for (gauge, time) in times {
                if let Some(time) = time {
                    gauge.with_label_values(&bot).set(seconds(time.0));
                }
            }
            let stored = status.counted_time.as_ref().map(|_| status.stored_bytes);
            let met = status.objective_met.map(u64::from);
            for (gauge, value) in
                [(&self.stored_bytes, stored), (&self.last_bytes, status.last_bytes), (&self.objective_met, met)]
            {
                if let Some(value) = value {
                    gauge.with_label_values(&bot).set(i64::try_from(value).unwrap_or(i64::MAX));
                }
            }
        }
    }
}

fn seconds(time: jiff::Timestamp) -> f64 {
    time.as_duration().as_secs_f64()
}
