//! What a request or an event is, and what becomes of it.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Method, Request, header};
use hyper::body::Incoming;
use serde_json::Value;

/// A request of a pod.
#[derive(Clone, Debug)]
pub struct Call {
    /// The service account, `namespace:name`.
    pub account: String,
    pub method: Method,
    pub path: String,
    pub watches: bool,
}

impl Call {
    pub fn writes(&self) -> bool {
        !matches!(self.method, Method::GET | Method::HEAD | Method::OPTIONS)
    }

    pub fn is_operators(&self) -> bool {
        self.account == "tradingbot-system:tradingbot-operator"
    }
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Passed,
    /// Not carried out, and refused with this status.
    Refused(u16),
    /// A list as it was when [`Proxy::remember_lists`] was called; what else there is passes.
    Stale,
}

/// What becomes of an event of a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventFate {
    Passed,
    /// Kept back until the rule says otherwise, with all that come after it.
    Kept,
    /// It never comes.
    Dropped,
    /// The watch ends with the error that its version is too old.
    TooOld,
}

/// What the proxy does, until told otherwise.
pub trait Rule: Send + Sync {
    fn request(&self, _: &Call) -> Fate {
        Fate::Passed
    }
    fn event(&self, _: &Call, _: &Value) -> EventFate {
        EventFate::Passed
    }
}

/// Lets everything through.
pub struct Passes;
impl Rule for Passes {}

/// What was done, by the names that it concerned.
#[derive(Clone, Debug, Default)]
pub struct Deeds(pub(super) BTreeMap<(String, &'static str), usize>);

impl Deeds {
    /// How often this was done to what concerns a bot: its own accounts, and the operator's requests and events about it.
    pub fn of(&self, bot: &str, what: &'static str) -> usize {
        self.0.get(&(bot.to_owned(), what)).copied().unwrap_or(0)
    }
}

impl Call {
    pub(super) fn read(request: &Request<Incoming>) -> Call {
        let token =
            request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let claims = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
        let claims: Value = claims.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        let subject = claims["sub"].as_str().unwrap_or_default();
        Call {
            account: subject.trim_start_matches("system:serviceaccount:").to_owned(),
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            watches: request.uri().query().is_some_and(|query| query.contains("watch=")),
        }
    }
}
