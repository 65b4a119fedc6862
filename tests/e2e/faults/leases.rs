//! Somebody else writes to the Lease, in each phase of a failover.

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use tradingbot::api::bot_status::Phase;

use super::fault::{Must, Outcome, Stage, Struck};
use super::fleet::Target;
use crate::harness::*;

/// When it is done, by turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// One trades.
    Active,
    /// The active is silent.
    Suspect,
    /// The next one was granted the Lease and waits for its reconciliation; where there is none, right after the crash.
    Preparing,
    /// The next one may trade, and has not begun to.
    Activating,
}

const WHEN: [When; 4] = [When::Active, When::Suspect, When::Preparing, When::Activating];

pub fn deleted<'a>(stage: &'a Stage<'a>, target: &'a Target, number: usize) -> LocalBoxFuture<'a, Outcome> {
    async move { meddle(stage, target, number, None).await }.boxed_local()
}

pub fn holder_edited<'a>(stage: &'a Stage<'a>, target: &'a Target, number: usize) -> LocalBoxFuture<'a, Outcome> {
    async move {
        let standby = target.member.bot.standby().await;
        let uid = target.member.bot.pod(&standby).await.and_then(|p| p.uid()).expect("the standby has a uid");
        let edit = json!({"spec": {"holderIdentity": format!("{standby}/{uid}")}});
        meddle(stage, target, number, Some(edit)).await
    }
    .boxed_local()
}

pub fn epoch_set_back<'a>(stage: &'a Stage<'a>, target: &'a Target, number: usize) -> LocalBoxFuture<'a, Outcome> {
    let edit = json!({"metadata": {"annotations": {"tradingbot.io/epoch": "1"}}});
    async move { meddle(stage, target, number, Some(edit)).await }.boxed_local()
}

/// Nobody compares wall clocks, so nothing follows from it but that the version has changed.
pub fn renewed_in_the_future<'a>(
    stage: &'a Stage<'a>,
    target: &'a Target,
    number: usize,
) -> LocalBoxFuture<'a, Outcome> {
    async move {
        let time = Timestamp::now() + SignedDuration::from_hours(1);
        let edit = json!({"spec": {"renewTime": time.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()}});
        let struck = meddle(stage, target, number, Some(edit)).await?;
        let must = if WHEN[number % WHEN.len()] == When::Active { Must::Stay } else { struck.must };
        Ok(Struck { must, ..struck })
    }
    .boxed_local()
}

/// Brings the bot to where it shall be hit, changes the Lease, or deletes it, and lets the bot go on.
async fn meddle(stage: &Stage<'_>, target: &Target, number: usize, edit: Option<Value>) -> Outcome {
    let bot = &target.member.bot;
    let when = WHEN[number % WHEN.len()];
    let mut stopped = None;
    match when {
        When::Active => {}
        When::Suspect => {
            let agent = target.aim.processes().into_iter().filter(|p| p.inside == 1).collect();
            stopped = Some(Stopped::all(agent));
            until_phase(stage, target, |phase| phase == Phase::Suspect).await;
        }
        When::Preparing => {
            bot.tell(&target.pod, "crash").await;
            if bot.reconciled {
                until_phase(stage, target, |phase| phase == Phase::Preparing).await;
            }
        }
        When::Activating => {
            bot.tell(&target.pod, "crash").await;
            until_permit(stage, target, "Trade").await;
        }
    }
    let phase = stage.fleet.view.now().status(&bot.name).map(|s| s.phase);
    change(bot, edit).await?;
    let changed = bot.mark("the Lease was changed").await;
    // A silent agent stays so until another trades.
    if let Some(stopped) = stopped {
        bot.exchange.first_order_of_next(&target.round, SOON).await;
        drop(stopped);
    }
    let proof = format!("changed when {when:?} was waited for, the status saying {phase:?}");
    Ok(Struck { proof, must: Must::Resume, from: Some(changed) })
}

async fn until_phase(stage: &Stage<'_>, target: &Target, is: impl Fn(Phase) -> bool) {
    let name = &target.member.bot.name;
    let what = format!("the phase of {name} is the one to be disturbed");
    stage.fleet.view.until(&what, SOON, |known| known.status(name).filter(|s| is(s.phase)).map(drop)).await;
}

/// Waits until a later epoch has this permit in the Lease.
pub async fn until_permit(stage: &Stage<'_>, target: &Target, permit: &str) -> String {
    let name = &target.member.bot.name;
    stage
        .fleet
        .view
        .until(&format!("the next epoch of {name} has the permit {permit}"), SOON, |known| {
            let epoch: u64 = known.note(name, "epoch")?.parse().ok()?;
            let found = epoch > target.epoch && known.note(name, "permit") == Some(permit);
            found.then(|| known.holder(name).map(str::to_owned))?
        })
        .await
}

async fn change(bot: &Bot, edit: Option<Value>) -> Result<(), String> {
    let leases = bot.leases();
    let said = |error: kube::Error| format!("the Lease could not be changed: {error}");
    match edit {
        None => leases.delete(&bot.name, &DeleteParams::default()).await.map(drop).map_err(said),
        Some(edit) => {
            let changed: Result<Lease, _> = leases.patch(&bot.name, &PatchParams::default(), &Patch::Merge(edit)).await;
            changed.map(drop).map_err(said)
        }
    }
}
