//! Faults of the API server and of the ways to it.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tradingbot::core::agent::Exit;

use super::kinds::Kind;
use super::scene::{Scene, within};
use crate::world::cluster::text;
use crate::world::network::{Away, Cut, Trouble, What};
use crate::world::operators::process_of;

/// See [`super::happen`].
pub async fn happen(scene: &Scene) -> bool {
    let api = &scene.world.site.api;
    match scene.fault.kind {
        Kind::RequestsLate => scene.trouble(What::Late(scene.random.millis(100, 6_000))).await,
        Kind::RequestsLost => scene.trouble(What::Lost).await,
        Kind::RepliesLost => scene.trouble(What::ReplyLost).await,
        Kind::ConnectionsBroken => scene.trouble(What::Broken).await,
        Kind::AnswersLate => scene.trouble(What::AnswerLate(scene.random.millis(500, 1_900))).await,
        Kind::AnswersLateThenCut => late_then_cut(scene).await,
        Kind::ApiOverloaded => overload(scene).await,
        Kind::EventsLateThenMute => late_then_mute(scene).await,
        Kind::Conflicts => scene.trouble(What::Status(409)).await,
        Kind::TooManyRequests => scene.trouble(What::Status(429)).await,
        Kind::ServerErrors => scene.trouble(What::Status(500)).await,
        Kind::Forbidden => scene.trouble(What::Status(403)).await,
        Kind::WatchesStalled => scene.trouble(What::Stalled).await,
        Kind::EventsLate => scene.trouble(What::EventsLate(scene.random.millis(100, 8_000))).await,
        Kind::Compacted => {
            scene.tell("the past is forgotten and all watches end");
            api.compact();
            api.end_watches();
            true
        }
        Kind::WatchesEnded => {
            scene.tell("all watches end");
            api.end_watches();
            true
        }
        Kind::StaleApiServer => stale(scene).await,
        Kind::ApiPaused => away(scene, Away::Paused).await,
        Kind::ApiRefused => away(scene, Away::Refused).await,
        Kind::ApiSilent => away(scene, Away::Silent).await,
        Kind::EtcdRestored => restore(scene).await,
        _ => false,
    }
}

/// A way that gets worse: all that comes back to the active's agent comes late, if at all, then nothing gets through to
/// the API server.
async fn late_then_cut(scene: &Scene) -> bool {
    let (Some(pod), Some(node)) = (scene.active(), scene.active_node()) else { return false };
    let network = &scene.world.site.network;
    let first = scene.random.millis(3_000, 12_000);
    let late = What::AnswerLate(scene.random.millis(1_500, 1_950));
    scene.tell(&format!(
        "answers to {} come late, {late:?}; {node} is cut off after {first:?}",
        text(&pod, "/metadata/name")
    ));
    let uid = text(&pod, "/metadata/uid");
    network.trouble(uid, Trouble::always(Instant::now() + first, late));
    network.trouble(uid, Trouble::always(Instant::now() + first, What::Stalled));
    sleep(first).await;
    network.cut(&node, scene.fault.lasts, Cut::Api);
    scene.last().await;
    true
}

/// The active's agent goes on seeing what was, while nothing that it sends arrives, or nothing is answered.
async fn late_then_mute(scene: &Scene) -> bool {
    let Some(pod) = scene.active() else { return false };
    let (network, uid) = (&scene.world.site.network, text(&pod, "/metadata/uid"));
    let first = scene.random.millis(3_000, 12_000);
    let late = scene.random.millis(4_000, 12_000);
    let then = if scene.random.percent(50) { What::Lost } else { What::ReplyLost };
    scene.tell(&format!("{} sees what was {late:?} ago; {then:?} after {first:?}", text(&pod, "/metadata/name")));
    network.trouble(uid, Trouble::always(scene.end() + first, What::EventsLate(late)));
    sleep(first).await;
    network.trouble(uid, Trouble::always(scene.end(), then));
    if then == What::ReplyLost && scene.random.percent(50) {
        // It stops while its Lease is as good as new, and does not hear that it has given it back.
        sleep(scene.random.millis(0, 1_000)).await;
        scene.world.cluster.with_container(uid, |container| container.bot_exits(Exit::Code(1)));
    }
    scene.last().await;
    true
}

/// The API server has more to do than it can: again and again nothing is answered for some seconds, and watches lag
/// behind, for everyone.
async fn overload(scene: &Scene) -> bool {
    let (network, events) = (&scene.world.site.network, scene.random.millis(2_000, 8_000));
    scene.tell(&format!("events wait up to {events:?} and requests now and then, for {:?}", scene.fault.lasts));
    let operators = (0..scene.world.operators.count()).map(process_of);
    let agents = scene.pods().into_iter().map(|pod| text(&pod, "/metadata/uid").to_owned());
    for process in operators.chain(agents) {
        network.trouble(&process, Trouble::always(scene.end(), What::EventsLate(events)));
    }
    let end = scene.end();
    while Instant::now() < end {
        let pause = scene.random.millis(1_500, 3_500);
        network.away(pause, Away::Paused);
        sleep(pause + scene.random.millis(500, 4_000)).await;
    }
    true
}

async fn away(scene: &Scene, how: Away) -> bool {
    scene.tell(&format!("{how:?} for {:?}", scene.fault.lasts));
    scene.world.site.network.away(scene.fault.lasts, how);
    if how == Away::Refused {
        scene.world.site.api.end_watches();
    }
    scene.last().await;
    true
}

async fn stale(scene: &Scene) -> bool {
    let world = &scene.world;
    let at = world.operators.leader().unwrap_or_default();
    let by = scene.random.millis(500, 20_000);
    let trouble = Trouble::always(scene.end(), What::Stale(by));
    scene.tell(&format!("operator-{at} starts again and sees the past, {by:?} ago"));
    let crashed = world.operators.crash(at);
    world.site.network.trouble(&process_of(at), trouble.clone());
    world.operators.start_after(at, scene.random.millis(200, 3_000));
    scene.last().await;
    crashed && trouble.hits.load(std::sync::atomic::Ordering::Relaxed) > 0
}

async fn restore(scene: &Scene) -> bool {
    let site = &scene.world.site;
    let earlier = site.api.snapshot();
    scene.tell("a snapshot is taken");
    sleep(within(scene.fault.lasts, 2_000, 30_000)).await;
    let down = scene.random.millis(1_000, 10_000);
    site.network.away(down, Away::Refused);
    sleep(down.saturating_sub(Duration::from_millis(1))).await;
    scene.tell("the store is put back to the snapshot");
    site.ledger.restored();
    site.api.restore(&earlier);
    for bot in &scene.world.plan.bots {
        site.exchange.begins_anew(&bot.name);
        site.exchange.abandons_reconciliations(&bot.name);
    }
    true
}
