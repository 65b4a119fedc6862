//! What the gate costs, and how exactly it cuts: `make bench-gate` runs it and writes target/bench/gate.json.
//!
//! Everything runs on this one machine: the bot's side in the pod's namespace, the exchange at the other end of a cable.

mod cut;
mod latency;
mod throughput;
mod traffic;

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tradingbot::core::lease::AgentState;

use super::gate::with_gate;
use super::outside::Outside;
use super::pod::{Container, Pod, in_pod};

/// What was measured, in milliseconds.
struct Figures {
    scenario: &'static str,
    values: Vec<f64>,
}

impl Figures {
    fn new(scenario: &'static str, mut values: Vec<f64>) -> Figures {
        assert!(!values.is_empty(), "{scenario} measured nothing");
        values.sort_by(f64::total_cmp);
        Figures { scenario, values }
    }

    fn of_times(scenario: &'static str, times: &[Duration]) -> Figures {
        Figures::new(scenario, times.iter().map(|time| time.as_secs_f64() * 1000.0).collect())
    }

    /// The smallest value that so many per cent of all do not exceed.
    fn percentile(&self, percent: usize) -> f64 {
        self.values[(self.values.len() * percent).div_ceil(100) - 1]
    }

    fn json(&self) -> Value {
        let round = |ms: f64| (ms * 10_000.0).round() / 10_000.0;
        json!({"scenario": self.scenario, "n": self.values.len(), "p50": round(self.percentile(50)),
            "p99": round(self.percentile(99)), "max": round(self.percentile(100))})
    }
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [p50, p99, max] = [50, 99, 100].map(|percent| self.percentile(percent));
        write!(f, "{}: n {}, p50 {p50:.4}, p99 {p99:.4}, max {max:.4} ms", self.scenario, self.values.len())
    }
}

/// Waits for the agent to trade in this epoch.
async fn active(pod: &Pod, epoch: u64) {
    pod.lease("active", |lease| {
        lease.state == AgentState::Active && lease.epoch.is_some_and(|granted| granted.0 == epoch)
    })
    .await;
}

/// Runs a measurement beside an agent that trades, on a thread of its own.
fn beside_a_gate<T: Send + 'static>(measure: impl FnOnce(&Outside, &Container) -> T + Send + 'static) -> T {
    let (tell, told) = std::sync::mpsc::channel();
    in_pod(|mut pod| async move {
        with_gate(&mut pod, &[], &[]);
        let outside = Outside::new();
        let container = pod.start("exec sleep 1000");
        pod.grant(1, tradingbot::core::lease::Permit::Trade);
        active(&pod, 1).await;
        let measured = tokio::task::spawn_blocking(move || measure(&outside, &container)).await;
        tell.send(measured.unwrap_or_else(|end| std::panic::resume_unwind(end.into_panic()))).unwrap();
    });
    told.recv().unwrap()
}

#[test]
#[ignore = "takes minutes and a quiet machine: make bench-gate"]
fn bench_gate() {
    let all = [latency::added(), cut::cut(), throughput::thousand()];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench");
    fs::create_dir_all(&folder).unwrap();
    let text = serde_json::to_string_pretty(&all.iter().map(Figures::json).collect::<Vec<_>>()).unwrap();
    fs::write(folder.join("gate.json"), text + "\n").unwrap();
    for figures in &all {
        println!("{figures}");
    }
    let [latency, cut, _] = &all;
    assert!(latency.percentile(99) <= 0.3, "the gate adds more than 0.3 ms");
    assert!(cut.percentile(99) <= 5.0, "the last byte came more than 5 ms after the deadline");
}
