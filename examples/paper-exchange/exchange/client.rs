//! What bots and reconciliations call: `/v1/…`.

use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State as Shared};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::book::{Order, SYMBOL, Side, price_at};
use super::caller::{Caller, Named};
use super::decimal::Decimal;
use super::entry::{Entry, Kind};
use super::modes::Class;
use super::server::{Server, State};

pub fn routes() -> Router<Server> {
    Router::new()
        .route("/v1/orders", post(place).get(list).delete(cancel_many))
        .route("/v1/orders/{id}", delete(cancel))
        .route("/v1/account", get(account))
        .route("/v1/fills", get(fills))
        .route("/v1/ticker", get(ticker))
        .route("/v1/cancel-all-after", post(cancel_all_after))
        .route("/v1/reconciliations", post(reconciliation).get(reconciliations))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Place {
    client_order_id: String,
    symbol: Option<String>,
    side: Side,
    price: Decimal,
    quantity: Decimal,
    /// The client's wall clock, in milliseconds since 1970.
    sent_milliseconds: Option<u64>,
    #[serde(flatten)]
    named: Named,
}

fn parse<T: DeserializeOwned>(body: &Bytes) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| format!("the body cannot be read: {error}"))
}

async fn place(Shared(server): Shared<Server>, caller: Caller, body: Bytes) -> Response {
    let request: Place = match parse(&body) {
        Ok(request) => request,
        Err(text) => {
            let refuse = |state: &mut State, entry| state.refuse(entry, StatusCode::BAD_REQUEST, text);
            return server.change(Class::Orders, caller.entry(Kind::Order), refuse).await;
        }
    };
    let caller = caller.with(request.named.clone());
    let entry = Entry {
        client_order_id: Some(request.client_order_id.clone()),
        sent_milliseconds: request.sent_milliseconds,
        ..caller.entry(Kind::Order)
    };
    let act = |state: &mut State, entry| match refusal(state, &caller, &request) {
        Some((status, text)) => state.refuse(entry, status, text),
        None => accept(state, &caller, request, entry),
    };
    server.change(Class::Orders, entry, act).await
}

fn refusal(state: &mut State, caller: &Caller, request: &Place) -> Option<(StatusCode, String)> {
    let fence = state.fence;
    let account = state.account(&caller.account);
    if request.symbol.as_deref().is_some_and(|symbol| symbol != SYMBOL) {
        return Some((StatusCode::BAD_REQUEST, format!("only {SYMBOL} is traded here")));
    }
    if !request.price.is_positive() || !request.quantity.is_positive() {
        return Some((StatusCode::BAD_REQUEST, "price and quantity must be above zero".to_owned()));
    }
    if account.knows(&request.client_order_id) {
        return Some((StatusCode::CONFLICT, "duplicate: this clientOrderId was used before".to_owned()));
    }
    if fence && caller.token < account.highest_token {
        return Some((StatusCode::CONFLICT, "stale: a later fencing token has traded".to_owned()));
    }
    None
}

fn accept(state: &mut State, caller: &Caller, request: Place, entry: Entry) -> Response {
    let price = price_at(state.log.now());
    let text = format!("{:?} {} at {}", request.side, request.quantity, request.price);
    let order = Order {
        client_order_id: request.client_order_id,
        side: request.side,
        price: request.price,
        quantity: request.quantity,
        instance: caller.instance.clone(),
        fencing_token: caller.token,
    };
    let filled = state.account(&caller.account).place(order, price);
    let status = if filled { "Filled" } else { "Open" };
    let entry = state.log.add(Entry { state: Some(status.to_owned()), text: Some(text), ..entry });
    let answer = json!({"clientOrderId": entry.client_order_id, "status": status, "seq": entry.seq, "us": entry.us});
    (StatusCode::CREATED, axum::Json(answer)).into_response()
}

/// The query of everything but placing.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Which {
    account: Option<String>,
    prefix: Option<String>,
    /// Only open orders can be listed; the parameter says so to people who read it.
    #[serde(rename = "open")]
    _open: Option<bool>,
    token: Option<u64>,
}

impl Which {
    fn account(&self, caller: Caller) -> Caller {
        caller.with(Named { account: self.account.clone(), ..Named::default() })
    }
}

async fn list(Shared(server): Shared<Server>, caller: Caller, Query(which): Query<Which>) -> Response {
    let name = which.account(caller).account;
    let prefix = which.prefix.unwrap_or_default();
    server
        .read(&name, |state| {
            let orders: Vec<&Order> = state.account(&name).open_with(&prefix).collect();
            json!({"orders": orders})
        })
        .await
}

async fn cancel(
    Shared(server): Shared<Server>,
    caller: Caller,
    Path(id): Path<String>,
    Query(which): Query<Which>,
) -> Response {
    let caller = which.account(caller);
    let entry = Entry { client_order_id: Some(id.clone()), ..caller.entry(Kind::Cancel) };
    let act = |state: &mut State, entry| {
        if !state.account(&caller.account).cancel(&id) {
            return state.refuse(entry, StatusCode::NOT_FOUND, "there is no such open order".to_owned());
        }
        state.log.add(Entry { state: Some("Cancelled".to_owned()), ..entry });
        axum::Json(json!({"clientOrderId": id, "status": "Cancelled"})).into_response()
    };
    server.change(Class::Cancels, entry, act).await
}

