//! Faults of the node that all actives are on.

use std::time::Duration;

use futures::FutureExt;
use futures::future::{LocalBoxFuture, join_all};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::Api;
use tradingbot::api::bot_status::Evidence;

use super::fault::{Outcome, Stage, Struck};
use super::fleet::Target;
use crate::harness::entry::Entry;
use crate::harness::*;

/// A cut is healed so many seconds after the first order of the last new active, by turns.
const HEALED_AFTER: [u64; 3] = [5, 20, 60];

/// The node of most actives.
fn node_of(targets: &[Target]) -> String {
    let most = targets.iter().max_by_key(|t| targets.iter().filter(|o| o.node == t.node).count());
    most.expect("there are targets").node.clone()
}

pub fn cut_both_ways<'a>(
    stage: &'a Stage<'a>,
    targets: &'a [Target],
    number: usize,
) -> LocalBoxFuture<'a, Vec<Outcome>> {
    async move { cut(stage, targets, number, |faults, node| faults.cut_link(node)).await }.boxed_local()
}

pub fn cut_in<'a>(stage: &'a Stage<'a>, targets: &'a [Target], number: usize) -> LocalBoxFuture<'a, Vec<Outcome>> {
    async move { cut(stage, targets, number, |faults, node| faults.cut_in(node)).await }.boxed_local()
}

pub fn cut_out<'a>(stage: &'a Stage<'a>, targets: &'a [Target], number: usize) -> LocalBoxFuture<'a, Vec<Outcome>> {
    async move { cut(stage, targets, number, |faults, node| faults.cut_out(node)).await }.boxed_local()
}

pub fn cut_from_api<'a>(
    stage: &'a Stage<'a>,
    targets: &'a [Target],
    number: usize,
) -> LocalBoxFuture<'a, Vec<Outcome>> {
    async move { cut(stage, targets, number, |faults, node| faults.cut_api(node)).await }.boxed_local()
}

/// Cuts, waits until others trade, and heals.
async fn cut(
    stage: &Stage<'_>,
    targets: &[Target],
    number: usize,
    by: impl Fn(&Faults, &str) -> Lasting,
) -> Vec<Outcome> {
    let node = node_of(targets);
    let cut = by(&stage.world.faults(), &node);
    let moved = moved_by_silence(stage, targets, &node).await;
    tokio::time::sleep(Duration::from_secs(HEALED_AFTER[number % HEALED_AFTER.len()])).await;
    // Cut off is not dead: the agents are there, and meet the network again.
    let alive: Vec<bool> = targets.iter().map(|t| t.aim.processes().iter().any(|p| p.inside == 1)).collect();
    cut.heal();
    stage.world.cluster.until_nodes_are_ready().await;
    let outcomes = targets.iter().zip(moved).zip(alive).map(|((target, moved), alive)| {
        let proof = moved?;
        if !alive {
            return Err(format!("the agent of {} had died", target.pod));
        }
        Ok(Struck::moves(format!("{proof}, the old agent alive when the cut was healed")))
    });
    outcomes.collect()
}

/// Waits until all of this node have moved, on no other evidence than silence.
async fn moved_by_silence(stage: &Stage<'_>, targets: &[Target], node: &str) -> Vec<Result<String, String>> {
    join_all(targets.iter().map(|target| async move {
        if target.node != node {
            return Err(format!("its active is on {}", target.node));
        }
        let first = target.member.bot.exchange.first_order_of_next(&target.round, SOON).await;
        let status = stage.fleet.until_trades_beyond(&target.member, target.epoch, SOON).await;
        let evidence = status.failover.history.iter().rev().find(|m| m.epoch > target.epoch).and_then(|m| m.evidence);
        if evidence != Some(Evidence::LeaseExpired) {
            return Err(format!("the evidence is {evidence:?}"));
        }
        Ok(format!(
            "evidence LeaseExpired, another traded after {:.1} s",
            seconds_between(&target.round.marker, &first)
        ))
    }))
    .await
}

