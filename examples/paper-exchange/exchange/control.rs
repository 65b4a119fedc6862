//! What tests and people call: the log, waiting for an entry, markers, misbehaviour and the audit. Never fails on
//! purpose.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Query, State as Shared};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use std::sync::Arc;
use tokio::time::{Instant, timeout_at};

use super::entry::{Entry, Kind};
use super::log::{Filter, blank};
use super::modes::Setting;
use super::rules::Auditor;
use super::server::{Server, error};
use super::verdict::Options;

/// Nothing waits longer.
const LONGEST_WAIT: Duration = Duration::from_secs(600);
/// `/wait` without a time waits this long.
const USUAL_WAIT: u64 = 10_000;

pub fn routes() -> Router<Server> {
    Router::new()
        .route("/log", get(log))
        .route("/wait", get(wait))
        .route("/last", get(last))
        .route("/audit", get(audit))
        .route("/control/mode", post(mode))
        .route("/control/mark", post(mark))
        .route("/healthz", get(|| async { "ok\n" }))
}

/// Entries that match, at most `limit`; where there is none yet, waits for one until `deadline`.
async fn entries(server: &Server, filter: &Filter, limit: usize, deadline: Instant) -> Vec<Arc<Entry>> {
    let mut newest = server.state().log.subscribe();
    let mut looked_at = filter.since;
    loop {
        newest.borrow_and_update();
        {
            let state = server.state();
            let after = state.log.after(looked_at);
            let found: Vec<_> = after.iter().filter(|entry| filter.matches(entry)).take(limit).cloned().collect();
            if !found.is_empty() {
                return found;
            }
            looked_at = after.last().map_or(looked_at, |entry| entry.seq);
        }
        match timeout_at(deadline, newest.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return Vec::new(),
        }
    }
}

fn deadline(milliseconds: u64) -> Instant {
    Instant::now() + Duration::from_millis(milliseconds).min(LONGEST_WAIT)
}

async fn log(Shared(server): Shared<Server>, Query(filter): Query<Filter>) -> Response {
    let limit = filter.limit.unwrap_or(usize::MAX);
    let found = entries(&server, &filter, limit, deadline(filter.wait.unwrap_or(0))).await;
    let mut lines = String::new();
    for entry in found {
        lines.push_str(&serde_json::to_string(&*entry).expect("an entry is always JSON"));
        lines.push('\n');
    }
    ([(header::CONTENT_TYPE, "application/jsonl")], lines).into_response()
}

/// The filter of `/wait` and `/last`: accepted orders unless it says otherwise.
fn accepted_orders(filter: Filter) -> Filter {
    Filter { kind: filter.kind.or(Some(Kind::Order)), accepted: filter.accepted.or(Some(true)), ..filter }
}

async fn wait(Shared(server): Shared<Server>, Query(filter): Query<Filter>) -> Response {
    let filter = accepted_orders(filter);
    let found = entries(&server, &filter, 1, deadline(filter.wait.unwrap_or(USUAL_WAIT))).await;
    match found.first() {
        Some(entry) => Json(&**entry).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    }
}

async fn last(Shared(server): Shared<Server>, Query(filter): Query<Filter>) -> Response {
    let filter = accepted_orders(filter);
    let state = server.state();
    match state.log.after(filter.since).iter().rev().find(|entry| filter.matches(entry)) {
        Some(entry) => Json(&**entry).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Audit {
    account: Option<String>,
    #[serde(default)]
    reconciled: bool,
    /// Tokens, separated by commas.
    #[serde(default)]
    exempt: String,
    marker: Option<String>,
}

async fn audit(Shared(server): Shared<Server>, Query(query): Query<Audit>) -> Response {
    let exempt: Result<_, _> = query.exempt.split(',').filter(|token| !token.is_empty()).map(str::parse).collect();
    let Ok(exempt) = exempt else {
        return error(StatusCode::BAD_REQUEST, "exempt is a list of fencing tokens separated by commas");
    };
    let options = Options { account: query.account, reconciled: query.reconciled, exempt, marker: query.marker };
    let entries = server.state().log.after(0).to_vec();
    // Beside the orders, which must not wait for it. It reads the lines, as the stand-alone auditor does.
    let judge = move || {
        let mut auditor = Auditor::new(options);
        for entry in entries {
            auditor.line(&serde_json::to_string(&*entry).expect("an entry is always JSON"));
        }
        auditor.finish()
    };
    match tokio::task::spawn_blocking(judge).await {
        Ok(verdict) => Json(verdict).into_response(),
        Err(failed) => error(StatusCode::INTERNAL_SERVER_ERROR, &format!("the auditor failed: {failed}")),
    }
}

async fn mode(Shared(server): Shared<Server>, body: Bytes) -> Response {
    let setting: Setting = match serde_json::from_slice(&body) {
        Ok(setting) => setting,
        Err(failed) => return error(StatusCode::BAD_REQUEST, &format!("the mode cannot be read: {failed}")),
    };
    let mut state = server.state();
    let entry = Entry {
        account: setting.account.clone(),
        text: Some(format!("{:?} {:?}", setting.class, setting.mode)),
        ..blank(Kind::Mode)
    };
    state.modes.set(setting);
    Json(&*state.log.add(entry)).into_response()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mark {
    text: String,
    account: Option<String>,
    #[serde(default)]
    recreated: bool,
}

async fn mark(Shared(server): Shared<Server>, body: Bytes) -> Response {
    let mark: Mark = match serde_json::from_slice(&body) {
        Ok(mark) => mark,
        Err(failed) => return error(StatusCode::BAD_REQUEST, &format!("the marker cannot be read: {failed}")),
    };
    if mark.recreated && mark.account.is_none() {
        return error(StatusCode::BAD_REQUEST, "say which account's bot was made again");
    }
    let entry =
        Entry { text: Some(mark.text), account: mark.account, recreated: mark.recreated, ..blank(Kind::Marker) };
    Json(&*server.state().log.add(entry)).into_response()
}
