//! The resource is deleted and made again under its name while trading moves.

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use kube::ResourceExt;
use serde_json::json;
use tradingbot::api::bot_status::Phase;

use super::fault::{Outcome, Stage, Struck};
use super::fleet::Target;
use crate::harness::*;

pub fn made_again<'a>(stage: &'a Stage<'a>, target: &'a Target, _: usize) -> LocalBoxFuture<'a, Outcome> {
    async move {
        let bot = &target.member.bot;
        let known = stage.fleet.view.now().bots.get(&bot.name).cloned().ok_or("it is not known")?;
        let old = known.uid();
        let object = json!({
            "apiVersion": "tradingbot.io/v1alpha1", "kind": "TradingBot",
            "metadata": {"name": bot.name}, "spec": known.spec,
        });
        bot.tell(&target.pod, "crash").await;
        let what = format!("the failover of {} is under way", bot.name);
        let phase = stage
            .fleet
            .view
            .until(&what, SOON, |known| {
                let status = known.status(&bot.name)?;
                (status.phase != Phase::Active || status.epoch > target.epoch).then_some(status.phase)
            })
            .await;
        if phase == Phase::Active {
            return Err("the failover was over before it was seen".to_owned());
        }
        bot.delete().await;
        let free = format!("the name {} is free, and taken again at once", bot.name);
        until(&free, seconds(90), async || bot.create(&object).await.ok()).await;
        let mark = json!({"text": "made again", "account": bot.account, "recreated": true});
        let again = bot.exchange.mark(mark).await;
        let new = stage
            .fleet
            .view
            .until("the new one is known", SOON, |known| {
                known.bots.get(&bot.name).and_then(ResourceExt::uid).filter(|uid| Some(uid) != old.as_ref())
            })
            .await;
        stage.fleet.until_whole(&target.member).await;
        Ok(Struck::resumes(format!("deleted in the phase {phase:?}, made again as {new}"), again))
    }
    .boxed_local()
}
