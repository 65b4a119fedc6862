//! What the operator tells an agent of the checks that it runs.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::core::health::{AppliesTo, Check, Scope};

/// Where the Secrets of checks are mounted: `<dir>/<check>/{username,password,uri}`.
pub const HEALTH_SECRETS_DIR: &str = "/.tradingbot-health";

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CheckConfig {
    /// Its name.
    pub name: String,
    /// What is done.
    pub probe: Probe,
    /// From the beginning of one run to the next, while it passes.
    pub period_seconds: u64,
    /// After so many seconds a run has failed.
    pub timeout_seconds: u64,
    /// So many failed runs in a row and the check fails.
    pub failure_threshold: u32,
    /// So many successful runs in a row and it passes again.
    pub success_threshold: u32,
    /// Until the first success, failures do not count for so long.
    pub startup_grace_seconds: u64,
    /// Whether the pod is healthy depends on it.
    pub critical: bool,
    /// In which roles it runs.
    pub applies_to: AppliesTo,
    /// Who would see it fail.
    pub scope: Scope,
    /// Trading pauses while it fails.
    pub pause_trading: bool,
}

impl CheckConfig {
    /// What the core has to know of it.
    pub fn to_decide(&self) -> Check {
        let CheckConfig {
            name,
            probe: _,
            period_seconds,
            timeout_seconds,
            failure_threshold,
            success_threshold,
            startup_grace_seconds,
            critical,
            applies_to,
            scope,
            pause_trading,
        } = self;
        Check {
            name: name.clone(),
            period: Duration::from_secs(*period_seconds),
            timeout: Duration::from_secs(*timeout_seconds),
            failure_threshold: *failure_threshold,
            success_threshold: *success_threshold,
            startup_grace: Duration::from_secs(*startup_grace_seconds),
            critical: *critical,
            applies_to: *applies_to,
            scope: *scope,
            pause_trading: *pause_trading,
        }
    }
}

/// What one run of a check does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Probe {
    /// A request that has to be answered well.
    Http {
        /// The request.
        request: Request,
        /// The status that the answer has to have; any 2xx otherwise.
        expected_status: Option<u16>,
        /// How long the whole answer may take, milliseconds.
        max_latency_milliseconds: Option<u64>,
        /// What has to hold for the answer.
        json: Vec<Assertion>,
    },
    /// A connection that has to be accepted.
    Tcp {
        /// A name or an address.
        host: String,
        /// The port.
        port: u16,
    },
    /// A command that has to succeed.
    Exec {
        /// Program and arguments.
        command: Vec<String>,
    },
    /// A time that must not be too old.
    Freshness {
        /// Where the time is.
        source: TimeSource,
        /// How old it may be.
        max_age_seconds: u64,
    },
    /// A file that must not grow too large.
    FileSize {
        /// The file.
        path: String,
        /// How large it may be.
        max_bytes: u64,
    },
    /// A PostgreSQL server that has to answer.
    Postgres {
        /// How to connect; `None`: the file `uri` in the check's folder says so.
        uri: Option<String>,
        /// What it has to be.
        role: ServerRole,
        /// By how much a replica may lag behind.
        max_lag_seconds: Option<u64>,
    },
    /// A Redis server that has to answer.
    Redis {
        /// A name or an address.
        host: String,
        /// The port.
        port: u16,
        /// The files `username`, where there is one, and `password` are in the check's folder.
        authenticate: bool,
        /// What it has to be.
        role: ServerRole,
    },
    /// What the container may use.
    Resources {
        /// How much of its memory limit, percent.
        memory_percent: Option<u8>,
        /// How much of its CPU limit since the run before, percent.
        cpu_percent: Option<u8>,
        /// How full file systems may be: something that is on it, and percent.
        disk: Vec<(String, u8)>,
    },
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Request {
    /// In the clear or not.
    pub scheme: Scheme,
    /// A name or an address.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Path and query.
    pub path: String,
    /// Header names and values.
    pub headers: Vec<(String, String)>,
    /// The files `username` and `password` are in the check's folder.
    pub authenticate: bool,
}

/// Where a time is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum TimeSource {
    /// In the answer to a request.
    Http {
        /// The request.
        request: Request,
        /// Where in the answer.
        json_path: String,
    },
    /// In a file.
    File {
        /// The file.
        path: String,
        /// Where in its JSON; `None`: it is all that is in the file.
        json_path: Option<String>,
    },
    /// When a file was last written.
    Modified {
        /// The file.
        path: String,
    },
}

/// What has to hold for one place of a JSON document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Assertion {
    /// The place.
    pub path: String,
    /// How it is compared.
    pub operator: Comparison,
    /// What it is compared with.
    pub value: String,
}

/// How a place of a JSON document is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Comparison {
    /// There is something that is not null.
    #[default]
    Exists,
    /// It is a number above the value.
    GreaterThan,
    /// It is a number below the value.
    LessThan,
    /// It is this number or this text.
    Equals,
}

/// In the clear or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Scheme {
    /// In the clear.
    #[default]
    #[serde(rename = "HTTP")]
    Http,
    /// Over TLS.
    #[serde(rename = "HTTPS")]
    Https,
}

/// What a server has to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum ServerRole {
    /// The one that is written to.
    Primary,
    /// One that follows it.
    Replica,
    /// Either.
    #[default]
    Any,
}
