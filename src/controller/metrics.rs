//! What Prometheus sees. No label names an object, so the number of series does not grow with the bots; only of bots that
//! are backed up there are some for each.

use std::sync::Arc;

use http::Method;
use prometheus::{
    Encoder, Gauge, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

use super::backup::metrics::BackupMetrics;
use crate::core::failover::{Evidence, Move, Phase, Reason, Record, Trigger as MoveTrigger};
use crate::runtime::client::OnWrite;

/// All metrics of the operator.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    /// Reconciles by what caused them.
    pub reconciles: IntCounterVec,
    /// Requests that can change something, by method and resource.
    pub api_writes: IntCounterVec,
    /// Moves of the active role by trigger, reason, evidence and outcome.
    pub failovers: IntCounterVec,
    /// Seconds that moves spent in each of their phases.
    pub phase_seconds: HistogramVec,
    /// Bots by phase.
    pub bots: IntGaugeVec,
    /// Bots with an active that trades.
    pub actives: IntGauge,
    /// Standbys that are ready, over all bots.
    pub standbys_ready: IntGauge,
    /// The highest epoch of any bot.
    pub epoch: IntGauge,
    /// Seconds since the last renewal of the Lease that is most overdue.
    pub renewal_age: Gauge,
    /// 1 while this replica leads.
    pub leading: IntGauge,
    /// Backups, by bot.
    pub backups: BackupMetrics,
}

impl Metrics {
    /// A fresh set.
    ///
    /// # Errors
    /// Never in practice: only when two metrics had one name.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let metric = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(metric.clone()))?;
            Ok::<_, prometheus::Error>(metric)
        };
        let gauge = |name: &str, help: &str| {
            let metric = IntGauge::new(name, help)?;
            registry.register(Box::new(metric.clone()))?;
            Ok::<_, prometheus::Error>(metric)
        };
        let seconds = HistogramOpts::new("tradingbot_move_phase_seconds", "Seconds that moves spent in each phase.")
            .buckets(vec![0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0]);
        let phase_seconds = HistogramVec::new(seconds, &["phase"])?;
        registry.register(Box::new(phase_seconds.clone()))?;
        let bots = IntGaugeVec::new(Opts::new("tradingbot_bots", "Bots by phase."), &["phase"])?;
        registry.register(Box::new(bots.clone()))?;
        let renewal_age = Gauge::new(
            "tradingbot_lease_renewal_age_seconds",
            "Seconds since the last renewal of the held Lease that is most overdue.",
        )?;
        registry.register(Box::new(renewal_age.clone()))?;
        Ok(Self {
            reconciles: counter("tradingbot_reconciles_total", "Reconciles by what caused them.", &["trigger"])?,
            api_writes: counter(
                "tradingbot_api_writes_total",
                "Requests to the API server that can change something.",
                &["method", "resource"],
            )?,
            failovers: counter(
                "tradingbot_failovers_total",
                "Moves of the active role, first starts included.",
                &["trigger", "reason", "evidence", "outcome"],
            )?,
            actives: gauge("tradingbot_actives", "Bots with an active that trades.")?,
            standbys_ready: gauge("tradingbot_standbys_ready", "Standbys that are ready to take over, over all bots.")?,
            epoch: gauge("tradingbot_epoch_highest", "The highest epoch of any bot.")?,
            leading: gauge("tradingbot_operator_leading", "1 while this replica leads.")?,
            backups: BackupMetrics::new(&registry)?,
            phase_seconds,
            bots,
            renewal_age,
            registry,
        })
    }

    /// For [`crate::runtime::client::requests`].
    pub fn on_write(&self) -> OnWrite {
        let writes = self.api_writes.clone();
        Arc::new(move |method: &Method, path: &str| {
            writes.with_label_values(&[method.as_str(), &resource_of(path)]).inc();
        })
    }

    /// Counts a move that has led to trading.
    pub fn moved(&self, done: &Move) {
        self.count(done, if done.active.is_some() { "Trading" } else { "Given up" });
        let steps = [
            ("fencing", Some(done.suspected), done.fenced),
            ("electing", done.fenced.or(Some(done.suspected)), done.elected),
            ("preparing", done.elected, done.reconciled),
            ("activating", done.reconciled, done.active),
            ("total", Some(done.suspected), done.active),
        ];
        for (phase, from, to) in steps {
            if let (Some(from), Some(to)) = (from, to) {
                #[expect(clippy::cast_precision_loss, reason = "durations of moves are far below 2^53 ms")]
                let seconds = to.millis_since(from) as f64 / 1000.0;
                self.phase_seconds.with_label_values(&[phase]).observe(seconds);
            }
        }
    }

    /// Counts a move that stopped for want of a person.
    pub fn blocked(&self, stuck: &Move) {
        self.count(stuck, "Blocked");
    }

    fn count(&self, what: &Move, outcome: &str) {
        let evidence = what.evidence.map_or_else(|| "None".to_owned(), |e: Evidence| format!("{e:?}"));
        let (trigger, reason): (MoveTrigger, Reason) = (what.trigger, what.reason);
        self.failovers.with_label_values(&[&format!("{trigger:?}"), &format!("{reason:?}"), &evidence, outcome]).inc();
    }

    /// Sets the gauges from what was last decided for every bot.
    pub fn set_bots<'a>(&self, bots: impl Iterator<Item = (&'a Record, u32)>) {
        self.bots.reset();
        let (mut actives, mut ready, mut epoch) = (0, 0, 0);
        for (record, standbys_ready) in bots {
            let phase: Phase = record.phase;
            self.bots.with_label_values(&[&format!("{phase:?}")]).inc();
            actives += i64::from(record.active_since.is_some());
            ready += i64::from(standbys_ready);
            epoch = epoch.max(i64::try_from(record.epoch.0).unwrap_or(i64::MAX));
        }
        self.actives.set(actives);
        self.standbys_ready.set(ready);
        self.epoch.set(epoch);
    }

    /// The page in Prometheus' text format.
    pub fn page(&self) -> String {
        let mut text = Vec::new();
        match TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            Ok(()) => String::from_utf8(text).unwrap_or_default(),
            Err(error) => format!("# metrics could not be written: {error}\n"),
        }
    }
}

