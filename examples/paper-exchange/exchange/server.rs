//! The state behind all routes, and the one way through which a request reaches it.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::arrivals::{Arrivals, Peer};
use super::book::Account;
use super::entry::{Entry, Kind};
use super::log::{Log, blank};
use super::modes::{Class, Modes, Verdict};
use super::{client, control};

/// A mute exchange gives up its connection after this long, so that nothing waits for good.
const MUTE: Duration = Duration::from_secs(60);

/// How the exchange is started.
pub struct Config {
    /// Entries of the log.
    pub log_entries: usize,
    /// A file that gets a copy of the log.
    pub log_file: Option<File>,
    /// Refuse tokens older than the newest seen, as a venue with fencing would. Off where safety is judged.
    pub fence: bool,
}

/// Everything there is.
pub struct State {
    pub log: Log,
    pub accounts: BTreeMap<String, Account>,
    pub modes: Modes,
    pub fence: bool,
    /// Accepted reports of reconciliations.
    pub reconciliations: Vec<Arc<Entry>>,
}

impl State {
    /// The account of this name, which begins to exist when it is first named.
    pub fn account(&mut self, name: &str) -> &mut Account {
        if !self.accounts.contains_key(name) {
            self.accounts.insert(name.to_owned(), Account::default());
        }
        self.accounts.get_mut(name).expect("it was just made")
    }

    /// Logs the entry as refused.
    pub fn refuse(&mut self, entry: Entry, status: StatusCode, text: String) -> Response {
        self.log.add(Entry { accepted: false, text: Some(text.clone()), ..entry });
        error(status, &text)
    }
}

/// The exchange, shared by all requests.
#[derive(Clone)]
pub struct Server(Arc<Mutex<State>>);

impl Server {
    /// A new exchange whose log has one entry.
    pub fn new(config: Config) -> Self {
        let mut log = Log::new(config.log_entries, config.log_file);
        log.add(blank(Kind::Start));
        Self(Arc::new(Mutex::new(State {
            log,
            accounts: BTreeMap::new(),
            modes: Modes::default(),
            fence: config.fence,
            reconciliations: Vec::new(),
        })))
    }

    /// The state; never held over an await.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no request panics while it holds the state")
    }

    /// Carries out a request that changes something. It is done, and logged, before anything is awaited, so a client
    /// that hangs up does not undo it.
    pub async fn change(
        &self,
        class: Class,
        entry: Entry,
        act: impl FnOnce(&mut State, Entry) -> Response,
    ) -> Response {
        let (verdict, response) = {
            let mut state = self.state();
            if state.log.is_full() {
                return error(
                    StatusCode::INSUFFICIENT_STORAGE,
                    "the log is full: start the exchange with a larger --log-entries",
                );
            }
            let account = entry.account.clone().unwrap_or_default();
            let verdict = state.modes.take(class, &account);
            let response = match verdict {
                Verdict::Refuse(status) => state.refuse(entry, status_of(status), format!("mode {status}")),
                _ => act(&mut state, entry),
            };
            (verdict, response)
        };
        late(verdict, response).await
    }

    /// Answers a request that changes nothing.
    pub async fn read(&self, account: &str, act: impl FnOnce(&mut State) -> Value) -> Response {
        let (verdict, response) = {
            let mut state = self.state();
            let verdict = state.modes.take(Class::Reads, account);
            let response = match verdict {
                Verdict::Refuse(status) => error(status_of(status), &format!("mode {status}")),
                _ => axum::Json(act(&mut state)).into_response(),
            };
            (verdict, response)
        };
        late(verdict, response).await
    }

    /// Serves until the process ends.
    pub async fn serve(self, listener: TcpListener) -> std::io::Result<()> {
        let router: Router = client::routes().merge(control::routes()).with_state(self);
        axum::serve(Arrivals(listener), router.into_make_service_with_connect_info::<Peer>()).await
    }
}

async fn late(verdict: Verdict, response: Response) -> Response {
    match verdict {
        Verdict::Serve | Verdict::Refuse(_) => response,
        Verdict::ServeThenWait(time) => {
            tokio::time::sleep(time).await;
            response
        }
        Verdict::ServeAndStayMute => {
            tokio::time::sleep(MUTE).await;
            error(StatusCode::GATEWAY_TIMEOUT, "mode AcceptedButTimesOut")
        }
    }
}

fn status_of(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// An error as JSON.
pub fn error(status: StatusCode, text: &str) -> Response {
    (status, axum::Json(json!({"error": text}))).into_response()
}
