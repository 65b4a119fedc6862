//! What of a bot is checked again and again, and how a status tells of it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::health_config::{Comparison, Scheme, ServerRole};
use super::hooks::{ExecHook, Header, SecretRef};
pub use crate::core::health::{AppliesTo, Scope};
pub use crate::core::recovery::{Remedy, RemedyResult};

/// What is checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Health {
    /// The checks, which the agent in each pod runs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub checks: Vec<HealthCheck>,
}

/// One check: exactly one of http, tcp, exec, freshness, fileSize, postgres, redis and resources.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HealthCheck {
    /// Its name, in the status and at the endpoints.
    #[schemars(length(min = 1, max = 40), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// A request that has to be answered well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpCheck>,
    /// A port that has to accept connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<TcpCheck>,
    /// A command in the bot's container; it succeeds with exit code 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exec: Option<ExecHook>,
    /// A time that must not be too old.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freshness: Option<Freshness>,
    /// A file that must not grow too large.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_size: Option<FileSize>,
    /// A PostgreSQL server that has to answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgres: Option<PostgresCheck>,
    /// A Redis server that has to answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redis: Option<RedisCheck>,
    /// What the bot's container may use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourcesCheck>,
    /// From the beginning of one run to the next, while it passes. Where it does not, it runs again after timeoutSeconds.
    #[serde(default = "ten")]
    #[schemars(range(min = 1, max = 3600))]
    pub period_seconds: u32,
    /// After so many seconds a run has failed.
    #[serde(default = "two")]
    #[schemars(range(min = 1, max = 60))]
    pub timeout_seconds: u32,
    /// So many failed runs in a row and the check fails.
    #[serde(default = "three")]
    #[schemars(range(min = 1, max = 100))]
    pub failure_threshold: u32,
    /// So many successful runs in a row and a check that fails passes again.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 100))]
    pub success_threshold: u32,
    /// Until the first success, failures do not count for so long after the bot was started or the pod took its role.
    #[serde(default = "thirty")]
    #[schemars(range(max = 3600))]
    pub startup_grace_seconds: u32,
    /// Whether the pod is healthy depends on it. One that is not is only reported.
    #[serde(default = "yes")]
    pub critical: bool,
    /// Active: runs where the bot trades. Standby: where it waits to; the process of a Warm standby does not run.
    #[serde(default)]
    pub applies_to: AppliesTo,
    /// Shared: every pod would see the same, as when the exchange is down, so that trading is never moved for it.
    #[serde(default)]
    pub scope: Scope,
    /// Trading pauses while it fails, and resumes by itself. Only with the scope Shared.
    #[serde(default)]
    pub pause_trading: bool,
}

/// A request, always GET.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpRequest {
    /// HTTP or HTTPS. A certificate has to be signed by an authority that browsers know, or one in the file that the
    /// container's environment variable SSL_CERT_FILE names.
    #[serde(default)]
    pub scheme: Scheme,
    /// A name or an address.
    #[serde(default = "loopback")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[A-Za-z0-9_.:-]+$"))]
    pub host: String,
    /// The port.
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
    /// Path and query.
    #[serde(default = "slash")]
    #[schemars(length(max = 2000), regex(pattern = r"^/[!-~]*$"))]
    pub path: String,
    /// Headers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub headers: Vec<Header>,
    /// A Secret with the keys username and password, for basic authentication.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basic_auth_secret_ref: Option<SecretRef>,
}

/// A request that has to be answered well.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpCheck {
    /// The request.
    #[serde(flatten)]
    pub request: HttpRequest,
    /// The status that the answer has to have; any 2xx where it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 100, max = 599))]
    pub expected_status: Option<u16>,
    /// How long the whole answer may take; only timeoutSeconds where it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 60000))]
    pub max_latency_milliseconds: Option<u32>,
    /// What has to hold for the answer, which is JSON then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub json: Vec<JsonAssertion>,
}

/// What has to hold for one place of a JSON document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JsonAssertion {
    /// The place: $, then .key, [0] or ["any key"], once for each step.
    #[schemars(length(max = 200))]
    pub path: String,
    /// How it is compared. Exists: there is something that is not null.
    #[serde(default)]
    pub operator: Comparison,
    /// What it is compared with: a decimal, or for Equals any text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 200))]
    pub value: Option<String>,
}

/// A port that has to accept connections.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TcpCheck {
    /// A name or an address.
    #[serde(default = "loopback")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[A-Za-z0-9_.:-]+$"))]
    pub host: String,
    /// The port.
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
}

