//! The API server answers, and not as it should: a proxy between it and all pods sees to that.

use std::time::Duration;

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use serde_json::{Value, json};

use super::fault::{Outcome, Stage, Struck};
use super::fleet::Target;
use crate::harness::*;

/// Storms last so long.
const STORM: Duration = Duration::from_secs(60);
/// Watches are disturbed for so long.
const DISTURBED: Duration = Duration::from_secs(30);

/// Every second active crashes in the middle of it; the others have no reason to move.
fn crashes(n: usize) -> bool {
    n.is_multiple_of(2)
}

/// Two of three writes conflict, whoever writes.
pub fn conflicts<'a>(stage: &'a Stage<'a>, targets: &'a [Target], _: usize) -> LocalBoxFuture<'a, Vec<Outcome>> {
    async move { storm(stage, targets, Refuses { status: 409, of_three: 2, reads_too: false }).await }.boxed_local()
}

/// Everything is too much.
pub fn too_many<'a>(stage: &'a Stage<'a>, targets: &'a [Target], _: usize) -> LocalBoxFuture<'a, Vec<Outcome>> {
    async move { storm(stage, targets, Refuses { status: 429, of_three: 3, reads_too: true }).await }.boxed_local()
}

/// Two of three requests fail within the API server.
pub fn failures<'a>(stage: &'a Stage<'a>, targets: &'a [Target], _: usize) -> LocalBoxFuture<'a, Vec<Outcome>> {
    async move { storm(stage, targets, Refuses { status: 500, of_three: 2, reads_too: true }).await }.boxed_local()
}

struct Refuses {
    status: u16,
    of_three: usize,
    reads_too: bool,
}

struct Storm {
    refuses: Refuses,
    seen: std::sync::atomic::AtomicUsize,
}

impl Rule for Storm {
    fn request(&self, call: &Call) -> Fate {
        let Refuses { status, of_three, reads_too } = self.refuses;
        if !call.writes() && !reads_too {
            return Fate::Passed;
        }
        let number = self.seen.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if number % 3 < of_three { Fate::Refused(status) } else { Fate::Passed }
    }
}

async fn storm(stage: &Stage<'_>, targets: &[Target], refuses: Refuses) -> Vec<Outcome> {
    let proxy = stage.proxy();
    let (status, everything) = (refuses.status, refuses.of_three == 3);
    proxy.obey(Storm { refuses, seen: 0.into() });
    let began = std::time::Instant::now();
    tokio::time::sleep(STORM / 4).await;
    crash_half(targets).await;
    tokio::time::sleep(STORM.saturating_sub(began.elapsed())).await;
    let deeds = proxy.deeds();
    proxy.obey(Passes);
    let over = stage.fleet.exchange.mark(json!({"text": "the storm is over"})).await;
    let outcome = |(n, target): (usize, &Target)| {
        let refused = deeds.of(&target.member.bot.name, "refused");
        if refused == 0 {
            return Err("nothing that concerns it was refused".to_owned());
        }
        let proof = format!("{refused} requests refused with {status}");
        // Where some requests get through, a renewal may be in time or not, and a move may be made meanwhile.
        if everything && !crashes(n) {
            Ok(Struck::stays(proof, over.clone()))
        } else {
            Ok(Struck::resumes(proof, over.clone()))
        }
    };
    targets.iter().enumerate().map(outcome).collect()
}

async fn crash_half(targets: &[Target]) {
    let half = targets.iter().enumerate().filter(|(n, _)| crashes(*n));
    futures::future::join_all(half.map(|(_, target)| target.member.bot.tell(&target.pod, "crash"))).await;
}

/// What happens to the operator's watches.
#[derive(Clone, Copy)]
struct Disturbs {
    fate: EventFate,
    /// One event of so many.
    every: usize,
}

struct Disturbance {
    disturbs: Disturbs,
    seen: std::sync::atomic::AtomicUsize,
}

impl Rule for Disturbance {
    fn event(&self, call: &Call, _: &Value) -> EventFate {
        if !call.is_operators() {
            return EventFate::Passed;
        }
        let number = self.seen.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if number.is_multiple_of(self.disturbs.every) { self.disturbs.fate } else { EventFate::Passed }
    }
}

