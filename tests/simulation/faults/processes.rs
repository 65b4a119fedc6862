//! Faults of operators, agents, bots and nodes.

use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};
use tradingbot::core::agent::Exit;

use super::kinds::Kind;
use super::objects::recreate;
use super::scene::{Scene, within};
use crate::world::World;
use crate::world::cluster::text;
use crate::world::network::{Cut, Trouble, What};
use crate::world::operators::{NextWrite, process_of};
use crate::world::plan::NAMESPACE;

/// Within this time trading has moved from a pod that is lost, where nothing else is wrong.
const MOVED: Duration = Duration::from_secs(20);

/// See [`super::happen`].
pub async fn happen(scene: &Scene) -> bool {
    match scene.fault.kind {
        Kind::LeaderCrashed => crash(scene, scene.world.operators.leader().into_iter().collect()),
        Kind::OperatorsCrashed => crash(scene, (0..scene.world.operators.count()).collect()),
        Kind::OperatorsCrashedThenCut => crash_then_cut(scene).await,
        Kind::OldViewLeads => old_view_leads(scene).await,
        Kind::CrashAtWrite => crash_at_write(scene).await,
        Kind::FrozenAtWrite => freeze_at_write(scene).await,
        Kind::LeaderFrozen => freeze(scene, scene.world.operators.leader().into_iter().collect()).await,
        Kind::OperatorsFrozen => freeze(scene, (0..scene.world.operators.count()).collect()).await,
        Kind::ActiveKilled => kill(scene, scene.active().into_iter().collect()),
        Kind::StandbyKilled => kill(scene, scene.random.pick(&scene.standbys()).into_iter().collect()),
        Kind::StandbysKilled => kill(scene, scene.standbys()),
        Kind::CandidateKilled => kill_candidate(scene).await,
        Kind::BotExited => bot_exits(scene),
        Kind::AgentFrozen => freeze_agent(scene).await,
        Kind::NodeCut => cut(scene, scene.active_node(), Cut::All).await,
        Kind::NodeCutFromApi => cut(scene, scene.active_node(), Cut::Api).await,
        Kind::NodeHearsNothing => cut(scene, scene.active_node(), Cut::Replies).await,
        Kind::NodeCutFromExchange => cut(scene, scene.active_node(), Cut::Exchange).await,
        Kind::OtherNodeCut => {
            let active = scene.active_node();
            let others: Vec<_> =
                scene.world.cluster.nodes().into_iter().filter(|n| Some(n) != active.as_ref()).collect();
            cut(scene, scene.random.pick(&others), Cut::All).await
        }
        Kind::PowerCut => power_cut(scene, scene.active_node()).await,
        Kind::KubeletStopped => stop_kubelet(scene).await,
        _ => false,
    }
}

fn crash(scene: &Scene, replicas: Vec<usize>) -> bool {
    let operators = &scene.world.operators;
    let mut crashed = false;
    for at in replicas {
        scene.tell(&format!("operator-{at} is killed"));
        crashed |= operators.crash(at);
        operators.start_after(at, within(scene.fault.lasts, 500, 8_000));
    }
    crashed
}

/// The active has renewed its Lease while nobody looked, and is silent when the operators are back.
async fn crash_then_cut(scene: &Scene) -> bool {
    let operators = &scene.world.operators;
    let (away, before) = (scene.random.millis(6_000, 20_000), scene.random.millis(0, 2_000));
    scene.tell(&format!("all operators are killed and start after {away:?}"));
    for at in 0..operators.count() {
        operators.crash(at);
        operators.start_after(at, away);
    }
    sleep(away - before).await;
    cut(scene, scene.active_node(), Cut::Api).await
}

/// What the replica that does not lead sees of the cluster comes to a halt around the time at which something happens,
/// and goes on being what it knows when it leads, and has work to do.
async fn old_view_leads(scene: &Scene) -> bool {
    let operators = &scene.world.operators;
    let Some(leader) = operators.leader() else { return false };
    let others = (0..operators.count()).filter(|at| *at != leader);
    let end = scene.end();
    let happens = scene.random.below(4);
    scene.tell(&format!("operator-{leader} dies later, the others see nothing new from soon on, case {happens}"));
    match happens {
        0 | 1 => drop(scene.world.site.api.delete("leases", NAMESPACE, &scene.bot)),
        2 => drop(kill(scene, scene.active().into_iter().collect())),
        _ => {}
    }
    sleep(scene.random.millis(0, 5_000)).await;
    let stalled = Trouble::always(end, What::Stalled);
    others.for_each(|at| scene.world.site.network.trouble(&process_of(at), stalled.clone()));
    // What happened is over by then, so that the view is wrong.
    let epoch = scene.world.status(&scene.bot, "/epoch");
    let over = |world: &World| {
        let moved = happens > 2 || world.status(&scene.bot, "/epoch") != epoch;
        moved && world.trades(&scene.bot)
    };
    scene.world.until(MOVED, over).await;
    sleep(scene.random.millis(0, 3_000)).await;
    let crashed = operators.crash(leader);
    operators.start_after(leader, scene.random.millis(5_000, 20_000));
    let another_leads = |scene: &Scene| scene.world.operators.leader().is_some_and(|at| at != leader);
    if !scene.until(another_leads).await {
        return false;
    }
    match scene.random.below(4) {
        0 | 1 => drop(recreate(scene).await),
        2 => scene.world.ask(&scene.bot, "Switchover"),
        _ => drop(kill(scene, scene.active().into_iter().collect())),
    }
    sleep(end.saturating_duration_since(Instant::now())).await;
    crashed
}

