//! What every pod sees alike: the exchange, Redis and PostgreSQL go away and come back. Trading pauses meanwhile; nothing
//! moves, and no process is restarted.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::Api;
use serde_json::{Value, json};

use super::cases::until_passing;
use super::{Pace, QUICK, check, checked, fresh_orders};
use crate::harness::entry::Entry;
use crate::harness::*;

/// Of every pod, and trading pauses.
fn shared(mut check: Value) -> Value {
    check["scope"] = json!("Shared");
    check["pauseTrading"] = json!(true);
    check["appliesTo"] = json!("Active");
    check
}

/// Waits until nothing was ordered for a second; returns a mark of then.
async fn until_paused(bot: &Bot) -> Entry {
    until("trading pauses", SOON, async || {
        let before = bot.mark("is it paused?").await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        bot.orders_since(&before).await.is_empty().then_some(before)
    })
    .await
}

/// The cause is gone as of now: the same process trades on in its epoch. Seconds until it does.
async fn resumes(bot: &Bot, round: &Round, paused: &Entry, back: &Entry) -> f64 {
    let first = bot.exchange.wait("the bot trades again", SOON, &bot.at(&format!("since={}", back.seq))).await;
    let meanwhile = bot.orders_since(paused).await.into_iter().filter(|order| order.seq < back.seq).count();
    assert_eq!(meanwhile, 0, "orders while trading pauses");
    assert_eq!((&first.instance, first.token), (&round.order.instance, round.order.token), "something was restarted");
    assert_eq!(bot.until_trading().await.failover.total, 0, "trading has moved");
    seconds_between(back, &first)
}

/// A server of this image goes away for `away` and comes back.
async fn server_away(world: &World, server: &Server, manifest: BotManifest, away: Duration) -> f64 {
    let bot = world.apply(manifest).await;
    bot.until_trading().await;
    until_passing(&bot).await;
    let round = bot.begin_round("the server goes away").await;
    server.reachable(false).await;
    let paused = until_paused(&bot).await;
    tokio::time::sleep(away).await;
    server.reachable(true).await;
    let back = bot.mark("the server is back").await;
    resumes(&bot, &round, &paused, &back).await
}

pub async fn redis_away(world: &World, away: Duration, pace: Pace) -> f64 {
    let server = Server::announce(world, "redis", 6379).await;
    put_secret(world, "redis", &json!({"NOTHING": ""})).await;
    let script = "exec redis-server --save '' --dir /data --protected-mode no";
    server.start("ghcr.io/tradingbot-io/tradingbot-test-redis:7", script, "redis").await;
    let cache = shared(check("cache", json!({"redis": {"host": server.address, "role": "Primary"}})));
    // One that goes by what it is told alone: after the first hook it trades on only after the second.
    let hook = |path: &str| json!({"http": {"port": 9000, "path": path}, "timeoutSeconds": 5});
    let hooks = json!({"pause": hook("/control/pause"), "resume": hook("/control/resume")});
    let manifest = checked(json!([pace.of(cache)])).with("/spec/hooks", hooks);
    server_away(world, &server, manifest, away + pace.wait).await
}

pub async fn postgres_away(world: &World, away: Duration, pace: Pace) -> f64 {
    let database = Database::start(world, "secret").await;
    let uri = format!("postgresql://bot:secret@{}:5432/postgres", database.server().address);
    put_secret(world, "books", &json!({"uri": uri})).await;
    let books = shared(check("books", json!({"postgres": {"secretRef": {"name": "books"}, "role": "Primary"}})));
    server_away(world, database.server(), checked(json!([pace.of(books)])), away + pace.wait).await
}

/// Both nodes of the bot are cut from the exchange alone. The bot's own orders fail meanwhile, which is no reason to do
/// anything either.
pub async fn exchange_away(world: &World, away: Duration, pace: Pace) -> f64 {
    let safe = world.operator().leaders_node().await;
    let exchange = world.exchange_on(&safe).await;
    let address = exchange.address.trim_start_matches("http://").to_owned();
    let (host, port) = address.rsplit_once(':').expect("an address and a port");
    let venue = shared(check("venue", json!({"tcp": {"host": host, "port": port.parse::<u16>().expect("a port")}})));
    let bot = world.apply(checked(json!([pace.of(venue), pace.of(fresh_orders())])).not_on(&safe)).await;
    bot.until_trading().await;
    until_passing(&bot).await;
    let round = bot.begin_round("the exchange goes away").await;
    let pods: Api<Pod> = Api::namespaced(world.cluster.client.clone(), &world.namespace);
    let venue = pods.get("exchange").await.expect("the exchange's pod").status.and_then(|status| status.pod_ip);
    let venue = venue.expect("it has an address");
    let nodes: Vec<String> = bot.pods().await.into_iter().filter_map(|pod| pod.spec?.node_name).collect();
    let cuts: Vec<_> = nodes.iter().map(|node| world.faults().cut_address(node, &venue)).collect();
    let paused = until_paused(&bot).await;
    tokio::time::sleep(away + pace.wait).await;
    cuts.into_iter().for_each(Lasting::heal);
    let back = bot.mark("the exchange is back").await;
    let took = resumes(&bot, &round, &paused, &back).await;
    assert!(took < 5.0, "{took} s until the bot traded again");
    took
}

#[test]
fn recovery_redis_away() {
    scenario("recovery_redis_away", Turn::Shared, async |world| {
        world.note("s to trade again", redis_away(world, Duration::from_secs(3), QUICK).await);
    });
}

#[test]
fn recovery_postgres_away() {
    scenario("recovery_postgres_away", Turn::Shared, async |world| {
        world.note("s to trade again", postgres_away(world, Duration::from_secs(3), QUICK).await);
    });
}

#[test]
fn recovery_exchange_away() {
    scenario("recovery_exchange_away", Turn::Alone, async |world| {
        world.note("s to trade again", exchange_away(world, Duration::from_secs(20), QUICK).await);
    });
}
