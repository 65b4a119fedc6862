//! One seed from its beginning to its verdict.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::runtime::Builder;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep};

use crate::faults::{self, Scene};
use crate::world::World;
use crate::world::exchange::Broken;
use crate::world::plan::{NAMESPACE, Plan};
use crate::world::trace::Trace;

/// When faults have stopped, trading resumes within this time: a node that died counts as dead after 40 s, a lost pod as
/// alive after 60 s, a reconciliation may run for 20 s and be waited for 45 s longer, and containers that ended again and
/// again are started at growing distances.
pub const RESUMES_WITHIN: Duration = Duration::from_secs(420);
/// So long trading goes on undisturbed before a seed ends well.
const STEADY: Duration = Duration::from_secs(5);

/// What came of a seed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// The faults by name, and whether each took effect.
    pub faults: Vec<(String, bool)>,
    /// The rules that were broken.
    pub broken: Vec<Broken>,
    /// Orders that the exchange took.
    pub orders: u64,
    /// Virtual milliseconds in all, and those without trading after the faults had stopped.
    pub milliseconds: u64,
    /// See there.
    pub idle_milliseconds: u64,
    /// Bots that waited for a person, who then let them go on.
    pub persons: u64,
    /// The trace in one number.
    pub condensed: u64,
    /// The last lines of the trace, where a rule was broken.
    pub latest: Vec<String>,
}

/// Runs a seed on a thread of its own, whose clock is virtual.
pub fn run(seed: u64, print: bool) -> Outcome {
    let runtime =
        Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime can be made");
    let local = LocalSet::new();
    runtime.block_on(local.run_until(live(seed, print)))
}

async fn live(seed: u64, print: bool) -> Outcome {
    let began = Instant::now();
    let trace = Trace::new(print);
    let plan = Plan::draw(seed);
    trace.line("plan", format_args!("{plan:?}"));
    let faults = faults::draw(seed);
    let world = World::new(seed, plan, trace.clone());
    world.operators.start(0);
    world.operators.start(1);
    for bot in &world.plan.bots {
        world.apply(bot);
    }
    let mut happening = JoinSet::new();
    for (number, fault) in faults.iter().enumerate() {
        let scene = Scene::new(&world, seed, number, *fault);
        happening.spawn_local(async move { (number, faults::happen(scene).await) });
    }
    let mut effects = vec![false; faults.len()];
    while let Some(ended) = happening.join_next().await {
        let (number, effect) = ended.expect("a fault does not panic");
        effects[number] = effect;
        if !world.site.exchange.broken().is_empty() {
            break;
        }
    }
    let mut persons = 0;
    let stopped = Instant::now();
    if world.site.exchange.broken().is_empty() {
        heal(&world);
        persons = resume(&world).await;
    }
    let kinds = faults.iter().map(|fault| fault.kind.to_string());
    let broken = world.site.exchange.broken();
    let latest = if broken.is_empty() { Vec::new() } else { trace.latest() };
    Outcome {
        seed,
        faults: kinds.zip(effects).collect(),
        orders: world.site.exchange.orders(),
        milliseconds: milliseconds(began.elapsed()),
        idle_milliseconds: milliseconds(stopped.elapsed().saturating_sub(STEADY)),
        persons,
        condensed: trace.condensed(),
        latest,
        broken,
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// No fault goes on.
fn heal(world: &World) {
    world.site.trace.line("world", "the faults have stopped");
    world.site.network.heal();
    world.site.misbehaviour.end();
    world.cluster.heal();
    for at in 0..world.operators.count() {
        world.operators.start(at);
    }
    // Whoever resumed a bot does so again where the store was put back to a time before that.
    for bot in &world.plan.bots {
        world.site.api.change("tradingbots", NAMESPACE, &bot.name, |bot| bot["spec"]["suspend"] = false.into());
    }
}

/// Trading has to resume (I4). Where the resource waits for a person, one looks and lets it go on; answers how often.
async fn resume(world: &World) -> u64 {
    let end = Instant::now() + RESUMES_WITHIN;
    let mut persons = 0;
    for bot in &world.plan.bots {
        let name = &bot.name;
        let mut helped = 0;
        while !world.trades(name) && Instant::now() < end {
            sleep(Duration::from_millis(250)).await;
            if world.bot(name).is_none() {
                // The store was put back to a time when there was none; whoever made it makes it again.
                world.site.trace.line("person", format_args!("makes {name} again"));
                world.site.exchange.begins_anew(name);
                world.site.api.create("tradingbots", bot.object());
            }
            // No more often than a person would, and only where one is asked for.
            if helped < 3 && world.status(name, "/blocked") == "ReconciliationFailed" {
                helped += 1;
                persons += 1;
                sleep(Duration::from_secs(10)).await;
                world.site.trace.line("person", format_args!("lets {name} fail over"));
                world.ask(name, "Failover");
            }
        }
        if !world.trades(name) {
            let status = world.status(name, "");
            world
                .site
                .exchange
                .breaks("I4", format!("{name} does not trade {RESUMES_WITHIN:?} after the faults: {status}"));
        }
    }
    sleep(STEADY).await;
    persons
}
