//! The reconciliation against the paper exchange, over loopback.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::args::Args;
use super::exchange::server::{Config, Server};
use super::http::Http;
use super::{Options, run};

const SOON: Duration = Duration::from_secs(5);

async fn exchange() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(Server::new(Config { log_entries: 1000, log_file: None, fence: false }).serve(listener));
    url
}

fn options(url: &str, token: u64, more: &[&str]) -> Options {
    let arguments = [&["--exchange", url], more].concat();
    let token = token.to_string();
    Options::read(Args::from_list(&arguments), |name| match name {
        "TRADINGBOT_NAME" => Some("doge".to_owned()),
        "TRADINGBOT_FENCING_TOKEN" | "TRADINGBOT_EPOCH" => Some(token.clone()),
        _ => None,
    })
    .unwrap()
}

async fn reconcile(url: &str, token: u64, more: &[&str]) -> Result<Value, String> {
    run(&options(url, token, more)).await.map(|text| serde_json::from_str(&text).unwrap())
}

async fn call(url: &str, method: &str, path: &str, body: Value) -> Value {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let answer = Http::new(url, SOON).unwrap().request(method, path, &body).await.unwrap();
    assert!(answer.is_success(), "{path}: {answer:?}");
    answer.json().unwrap()
}

async fn order(url: &str, id: &str, price: &str) {
    let order = json!({"clientOrderId": id, "account": "doge", "instance": "a", "side": "Buy", "price": price,
        "quantity": "10", "fencingToken": 10, "epoch": 10});
    call(url, "POST", "/v1/orders", order).await;
}

async fn open(url: &str) -> Vec<String> {
    let open = call(url, "GET", "/v1/orders?open=true&account=doge", Value::Null).await;
    let ids =
        open["orders"].as_array().unwrap().iter().map(|order| order["clientOrderId"].as_str().unwrap().to_owned());
    ids.collect()
}

async fn states(url: &str) -> Vec<String> {
    let known = call(url, "GET", "/v1/reconciliations?account=doge", Value::Null).await;
    let states =
        known["reconciliations"].as_array().unwrap().iter().map(|one| one["state"].as_str().unwrap().to_owned());
    states.collect()
}

#[tokio::test]
async fn it_cancels_what_the_bot_left_open_and_nothing_else() {
    let url = exchange().await;
    for (id, price) in [("doge-10-a-1", "1"), ("doge-10-a-2", "1"), ("doge-10-a-3", "1000"), ("by-hand", "1")] {
        order(&url, id, price).await;
    }
    let begin = Instant::now();
    let report = reconcile(&url, 20, &[]).await.unwrap();
    println!("reconciled in {:?}", begin.elapsed());
    let expected = json!({"openOrdersFound": 2, "ordersCancelled": 2, "positionsSynced": 1,
        "balances": [{"asset": "DOGE", "drift": "0"}], "discrepancies": []});
    assert_eq!(report, expected);
    assert_eq!(open(&url).await, ["by-hand"]);
    assert_eq!(states(&url).await, ["Started", "Succeeded"]);
    assert_eq!(call(&url, "GET", "/last?kind=cancelMany", Value::Null).await["token"], 20);
}

#[tokio::test]
async fn started_twice_it_leaves_the_new_actives_orders_alone_and_counts_once() {
    let url = exchange().await;
    reconcile(&url, 20, &[]).await.unwrap();
    order(&url, "doge-20-b-1", "1").await;
    assert_eq!(reconcile(&url, 20, &[]).await.unwrap()["ordersCancelled"], 0);
    assert_eq!(open(&url).await, ["doge-20-b-1"]);
    assert_eq!(states(&url).await, ["Started", "Succeeded"]);
    reconcile(&url, 30, &[]).await.unwrap();
    assert!(open(&url).await.is_empty(), "the next epoch's is another one");
}

#[tokio::test]
async fn somebody_elses_trade_is_a_drift() {
    let url = exchange().await;
    order(&url, "by-hand", "1000").await;
    assert_eq!(reconcile(&url, 20, &[]).await.unwrap()["balances"], json!([{"asset": "DOGE", "drift": "10"}]));
}

#[tokio::test]
async fn it_misbehaves_as_told() {
    let url = exchange().await;
    assert!(reconcile(&url, 20, &["--fail"]).await.is_err());
    assert_eq!(states(&url).await, ["Started", "Failed"]);
    let hangs = options(&url, 30, &["--hang"]);
    let running = tokio::spawn(async move { run(&hangs).await });
    let started = call(&url, "GET", "/wait?kind=reconciliation&token=30&timeout_ms=5000", Value::Null).await;
    assert_eq!(started["state"], "Started");
    assert!(!running.is_finished());
    running.abort();
    let report = reconcile(&url, 40, &["--discrepancy", "ask Alice"]).await.unwrap();
    assert_eq!(report["discrepancies"], json!(["ask Alice"]));
    assert!(serde_json::from_str::<Value>(&run(&options(&url, 50, &["--nonsense"])).await.unwrap()).is_err());
    assert_eq!(run(&options(&url, 60, &["--report-bytes", "5000"])).await.unwrap().len(), 5000);
}

#[tokio::test]
async fn an_exchange_that_fails_makes_it_fail_with_a_sentence() {
    let url = exchange().await;
    order(&url, "doge-10-a-1", "1").await;
    call(&url, "POST", "/control/mode", json!({"class": "Cancels", "mode": "500"})).await;
    let why = reconcile(&url, 20, &[]).await.unwrap_err();
    assert!(why.contains("DELETE /v1/orders") && why.contains("500"), "{why}");
    assert_eq!(states(&url).await, ["Started"]);
}