/// `/apis/coordination.k8s.io/v1/namespaces/x/leases/y` → `leases`; with a subresource `pods/status`. The operator's
/// own election counts as a resource of its own, because it is the only thing written in a steady state.
fn resource_of(path: &str) -> String {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let rest = match parts.as_slice() {
        ["api", _, rest @ ..] | ["apis", _, _, rest @ ..] => rest,
        other => other,
    };
    match rest {
        ["namespaces", _, "leases", name] if name.starts_with(super::election::ELECTION) => "election".into(),
        ["namespaces", _, resource, _, sub] | [resource, _, sub] if *resource != "namespaces" => {
            format!("{resource}/{sub}")
        }
        ["namespaces", _, resource, ..] => (*resource).to_owned(),
        [resource, ..] => (*resource).to_owned(),
        [] => "unknown".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_are_counted_by_resource_and_not_by_object() {
        let paths = [
            ("/apis/coordination.k8s.io/v1/namespaces/a/leases/doge", "leases"),
            ("/apis/coordination.k8s.io/v1/namespaces/s/leases/tradingbot-operator", "election"),
            ("/apis/coordination.k8s.io/v1/namespaces/s/leases/tradingbot-operator-x-1", "election"),
            ("/apis/tradingbot.io/v1alpha1/namespaces/a/tradingbots/doge/status", "tradingbots/status"),
            ("/api/v1/namespaces/a/pods", "pods"),
            ("/api/v1/nodes/n", "nodes"),
        ];
        for (path, resource) in paths {
            assert_eq!(resource_of(path), resource, "{path}");
        }
    }
}
