//! What happens, in order, before a bot that trades is stopped.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::hooks::{ExecHook, HttpHook};

/// What happens before a bot that trades is stopped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Lifecycle {
    /// Steps that are taken in order before the bot's process gets SIGTERM: at every planned move, when the bot is
    /// suspended or deleted, and when its pod is. A step that fails or hangs does not hold up the next.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub shutdown: Vec<ShutdownStep>,
}

/// One step of a stop: either exec or http.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ShutdownStep {
    /// What the step goes by in the status.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// A command in the bot's container; it succeeds with exit code 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exec: Option<ExecHook>,
    /// A request to the bot on 127.0.0.1; it succeeds with a 2xx answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpHook>,
    /// After this many seconds it has failed, and the next step begins. It has to be set.
    // A rule of the schema says so, with a sentence that `required` does not have.
    #[serde(default)]
    #[schemars(range(max = 300))]
    pub timeout_seconds: u32,
}
