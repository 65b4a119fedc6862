//! Bots that share a fault: half of them with the order gate, half without, all trading at one exchange.

use std::time::Duration;

use futures::future::join_all;
use kube::ResourceExt;
use serde_json::json;
use tradingbot::api::bot_status::Phase;

use crate::harness::verdict::Rule;
use crate::harness::*;

/// Seconds.
pub const LEASE: u32 = 4;
/// After the worst fault every bot is whole again within this.
const WHOLE: Duration = Duration::from_secs(150);

/// It does not wait for answers, and is between its check and its send for half of the time.
const ARGUMENTS: [&str; 6] = ["--orders-per-second", "20", "--pipeline", "64", "--sign-milliseconds", "25"];

/// A bot of the fleet.
#[derive(Clone)]
pub struct Member {
    pub bot: Bot,
    pub gated: bool,
}

/// The active of a bot at the moment of a fault.
pub struct Target {
    pub member: Member,
    pub round: Round,
    pub pod_uid: String,
    pub aim: Aim,
}

/// The bots, and the node that is never hit.
pub struct Fleet {
    pub members: Vec<Member>,
}

impl Fleet {
    /// So many bots with the gate and as many without. The exchange is beside the leading operator, and bots are on the
    /// other nodes, each pod of a bot on another.
    pub async fn start(world: &World, pairs: usize) -> Fleet {
        let exchange_on = world.operator().leaders_node().await;
        world.exchange_on(&exchange_on).await;
        let mut members = Vec::new();
        for n in 0..pairs {
            let without =
                world.apply_judged_without(manifest(&format!("bare-{n}"), &exchange_on), &[Rule::I1, Rule::I2]);
            members.push(Member { bot: without.await, gated: false });
            let with = manifest(&format!("gated-{n}"), &exchange_on).with("/spec/orderGate", json!({}));
            members.push(Member { bot: world.apply(with).await, gated: true });
        }
        let fleet = Fleet { members };
        fleet.until_whole().await;
        fleet
    }

    /// Waits until every bot trades and has its standby.
    pub async fn until_whole(&self) {
        join_all(self.members.iter().map(|member| async {
            let whole = member.bot.until("it trades and has its standby", WHOLE, |s| {
                s.phase == Phase::Active
                    && s.active.as_ref().is_some_and(|a| a.since_time.is_some())
                    && s.standbys.ready >= s.standbys.desired
            });
            whole.await;
        }))
        .await;
    }

    /// Brings all actives to the node that most of them are on, and returns it.
    pub async fn gather(&self) -> String {
        let nodes = join_all(self.members.iter().map(|member| async {
            member.bot.status().await.active.and_then(|active| active.node).expect("the active has a node")
        }))
        .await;
        let most = nodes.iter().max_by_key(|node| nodes.iter().filter(|other| other == node).count());
        let node = most.expect("there are bots").clone();
        join_all(self.members.iter().zip(&nodes).filter(|(_, on)| **on != node).map(|(member, _)| async {
            let epoch = member.bot.status().await.epoch;
            member.bot.ask("Switchover", None).await;
            member.bot.until_moved_beyond(epoch).await;
        }))
        .await;
        self.until_whole().await;
        for member in &self.members {
            let on = member.bot.status().await.active.and_then(|active| active.node);
            assert_eq!(on.as_ref(), Some(&node), "the active of {} is not where all others are", member.bot.name);
        }
        node
    }

    /// Marks the round in the log, each bot having traded right before, and finds what is to be hit.
    pub async fn begin_round(&self, fault: &str) -> Vec<Target> {
        join_all(self.members.iter().map(|member| async {
            let active = member.bot.active().await;
            let aim = member.bot.aim(&active.name_any()).await;
            let round = member.bot.begin_round(fault).await;
            Target { member: member.clone(), round, pod_uid: active.uid().expect("pods have uids"), aim }
        }))
        .await
    }
}

/// A hot bot with an order on the way at any moment.
fn manifest(name: &str, exchange_on: &str) -> BotManifest {
    let apart = json!({"requiredDuringSchedulingIgnoredDuringExecution": [{
        "labelSelector": {"matchLabels": {"tradingbot.io/bot": name}}, "topologyKey": "kubernetes.io/hostname",
    }]});
    bot()
        .named(name)
        .hot()
        .lease(LEASE, 1, 2)
        .not_on(exchange_on)
        .with("/spec/template/spec/affinity/podAntiAffinity", apart)
        .with("/spec/template/spec/containers/0/args", json!(ARGUMENTS))
}
