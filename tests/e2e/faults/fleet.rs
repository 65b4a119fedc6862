//! The bots that share the rounds: most with short leases, some with the defaults; some reconciled, some warm.

use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tradingbot::api::bot_status::{Phase, TradingBotStatus};

use super::judge::{Judge, address_of};
use crate::harness::entry::Entry;
use crate::harness::*;

/// The shortest lease that the schema allows, in seconds: for volume.
pub const SHORT: u32 = 4;
/// The default.
pub const DEFAULT: u32 = 10;
/// After the worst fault every bot is whole again within this.
const WHOLE: Duration = Duration::from_secs(180);

/// So that a round can begin at any moment: ten orders a second are less than 200 ms apart.
const RATE: &str = "10";

/// A bot of the fleet.
#[derive(Clone)]
pub struct Member {
    pub bot: Bot,
    /// Its lease time in seconds.
    pub lease: u32,
}

impl Member {
    pub fn lease_time(&self) -> Duration {
        Duration::from_secs(self.lease.into())
    }
}

/// The active of a bot at the moment of a fault.
pub struct Target {
    pub member: Member,
    pub round: Round,
    pub epoch: u64,
    pub pod: String,
    pub pod_uid: String,
    pub node: String,
    pub aim: Aim,
}

/// The bots, what the API server says of them, and their judge.
pub struct Fleet {
    pub members: Vec<Member>,
    pub view: View,
    pub judge: Mutex<Judge>,
    pub exchange: Exchange,
    /// The node that is never hit: of the exchange, and of the leading operator.
    pub safe: String,
}

impl Fleet {
    /// So many bots. The exchange is beside the leading operator; bots are on the other nodes, each pod of a bot on
    /// another. Reconciliations run beside the exchange, or where bots are.
    pub async fn start(world: &World, size: usize, jobs_anywhere: bool) -> Fleet {
        let safe = world.operator().leaders_node().await;
        let exchange = world.exchange_on(&safe).await;
        let view = View::of(&world.cluster, &world.namespace);
        let mut members = Vec::new();
        for n in 0..size {
            // A seventh with the defaults, half reconciled, a fifth warm; all combinations come up.
            let (lease, warm) = (if n % 7 == 2 { DEFAULT } else { SHORT }, n % 5 == 1);
            let manifest = manifest(&format!("m{n:02}"), &safe, lease, warm);
            let manifest = if n % 2 == 0 {
                manifest.reconciled_by(reconciliation(&exchange.address, &safe, jobs_anywhere))
            } else {
                manifest
            };
            // The fleet has a judge of its own, which reads on from round to round.
            let bot = world.apply_at(exchange.clone(), manifest).await;
            members.push(Member { bot, lease });
        }
        let bots: Vec<Bot> = members.iter().map(|m| m.bot.clone()).collect();
        let judge = Mutex::new(Judge::new(exchange.clone(), &bots));
        let fleet = Fleet { members, view, judge, exchange, safe };
        join_all(fleet.members.iter().map(|member| fleet.until_whole(member))).await;
        fleet
    }

    /// Whether this bot trades and has its standby.
    pub fn is_whole(&self, member: &Member) -> bool {
        self.view.now().status(&member.bot.name).is_some_and(is_whole)
    }

    /// Waits until this bot trades and has its standby.
    pub async fn until_whole(&self, member: &Member) {
        let name = &member.bot.name;
        self.view
            .until(&format!("{name} trades and has its standby"), WHOLE, |known| {
                known.status(name).is_some_and(is_whole).then_some(())
            })
            .await;
    }

    /// Brings the actives of these to the node that most of them are on.
    pub async fn gather(&self, members: &[&Member]) {
        let node_of = |member: &Member| {
            let known = self.view.now();
            known.status(&member.bot.name).and_then(|s| s.active.as_ref()?.node.clone()).unwrap_or_default()
        };
        let nodes: Vec<String> = members.iter().copied().map(node_of).collect();
        let most = nodes.iter().max_by_key(|node| nodes.iter().filter(|other| other == node).count());
        let node = most.expect("there are bots").clone();
        join_all(members.iter().zip(&nodes).filter(|(_, on)| **on != node).map(|(member, _)| async {
            let epoch = member.bot.status().await.epoch;
            member.bot.ask("Switchover", None).await;
            self.until_trades_beyond(member, epoch, WHOLE).await;
            self.until_whole(member).await;
        }))
        .await;
    }

