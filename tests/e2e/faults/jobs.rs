//! What can become of a reconciliation's Job.

use futures::FutureExt;
use futures::future::{LocalBoxFuture, join_all};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, ObjectMeta, PostParams};

use super::fault::{Outcome, Stage, Struck};
use super::fleet::Target;
use crate::harness::entry::Entry;
use crate::harness::*;

const RECONCILIATION: &str = "reconciliation";

/// The active crashes; the pod of the Job of the next epoch, as soon as its program has told that it runs.
async fn running_job(stage: &Stage<'_>, target: &Target) -> (Entry, Pod) {
    let bot = &target.member.bot;
    bot.tell(&target.pod, "crash").await;
    let filter = format!("account={}&since={}&kind=reconciliation&state=Started", bot.account, target.round.marker.seq);
    let started = bot.exchange.wait("its reconciliation starts", SOON, &filter).await;
    let token = started.token.map(|token| token.to_string());
    let what = format!("the pod of the reconciliation of {} is known to run", bot.name);
    let pod = stage
        .fleet
        .view
        .until(&what, SOON, |known| {
            let is_its = |pod: &&Pod| {
                let labels = pod.labels();
                labels.get("tradingbot.io/component").map(String::as_str) == Some(RECONCILIATION)
                    && labels.get("tradingbot.io/token") == token.as_ref()
                    && container_of(pod).is_some()
            };
            known.pods.values().find(is_its).cloned()
        })
        .await;
    (started, pod)
}

/// The name of its container, once that has an id.
fn container_of(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?.container_statuses.as_ref()?.first()?;
    status.container_id.as_ref().map(|_| status.name.clone())
}

/// Its program stands still until the kubelet ends it at its deadline; the next attempt has an epoch of its own.
pub fn hung<'a>(stage: &'a Stage<'a>, target: &'a Target, _: usize) -> LocalBoxFuture<'a, Outcome> {
    async move {
        let bot = &target.member.bot;
        let (started, pod) = running_job(stage, target).await;
        let container = container_of(&pod).expect("it was seen to run");
        let aim = stage.world.faults().aim(&stage.world.namespace, &pod.name_any(), &container).await;
        let stopped = Stopped::all(aim.processes());
        let hangs = bot.mark("the reconciliation hangs").await;
        let token = started.token.expect("reconciliations carry a token");
        let succeeded = format!("account={}&kind=reconciliation&state=Succeeded&token={token}", bot.account);
        if bot.exchange.try_wait(seconds(0), &succeeded).await.is_some() {
            return Err("it had succeeded before it was stopped".to_owned());
        }
        let next = format!(
            "account={}&since={}&kind=reconciliation&state=Started&token_above={token}",
            bot.account, hangs.seq
        );
        let next = bot.exchange.wait("the next attempt starts", seconds(90), &next).await;
        drop(stopped);
        let proof = format!("it stood still, the next attempt came after {:.1} s", seconds_between(&hangs, &next));
        Ok(Struck::resumes(proof, next))
    }
    .boxed_local()
}

/// Kubernetes may start a Job's pod twice. The second one comes when the bot trades already.
pub fn doubled<'a>(stage: &'a Stage<'a>, target: &'a Target, _: usize) -> LocalBoxFuture<'a, Outcome> {
    async move {
        let bot = &target.member.bot;
        let (_, pod) = running_job(stage, target).await;
        let first = bot.first_order_of_next(&target.round).await;
        stage.fleet.until_trades_beyond(&target.member, target.epoch, SOON).await;
        let pods: Api<Pod> = Api::namespaced(stage.world.cluster.client.clone(), &stage.world.namespace);
        let mut spec = pod.spec.clone().expect("a pod has a spec");
        spec.node_name = None;
        let double = Pod {
            metadata: ObjectMeta {
                generate_name: Some(format!("{}-again-", pod.name_any())),
                labels: pod.metadata.labels.clone(),
                owner_references: pod.metadata.owner_references.clone(),
                ..ObjectMeta::default()
            },
            spec: Some(spec),
            status: None,
        };
        let double = pods.create(&PostParams::default(), &double).await.expect("the second pod is made").name_any();
        let ended = until("the second pod has ended", seconds(60), async || {
            let pod = pods.get_opt(&double).await.ok()?;
            // The Job's controller may remove what it did not make.
            let Some(pod) = pod else { return Some("was removed by its controller".to_owned()) };
            let ended = pod.status?.container_statuses?.first()?.state.as_ref()?.terminated.clone()?;
            Some(format!("ended with {}", ended.exit_code))
        })
        .await;
        let after = bot.mark("the second pod has ended").await;
        let orders = bot.orders_since(&first).await;
        if let Some(other) = orders.iter().find(|order| order.token != first.token) {
            return Err(format!("trading moved meanwhile: {other:?}"));
        }
        if ended.contains("removed") {
            return Err(format!("the second pod {ended}"));
        }
        Ok(Struck { from: Some(after), ..Struck::moves(format!("the second pod {ended} while the new active traded")) })
    }
    .boxed_local()
}

/// All actives crash, and the node on which the Jobs of the next epochs run loses its power.
pub fn on_a_dying_node<'a>(stage: &'a Stage<'a>, targets: &'a [Target], _: usize) -> LocalBoxFuture<'a, Vec<Outcome>> {
    async move {
        let reconciled = targets.iter().filter(|target| target.member.bot.reconciled);
        let jobs = join_all(reconciled.map(|target| async move { (target, running_job(stage, target).await.1) })).await;
        let node_of = |pod: &Pod| pod.spec.as_ref().and_then(|s| s.node_name.clone()).unwrap_or_default();
        let nodes: Vec<String> = jobs.iter().map(|(_, pod)| node_of(pod)).filter(|n| *n != stage.fleet.safe).collect();
        let Some(node) = nodes.iter().max_by_key(|node| nodes.iter().filter(|other| other == node).count()) else {
            return targets.iter().map(|_| Err("no Job runs on a node that may die".to_owned())).collect();
        };
        let off = stage.world.faults().power_off(node);
        let died = stage.fleet.exchange.mark(serde_json::json!({"text": "the node has died"})).await;
        let outcomes = join_all(targets.iter().map(|target| async {
            let job = jobs.iter().find(|(of, _)| of.member.bot.name == target.member.bot.name);
            let Some((_, pod)) = job.filter(|(_, pod)| node_of(pod) == *node) else {
                return Err("its reconciliation ran elsewhere or there is none".to_owned());
            };
            let bot = &target.member.bot;
            let token = pod.labels().get("tradingbot.io/token");
            let done = format!(
                "account={}&kind=reconciliation&state=Succeeded&token={}",
                bot.account,
                token.expect("the Job's token")
            );
            if bot.exchange.try_wait(seconds(0), &done).await.is_some_and(|entry| entry.seq < died.seq) {
                return Err("its reconciliation had succeeded already".to_owned());
            }
            let filter = bot.at(&format!("since={}&token_above={}", died.seq, target.round.token()));
            bot.exchange.wait("somebody trades again", seconds(120), &filter).await;
            Ok(Struck::resumes(format!("{} died with its node", pod.name_any()), died.clone()))
        }))
        .await;
        off.heal();
        stage.world.cluster.until_nodes_are_ready().await;
        outcomes
    }
    .boxed_local()
}