/// A time that must not be too old, from the answer to a request or from a file. It is RFC 3339, or a number of seconds,
/// milliseconds, microseconds or nanoseconds since 1970, told apart by its size.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Freshness {
    /// The answer to a request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpFreshness>,
    /// A file in the bot's container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<FileFreshness>,
    /// How old it may be. As far ahead of the node's clock it may be, too.
    #[schemars(range(min = 1, max = 31_536_000))]
    pub max_age_seconds: u32,
}

/// A request whose answer has a time in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpFreshness {
    /// The request.
    #[serde(flatten)]
    pub request: HttpRequest,
    /// Where in the answer the time is: $, then .key, [0] or ["any key"], once for each step.
    #[schemars(length(max = 200))]
    pub json_path: String,
}

/// A file with a time: all that is in it, what is at a place of the JSON in it, or when it was last written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FileFreshness {
    /// The file.
    #[schemars(length(max = 1000))]
    pub path: String,
    /// Where in its JSON the time is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 200))]
    pub json_path: Option<String>,
    /// The time is when the file was last written, whatever is in it.
    #[serde(default)]
    pub modified: bool,
}

/// A file that must not grow too large.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FileSize {
    /// The file. One that is not there is not too large.
    #[schemars(length(max = 1000))]
    pub path: String,
    /// How large it may be, such as 50Mi.
    #[schemars(length(max = 20))]
    pub max_size: String,
}

/// A PostgreSQL server that has to answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PostgresCheck {
    /// A Secret with the key uri: how to connect, as postgresql://user:password@host:port/database?sslmode=require.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,
    /// The same in the open, where no password is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1000))]
    pub uri: Option<String>,
    /// What it has to be. Primary: it can be written to. Replica: it follows a primary.
    #[serde(default)]
    pub role: ServerRole,
    /// By how much a replica may lag behind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86400))]
    pub max_lag_seconds: Option<u32>,
}

/// A Redis server that has to answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RedisCheck {
    /// A name or an address.
    #[serde(default = "loopback")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[A-Za-z0-9_.:-]+$"))]
    pub host: String,
    /// The port.
    #[serde(default = "redis_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
    /// A Secret with the key password, and username where the server has users.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,
    /// What it has to be.
    #[serde(default)]
    pub role: ServerRole,
}

/// What the bot's container may use, agent and sidecar volumes included.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourcesCheck {
    /// How much of its memory limit, in percent; of the node's memory where it has none. What can be dropped at any
    /// time, such as cached files, does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub memory_percent: Option<u8>,
    /// How much of its CPU limit since the run before, in percent; of the node's CPUs where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub cpu_percent: Option<u8>,
    /// How full the file systems may be that these are on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub disk: Vec<DiskUse>,
}

/// How full a file system may be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DiskUse {
    /// A file or folder on it.
    #[schemars(length(max = 1000))]
    pub path: String,
    /// How full it may be, in percent.
    #[schemars(range(min = 1, max = 100))]
    pub used_percent: u8,
}

fn loopback() -> String {
    "127.0.0.1".into()
}

fn slash() -> String {
    "/".into()
}

fn redis_port() -> u16 {
    6379
}

fn yes() -> bool {
    true
}

fn one() -> u32 {
    1
}

fn two() -> u32 {
    2
}

fn three() -> u32 {
    3
}

fn ten() -> u32 {
    10
}

fn thirty() -> u32 {
    30
}

/// What is known of the active's checks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct HealthStatus {
    /// Every check that runs where the bot trades.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<CheckStatus>,
    /// What agents did by themselves about checks that failed, newest first. What the operator did is in
    /// failover.history.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remedies: Vec<RemedyStatus>,
}

/// What an agent did by itself about a check that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RemedyStatus {
    /// When.
    pub time: Time,
    /// The pod whose bot it was done to.
    pub pod: String,
    /// Its epoch.
    pub epoch: u64,
    /// The rule of spec.recovery.
    pub rule: String,
    /// What was done.
    #[serde(rename = "type")]
    pub remedy: Remedy,
    /// The check that failed.
    pub check: String,
    /// Whether it helped.
    pub result: RemedyResult,
    /// What was wrong, a sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// How one check of the active stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CheckStatus {
    /// Its name.
    pub name: String,
    /// Passing, Failing, or Unknown: it has not run often enough since the bot was started, or nobody trades.
    pub state: String,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_time: Option<Time>,
    /// Why it fails, a sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}