/// The process dies in the middle of what it writes, which is there or not.
async fn crash_at_write(scene: &Scene) -> bool {
    let operators = scene.world.operators.clone();
    let Some(leader) = operators.leader() else { return false };
    let committed = scene.random.percent(50);
    let write = next_write(scene);
    scene.tell(&format!("operator-{leader} is to die at its {write:?}, committed {committed}"));
    let died = operators.crash_at_write(leader, write, committed);
    give_work(scene);
    scene.last().await;
    operators.start(leader);
    died.load(std::sync::atomic::Ordering::Relaxed)
}

/// The process stands still after it has asked whether it leads and before what it writes has arrived.
async fn freeze_at_write(scene: &Scene) -> bool {
    let operators = scene.world.operators.clone();
    let Some(leader) = operators.leader() else { return false };
    let (write, time) = (next_write(scene), scene.random.millis(6_000, 25_000));
    scene.tell(&format!("operator-{leader} is to stop for {time:?} at its {write:?}"));
    let stopped = operators.freeze_at_write(leader, write, time);
    give_work(scene);
    scene.last().await;
    stopped.load(std::sync::atomic::Ordering::Relaxed)
}

/// Most writes are of labels and children; half of the times it is one on which hangs who trades.
fn next_write(scene: &Scene) -> NextWrite {
    let of_lease = scene.random.percent(50);
    NextWrite { after: scene.random.below(if of_lease { 4 } else { 10 }), of_lease }
}

/// What a leader that has nothing to do would not write.
fn give_work(scene: &Scene) {
    match scene.random.below(3) {
        0 => scene.world.ask(&scene.bot, "Switchover"),
        1 => drop(kill(scene, scene.active().into_iter().collect())),
        _ => {}
    }
}

async fn freeze(scene: &Scene, replicas: Vec<usize>) -> bool {
    let frozen: Vec<_> =
        replicas.into_iter().filter(|at| scene.world.operators.freeze(*at, scene.fault.lasts)).collect();
    scene.tell(&format!("operators {frozen:?} are stopped for {:?}", scene.fault.lasts));
    scene.last().await;
    !frozen.is_empty()
}

pub(super) fn kill(scene: &Scene, pods: Vec<Value>) -> bool {
    let mut killed = false;
    for pod in pods {
        let (name, uid) = (text(&pod, "/metadata/name"), text(&pod, "/metadata/uid"));
        let hit = scene.world.cluster.with_container(uid, |container| container.kill()).is_some();
        scene.tell(&format!("the container of {name} is killed, it ran: {hit}"));
        killed |= hit;
    }
    killed
}

async fn kill_candidate(scene: &Scene) -> bool {
    let promoted = |scene: &Scene| {
        matches!(scene.world.status(&scene.bot, "/phase").as_str(), "Preparing" | "Activating")
            && scene.holder().is_some()
    };
    if !scene.until(promoted).await {
        return false;
    }
    sleep(scene.random.millis(0, 1_500)).await;
    let Some(uid) = scene.holder() else { return false };
    let pods = scene.pods().into_iter().filter(|pod| text(pod, "/metadata/uid") == uid).collect();
    kill(scene, pods)
}

fn bot_exits(scene: &Scene) -> bool {
    let Some(pod) = scene.active() else { return false };
    let uid = text(&pod, "/metadata/uid");
    scene.tell(&format!("the bot in {} ends", text(&pod, "/metadata/name")));
    scene.world.cluster.with_container(uid, |container| container.bot_exits(Exit::Code(1))).unwrap_or(false)
}

/// The agent and all that it sends stand still; its guard does not.
async fn freeze_agent(scene: &Scene) -> bool {
    let Some(pod) = scene.active() else { return false };
    let uid = text(&pod, "/metadata/uid");
    let time = scene.fault.lasts;
    let hit = scene.world.cluster.with_container(uid, |container| container.freeze.begin(time)).is_some();
    scene.tell(&format!("the agent of {} is stopped for {time:?}, it ran: {hit}", text(&pod, "/metadata/name")));
    scene.world.site.network.trouble(uid, Trouble::always(scene.end(), What::Frozen));
    scene.last().await;
    hit
}

async fn cut(scene: &Scene, node: Option<String>, what: Cut) -> bool {
    let Some(node) = node else { return false };
    scene.tell(&format!("{node}, {what:?}, for {:?}", scene.fault.lasts));
    scene.world.site.network.cut(&node, scene.fault.lasts, what);
    scene.last().await;
    true
}

pub(super) async fn power_cut(scene: &Scene, node: Option<String>) -> bool {
    let Some(node) = node else { return false };
    scene.tell(&format!("{node} is dark for {:?}", scene.fault.lasts));
    scene.world.cluster.with_node(&node, |node| node.power_cut(scene.fault.lasts));
    scene.last().await;
    true
}

async fn stop_kubelet(scene: &Scene) -> bool {
    let Some(node) = scene.active_node() else { return false };
    scene.tell(&format!("the kubelet of {node} is stopped for {:?}", scene.fault.lasts));
    let stopped = scene.world.cluster.with_node(&node, |node| node.stop_kubelet(scene.fault.lasts)).is_some();
    scene.last().await;
    stopped
}
