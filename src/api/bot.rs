//! The kind `TradingBot`: what is wanted of one bot.

#![expect(clippy::duplicated_attributes, reason = "printer columns repeat their types")]

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::JobTemplateSpec;
use k8s_openapi::api::core::v1::{PersistentVolumeClaimSpec, PodTemplateSpec};
use k8s_openapi::api::networking::v1::NetworkPolicyEgressRule;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use super::agent_config::StandbyMode;
pub use super::backup::Backup;
use super::bot_status::TradingBotStatus;
pub use super::health::Health;
pub use super::hooks::{DeadMansSwitch, ExecHook, Header, Hook, Hooks, HttpHook, SecretRef};
pub use super::lifecycle::{Lifecycle, ShutdownStep};
use super::names::OBJECT_NAME;
pub use super::recovery::{ActionType, Recovery, RecoveryAction, RecoveryRule};
pub use crate::core::failover::{MoveKind, OnFailure};
pub use crate::core::lease::OnApiServerLoss;

/// One active trading bot and its standbys.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "tradingbot.io",
    version = "v1alpha1",
    kind = "TradingBot",
    plural = "tradingbots",
    shortname = "tbot",
    namespaced,
    derive = "PartialEq",
    doc = "A trading bot of which exactly one instance trades.",
    status = "TradingBotStatus",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Active", type_ = "string", json_path = ".status.active.pod"),
    printcolumn(name = "Epoch", type_ = "integer", json_path = ".status.epoch"),
    printcolumn(name = "Standbys", type_ = "string", json_path = ".status.standbys.summary"),
    printcolumn(name = "LastFailover", type_ = "date", json_path = ".status.failover.lastTime"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct TradingBotSpec {
    /// How many pods there are: one active and the rest standbys.
    #[serde(default = "two")]
    pub replicas: u32,
    /// Warm: the bot's process starts at promotion. Hot: it runs from the start and is told its role.
    #[serde(default)]
    pub standby_mode: StandbyMode,
    /// The container of the template that trades.
    #[serde(default = "bot")]
    #[schemars(length(min = 1, max = 63))]
    pub container_name: String,
    /// The kill switch: true stops trading, gracefully, everywhere.
    #[serde(default)]
    pub suspend: bool,
    /// The pods. The container named by containerName needs a command.
    pub template: PodTemplateSpec,
    /// Volume claims of which every slot gets its own, as in a StatefulSet. Claims that all pods share go into the
    /// template.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub volume_claim_templates: Vec<VolumeClaimTemplate>,
    /// What is called when a pod is to trade, and when it is to stop.
    #[serde(default)]
    pub hooks: Hooks,
    /// What happens before a bot that trades is stopped.
    #[serde(default)]
    pub lifecycle: Lifecycle,
    /// What the agents check.
    #[serde(default)]
    pub health: Health,
    /// How soon a silent active is given up.
    #[serde(default)]
    pub leadership: Leadership,
    /// When trading moves.
    #[serde(default)]
    pub failover: FailoverPolicy,
    /// What runs before a new active trades.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reconciliation: Option<Reconciliation>,
    /// The bot's way to the exchange leads through its agent, which closes it in time. An empty object turns it on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_gate: Option<OrderGate>,
    /// The account at the exchange, which no two bots of the cluster trade on at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Account>,
    /// The keys of the exchange, which only the active can read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Credentials>,
    /// What is done about checks that fail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<Recovery>,
    /// What is backed up, where to and when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<Backup>,
}

fn two() -> u32 {
    2
}

fn bot() -> String {
    "bot".into()
}

/// A volume claim that is made once for every slot.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct VolumeClaimTemplate {
    /// The name under which containers mount it, labels and annotations.
    pub metadata: ClaimMetadata,
    /// What is claimed.
    pub spec: PersistentVolumeClaimSpec,
}

/// The metadata of a volume claim template.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClaimMetadata {
    /// The name under which containers mount it.
    #[schemars(length(max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Labels of the claims.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations of the claims.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// How soon a silent active is given up. Changes apply from the next epoch on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Leadership {
    /// An active that was not heard of for so long has stopped, and another may trade.
    #[schemars(range(min = 4, max = 3600))]
    pub lease_duration_seconds: u32,
    /// Between two renewals.
    #[schemars(range(min = 1, max = 3600))]
    pub renew_period_seconds: u32,
    /// After so long without a successful renewal the active begins to stop.
    #[schemars(range(min = 2, max = 3600))]
    pub renew_deadline_seconds: u32,
    /// What the active does when the API server cannot be reached. Continue: it trades on, and is never replaced on
    /// silence.
    pub on_api_server_loss: OnApiServerLoss,
}

impl Default for Leadership {
    fn default() -> Self {
        Self {
            lease_duration_seconds: 10,
            renew_period_seconds: 2,
            renew_deadline_seconds: 6,
            on_api_server_loss: OnApiServerLoss::Stop,
        }
    }
}

