//! The local API for the bot, on loopback, and the probes for the kubelet, on the pod's address.

use std::convert::Infallible;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use axum::{Router, serve};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;

use super::board::Board;
use super::clock;
use super::config::{Refusal, Settings};
use super::gate::Gate;
use super::health::Checks;

/// A stream without changes says something this often, so that a reader that is gone is noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// As Prometheus names its text format.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    name: &'a str,
    namespace: &'a str,
    pod: &'a str,
    role: &'static str,
    epoch: u64,
    fencing_token: u64,
    validity_milliseconds: u64,
}

#[derive(Clone)]
struct Shared {
    names: Arc<[String; 3]>,
    board: watch::Receiver<Board>,
    health: Checks,
}

impl Shared {
    fn answer<'a>(&'a self, board: &Board) -> Answer<'a> {
        let [name, namespace, pod] = &*self.names;
        Answer {
            name,
            namespace,
            pod,
            role: board.leadership.role.as_str(),
            epoch: board.leadership.epoch.0,
            fencing_token: board.leadership.token.0,
            validity_milliseconds: board.validity_milliseconds(clock::now()),
        }
    }
}

/// Opens both ports and serves them in the background.
pub(super) async fn start(
    settings: &Settings,
    board: watch::Receiver<Board>,
    gate: Option<&Gate>,
    health: Checks,
) -> Result<(), Refusal> {
    let config = &settings.config;
    let names = Arc::new([config.bot.clone(), config.namespace.clone(), settings.setup.pod.name.clone()]);
    let shared = Shared { names, board, health };
    let probes = Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/health", get(health_in_short))
        .route("/health/detailed", get(health_in_detail));
    let api = probes
        .clone()
        .route("/v1/leadership", get(leadership))
        .route("/v1/leadership/stream", get(stream))
        .with_state(shared.clone());
    let on_loopback = listen(SocketAddr::from((Ipv4Addr::LOCALHOST, config.api_port))).await?;
    tokio::spawn(serve(on_loopback, api).into_future());
    // Both families where there are both.
    let any = match listen(SocketAddr::from((Ipv6Addr::UNSPECIFIED, config.probe_port))).await {
        Ok(listener) => listener,
        Err(_) => listen(SocketAddr::from((Ipv4Addr::UNSPECIFIED, config.probe_port))).await?,
    };
    let metrics = gate.map(Gate::reader);
    let metrics = get(async move || match metrics {
        Some(text) => ([(header::CONTENT_TYPE, METRICS_TYPE)], text()).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    });
    tokio::spawn(serve(any, probes.with_state(shared).route("/metrics", metrics)).into_future());
    Ok(())
}

async fn listen(address: SocketAddr) -> Result<TcpListener, Refusal> {
    TcpListener::bind(address).await.map_err(|cause| Refusal::Listen { address, cause })
}

/// That it answers is the answer: it runs on the thread that does everything else.
async fn healthz() -> &'static str {
    "ok\n"
}

async fn readyz(State(shared): State<Shared>) -> Response {
    let unready = shared.board.borrow().unready_at(clock::now());
    match unready {
        None => "ok\n".into_response(),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

/// For load balancers: whether every critical check of this pod's role passes.
async fn health_in_short(State(shared): State<Shared>) -> Response {
    let unhealthy = shared.health.unhealthy(&shared.board.borrow(), clock::now());
    match unhealthy {
        None => "ok\n".into_response(),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

async fn health_in_detail(State(shared): State<Shared>) -> Response {
    let page = shared.health.page(&shared.board.borrow(), clock::now());
    let status = if page.healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(page)).into_response()
}

async fn leadership(State(shared): State<Shared>) -> Response {
    let board = shared.board.borrow().clone();
    Json(shared.answer(&board)).into_response()
}

/// Server-sent events: the present state, then every change of role or epoch.
async fn stream(State(shared): State<Shared>) -> Response {
    let events = futures::stream::unfold((shared, None), |(mut shared, told)| async move {
        loop {
            let board = shared.board.borrow_and_update().clone();
            if told != Some(board.leadership) {
                let event = serde_json::to_string(&shared.answer(&board)).ok()?;
                let told = Some(board.leadership);
                return Some((Ok::<_, Infallible>(Bytes::from(format!("data: {event}\n\n"))), (shared, told)));
            }
            match timeout(KEEP_ALIVE, shared.board.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return None,
                Err(_) => return Some((Ok(Bytes::from_static(b": nothing new\n\n")), (shared, told))),
            }
        }
    });
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    (headers, Body::from_stream(events)).into_response()
}
