//! Faults of one bot's processes and pods.

use std::time::Duration;

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use kube::ResourceExt;

use super::fault::{Must, Outcome, Stage, Struck};
use super::fleet::Target;
use crate::harness::*;

/// So many lease times a freeze lasts, by turns: one that is over when the other has just begun, up to five.
const LEASES: [f64; 5] = [1.1, 2.0, 3.0, 4.0, 5.0];
/// An order that was on its way when its process stopped is there within this.
const ON_ITS_WAY: Duration = Duration::from_millis(500);
/// So often a bot that flaps crashes as soon as it trades.
const FLAPS: usize = 4;

fn freeze_time(target: &Target, number: usize) -> Duration {
    target.member.lease_time().mul_f64(LEASES[number % LEASES.len()])
}

/// The bot's processes, without the agent and its guard.
fn of_the_bot(target: &Target) -> Vec<Process> {
    target.aim.processes().into_iter().filter(|p| p.command.starts_with("/paper-bot")).collect()
}

/// SIGSTOP to the bot alone: the agent goes on renewing, so nobody else may trade.
pub fn bot_frozen<'a>(stage: &'a Stage<'a>, target: &'a Target, number: usize) -> LocalBoxFuture<'a, Outcome> {
    async move {
        let processes = of_the_bot(target);
        if processes.is_empty() {
            return Err("no process of the bot was found".to_owned());
        }
        let stopped = Stopped::all(processes);
        tokio::time::sleep(ON_ITS_WAY).await;
        let from = target.member.bot.mark("all that was on its way has come").await;
        tokio::time::sleep(freeze_time(target, number)).await;
        if !stopped.stand_still() {
            return Err("its processes did not stand still".to_owned());
        }
        let thawed = target.member.bot.mark("thaw").await;
        drop(stopped);
        let came = orders_between(stage, target, from.seq, thawed.seq).await;
        if came > 0 {
            return Err(format!("{came} orders came from the frozen bot"));
        }
        Ok(Struck::stays(format!("stood still for {:.1} s", seconds_between(&from, &thawed)), thawed))
    }
    .boxed_local()
}

/// SIGSTOP to the agent alone: the bot's own process runs on, and the guard process has to stop it in time.
pub fn agent_frozen<'a>(stage: &'a Stage<'a>, target: &'a Target, number: usize) -> LocalBoxFuture<'a, Outcome> {
    async move {
        let agent = target.aim.processes().into_iter().filter(|p| p.inside == 1).collect();
        let running = of_the_bot(target).len();
        let stopped = Stopped::all(agent);
        tokio::time::sleep(freeze_time(target, number)).await;
        if !stopped.stand_still() {
            return Err("the agent did not stand still".to_owned());
        }
        if running == 0 || !of_the_bot(target).is_empty() {
            let left = of_the_bot(target).len();
            return Err(format!("of {running} processes of the bot {left} are left under a frozen agent"));
        }
        thaw_when_another_trades(stage, target, stopped, "the agent stood still, its guard killed the bot").await
    }
    .boxed_local()
}

/// The whole pod stands still without knowing it.
pub fn pod_frozen<'a>(stage: &'a Stage<'a>, target: &'a Target, number: usize) -> LocalBoxFuture<'a, Outcome> {
    async move {
        let (faults, uid) = (stage.world.faults(), target.pod_uid.clone());
        let frozen = tokio::task::spawn_blocking(move || faults.freeze(&uid)).await.expect("it freezes");
        let from = target.member.bot.mark("frozen").await;
        tokio::time::sleep(freeze_time(target, number)).await;
        let until = target.member.bot.mark("thaw").await;
        let came = orders_between(stage, target, from.seq, until.seq).await;
        if came > 0 {
            Err(format!("{came} orders came from the frozen pod"))
        } else {
            thaw_when_another_trades(stage, target, frozen, "no order came from the frozen pod").await
        }
    }
    .boxed_local()
}

/// A thing that thaws when it is dropped, on a thread that may wait.
async fn thaw_when_another_trades<T: Send + 'static>(
    stage: &Stage<'_>,
    target: &Target,
    frozen: T,
    proof: &str,
) -> Outcome {
    // One that is frozen for hardly longer than its lease may thaw before another trades, or after.
    let another = target.member.bot.first_order_of_next(&target.round).await;
    let trades_since = seconds_between(&target.round.marker, &another);
    tokio::task::spawn_blocking(move || drop(frozen)).await.expect("it thaws");
    stage.fleet.until_trades_beyond(&target.member, target.epoch, SOON).await;
    Ok(Struck::moves(format!("{proof}; another traded after {trades_since:.1} s")))
}

async fn orders_between(stage: &Stage<'_>, target: &Target, from: u64, to: u64) -> usize {
    let mut judge = stage.fleet.judge.lock().await;
    judge.read().await;
    judge.of_old_between(&target.round, from, to)
}

/// The pod's object is removed while its container goes on.
pub fn force_deleted<'a>(stage: &'a Stage<'a>, target: &'a Target, _: usize) -> LocalBoxFuture<'a, Outcome> {
    async move {
        // So the container goes on for seconds after the object is gone.
        target.member.bot.tell(&target.pod, "ignore-sigterm").await;
        stage.world.faults().force_delete(&stage.world.namespace, &target.pod).await;
        let left = target.aim.processes().len();
        if left == 0 {
            return Err("the container had ended before its object was gone".to_owned());
        }
        if target.member.bot.pod(&target.pod).await.is_some_and(|pod| pod.uid().as_ref() == Some(&target.pod_uid)) {
            return Err("the pod's object is still there".to_owned());
        }
        Ok(Struck::moves(format!("the object was gone while {left} processes ran")))
    }
    .boxed_local()
}

/// The active crashes when there is nobody to take over.
pub fn all_standbys_dead<'a>(stage: &'a Stage<'a>, target: &'a Target, _: usize) -> LocalBoxFuture<'a, Outcome> {
    async move {
        let bot = &target.member.bot;
        let standby = bot.standby().await;
        let aim = bot.aim(&standby).await;
        aim.kill_all();
        target.aim.kill_all();
        until("all containers of the bot are dead at once", seconds(5), async || {
            (aim.processes().is_empty() && target.aim.processes().is_empty()).then_some(())
        })
        .await;
        let dead = bot.mark("active and standby are dead").await;
        stage.fleet.until_trades_beyond(&target.member, target.epoch, SOON).await;
        Ok(Struck::resumes(format!("no process of {} and {standby} was left", target.pod), dead))
    }
    .boxed_local()
}

/// Whoever trades crashes at its first order, again and again.
pub fn flapping<'a>(stage: &'a Stage<'a>, target: &'a Target, _: usize) -> LocalBoxFuture<'a, Outcome> {
    async move {
        let bot = &target.member.bot;
        let (mut pod, mut token, mut since) = (target.pod.clone(), target.round.token(), target.round.marker.clone());
        for flap in 0..FLAPS {
            bot.tell(&pod, "crash").await;
            let filter = bot.at(&format!("since={}&token_above={token}", since.seq));
            since = bot.exchange.wait("the next one's first order", seconds(90), &filter).await;
            token = since.token.expect("orders carry a token");
            if flap + 1 < FLAPS {
                pod = stage.fleet.trader_of(&since).await;
            }
        }
        let settled = bot.mark("it crashes no more").await;
        let proof = format!("{FLAPS} crashes, each at the first order of a new epoch");
        Ok(Struck { proof, must: Must::Resume, from: Some(settled) })
    }
    .boxed_local()
}
