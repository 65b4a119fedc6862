//! An operator whose clocks are not those of its machine: another build of it, in the place of the one that is installed.
//!
//! A time namespace does not change the time of day, and libfaketime reaches no static program; so this build reads its
//! clocks wrongly where the product reads them right, in `src/runtime/clock.rs`.

use std::time::Duration;

use futures::FutureExt;
use futures::future::{LocalBoxFuture, join_all};
use serde_json::json;
use tradingbot::runtime::skew;

use super::fault::{Outcome, Stage, Struck};
use super::fleet::Target;
use crate::harness::*;

/// `tests/cluster/skewed` makes it.
const IMAGE: &str = "ghcr.io/tradingbot-io/tradingbot-operator-skewed:0.1.0";
const HOUR: i64 = 3600;
/// Within the tolerance of 5 %.
const RATE: i64 = 40_000;

pub fn an_hour_ahead<'a>(stage: &'a Stage<'a>, targets: &'a [Target], _: usize) -> LocalBoxFuture<'a, Vec<Outcome>> {
    async move { skewed(stage, targets, HOUR, 0).await }.boxed_local()
}

pub fn an_hour_behind<'a>(stage: &'a Stage<'a>, targets: &'a [Target], _: usize) -> LocalBoxFuture<'a, Vec<Outcome>> {
    async move { skewed(stage, targets, -HOUR, 0).await }.boxed_local()
}

pub fn too_fast<'a>(stage: &'a Stage<'a>, targets: &'a [Target], _: usize) -> LocalBoxFuture<'a, Vec<Outcome>> {
    async move { skewed(stage, targets, 0, RATE).await }.boxed_local()
}

pub fn too_slow<'a>(stage: &'a Stage<'a>, targets: &'a [Target], _: usize) -> LocalBoxFuture<'a, Vec<Outcome>> {
    async move { skewed(stage, targets, 0, -RATE).await }.boxed_local()
}

/// Under such an operator every second active crashes, and of the others the agents stand still until another trades.
async fn skewed(stage: &Stage<'_>, targets: &[Target], wall: i64, rate: i64) -> Vec<Outcome> {
    let operator = stage.world.operator();
    let without = stage.world.faults().scale_operator_down();
    let variables = json!([
        {"name": skew::WALL, "value": wall.to_string()}, {"name": skew::RATE, "value": rate.to_string()},
    ]);
    let other = Another::install_image(stage.world, Some(IMAGE), variables).await;
    until("the skewed operator leads", seconds(60), async || {
        operator.identity().await.starts_with("another-").then_some(())
    })
    .await;
    let said = other.log();
    let begun = stage.fleet.exchange.mark(json!({"text": "the skewed operator leads"})).await;
    let stopped = join_all(targets.iter().enumerate().map(async |(n, target)| {
        if n.is_multiple_of(2) {
            target.member.bot.tell(&target.pod, "crash").await;
            return None;
        }
        Some(Stopped::all(target.aim.processes().into_iter().filter(|p| p.inside == 1).collect()))
    }))
    .await;
    let moved = join_all(targets.iter().zip(stopped).map(async |(target, stopped)| {
        target.member.bot.exchange.first_order_of_next(&target.round, seconds(90)).await;
        drop(stopped);
        stage.fleet.until_trades_beyond(&target.member, target.epoch, seconds(90)).await
    }))
    .await;
    other.remove().await;
    without.heal();
    operator.until_ready().await;
    let outcomes = moved.into_iter().map(|status| {
        let step = status.failover.history.first().ok_or("nothing is told of the move")?;
        let now = i64::try_from(begun.wall_milliseconds).unwrap_or_default();
        let ahead = (step.suspected_time.0.as_millisecond() - now) / 1000;
        if !said.contains("this is a test") {
            return Err("its clocks are as they should be".to_owned());
        }
        // All of it was done within minutes.
        if (ahead - wall).unsigned_abs() > Duration::from_secs(300).as_secs() {
            return Err(format!("the operator's time of day was {ahead} s ahead"));
        }
        let proof = format!("the status tells of a time {ahead} s ahead; rate {rate} ppm too fast");
        Ok(Struck { from: Some(begun.clone()), ..Struck::moves(proof) })
    });
    outcomes.collect()
}
