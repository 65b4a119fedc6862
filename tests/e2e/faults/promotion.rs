//! The new active is killed in each phase of its own promotion.

use futures::FutureExt;
use futures::future::LocalBoxFuture;

use super::fault::{Outcome, Stage, Struck};
use super::fleet::Target;
use super::leases::until_permit;
use crate::harness::*;

/// It was granted the Lease and has not taken it up: its agent stands still from before the grant.
pub fn when_granted<'a>(stage: &'a Stage<'a>, target: &'a Target, _: usize) -> LocalBoxFuture<'a, Outcome> {
    async move {
        let bot = &target.member.bot;
        let standby = bot.standby().await;
        let aim = bot.aim(&standby).await;
        let stopped = Stopped::all(aim.processes().into_iter().filter(|p| p.inside == 1).collect());
        bot.tell(&target.pod, "crash").await;
        let holder = until_permit(stage, target, "Prepare").await;
        let taken_up = stage.fleet.view.now().note(&bot.name, "boot").is_some_and(|boot| !boot.is_empty());
        aim.kill_all();
        drop(stopped);
        let killed = bot.mark("killed when granted").await;
        if holder != standby || taken_up {
            return Err(format!("the grant went to {holder}, taken up: {taken_up}"));
        }
        Ok(Struck::resumes("granted, not taken up", killed))
    }
    .boxed_local()
}

/// It has taken the Lease up, and its reconciliation runs.
pub fn when_preparing<'a>(stage: &'a Stage<'a>, target: &'a Target, _: usize) -> LocalBoxFuture<'a, Outcome> {
    async move {
        let bot = &target.member.bot;
        let standby = bot.standby().await;
        let aim = bot.aim(&standby).await;
        bot.tell(&target.pod, "crash").await;
        let filter =
            format!("account={}&since={}&kind=reconciliation&state=Started", bot.account, target.round.marker.seq);
        bot.exchange.wait("its reconciliation starts", SOON, &filter).await;
        let (holder, permit) = {
            let known = stage.fleet.view.now();
            (known.holder(&bot.name).map(str::to_owned), known.note(&bot.name, "permit").map(str::to_owned))
        };
        aim.kill_all();
        let killed = bot.mark("killed when preparing").await;
        if holder.as_ref() != Some(&standby) || permit.as_deref() != Some("Prepare") {
            return Err(format!("{holder:?} held the Lease with the permit {permit:?}"));
        }
        Ok(Struck::resumes("taken up, the reconciliation running", killed))
    }
    .boxed_local()
}

/// It may trade and has not said that it does: its agent stands still from when its reconciliation runs.
pub fn when_permitted<'a>(stage: &'a Stage<'a>, target: &'a Target, _: usize) -> LocalBoxFuture<'a, Outcome> {
    async move {
        let bot = &target.member.bot;
        let standby = bot.standby().await;
        let aim = bot.aim(&standby).await;
        bot.tell(&target.pod, "crash").await;
        let filter =
            format!("account={}&since={}&kind=reconciliation&state=Started", bot.account, target.round.marker.seq);
        bot.exchange.wait("its reconciliation starts", SOON, &filter).await;
        let stopped = Stopped::all(aim.processes().into_iter().filter(|p| p.inside == 1).collect());
        let holder = until_permit(stage, target, "Trade").await;
        let state = stage.fleet.view.now().note(&bot.name, "state").map(str::to_owned);
        aim.kill_all();
        drop(stopped);
        let killed = bot.mark("killed when permitted").await;
        if holder != standby || state.as_deref() == Some("Active") {
            return Err(format!("{holder} was permitted and said {state:?}"));
        }
        Ok(Struck::resumes(format!("permitted, its last word {state:?}"), killed))
    }
    .boxed_local()
}

/// It has sent its first order.
pub fn when_trading<'a>(stage: &'a Stage<'a>, target: &'a Target, _: usize) -> LocalBoxFuture<'a, Outcome> {
    async move {
        let bot = &target.member.bot;
        let standby = bot.standby().await;
        let aim = bot.aim(&standby).await;
        bot.tell(&target.pod, "crash").await;
        let first = bot.first_order_of_next(&target.round).await;
        aim.kill_all();
        let killed = bot.mark("killed when trading").await;
        let after = seconds_between(&first, &killed);
        if stage.fleet.trader_of(&first).await != standby {
            return Err("it was another that traded".to_owned());
        }
        Ok(Struck::resumes(format!("{after:.2} s after its first order"), killed))
    }
    .boxed_local()
}
