//! Faults of objects, clocks and Jobs, and what people ask for at bad times.

use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;
use tradingbot::api::names::lease as key;
use tradingbot::simulation;

use super::kinds::Kind;
use super::processes::power_cut;
use super::scene::Scene;
use crate::world::cluster::text;
use crate::world::network::Cut;
use crate::world::plan::NAMESPACE;

/// An hour in milliseconds.
const HOUR: i64 = 3_600_000;
/// So long at most a resource takes to go that is made again.
const GOING: Duration = Duration::from_secs(300);

/// See [`super::happen`].
pub async fn happen(scene: &Scene) -> bool {
    match scene.fault.kind {
        Kind::NodeCordoned => cordon(scene).await,
        Kind::PodDeleted => delete_pod(scene, false),
        Kind::PodForceDeleted => delete_pod(scene, true),
        Kind::PodRemovedBehindCut => remove_behind_cut(scene).await,
        Kind::LeaseDeleted | Kind::HolderEdited | Kind::EpochSetBack | Kind::RenewTimeAhead => edit_lease(scene),
        Kind::WallClockAhead => move_wall_clock(scene, HOUR).await,
        Kind::WallClockBehind => move_wall_clock(scene, -HOUR).await,
        Kind::ClockRate => change_rate(scene).await,
        Kind::JobHangs | Kind::JobFails | Kind::JobDoubled => spoil_job(scene).await,
        Kind::JobLosesNode => job_loses_node(scene).await,
        Kind::Recreated => recreate(scene).await,
        Kind::Switchover => ask(scene, "Switchover"),
        Kind::ForcedFailover => ask(scene, "Failover"),
        Kind::RollingUpdate => roll(scene),
        Kind::Suspended => suspend(scene).await,
        _ => false,
    }
}

async fn cordon(scene: &Scene) -> bool {
    let Some(node) = scene.active_node() else { return false };
    let set =
        |to: bool| scene.world.site.api.change("nodes", "", &node, |node| node["spec"]["unschedulable"] = json!(to));
    scene.tell(&format!("{node} is cordoned for {:?}", scene.fault.lasts));
    let done = set(true);
    scene.last().await;
    set(false);
    done
}

fn delete_pod(scene: &Scene, by_force: bool) -> bool {
    let Some(pod) = scene.active() else { return false };
    let name = text(&pod, "/metadata/name");
    scene.tell(&format!("{name} is deleted"));
    let api = &scene.world.site.api;
    if by_force { api.remove("pods", NAMESPACE, name) } else { api.delete("pods", NAMESPACE, name) }
}

async fn remove_behind_cut(scene: &Scene) -> bool {
    let (Some(pod), Some(node)) = (scene.active(), scene.active_node()) else { return false };
    let name = text(&pod, "/metadata/name");
    let what = if scene.random.percent(50) { Cut::All } else { Cut::Api };
    scene.tell(&format!("{node}, {what:?}, for {:?}; {name} is removed", scene.fault.lasts));
    scene.world.site.network.cut(&node, scene.fault.lasts, what);
    sleep(scene.random.millis(0, 3_000)).await;
    let removed = scene.world.site.api.remove("pods", NAMESPACE, name);
    sleep(scene.fault.lasts.saturating_sub(Duration::from_secs(3))).await;
    removed
}

/// What a person does to the Lease, who has the right to and should not.
fn edit_lease(scene: &Scene) -> bool {
    let api = &scene.world.site.api;
    scene.tell("the Lease is meddled with");
    let standby = scene.random.pick(&scene.standbys());
    let back = scene.random.below(3) + 1;
    let permit = scene.random.percent(50);
    let edit = |change: &dyn Fn(&mut serde_json::Value)| api.change("leases", NAMESPACE, &scene.bot, change);
    match scene.fault.kind {
        Kind::LeaseDeleted => api.delete("leases", NAMESPACE, &scene.bot),
        Kind::HolderEdited => edit(&|lease| {
            let pod = standby.clone().unwrap_or_default();
            let other = format!("{}/{}", text(&pod, "/metadata/name"), text(&pod, "/metadata/uid"));
            lease["spec"]["holderIdentity"] = json!(if standby.is_some() { other } else { String::new() });
            if permit {
                lease["metadata"]["annotations"][key::BOOT] = json!("");
            }
        }),
        Kind::EpochSetBack => {
            scene.world.site.ledger.meddled(&scene.bot);
            edit(&|lease| {
                let epoch = text(&lease["metadata"]["annotations"][key::EPOCH], "").parse::<u64>().unwrap_or_default();
                lease["metadata"]["annotations"][key::EPOCH] = json!(epoch.saturating_sub(back).to_string());
            })
        }
        _ => edit(&|lease| lease["spec"]["renewTime"] = json!("2026-01-02T00:00:00.000000Z")),
    }
}