/// When trading moves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct FailoverPolicy {
    /// Manual: trading never moves to another pod unless a person asks.
    pub mode: FailoverMode,
    /// The objective that the duration of every move is judged against.
    #[schemars(range(min = 1, max = 86400))]
    pub target_seconds: u32,
    /// How often a process that ended is started again on its pod before trading moves.
    #[schemars(range(max = 100))]
    pub in_place_restarts: u32,
    /// Between two failovers that a failed health check or promotion asks for. A lost active never waits.
    #[schemars(range(max = 86400))]
    pub cooldown_seconds: u32,
    /// How many automatic failovers are allowed; after that people are asked.
    pub rate_limit: RateLimit,
}

impl Default for FailoverPolicy {
    fn default() -> Self {
        Self {
            mode: FailoverMode::Automatic,
            target_seconds: 30,
            in_place_restarts: 1,
            cooldown_seconds: 60,
            rate_limit: RateLimit::default(),
        }
    }
}

/// Who moves trading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FailoverMode {
    /// The operator.
    #[default]
    Automatic,
    /// A person.
    Manual,
}

/// A limit for automatic failovers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RateLimit {
    /// So many within the period; 0 means no limit.
    #[schemars(range(max = 20))]
    pub max_failovers: u32,
    /// The period.
    #[schemars(range(min = 1, max = 604800))]
    pub period_seconds: u32,
}

impl Default for RateLimit {
    fn default() -> Self {
        Self { max_failovers: 5, period_seconds: 3600 }
    }
}

/// What runs before a new active trades: either a command or a jobTemplate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reconciliation {
    /// A command that runs with the image, environment and volumes of the bot's container.
    #[schemars(length(max = 100))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// A Job of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_template: Option<JobTemplateSpec>,
    /// The kinds of moves it runs on.
    #[serde(default = "usual_moves")]
    #[schemars(length(min = 1, max = 4))]
    pub run_on: Vec<MoveKind>,
    /// What a failure leads to. Retry tries again and blocks when the retries are used up.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// How many further attempts Retry makes.
    #[serde(default = "two")]
    #[schemars(range(max = 10))]
    pub retries: u32,
    /// What reported discrepancies lead to.
    #[serde(default)]
    pub on_discrepancy: OnDiscrepancy,
    /// How long the program may take.
    #[serde(default = "sixty")]
    #[schemars(range(min = 1, max = 86400))]
    pub deadline_seconds: u32,
}

fn usual_moves() -> Vec<MoveKind> {
    vec![MoveKind::FirstStart, MoveKind::Failover, MoveKind::Switchover]
}

fn sixty() -> u32 {
    60
}

/// What reported discrepancies lead to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnDiscrepancy {
    /// Nobody trades until a person decides.
    #[default]
    Block,
    /// Trade all the same; the report stays in the history.
    Proceed,
}

/// The gate in the agent that a bot's connections to the exchange go through.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct OrderGate {
    /// Where the active may connect to: names, `*.` and a name for all names under it, or addresses, each with a port
    /// or without. Empty: everywhere.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(min = 1, max = 260)))]
    pub allowed_hosts: Vec<String>,
    /// Where every pod may connect to at any time, such as for market data. No order must be possible there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(min = 1, max = 260)))]
    pub standby_hosts: Vec<String>,
    /// What the bot connects to past the gate, as in the environment variable `NO_PROXY`; loopback always.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(min = 1, max = 260)))]
    pub no_proxy: Vec<String>,
    /// A NetworkPolicy under which pods that are not active reach nothing but names, the API server and what is listed
    /// here. An empty object makes one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_policy: Option<StandbyNetworkPolicy>,
}

/// A NetworkPolicy for the pods that are not active.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct StandbyNetworkPolicy {
    /// What a standby may reach besides, such as its database and market data.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub standby_egress: Vec<NetworkPolicyEgressRule>,
}

/// The account at the exchange that a bot trades on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    /// The same for every bot of the cluster that trades on this account, in whatever namespace.
    #[schemars(length(min = 1, max = 40), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Who may trade on it at the same time.
    #[serde(default)]
    pub sharing: Sharing,
}

/// Who may trade on one account at the same time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Sharing {
    /// One bot.
    #[default]
    Exclusive,
}

/// The keys of the exchange. Only the account of the pod that holds the grant may read them, and only while it does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Credentials {
    /// The Secret that they are in. The active finds each of its keys as a file in /run/tradingbot/credentials.
    #[schemars(length(min = 1, max = 253), regex(pattern = OBJECT_NAME))]
    pub secret_name: String,
    /// Keys that the active also finds in its environment. Not with the standbyMode Hot, where the process is there
    /// before the keys are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub environment: Vec<CredentialVariable>,
    /// Called when the Secret has changed and the files are new. Without it a bot reads its files again by itself, or is
    /// restarted by you.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reload: Option<Hook>,
}

/// A key of the Secret as an environment variable.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CredentialVariable {
    /// The variable.
    #[schemars(length(max = 200), regex(pattern = r"^[A-Za-z_][A-Za-z0-9_]*$"))]
    pub name: String,
    /// The key of the Secret.
    #[schemars(length(max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub key: String,
}