/// The operator's watches stay open and say nothing any more.
pub fn watches_stalled<'a>(stage: &'a Stage<'a>, targets: &'a [Target], _: usize) -> LocalBoxFuture<'a, Vec<Outcome>> {
    async move { disturbed(stage, targets, Disturbs { fate: EventFate::Kept, every: 1 }, "kept").await }.boxed_local()
}

/// Every second event never comes.
pub fn events_dropped<'a>(stage: &'a Stage<'a>, targets: &'a [Target], _: usize) -> LocalBoxFuture<'a, Vec<Outcome>> {
    async move { disturbed(stage, targets, Disturbs { fate: EventFate::Dropped, every: 2 }, "dropped").await }
        .boxed_local()
}

/// Watches end again and again, because their version is too old.
pub fn versions_too_old<'a>(stage: &'a Stage<'a>, targets: &'a [Target], _: usize) -> LocalBoxFuture<'a, Vec<Outcome>> {
    async move { disturbed(stage, targets, Disturbs { fate: EventFate::TooOld, every: 5 }, "too old").await }
        .boxed_local()
}

async fn disturbed(stage: &Stage<'_>, targets: &[Target], disturbs: Disturbs, what: &'static str) -> Vec<Outcome> {
    let proxy = stage.proxy();
    proxy.obey(Disturbance { disturbs, seen: 0.into() });
    let began = std::time::Instant::now();
    tokio::time::sleep(DISTURBED / 3).await;
    crash_half(targets).await;
    tokio::time::sleep(DISTURBED.saturating_sub(began.elapsed())).await;
    let deeds = proxy.deeds();
    proxy.obey(Passes);
    let over = stage.fleet.exchange.mark(json!({"text": "watches are as they should be"})).await;
    outcomes(targets, &deeds, what, &over)
}

/// Who crashed moves; of the others the agents were not disturbed, so nothing moves them.
fn outcomes(targets: &[Target], deeds: &Deeds, what: &'static str, over: &entry::Entry) -> Vec<Outcome> {
    let outcome = |(n, target): (usize, &Target)| {
        let done = deeds.of(&target.member.bot.name, what);
        if done == 0 {
            return Err(format!("nothing that concerns it was {what}"));
        }
        let proof = format!("{done} times {what}");
        if crashes(n) {
            return Ok(Struck { from: Some(over.clone()), ..Struck::moves(proof) });
        }
        Ok(Struck::stays(proof, over.clone()))
    };
    targets.iter().enumerate().map(outcome).collect()
}

/// A restarted operator meets an API server whose lists are those of before the last epoch, and whose events come late.
pub fn stale_after_restart<'a>(
    stage: &'a Stage<'a>,
    targets: &'a [Target],
    _: usize,
) -> LocalBoxFuture<'a, Vec<Outcome>> {
    async move {
        let (proxy, operator) = (stage.proxy(), stage.world.operator());
        // Lists that the proxy has seen: both operators list everything when they start.
        proxy.remember_lists(false);
        restart_all(stage).await;
        proxy.remember_lists(true);
        crash_half(targets).await;
        for (_, target) in targets.iter().enumerate().filter(|(n, _)| crashes(*n)) {
            target.member.bot.exchange.first_order_of_next(&target.round, SOON).await;
        }
        proxy.obey(StaleLists);
        restart_all(stage).await;
        tokio::time::sleep(DISTURBED).await;
        let deeds = proxy.deeds();
        proxy.obey(Passes);
        proxy.remember_lists(false);
        let over = stage.fleet.exchange.mark(json!({"text": "lists are as they should be"})).await;
        operator.until_ready().await;
        outcomes(targets, &deeds, "stale", &over)
    }
    .boxed_local()
}

struct StaleLists;

impl Rule for StaleLists {
    fn request(&self, call: &Call) -> Fate {
        if call.is_operators() && !call.writes() { Fate::Stale } else { Fate::Passed }
    }

    fn event(&self, call: &Call, _: &Value) -> EventFate {
        if call.is_operators() { EventFate::Kept } else { EventFate::Passed }
    }
}

/// Kills both replicas' processes; returns when both are ready again.
async fn restart_all(stage: &Stage<'_>) {
    let operator = stage.world.operator();
    let identity = operator.identity().await;
    for aim in operator.aims().await {
        aim.kill();
    }
    operator.until_led_by_other_than(&identity).await;
    operator.until_ready().await;
}
