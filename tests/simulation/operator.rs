//! Parts of the operator against the simulated API server: what seeds of the simulation have found.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::time::{sleep, timeout};
use tradingbot::controller::election::Election;
use tradingbot::controller::observe::Revisions;
use tradingbot::controller::registry::BotKey;
use tradingbot::controller::scope::Scope;
use tradingbot::controller::watches::{self, World};
use tradingbot::runtime::admin::Readiness;
use tradingbot::simulation;
use tradingbot_simulation::api_server::{ApiServer, Direct};

fn cluster() -> ApiServer {
    simulation::start(1);
    let api = ApiServer::new(1);
    for namespace in ["system", "money"] {
        api.create("namespaces", json!({"metadata": {"name": namespace}}));
    }
    api
}

fn bot(api: &ApiServer, name: &str) {
    let template = json!({"spec": {"containers": [{"name": "bot", "image": "bot:1", "command": ["/bot"]}]}});
    api.create(
        "tradingbots",
        json!({
            "apiVersion": "tradingbot.io/v1alpha1", "kind": "TradingBot",
            "metadata": {"name": name, "namespace": "money"}, "spec": {"template": template},
        }),
    );
}

#[tokio::test(start_paused = true)]
async fn a_lead_that_was_renewed_too_late_is_lost_for_workers_have_ended_meanwhile() {
    let client = cluster().client(Arc::new(Direct));
    let mut election = Election::new(client, "system", "one".into(), None, Arc::default());
    let leadership = election.leadership();
    election.campaign().await;
    assert!(leadership.check().is_ok());
    // The process stands still: neither the election nor anything else of it runs.
    sleep(Duration::from_secs(9)).await;
    assert!(leadership.check().is_err(), "a worker that asks now ends");
    let held = timeout(Duration::from_secs(3), election.hold()).await;
    assert!(held.is_ok(), "the lead goes on without its workers");
    assert!(leadership.check().is_err());
    election.campaign().await;
    assert!(leadership.check().is_ok());
    assert!(timeout(Duration::from_secs(30), election.hold()).await.is_err(), "nothing is wrong with this one");
}

#[tokio::test(start_paused = true)]
async fn watches_list_anew_when_the_store_was_put_back_whoever_leads() {
    let api = cluster();
    let (world, revisions) = (World::default(), Arc::new(Revisions::default()));
    let client = api.client(Arc::new(Direct));
    let readiness = Readiness::default();
    let watching = watches::start(&client, "system", &Scope::default(), &world, &readiness, &revisions);
    let mut leader = Election::new(client.clone(), "system", "leads".into(), None, Arc::default());
    leader.campaign().await;
    // This one does not lead: it only shows that it is there.
    let mut other = Election::new(client, "system", "waits".into(), None, revisions.clone());
    let campaign = tokio::spawn(async move { other.campaign().await });
    let holding = tokio::spawn(async move { leader.hold().await });
    let knows = |name: &str| world.registry.all().iter().any(|(key, _)| *key == BotKey::new("money", name));
    bot(&api, "before");
    let earlier = api.snapshot();
    for number in 0..200 {
        bot(&api, &format!("later-{number}"));
    }
    sleep(Duration::from_secs(3)).await;
    assert!(knows("before") && knows("later-7"));
    let told = revisions.restores();
    api.restore(&earlier);
    bot(&api, "after");
    sleep(Duration::from_secs(6)).await;
    assert!(told.has_changed().unwrap(), "a write shows that versions have gone back");
    assert!(knows("before") && knows("after") && !knows("later-7"));
    drop((watching, campaign, holding));
}
