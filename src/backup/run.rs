//! One run: reads the configuration, does its action, and leaves a report.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::places::Places;
use super::stop::Stop;
use super::store::{Store, open};
use super::{make, prove, report};
use crate::api::backup_config::{Action, BACKUP_CONFIG_ENV, BackupConfig};
use crate::core::backup::report::{Failure, FailureReason, Report};

/// How long a run that is to end may take to leave nothing half-done. Pods have 30 seconds.
const ORDERLY: Duration = Duration::from_secs(20);

/// What every action works with.
pub struct Run {
    /// What is to be done.
    pub config: Arc<BackupConfig>,
    /// The files of the pod.
    pub places: Places,
    /// The destinations, or why one cannot be used; the first one first.
    pub stores: Vec<Result<Store, Failure>>,
}

impl Run {
    /// The first destination.
    pub fn first(&self) -> Result<&Store, Failure> {
        match self.stores.first() {
            Some(opened) => opened.as_ref().map_err(Clone::clone),
            None => Err(Failure::new(FailureReason::Misconfigured, "The bot has no destination for backups.")),
        }
    }
}

/// The program's `run`.
pub(super) fn run() -> ExitCode {
    let places = Places::from_environment();
    let mut result = Report::default();
    if let Err(failure) = outcome(&places, &mut result) {
        tracing::error!("{failure}");
        result.failure = Some(failure);
    }
    for warning in &result.warnings {
        tracing::warn!("{warning}");
    }
    let log = places.termination_log();
    if let Err(error) = report::write(&result, &log) {
        tracing::error!("The report cannot be written to {}: {error}", log.display());
        return ExitCode::FAILURE;
    }
    if result.failure.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn outcome(places: &Places, report: &mut Report) -> Result<(), Failure> {
    let wrong = |message: String| Failure::new(FailureReason::Misconfigured, message);
    let text = std::env::var(BACKUP_CONFIG_ENV).map_err(|_| {
        wrong(format!("The environment has no {BACKUP_CONFIG_ENV}: this program runs in pods that the operator makes."))
    })?;
    let config: BackupConfig =
        serde_json::from_str(&text).map_err(|error| wrong(format!("{BACKUP_CONFIG_ENV} cannot be read: {error}.")))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| wrong(format!("No threads can be started: {error}.")))?;
    let result = runtime.block_on(act(config, places.clone(), report));
    // A source that is still being read is not waited for; it ends with the program.
    runtime.shutdown_background();
    result
}

async fn act(config: BackupConfig, places: Places, report: &mut Report) -> Result<(), Failure> {
    let (ask, stop) = Stop::new();
    let stores = (0..config.destinations.len()).map(|number| open(&config, number, &places, &stop)).collect();
    let run = Run { config: Arc::new(config), places, stores };
    let mut ended = signal(SignalKind::terminate())
        .map_err(|error| Failure::new(FailureReason::Misconfigured, format!("No signals can be had: {error}.")))?;
    let action = async {
        match run.config.action {
            Action::Backup => make::make(&run, report).await,
            Action::Verify => prove::verify(&run, report).await,
            Action::Check => prove::check(&run, report).await,
            Action::Restore => prove::restore(&run, report).await,
        }
    };
    tokio::pin!(action);
    tokio::select! {
        result = &mut action => return result,
        _ = ended.recv() => {}
    }
    tracing::warn!("Told to end");
    let _ = ask.send(true);
    match tokio::time::timeout(ORDERLY, action).await {
        Ok(Ok(())) => Ok(()),
        // Whatever failed then did so because of this.
        Ok(Err(failure)) if failure.reason == FailureReason::Interrupted => Err(failure),
        Ok(Err(failure)) => Err(Failure { target_changed: failure.target_changed, ..stop.asked().await }),
        Err(_) => Err(stop.asked().await),
    }
}
