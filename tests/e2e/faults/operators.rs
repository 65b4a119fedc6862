//! The operator is killed, stands still, is there twice, or has a clock of its own.

use std::time::Duration;

use futures::FutureExt;
use futures::future::{LocalBoxFuture, join_all};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::Api;
use serde_json::json;

use super::fault::{Outcome, Stage, Struck};
use super::fleet::Target;
use crate::harness::*;

/// Longer than the leader keeps its lead without a renewal.
const LONGER_THAN_ITS_LEASE: Duration = Duration::from_secs(9);

/// Tells all actives to crash at once.
async fn crash_all(targets: &[Target]) {
    join_all(targets.iter().map(|target| target.member.bot.tell(&target.pod, "crash"))).await;
}

/// The leader stands still in the middle of all failovers, until the other one leads, and goes on where it was.
pub fn leader_frozen<'a>(stage: &'a Stage<'a>, targets: &'a [Target], _: usize) -> LocalBoxFuture<'a, Vec<Outcome>> {
    async move {
        let operator = stage.world.operator();
        let (identity, aim) = (operator.identity().await, operator.aim_at_leader().await);
        crash_all(targets).await;
        let stopped = Stopped::all(aim.processes());
        let began = std::time::Instant::now();
        let other = operator.until_led_by_other_than(&identity).await;
        tokio::time::sleep(LONGER_THAN_ITS_LEASE.saturating_sub(began.elapsed())).await;
        let still = stopped.stand_still();
        drop(stopped);
        let thawed = stage.fleet.exchange.mark(json!({"text": "the old leader goes on"})).await;
        operator.until_ready().await;
        let outcome = |_: &Target| {
            if !still {
                return Err("the leader did not stand still".to_owned());
            }
            let proof = format!("{identity} stood still until {other} led");
            Ok(Struck { from: Some(thawed.clone()), ..Struck::moves(proof) })
        };
        targets.iter().map(outcome).collect()
    }
    .boxed_local()
}

/// The leader is killed in the middle of all failovers.
pub fn leader_killed<'a>(stage: &'a Stage<'a>, targets: &'a [Target], _: usize) -> LocalBoxFuture<'a, Vec<Outcome>> {
    async move {
        let operator = stage.world.operator();
        let (identity, aim) = (operator.identity().await, operator.aim_at_leader().await);
        crash_all(targets).await;
        aim.kill();
        let killed = stage.fleet.exchange.mark(json!({"text": "the leader was killed"})).await;
        let other = operator.until_led_by_other_than(&identity).await;
        operator.until_ready().await;
        let proof = format!("{identity} was killed, {other} led");
        targets.iter().map(|_| Ok(Struck { from: Some(killed.clone()), ..Struck::moves(proof.clone()) })).collect()
    }
    .boxed_local()
}

/// Another operator leads beside the first: its election is in another namespace, so each believes that it leads.
pub fn two_lead<'a>(stage: &'a Stage<'a>, targets: &'a [Target], _: usize) -> LocalBoxFuture<'a, Vec<Outcome>> {
    async move {
        let second =
            Another::install(stage.world, json!([{"name": "POD_NAMESPACE", "value": stage.world.namespace}])).await;
        let leads = async |namespace: &str| {
            let leases: Api<Lease> = Api::namespaced(stage.world.cluster.client.clone(), namespace);
            leases
                .get_opt("tradingbot-operator")
                .await
                .ok()??
                .spec
                .filter(|s| s.holder_identity.as_ref().is_some_and(|h| !h.is_empty()))
        };
        until("the second operator leads, too", seconds(60), async || leads(&stage.world.namespace).await).await;
        // With what both have seen, and each of them may decide and write.
        tokio::time::sleep(Duration::from_secs(3)).await;
        let before = (leads(SYSTEM).await, leads(&stage.world.namespace).await);
        crash_all(targets).await;
        let crashed = stage.fleet.exchange.mark(json!({"text": "all actives crashed"})).await;
        join_all(
            targets.iter().map(|target| stage.fleet.until_trades_beyond(&target.member, target.epoch, seconds(90))),
        )
        .await;
        let after = (leads(SYSTEM).await, leads(&stage.world.namespace).await);
        let renewed = |before: &Option<k8s_openapi::api::coordination::v1::LeaseSpec>, after: &Option<_>| {
            before.as_ref().zip(after.as_ref()).is_some_and(
                |(b, a): (_, &k8s_openapi::api::coordination::v1::LeaseSpec)| {
                    a.holder_identity == b.holder_identity && a.renew_time > b.renew_time
                },
            )
        };
        let both = renewed(&before.0, &after.0) && renewed(&before.1, &after.1);
        second.remove().await;
        let outcome = |_: &Target| {
            if !both {
                return Err("not both led all the while".to_owned());
            }
            Ok(Struck { from: Some(crashed.clone()), ..Struck::moves("both renewed their lead all the while") })
        };
        targets.iter().map(outcome).collect()
    }
    .boxed_local()
}
