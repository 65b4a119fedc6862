//! What the operator tells an agent at the start of its pod, as JSON in one environment variable. What may change
//! from epoch to epoch is not here but in the Lease's terms.

use serde::{Deserialize, Serialize};

use super::health_config::CheckConfig;
use crate::core::agent::{PauseHook, Rule};
use crate::core::shutdown::DEMOTE;

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
    /// Called in order before a process that trades is stopped, and before the demote hook.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shutdown: Vec<StepCall>,
    /// Called before the process is stopped (`Warm`) or turned into a standby (`Hot`).
    pub demote: Option<HookCall>,
    /// Called again and again while this pod may trade.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_mans_switch: Option<PeriodicCall>,
    /// Called when trading pauses, and when it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pausing: Option<PausingConfig>,
    /// The gate that the bot's connections go through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<GateConfig>,
    /// The keys of the exchange, for the bot that trades.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<CredentialsConfig>,
    /// What is done about checks that fail.
    #[serde(default, skip_serializing_if = "RecoveryConfig::is_empty")]
    pub recovery: RecoveryConfig,
    /// What is checked; the index of a check is its number.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<CheckConfig>,
    /// The pod shares its node's network: what is in there is not the bot's alone.
    #[serde(default, skip_serializing_if = "is_false")]
    pub host_network: bool,
    /// The local API, on loopback.
    pub api_port: u16,
    /// The kubelet's probes.
    pub probe_port: u16,
}

impl AgentConfig {
    /// What is called in order before a process that trades is stopped, and what it is reported under: the steps, then
    /// the demote hook.
    pub fn stop_steps(&self) -> impl Iterator<Item = (&str, &HookCall)> {
        let steps = self.shutdown.iter().map(|step| (step.name.as_str(), &step.call));
        steps.chain(self.demote.as_ref().map(|call| (DEMOTE, call)))
    }
}

fn is_false(value: &bool) -> bool {
    !value
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

/// One step of a stop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StepCall {
    /// What it is reported under.
    pub name: String,
    /// What is called.
    pub call: HookCall,
}

/// A hook that is called again and again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PeriodicCall {
    /// One call.
    pub call: HookCall,
    /// From the beginning of one call to the next.
    pub every_seconds: u64,
}

/// The hooks about pauses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PausingConfig {
    /// Called when trading pauses.
    pub pause: Option<HookCall>,
    /// Called when trading goes on.
    pub resume: Option<HookCall>,
    /// So long after one that failed it is called again.
    pub again_seconds: u64,
}

impl PausingConfig {
    /// What is called for one of them, and its name.
    pub fn call(&self, hook: PauseHook) -> Option<(&'static str, &HookCall)> {
        match hook {
            PauseHook::Pause => self.pause.as_ref().map(|call| ("pause", call)),
            PauseHook::Resume => self.resume.as_ref().map(|call| ("resume", call)),
        }
    }
}

/// An agent tries for this many seconds to read the credentials; then the promotion has failed.
pub const CREDENTIALS_SECONDS: u64 = 10;

/// What an agent does about checks that fail. Checks are named by their place in the list of all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RecoveryConfig {
    /// The rules.
    pub rules: Vec<Rule>,
    /// What the remedies call, by their numbers.
    pub hooks: Vec<HookCall>,
    /// Between two remedies.
    pub pause_seconds: u64,
    /// So long after its last remedy a rule begins anew.
    pub period_seconds: u64,
}

impl RecoveryConfig {
    fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }
}

/// The keys of the exchange.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CredentialsConfig {
    /// The Secret that they are in.
    pub secret_name: String,
    /// What of it the bot finds in its environment.
    pub environment: Vec<KeyVariable>,
    /// Called when they have changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reload: Option<HookCall>,
}

/// A key of a Secret as an environment variable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeyVariable {
    /// The variable.
    pub name: String,
    /// The key.
    pub key: String,
}

/// The gate. Hosts are names, `*.` and a name, or addresses, each with a port or without.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GateConfig {
    /// Where it listens, on loopback.
    pub port: u16,
    /// Where the active may connect to; empty: everywhere.
    pub allowed_hosts: Vec<String>,
    /// Where every pod may connect to at any time.
    pub standby_hosts: Vec<String>,
    /// What the bot is told to connect to directly, besides loopback.
    pub no_proxy: Vec<String>,
    /// A port that the bot's NetworkPolicy lets nobody reach: a connection to it shows that policies are not enforced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary_port: Option<u16>,
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