    /// Waits until the status says that a later epoch trades.
    pub async fn until_trades_beyond(&self, member: &Member, epoch: u64, limit: Duration) -> TradingBotStatus {
        let name = &member.bot.name;
        let what = format!("a later epoch of {name} than {epoch} trades");
        self.view
            .until(&what, limit, |known| {
                let status = known.status(name)?;
                let last = status.failover.history.first()?;
                (status.phase == Phase::Active && last.epoch > epoch).then(|| status.clone())
            })
            .await
    }

    /// The pod that this order came from, by its address.
    pub async fn trader_of(&self, order: &Entry) -> String {
        let address = address_of(order);
        let has_it = |pod: &&Pod| pod.status.as_ref().and_then(|s| s.pod_ip.as_deref()) == address;
        self.view
            .until(&format!("a pod is known to have the address {address:?}"), SOON, |known| {
                known.pods.values().find(has_it).map(ResourceExt::name_any)
            })
            .await
    }

    /// Marks the round in the log, the bot having traded right before, and finds what is to be hit.
    pub async fn begin_round(&self, member: &Member, fault: &str) -> Target {
        let bot = &member.bot;
        let round = bot.begin_round(fault).await;
        let pod = self.trader_of(&round.order).await;
        // Standbys are asked of the status, which may be behind.
        self.view
            .until(&format!("the status of {} says that {pod} trades", bot.name), SOON, |known| {
                let status = known.status(&bot.name)?;
                let its = status.trading.as_ref().map(|ledger| ledger.epoch) == round.order.epoch;
                (its && status.active.as_ref().is_some_and(|active| active.pod == pod)).then_some(())
            })
            .await;
        let active = bot.pod(&pod).await.expect("the pod that trades is there");
        let node = active.spec.as_ref().and_then(|s| s.node_name.clone()).expect("the pod has a node");
        let aim = bot.aim(&pod).await;
        let epoch = round.order.epoch.expect("orders carry an epoch");
        let pod_uid = active.uid().expect("pods have uids");
        Target { member: member.clone(), round, epoch, pod, pod_uid, node, aim }
    }
}

fn is_whole(status: &TradingBotStatus) -> bool {
    status.phase == Phase::Active
        && status.active.as_ref().is_some_and(|a| a.since_time.is_some())
        && status.standbys.ready >= status.standbys.desired
}

/// All orders go through the gate: what passes without it is measured by `make gate-rounds`.
fn manifest(name: &str, exchange_on: &str, lease: u32, warm: bool) -> BotManifest {
    let apart = json!({"requiredDuringSchedulingIgnoredDuringExecution": [{
        "labelSelector": {"matchLabels": {"tradingbot.io/bot": name, "tradingbot.io/component": "bot"}},
        "topologyKey": "kubernetes.io/hostname",
    }]});
    let manifest = bot().named(name).not_on(exchange_on);
    let manifest = if lease == SHORT { manifest.lease(4, 1, 2) } else { manifest.lease(10, 2, 6) };
    let manifest = if warm { manifest } else { manifest.hot() };
    manifest
        .with("/spec/orderGate", json!({}))
        .with("/spec/template/spec/affinity/podAntiAffinity", apart)
        .with("/spec/template/spec/containers/0/args", json!(["--orders-per-second", RATE]))
}

/// A template of its own: a Job like the bot's pods would keep away from them.
fn reconciliation(exchange: &str, safe: &str, anywhere: bool) -> Value {
    let operator = if anywhere { "NotIn" } else { "In" };
    let place =
        json!({"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": operator, "values": [safe]}]});
    let pod = json!({
        "restartPolicy": "Never",
        "securityContext": restricted_pod(),
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [place]}}},
        "containers": [{
            "name": "reconcile",
            "image": DEMO_IMAGE,
            "imagePullPolicy": "IfNotPresent",
            "command": ["/paper-reconcile", "--delay", "2"],
            "env": [{"name": "EXCHANGE_URL", "value": exchange}],
            "securityContext": restricted_container(),
        }],
    });
    json!({"jobTemplate": {"spec": {"template": {"spec": pod}}}, "deadlineSeconds": 20})
}
