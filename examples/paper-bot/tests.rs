//! The bot against an exchange and an agent that are played by the test, on loopback.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::args::Args;
use super::control::Controls;
use super::options::Options;
use super::role::{self, Role};
use super::trader;

const SOON: Duration = Duration::from_secs(5);

async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

/// An exchange that takes everything and tells the test.
async fn exchange() -> (SocketAddr, mpsc::UnboundedReceiver<Value>) {
    let (orders, received) = mpsc::unbounded_channel();
    let take = |State(orders): State<mpsc::UnboundedSender<Value>>, body: Bytes| async move {
        orders.send(serde_json::from_slice(&body).unwrap()).unwrap();
        (axum::http::StatusCode::CREATED, "{}")
    };
    let router = Router::new().route("/v1/orders", post(take)).with_state(orders);
    (serve(router).await, received)
}

fn options(exchange: SocketAddr, role: &'static str, api: Option<String>) -> Options {
    let arguments = ["--exchange", &format!("http://{exchange}"), "--orders-per-second", "200"];
    Options::read(Args::from_list(&arguments), |name| match name {
        "TRADINGBOT_NAME" => Some("doge".to_owned()),
        "TRADINGBOT_ROLE" => Some(role.to_owned()),
        "TRADINGBOT_EPOCH" => Some("1".to_owned()),
        "TRADINGBOT_FENCING_TOKEN" => Some("11".to_owned()),
        "TRADINGBOT_API" => api.clone(),
        _ => None,
    })
    .unwrap()
}

#[tokio::test]
async fn an_active_trades_from_the_start_and_stops_when_told() {
    let (address, mut orders) = exchange().await;
    let options = options(address, "active", None);
    let (roles, role) = watch::channel(Role::from_environment(&options));
    let trading = tokio::spawn(async move { trader::trade(&options, role, Controls::default()).await });
    let first = timeout(SOON, orders.recv()).await.unwrap().unwrap();
    assert_eq!((first["fencingToken"].as_u64(), first["account"].as_str()), (Some(11), Some("doge")));
    assert!(first["clientOrderId"].as_str().unwrap().starts_with("doge-11-"));
    roles.send(Role::default()).unwrap();
    // Nobody is left to make it the active again, so a trader that stopped has also ended.
    drop(roles);
    timeout(SOON, trading).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_hot_standby_trades_when_the_agent_says_so_under_the_new_token() {
    let (address, mut orders) = exchange().await;
    let (events, sent) = mpsc::unbounded_channel::<Result<String, std::io::Error>>();
    let sent = std::sync::Arc::new(std::sync::Mutex::new(Some(sent)));
    let stream = move || {
        let sent = sent.lock().unwrap().take();
        async move {
            let Some(mut sent) = sent else { return axum::http::StatusCode::GONE.into_response() };
            let body = futures::stream::poll_fn(move |cx| sent.poll_recv(cx));
            ([("content-type", "text/event-stream")], Body::from_stream(body)).into_response()
        }
    };
    let api = serve(Router::new().route("/v1/leadership/stream", get(stream))).await;
    let say = |role: &str, token: u64| {
        let text = format!("data: {{\"role\":\"{role}\",\"epoch\":2,\"fencingToken\":{token}}}\n\n");
        events.send(Ok(text)).unwrap();
    };
    say("standby", 0);
    let options = options(address, "standby", Some(format!("http://{api}")));
    let (roles, role) = watch::channel(Role::from_environment(&options));
    tokio::spawn(role::follow(options.api.clone(), roles));
    tokio::spawn(async move { trader::trade(&options, role, Controls::default()).await });
    let mut times = Vec::new();
    for token in 22..42 {
        let begin = std::time::Instant::now();
        say("active", token);
        loop {
            let order = timeout(SOON, orders.recv()).await.unwrap().unwrap();
            if order["fencingToken"].as_u64() == Some(token) {
                break;
            }
            // One of the role before may have been on its way.
            let before = (token > 22).then_some(token - 1);
            assert_eq!(order["fencingToken"].as_u64(), before, "an order before the role: {order}");
        }
        times.push(begin.elapsed());
        say("standby", 0);
    }
    times.sort();
    println!("role to first order at the exchange: median {:?}, longest {:?}", times[10], times[19]);
    // Unoptimised, and other tests run beside it.
    assert!(times[10] < Duration::from_millis(20), "{times:?}");
}
