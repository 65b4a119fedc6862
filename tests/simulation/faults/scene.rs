//! Where a fault happens: whom it hits, found out when it begins.

use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};
use tradingbot::api::names::{LABEL_BOT, LABEL_COMPONENT};

use super::schedule::Fault;
use crate::world::World;
use crate::world::cluster::text;
use crate::world::network::{Trouble, What};
use crate::world::operators::process_of;
use crate::world::plan::NAMESPACE;
use crate::world::random::Random;

/// A fault about to happen in a world.
pub struct Scene {
    /// The world.
    pub world: World,
    /// The fault.
    pub fault: Fault,
    /// Decides what the fault leaves open.
    pub random: Random,
    /// The bot that is hit.
    pub bot: String,
}

impl Scene {
    /// The scene of the `number`th fault of a seed.
    pub fn new(world: &World, seed: u64, number: usize, fault: Fault) -> Self {
        let random = Random::new(seed, &format!("fault {number}"));
        let bot = random.pick(&world.plan.bots).map(|bot| bot.name).unwrap_or_default();
        Self { world: world.clone(), fault, random, bot }
    }

    /// Says what is done.
    pub fn tell(&self, what: &str) {
        self.world.site.trace.line("fault", format_args!("{}: {what}", self.fault.kind));
    }

    /// When it is over.
    pub fn end(&self) -> Instant {
        Instant::now() + self.fault.lasts
    }

    /// Waits as long as it lasts.
    pub async fn last(&self) {
        sleep(self.fault.lasts).await;
    }

    /// The pods of the bot.
    pub fn pods(&self) -> Vec<Value> {
        let mut pods = self.world.site.api.all("pods");
        pods.retain(|pod| {
            let labels = &pod["metadata"]["labels"];
            labels[LABEL_BOT] == self.bot && labels[LABEL_COMPONENT] == "bot"
        });
        pods
    }

    /// The pod that trades or is about to: whom the ledger names, or else the Lease.
    pub fn active(&self) -> Option<Value> {
        let ledger = self.world.status(&self.bot, "/trading/podUID");
        let uid = if ledger.is_empty() { self.holder()? } else { ledger };
        self.pods().into_iter().find(|pod| text(pod, "/metadata/uid") == uid)
    }

    /// The pod uid of the Lease's holder.
    pub fn holder(&self) -> Option<String> {
        let lease = self.lease()?;
        let (_, uid) = lease.pointer("/spec/holderIdentity")?.as_str()?.split_once('/')?;
        Some(uid.to_owned())
    }

    /// The bot's Lease.
    pub fn lease(&self) -> Option<Value> {
        self.world.site.api.get("leases", NAMESPACE, &self.bot)
    }

    /// The pods that are not the active one.
    pub fn standbys(&self) -> Vec<Value> {
        let active = self.active().map(|pod| text(&pod, "/metadata/uid").to_owned());
        let mut pods = self.pods();
        pods.retain(|pod| Some(text(pod, "/metadata/uid")) != active.as_deref());
        pods
    }

    /// The node of the active pod.
    pub fn active_node(&self) -> Option<String> {
        let node = text(&self.active()?, "/spec/nodeName").to_owned();
        (!node.is_empty()).then_some(node)
    }

    /// Whose requests are troubled: an operator, the active's agent, or everyone's.
    pub fn processes(&self) -> Vec<String> {
        let operators = || (0..self.world.operators.count()).map(process_of);
        let agents = || self.pods().into_iter().map(|pod| text(&pod, "/metadata/uid").to_owned());
        let leader = self.world.operators.leader().map(process_of);
        let active = self.active().map(|pod| text(&pod, "/metadata/uid").to_owned());
        match self.random.below(4) {
            0 => leader.into_iter().collect(),
            1 => active.into_iter().collect(),
            2 => operators().collect(),
            _ => operators().chain(agents()).collect(),
        }
    }

    /// Makes trouble for some processes while the fault lasts; answers whether anything was hit.
    pub async fn trouble(&self, what: What) -> bool {
        let single = self.random.percent(30);
        let percent = if single { 100 } else { 20 + self.random.below(81) };
        let trouble = Trouble { percent, most: if single { 1 } else { u32::MAX }, ..Trouble::always(self.end(), what) };
        let processes = self.processes();
        self.tell(&format!("{percent} % of {processes:?} for {:?}, single {single}", self.fault.lasts));
        for process in &processes {
            self.world.site.network.trouble(process, trouble.clone());
        }
        self.last().await;
        trouble.hits.load(std::sync::atomic::Ordering::Relaxed) > 0
    }

    /// Waits until this is so while the fault may last; answers whether it came to be.
    pub async fn until(&self, is: impl Fn(&Scene) -> bool) -> bool {
        self.world.until(self.fault.lasts, |_| is(self)).await
    }

    /// Changes the spec as a person does, by a merge patch.
    pub fn change_spec(&self, change: impl FnOnce(&mut Value)) -> bool {
        self.world.site.api.change("tradingbots", NAMESPACE, &self.bot, |bot| {
            change(&mut bot["spec"]);
        })
    }
}

/// At least so long, at most so long.
pub fn within(time: Duration, least: u64, most: u64) -> Duration {
    time.clamp(Duration::from_millis(least), Duration::from_millis(most))
}