async fn cancel_many(Shared(server): Shared<Server>, caller: Caller, Query(which): Query<Which>) -> Response {
    let caller = which.account(caller);
    let act = |state: &mut State, entry| {
        // An empty prefix would cancel what belongs to others on the account: it has to be said.
        let Some(prefix) = which.prefix else {
            return state.refuse(
                entry,
                StatusCode::BAD_REQUEST,
                "name a prefix; an empty one means every order".to_owned(),
            );
        };
        let count = state.account(&caller.account).cancel_prefix(&prefix);
        state.log.add(Entry { count: Some(count), text: Some(format!("prefix '{prefix}'")), ..entry });
        axum::Json(json!({"cancelled": count})).into_response()
    };
    server.change(Class::Cancels, caller.entry(Kind::CancelMany), act).await
}

async fn account(Shared(server): Shared<Server>, caller: Caller, Query(which): Query<Which>) -> Response {
    let name = which.account(caller).account;
    server
        .read(&name, |state| {
            let account = state.account(&name);
            json!({
                "account": name,
                "balances": [{"asset": "JPY", "amount": account.jpy}, {"asset": "DOGE", "amount": account.doge}],
                "positions": [{"symbol": SYMBOL, "quantity": account.position()}],
            })
        })
        .await
}

async fn fills(Shared(server): Shared<Server>, caller: Caller, Query(which): Query<Which>) -> Response {
    let name = which.account(caller).account;
    let prefix = which.prefix.unwrap_or_default();
    server
        .read(&name, |state| {
            let (count, doge, jpy) = state.account(&name).fills_with(&prefix);
            json!({"count": count, "changes": [{"asset": "JPY", "amount": jpy}, {"asset": "DOGE", "amount": doge}]})
        })
        .await
}

async fn ticker(Shared(server): Shared<Server>, caller: Caller) -> Response {
    server
        .read(&caller.account, |state| {
            let us = state.log.now();
            json!({"symbol": SYMBOL, "price": price_at(us), "us": us})
        })
        .await
}

#[derive(Deserialize)]
struct CancelAllAfter {
    seconds: u64,
    #[serde(flatten)]
    named: Named,
}

async fn cancel_all_after(Shared(server): Shared<Server>, caller: Caller, body: Bytes) -> Response {
    let request: Result<CancelAllAfter, String> = parse(&body);
    let caller = match &request {
        Ok(request) => caller.with(request.named.clone()),
        Err(_) => caller,
    };
    let act = |state: &mut State, entry| {
        let seconds = match request {
            Ok(request) => request.seconds.min(86_400),
            Err(text) => return state.refuse(entry, StatusCode::BAD_REQUEST, text),
        };
        let account = state.account(&caller.account);
        account.timer += 1;
        let timer = account.timer;
        state.log.add(Entry { count: Some(seconds), ..entry });
        if seconds > 0 {
            tokio::spawn(dead_man(server.clone(), caller.clone(), timer, Duration::from_secs(seconds)));
        }
        axum::Json(json!({"seconds": seconds})).into_response()
    };
    server.change(Class::Cancels, caller.entry(Kind::CancelAllAfter), act).await
}

/// Cancels everything on the account unless the timer was set again meanwhile.
async fn dead_man(server: Server, caller: Caller, timer: u64, after: Duration) {
    tokio::time::sleep(after).await;
    let mut state = server.state();
    let account = state.account(&caller.account);
    if account.timer == timer {
        let count = account.cancel_prefix("");
        state.log.add(Entry { count: Some(count), ..caller.entry(Kind::DeadMan) });
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
enum Progress {
    Started,
    Succeeded,
    Failed,
}

#[derive(Deserialize)]
struct Reconciliation {
    state: Progress,
    text: Option<String>,
    #[serde(flatten)]
    named: Named,
}

async fn reconciliation(Shared(server): Shared<Server>, caller: Caller, body: Bytes) -> Response {
    let request: Result<Reconciliation, String> = parse(&body);
    let caller = match &request {
        Ok(request) => caller.with(request.named.clone()),
        Err(_) => caller,
    };
    let act = |state: &mut State, entry| {
        let request = match request {
            Ok(request) => request,
            Err(text) => return state.refuse(entry, StatusCode::BAD_REQUEST, text),
        };
        let entry = Entry { state: Some(format!("{:?}", request.state)), text: request.text, ..entry };
        let entry = state.log.add(entry);
        state.reconciliations.push(entry.clone());
        (StatusCode::CREATED, axum::Json(json!({"seq": entry.seq, "us": entry.us}))).into_response()
    };
    server.change(Class::Reconciliations, caller.entry(Kind::Reconciliation), act).await
}

async fn reconciliations(Shared(server): Shared<Server>, caller: Caller, Query(which): Query<Which>) -> Response {
    let token = which.token;
    let name = which.account(caller).account;
    server
        .read(&name, |state| {
            let meant = |entry: &&Entry| {
                entry.account.as_ref() == Some(&name) && token.is_none_or(|token| entry.token == Some(token))
            };
            let reports = state.reconciliations.iter().map(|entry| &**entry).filter(meant);
            json!({"reconciliations": reports.collect::<Vec<_>>()})
        })
        .await
}