/// The exchange is out of reach, the API server is not: the active keeps its Lease, and nobody else may trade.
pub fn cut_from_exchange<'a>(
    stage: &'a Stage<'a>,
    targets: &'a [Target],
    number: usize,
) -> LocalBoxFuture<'a, Vec<Outcome>> {
    async move {
        let node = node_of(targets);
        let pods: Api<Pod> = Api::namespaced(stage.world.cluster.client.clone(), &stage.world.namespace);
        let exchange = pods.get("exchange").await.expect("the exchange's pod").status.and_then(|s| s.pod_ip);
        let cut = stage.world.faults().cut_address(&node, &exchange.expect("it has an address"));
        let from = stage.fleet.exchange.mark(serde_json::json!({"text": "the exchange is cut off"})).await;
        tokio::time::sleep(Duration::from_secs(HEALED_AFTER[number % HEALED_AFTER.len()])).await;
        let healed = stage.fleet.exchange.mark(serde_json::json!({"text": "healed"})).await;
        cut.heal();
        let mut judge = stage.fleet.judge.lock().await;
        judge.read().await;
        let outcome = |target: &Target| match judge.of_old_between(&target.round, from.seq, healed.seq) {
            _ if target.node != node => Err(format!("its active is on {}", target.node)),
            0 => Ok(Struck::stays("no order came while it was cut off", healed.clone())),
            came => Err(format!("{came} orders came through the cut")),
        };
        targets.iter().map(outcome).collect()
    }
    .boxed_local()
}

/// The node loses its power.
pub fn powered_off<'a>(stage: &'a Stage<'a>, targets: &'a [Target], _: usize) -> LocalBoxFuture<'a, Vec<Outcome>> {
    async move {
        let node = node_of(targets);
        let off = stage.world.faults().power_off(&node);
        let dead: Vec<bool> = targets.iter().map(|target| target.aim.processes().is_empty()).collect();
        let moved = moved_by_silence(stage, targets, &node).await;
        off.heal();
        stage.world.cluster.until_nodes_are_ready().await;
        let outcomes = moved.into_iter().zip(dead).map(|(moved, dead)| {
            let proof = moved?;
            if dead { Ok(Struck::moves(format!("{proof}, no process left"))) } else { Err("it lives".to_owned()) }
        });
        outcomes.collect()
    }
    .boxed_local()
}

/// The kubelet is gone until the node counts as lost: no reason to move. Nothing is learned of containers there.
pub fn kubelet_stopped<'a>(stage: &'a Stage<'a>, targets: &'a [Target], _: usize) -> LocalBoxFuture<'a, Vec<Outcome>> {
    async move {
        let node = node_of(targets);
        let stopped = stage.world.faults().stop_kubelet(&node);
        let lost = until_node_counts_as_lost(stage, &node).await;
        let seen = lost.wall_milliseconds;
        tokio::time::sleep(Duration::from_secs(10)).await;
        let now = stage.fleet.exchange.mark(serde_json::json!({"text": "the kubelet comes back"})).await;
        stopped.heal();
        stage.world.cluster.until_nodes_are_ready().await;
        let proof = format!("the node was NotReady for {:.0} s", (now.wall_milliseconds - seen) as f64 / 1000.0);
        let on_it = |target: &Target| {
            if target.node != node {
                return Err(format!("its active is on {}", target.node));
            }
            Ok(Struck::stays(proof.clone(), lost.clone()))
        };
        targets.iter().map(on_it).collect()
    }
    .boxed_local()
}

/// The kubelet is gone and then the containers end, of which nobody tells.
pub fn killed_without_kubelet<'a>(
    stage: &'a Stage<'a>,
    targets: &'a [Target],
    _: usize,
) -> LocalBoxFuture<'a, Vec<Outcome>> {
    async move {
        let node = node_of(targets);
        let stopped = stage.world.faults().stop_kubelet(&node);
        targets.iter().filter(|t| t.node == node).for_each(|target| target.aim.kill_all());
        let moved = moved_by_silence(stage, targets, &node).await;
        stopped.heal();
        stage.world.cluster.until_nodes_are_ready().await;
        moved.into_iter().map(|proof| Ok(Struck::moves(proof?))).collect()
    }
    .boxed_local()
}

async fn until_node_counts_as_lost(stage: &Stage<'_>, node: &str) -> Entry {
    let nodes: Api<Node> = Api::all(stage.world.cluster.client.clone());
    until("the node counts as lost", seconds(90), async || {
        let conditions = nodes.get(node).await.ok()?.status?.conditions?;
        conditions.iter().any(|c| c.type_ == "Ready" && c.status != "True").then_some(())
    })
    .await;
    stage.fleet.exchange.mark(serde_json::json!({"text": "the node is not ready"})).await
}
