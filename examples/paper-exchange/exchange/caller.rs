//! Who sent a request: account, process, token and epoch, from headers, query or body.

use std::convert::Infallible;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use serde::Deserialize;

use super::arrivals::Peer;
use super::entry::{Entry, Kind};
use super::log::blank;

/// The account of requests that name none.
const DEFAULT_ACCOUNT: &str = "default";

/// Who sent a request.
#[derive(Clone, Debug)]
pub struct Caller {
    pub account: String,
    pub instance: Option<String>,
    pub token: Option<u64>,
    pub epoch: Option<u64>,
    /// The beginning of its API key. No key is asked for, and none is kept.
    pub key: Option<String>,
    pub peer: Option<String>,
}

/// The same as part of a body or of a query; it goes before the headers.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Named {
    pub account: Option<String>,
    pub instance: Option<String>,
    #[serde(alias = "token", default, deserialize_with = "number_or_text")]
    pub fencing_token: Option<u64>,
    #[serde(default, deserialize_with = "number_or_text")]
    pub epoch: Option<u64>,
}

/// A number, also as a string, as environment variables and some JSON libraries have it.
fn number_or_text<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(u64),
        Text(String),
    }
    match Option::<Either>::deserialize(deserializer)? {
        None => Ok(None),
        Some(Either::Number(number)) => Ok(Some(number)),
        Some(Either::Text(text)) => text.parse().map(Some).map_err(serde::de::Error::custom),
    }
}

impl Caller {
    /// With what the body says.
    pub fn with(mut self, named: Named) -> Self {
        self.account = named.account.unwrap_or(self.account);
        self.instance = named.instance.or(self.instance);
        self.token = named.fencing_token.or(self.token);
        self.epoch = named.epoch.or(self.epoch);
        self
    }

    /// An entry about a request of this caller.
    pub fn entry(&self, kind: Kind) -> Entry {
        Entry {
            account: Some(self.account.clone()),
            instance: self.instance.clone(),
            token: self.token,
            epoch: self.epoch,
            key: self.key.clone(),
            peer: self.peer.clone(),
            ..blank(kind)
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let header = |name| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let number = |name| header(name).and_then(|text| text.parse().ok());
        Ok(Self {
            account: header("x-account").unwrap_or_else(|| DEFAULT_ACCOUNT.to_owned()),
            instance: header("x-instance"),
            token: number("x-fencing-token"),
            epoch: number("x-epoch"),
            key: header("x-api-key").map(|key| key.chars().take(4).collect()),
            peer: parts.extensions.get::<ConnectInfo<Peer>>().map(|peer| peer.0.0.to_string()),
        })
    }
}
