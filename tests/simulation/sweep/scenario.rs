//! The scenarios of the crash sweep.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;
use tokio::runtime::Builder;
use tokio::task::LocalSet;
use tokio::time::sleep;
use tradingbot_simulation::api_server::Fate;

use super::state;
use super::{Blow, Run};
use crate::world::World;
use crate::world::cluster::text;
use crate::world::network::Watch;
use crate::world::operators::is_own;
use crate::world::plan::{NAMESPACE, Plan};
use crate::world::trace::Trace;

/// A scenario comes to its end within this time, also with an operator that has to be started again.
const LIMIT: Duration = Duration::from_secs(300);
/// What follows later, such as the end of Jobs, has come by then.
const SETTLE: Duration = Duration::from_secs(45);
/// Between the death of an operator and the start of the next.
const RESTART: Duration = Duration::from_secs(1);
/// The bot.
pub const BOT: &str = "doge";
const NEW_IMAGE: &str = "example/bot:2";

/// What is done to a bot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// It is made.
    FirstStart,
    /// Its active dies; a reconciliation runs before the next one trades.
    Failover,
    /// Somebody asks for a switchover.
    Switchover,
    /// Its template changes.
    RollingUpdate,
    /// It is deleted.
    Deletion,
}

impl Scenario {
    /// All of them.
    pub const ALL: [Scenario; 5] =
        [Scenario::FirstStart, Scenario::Failover, Scenario::Switchover, Scenario::RollingUpdate, Scenario::Deletion];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Scenario::FirstStart => "first-start",
            Scenario::Failover => "failover",
            Scenario::Switchover => "switchover",
            Scenario::RollingUpdate => "rolling-update",
            Scenario::Deletion => "deletion",
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Scenario> {
        Scenario::ALL.into_iter().find(|scenario| scenario.as_str() == name)
    }

    fn begin(self, world: &World) {
        let api = &world.site.api;
        match self {
            Scenario::FirstStart => world.plan.bots.iter().for_each(|bot| world.apply(bot)),
            Scenario::Failover => {
                let active = world.status(BOT, "/trading/podUID");
                world.cluster.with_container(&active, |container| container.kill());
            }
            Scenario::Switchover => world.ask(BOT, "Switchover"),
            Scenario::RollingUpdate => {
                api.change("tradingbots", NAMESPACE, BOT, |bot| {
                    bot["spec"]["template"]["spec"]["containers"][0]["image"] = json!(NEW_IMAGE);
                });
            }
            Scenario::Deletion => {
                api.delete("tradingbots", NAMESPACE, BOT);
            }
        }
    }

    fn is_done(self, world: &World) -> bool {
        let later = || world.status(BOT, "/epoch").parse().unwrap_or(0) > 1;
        match self {
            Scenario::FirstStart => is_well(world),
            Scenario::Failover => is_well(world) && later(),
            Scenario::Switchover => {
                let operations = world.site.api.all("tradingbotoperations");
                is_well(world) && later() && operations.iter().all(|asked| text(asked, "/status/phase") == "Succeeded")
            }
            Scenario::RollingUpdate => {
                let pods = world.site.api.all("pods");
                let mut bots = pods.iter().filter(|pod| pod["metadata"]["labels"]["tradingbot.io/component"] == "bot");
                is_well(world) && later() && bots.all(|pod| text(pod, "/spec/containers/0/image") == NEW_IMAGE)
            }
            Scenario::Deletion => world.bot(BOT).is_none() && world.site.api.all("pods").is_empty(),
        }
    }
}

/// The bot trades, and its standbys are ready.
fn is_well(world: &World) -> bool {
    world.trades(BOT) && world.status(BOT, "/standbys/ready") == world.status(BOT, "/standbys/desired")
}

/// Runs a scenario on a virtual clock, with a blow to one of the operator's writes or undisturbed.
pub fn run(scenario: Scenario, blow: Option<(usize, Blow)>, print: bool) -> Run {
    let runtime =
        Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime can be made");
    runtime.block_on(LocalSet::new().run_until(live(scenario, blow, print)))
}

async fn live(scenario: Scenario, blow: Option<(usize, Blow)>, print: bool) -> Run {
    let world = World::new(1, Plan::steady(), Trace::new(print));
    let written = Arc::new(Mutex::new(None));
    world.operators.watch(writes(&world, &written, blow));
    world.operators.start(0);
    let count = || *written.lock().unwrap_or_else(PoisonError::into_inner) = Some(Vec::new());
    if scenario == Scenario::FirstStart {
        count();
        scenario.begin(&world);
    } else {
        Scenario::FirstStart.begin(&world);
        world.until(LIMIT, is_well).await;
        sleep(SETTLE).await;
        count();
        scenario.begin(&world);
    }
    let done = world.until(LIMIT, |world| scenario.is_done(world)).await;
    sleep(SETTLE).await;
    let writes = written.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default();
    Run { writes, done, end: state::of(&world), broken: world.site.exchange.broken() }
}

type Written = Arc<Mutex<Option<Vec<String>>>>;

/// Counts the writes of every process of the operator, from when there is a list, and strikes at one of them.
fn writes(world: &World, written: &Written, blow: Option<(usize, Blow)>) -> Arc<dyn Fn() -> Watch + Send + Sync> {
    let (operators, written) = (world.operators.clone(), written.clone());
    Arc::new(move || {
        let (operators, written) = (operators.clone(), written.clone());
        Box::new(move |call| {
            if is_own(call) {
                return None;
            }
            let mut written = written.lock().unwrap_or_else(PoisonError::into_inner);
            let list = written.as_mut()?;
            list.push(format!("{} {}", call.method, call.path));
            let (_, blow) = blow.filter(|(number, _)| *number + 1 == list.len())?;
            if blow != Blow::ReplyLost {
                operators.crash(0);
                operators.start_after(0, RESTART);
            }
            match blow {
                Blow::Before => Some(Fate::Lost),
                Blow::After | Blow::ReplyLost => Some(Fate::ReplyLost { before: Duration::from_millis(1) }),
            }
        })
    })
}
