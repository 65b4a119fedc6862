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

use super::clock;
use super::config::{Refusal, Settings};
use super::gate::Gate;
use crate::core::agent::{Leadership, Role};
use crate::core::time::Mono;

/// A standby that has not heard from the API server for this long is not ready to take over.
const STALE: Duration = Duration::from_secs(15);
/// A stream without changes says something this often, so that a reader that is gone is noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// As Prometheus names its text format.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What there is to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Board {
    /// For the bot.
    pub(super) leadership: Leadership,
    /// For how long the bot may trade.
    pub(super) validity: Validity,
    /// Why this pod is not ready, a sentence.
    pub(super) unready: Option<String>,
    /// Since when the API server could not be reached.
    pub(super) lost_since: Option<Mono>,
}

/// For how long a bot may trade if nothing more is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Validity {
    /// It may not.
    None,
    /// Until then.
    Until(Mono),
    /// Until it is told otherwise (`onApiServerLoss: Continue`), which always leaves it at least this long.
    AtLeast(Duration),
}

impl Board {
    fn validity_milliseconds(&self) -> u64 {
        let left = match self.validity {
            Validity::None => Duration::ZERO,
            Validity::AtLeast(time) => time,
            Validity::Until(end) => {
                let now = clock::now();
                Duration::from_nanos(end.first.saturating_sub(now.first).min(end.second.saturating_sub(now.second)))
            }
        };
        u64::try_from(left.as_millis()).unwrap_or(u64::MAX)
    }

    /// Why this pod is not ready now.
    pub(super) fn unready_now(&self) -> Option<String> {
        let waits = matches!(self.leadership.role, Role::Standby | Role::Candidate);
        let silent = self.lost_since.map(|since| clock::now().possibly_elapsed_since(since));
        match silent.filter(|silent| waits && *silent > STALE) {
            Some(silent) => Some(format!("The API server was not reached for {} s.", silent.as_secs())),
            None => self.unready.clone(),
        }
    }
}

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
            validity_milliseconds: board.validity_milliseconds(),
        }
    }
}

/// Opens both ports and serves them in the background.
pub(super) async fn start(
    settings: &Settings,
    board: watch::Receiver<Board>,
    gate: Option<&Gate>,
) -> Result<(), Refusal> {
    let config = &settings.config;
    let names = Arc::new([config.bot.clone(), config.namespace.clone(), settings.setup.pod.name.clone()]);
    let shared = Shared { names, board };
    let probes = Router::new().route("/healthz", get(healthz)).route("/readyz", get(readyz));
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
    let unready = shared.board.borrow().unready_now();
    match unready {
        None => "ok\n".into_response(),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::ids::{Epoch, FencingToken};

    fn board(role: Role, silent: Duration) -> Board {
        Board {
            leadership: Leadership { role, epoch: Epoch(1), token: FencingToken(1) },
            validity: Validity::Until(clock::now().plus(Duration::from_secs(9))),
            unready: None,
            lost_since: Some(clock::now().minus(silent)),
        }
    }

    #[test]
    fn only_a_standby_and_only_after_a_while_is_not_ready_because_the_api_server_is_away() {
        assert_eq!(board(Role::Standby, Duration::from_secs(14)).unready_now(), None);
        let why = board(Role::Standby, Duration::from_secs(16)).unready_now();
        assert_eq!(why.as_deref(), Some("The API server was not reached for 16 s."));
        assert_eq!(board(Role::Active, Duration::from_secs(600)).unready_now(), None);
    }

    #[test]
    fn validity_runs_out_and_never_below_zero() {
        let mut board = board(Role::Active, Duration::ZERO);
        assert!((8_000..=9_000).contains(&board.validity_milliseconds()));
        board.validity = Validity::Until(clock::now().minus(Duration::from_secs(1)));
        assert_eq!(board.validity_milliseconds(), 0);
        board.validity = Validity::AtLeast(Duration::from_secs(10));
        assert_eq!(board.validity_milliseconds(), 10_000);
    }
}
