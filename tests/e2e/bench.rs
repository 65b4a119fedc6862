//! How long nobody trades, at the exchange: medians over fresh bots. `make bench-failover` runs it; `RUNS` says how
//! often each is done.

use std::fs;

use serde_json::{Value, json};

use crate::harness::*;

/// So many runs unless RUNS says otherwise.
const RUNS: u32 = 10;

/// What all figures stand on: 20 orders a second, a hot standby, no restarts in place, no limits, leases of 10/2/6 s.
fn bench_bot() -> BotManifest {
    bot().hot().lease(10, 2, 6)
}

#[test]
#[ignore = "takes minutes: make bench-failover"]
fn bench_failover() {
    let all = [
        measure("crash-hot", 0.5, async |world, _| crash(world, bench_bot()).await),
        measure("crash-hot-job", 2.0, async |world, _| crash(world, bench_bot().reconciled()).await),
        measure("container-kill", 2.0, async |world, _| container_kill(world).await),
        measure("node-cut", 11.5, async |world, _| node_cut(world).await),
        measure("switchover", 0.5, async |world, _| switchover(world).await),
    ];
    write("failover.json", &all);
    let slow: Vec<_> = all.iter().filter(|f| f.percentile(50) > f.limit).map(|f| f.scenario).collect();
    assert!(slow.is_empty(), "the median is above its limit: {slow:?}");
}

/// Writes figures into a file of target/bench.
pub fn write(file: &str, all: &[Figures]) {
    let folder = root().join("target/bench");
    fs::create_dir_all(&folder).expect("target/bench can be made");
    let text = serde_json::to_string_pretty(&all.iter().map(Figures::json).collect::<Vec<_>>()).expect("JSON");
    fs::write(folder.join(file), text).expect("target/bench can be written");
}

pub struct Figures {
    pub scenario: &'static str,
    pub limit: f64,
    runs: Vec<f64>,
}

impl Figures {
    /// The smallest value that so many per cent of all do not exceed; the middle of two for the median.
    fn percentile(&self, percent: usize) -> f64 {
        let mut sorted = self.runs.clone();
        sorted.sort_by(f64::total_cmp);
        let n = sorted.len();
        if percent == 50 && n.is_multiple_of(2) {
            return f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]);
        }
        sorted[(n * percent).div_ceil(100) - 1]
    }

    pub fn max(&self) -> f64 {
        self.runs.iter().copied().fold(0.0, f64::max)
    }

    fn json(&self) -> Value {
        let max = self.max();
        let round = |s: f64| (s * 1000.0).round() / 1000.0;
        json!({
            "scenario": self.scenario, "n": self.runs.len(),
            "p50": round(self.percentile(50)), "p90": round(self.percentile(90)), "max": round(max),
        })
    }
}

/// Runs one scenario with a fresh world and bot each time, and nothing else on the cluster. Each run is told which share
/// of all runs was before it, at least 0 and below 1.
pub fn measure(name: &'static str, limit: f64, run: impl AsyncFn(&World, f64) -> f64) -> Figures {
    let wanted: u32 = std::env::var("RUNS").ok().and_then(|n| n.parse().ok()).unwrap_or(RUNS);
    let mut runs = Vec::new();
    for number in 1..=wanted {
        let share = f64::from(number - 1) / f64::from(wanted);
        let mut took = 0.0;
        scenario(name, Turn::Alone, async |world| {
            took = run(world, share).await;
            world.note(&format!("run {number} of {wanted}: s"), took);
        });
        runs.push(took);
    }
    let figures = Figures { scenario: name, limit, runs };
    say(&format!("{name}: median {:.3} s, to be at most {limit} s", figures.percentile(50)));
    figures
}

/// Seconds from the fault to the first order of the next epoch.
async fn from_fault(round: &Round, bot: &Bot) -> f64 {
    let first = bot.first_order_of_next(round).await;
    seconds_between(&round.marker, &first)
}

async fn crash(world: &World, manifest: BotManifest) -> f64 {
    let bot = world.apply(manifest).await;
    let active = bot.until_trading().await.active.expect("one trades").pod;
    let round = bot.begin_round("crash").await;
    bot.tell(&active, "crash").await;
    from_fault(&round, &bot).await
}

async fn container_kill(world: &World) -> f64 {
    let bot = world.apply(bench_bot()).await;
    let aim = bot.aim(&bot.until_trading().await.active.expect("one trades").pod).await;
    let round = bot.begin_round("SIGKILL to the container").await;
    aim.kill();
    from_fault(&round, &bot).await
}

async fn switchover(world: &World) -> f64 {
    let bot = world.apply(bench_bot()).await;
    bot.until_trading().await;
    let round = bot.begin_round("switchover").await;
    bot.ask("Switchover", None).await;
    let first = bot.first_order_of_next(&round).await;
    seconds_between(&bot.exchange.last_order_of(&round).await, &first)
}

async fn node_cut(world: &World) -> f64 {
    let leader = world.operator().leaders_node().await;
    world.exchange_on(&leader).await;
    let bot = world.apply(bench_bot().not_on(&leader)).await;
    let node = bot.until_trading().await.active.and_then(|a| a.node).expect("the active has a node");
    let round = bot.begin_round("the node is cut off").await;
    let cut = world.faults().cut_api(&node);
    let took = from_fault(&round, &bot).await;
    cut.heal();
    took
}
