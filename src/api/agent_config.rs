//! What the operator tells an agent at the start of its pod, as JSON in one environment variable. What may change
//! from epoch to epoch is not here but in the Lease's terms.

use serde::{Deserialize, Serialize};

/// The agent's configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AgentConfig {
    /// The namespace of the bot and its Lease.
    pub namespace: String,
    /// The bot's name, which is the Lease's name.
    pub bot: String,
    /// Whether the process runs while this pod is a standby.
    pub standby_mode: StandbyMode,
    /// How often the process is restarted in place before the Lease is released; per epoch.
    pub in_place_restarts: u32,
    /// Release instead of restarting in place, because every restart is to be reconciled.
    pub reconcile_restarts: bool,
    /// Seconds from SIGTERM to SIGKILL when the process is stopped gracefully.
    pub stop_seconds: u64,
    /// Called when the permit to trade was given; the bot trades when it succeeds.
    pub promote: Option<HookCall>,
    /// Called before the process is stopped (`Warm`) or turned into a standby (`Hot`).
    pub demote: Option<HookCall>,
    /// The local API, on loopback.
    pub api_port: u16,
    /// The kubelet's probes.
    pub probe_port: u16,
}

/// What a standby is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum StandbyMode {
    /// The process starts at promotion.
    #[default]
    Warm,
    /// The process runs from the start and is told its role.
    Hot,
}

/// One hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HookCall {
    /// What is called.
    pub action: HookAction,
    /// After this long it has failed.
    pub timeout_seconds: u64,
}

/// What a hook calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum HookAction {
    /// A command in the bot's container; succeeds with exit code 0.
    Exec {
        /// Program and arguments.
        command: Vec<String>,
    },
    /// An HTTP request to the bot on loopback; succeeds with a 2xx answer.
    Http {
        /// The request's method.
        method: String,
        /// The bot's port.
        port: u16,
        /// Path and query.
        path: String,
        /// Header names and values.
        headers: Vec<(String, String)>,
        /// A folder with files `username` and `password`, read at each call.
        basic_auth_dir: Option<String>,
    },
}
