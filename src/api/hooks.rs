//! What the agent calls at a bot, and how.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::names::OBJECT_NAME;

/// What is called when a pod is to trade, when trading pauses and goes on, and when the pod is to stop.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Hooks {
    /// Called when the pod may trade; it counts as trading when this succeeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promote: Option<Hook>,
    /// Called when trading pauses because of a check with pauseTrading, and again after spec.recovery.pauseSeconds where
    /// it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<Hook>,
    /// Called when trading that paused goes on, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<Hook>,
    /// Called before the process is stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub demote: Option<Hook>,
    /// Called again and again while the pod may trade, never on a standby: for exchanges that cancel all orders when
    /// they do not hear from a bot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_mans_switch: Option<DeadMansSwitch>,
}

/// A hook that is called again and again: either exec or http.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeadMansSwitch {
    /// A command in the bot's container; it succeeds with exit code 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exec: Option<ExecHook>,
    /// A request to the bot on 127.0.0.1; it succeeds with a 2xx answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpHook>,
    /// From the beginning of one call to the next.
    #[schemars(range(min = 1, max = 3600))]
    pub every_seconds: u32,
    /// After this many seconds a call has failed.
    #[serde(default = "five")]
    #[schemars(range(min = 1, max = 300))]
    pub timeout_seconds: u32,
}

/// One hook: either exec or http.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Hook {
    /// A command in the bot's container; it succeeds with exit code 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exec: Option<ExecHook>,
    /// A request to the bot on 127.0.0.1; it succeeds with a 2xx answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpHook>,
    /// After this many seconds it has failed.
    #[serde(default = "five")]
    #[schemars(range(min = 1, max = 300))]
    pub timeout_seconds: u32,
}

fn five() -> u32 {
    5
}

/// A command in the bot's container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExecHook {
    /// Program and arguments; no shell is involved.
    #[schemars(length(min = 1, max = 100))]
    pub command: Vec<String>,
}

/// A request to the bot on 127.0.0.1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpHook {
    /// The request's method.
    #[serde(default = "post")]
    #[schemars(regex(pattern = r"^[A-Z]{1,20}$"))]
    pub method: String,
    /// The bot's port.
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
    /// Path and query.
    #[serde(default = "slash")]
    #[schemars(length(max = 2000), regex(pattern = r"^/[!-~]*$"))]
    pub path: String,
    /// Headers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub headers: Vec<Header>,
    /// A Secret with the keys username and password, for basic authentication.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basic_auth_secret_ref: Option<SecretRef>,
}

fn post() -> String {
    "POST".into()
}

fn slash() -> String {
    "/".into()
}

/// One header of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Header {
    /// Its name.
    #[schemars(length(max = 200), regex(pattern = r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"))]
    pub name: String,
    /// Its value.
    #[schemars(length(max = 4000), regex(pattern = r"^[\t -~]*$"))]
    pub value: String,
}

/// A Secret of the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecretRef {
    /// The Secret's name.
    #[schemars(length(min = 1, max = 253), regex(pattern = OBJECT_NAME))]
    pub name: String,
}