async fn move_wall_clock(scene: &Scene, by: i64) -> bool {
    scene.tell(&format!("the operators' time of day is off by {by} ms for {:?}", scene.fault.lasts));
    simulation::operator_wall_skew(by);
    scene.last().await;
    simulation::operator_wall_skew(0);
    true
}

async fn change_rate(scene: &Scene) -> bool {
    let ppm = if scene.random.percent(50) { 20_000 } else { -20_000 };
    scene.tell(&format!("the operators' clocks are off by {ppm} ppm for {:?}", scene.fault.lasts));
    simulation::operator_rate(ppm);
    scene.last().await;
    simulation::operator_rate(0);
    true
}

/// The next reconciliation misbehaves: so that there is one, a switchover is asked for in half of the cases.
async fn spoil_job(scene: &Scene) -> bool {
    let Some(true) = scene.world.plan.bots.iter().find(|bot| bot.name == scene.bot).map(|bot| bot.reconciled) else {
        return false;
    };
    let site = &scene.world.site;
    scene.tell("the next reconciliation is spoilt");
    match scene.fault.kind {
        Kind::JobHangs => site.misbehaviour.hang(),
        Kind::JobFails => site.misbehaviour.fail(),
        _ => scene.world.cluster.double_next_job(),
    }
    if scene.random.percent(50) {
        scene.world.ask(&scene.bot, "Switchover");
    }
    scene.last().await;
    match scene.fault.kind {
        Kind::JobDoubled => !scene.world.cluster.will_double_job(),
        _ => site.misbehaviour.end() == 0,
    }
}

async fn job_loses_node(scene: &Scene) -> bool {
    if scene.random.percent(50) {
        scene.world.ask(&scene.bot, "Switchover");
    }
    let running = |scene: &Scene| scene.world.cluster.node_of_job().is_some();
    if !scene.until(running).await {
        return false;
    }
    power_cut(scene, scene.world.cluster.node_of_job()).await
}

/// The resource goes, in good order or by force, and one of its name is made.
pub(super) async fn recreate(scene: &Scene) -> bool {
    let api = &scene.world.site.api;
    let Some(plan) = scene.world.plan.bots.iter().find(|bot| bot.name == scene.bot) else { return false };
    let by_force = scene.random.percent(40);
    scene.tell(&format!("the resource is deleted, by force {by_force}"));
    if !api.delete("tradingbots", NAMESPACE, &scene.bot) {
        return false;
    }
    if by_force {
        sleep(scene.random.millis(0, 2_000)).await;
        if let Some(bot) = scene.world.bot(&scene.bot) {
            scene.world.site.ledger.forced(text(&bot, "/metadata/uid"));
        }
        api.change("tradingbots", NAMESPACE, &scene.bot, |bot| bot["metadata"]["finalizers"] = json!([]));
    }
    let gone = scene.world.until(GOING, |world| world.bot(&scene.bot).is_none()).await;
    if gone && scene.world.bot(&scene.bot).is_none() {
        sleep(scene.random.millis(0, 1_000)).await;
        scene.tell("the resource is made again");
        if scene.world.bot(&scene.bot).is_some() {
            // Somebody else was first, or the store was put back.
            return true;
        }
        scene.world.site.exchange.begins_anew(&scene.bot);
        if by_force {
            scene.world.site.exchange.abandons_reconciliations(&scene.bot);
        }
        api.create("tradingbots", plan.object());
    }
    gone
}

fn ask(scene: &Scene, what: &str) -> bool {
    scene.tell("an operation is asked for");
    scene.world.ask(&scene.bot, what);
    true
}

fn roll(scene: &Scene) -> bool {
    let image = format!("example/bot:{}", scene.random.below(1000) + 2);
    scene.tell(&format!("the image becomes {image}"));
    scene.change_spec(|spec| spec["template"]["spec"]["containers"][0]["image"] = json!(image))
}

async fn suspend(scene: &Scene) -> bool {
    scene.tell(&format!("the bot is suspended for {:?}", scene.fault.lasts));
    let done = scene.change_spec(|spec| spec["suspend"] = json!(true));
    scene.last().await;
    // Deleted and made again meanwhile, it is another one.
    scene.change_spec(|spec| spec["suspend"] = json!(false));
    done
}
