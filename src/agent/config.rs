//! What the agent is told by its environment, and why it may refuse to run.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::api::agent_config::{AgentConfig, PausingConfig, RecoveryConfig, StandbyMode};
use crate::api::health_config::CheckConfig;
use crate::api::names;
use crate::core::agent::{PauseHooks, Plan, Setup};
use crate::core::ids::{BootId, PodRef};
use crate::core::lease::OrderPath;

/// Why the agent does not run: sentences for the log of the bot's container.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// It would not take the bot with it when it dies.
    #[error(
        "the agent must be PID 1 of the bot's container, but is process {0}; it is started by the operator as the \
         container's command, and shareProcessNamespace and hostPID must be off"
    )]
    NotPidOne(u32),
    /// There is nothing to run.
    #[error("there is no command after 'run --'; set 'command' of the bot's container in spec.template")]
    NoCommand,
    /// A variable is missing.
    #[error("the environment variable {0} is missing; the operator sets it in every bot pod")]
    Missing(&'static str),
    /// A variable cannot be used.
    #[error("the environment variable {name} cannot be used: {cause}; operator and agent may be of different versions")]
    Unusable {
        /// Its name.
        name: &'static str,
        /// What is wrong.
        cause: String,
    },
    /// Token or CA are not there.
    #[error(
        "the credentials for the API server cannot be used: {0}; the operator mounts them at /.tradingbot-credentials"
    )]
    Credentials(String),
    /// The boot could not be written down.
    #[error(
        "the termination log /dev/termination-log cannot be written: {0}; without it the end of this container proves nothing"
    )]
    TerminationLog(std::io::Error),
    /// A port is taken.
    #[error("cannot listen on {address}: {cause}; the bot or a sidecar must leave this port to the agent")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The system did not give what the agent needs.
    #[error("{what} failed: {cause}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        cause: std::io::Error,
    },
    /// `install` failed.
    #[error("{0}")]
    Install(String),
}

/// Everything that was decided before the agent started.
pub(super) struct Settings {
    pub(super) config: AgentConfig,
    pub(super) setup: Setup,
    /// Where the API server is, as the pod sees it.
    pub(super) api_server: SocketAddr,
    pub(super) credentials: PathBuf,
    /// The bot's program and its arguments.
    pub(super) command: Vec<OsString>,
}

impl Settings {
    /// Reads the environment.
    pub(super) fn from_env(command: &[OsString]) -> Result<Settings, Refusal> {
        let text = variable(names::AGENT_CONFIG_ENV)?;
        let config = parse(&text)?;
        let pod = PodRef { name: variable("TRADINGBOT_POD")?, uid: variable("TRADINGBOT_POD_UID")? };
        if pod.to_string().parse::<PodRef>().as_ref() != Ok(&pod) {
            return Err(Refusal::Unusable { name: "TRADINGBOT_POD_UID", cause: format!("'{pod}' is no name and uid") });
        }
        let boot = BootId { pod_uid: pod.uid.clone(), nonce: nonce()? };
        let setup = setup(&config, pod, boot);
        let host = variable("KUBERNETES_SERVICE_HOST")?;
        let host: IpAddr = host.parse().map_err(|_| Refusal::Unusable {
            name: "KUBERNETES_SERVICE_HOST",
            cause: format!("'{host}' is not an IP address"),
        })?;
        let port = variable("KUBERNETES_SERVICE_PORT")?;
        let port: u16 = port.parse().map_err(|_| Refusal::Unusable {
            name: "KUBERNETES_SERVICE_PORT",
            cause: format!("'{port}' is not a port"),
        })?;
        let credentials = Path::new(names::AGENT_CREDENTIALS_DIR).to_owned();
        for file in ["ca.crt", "token"] {
            let path = credentials.join(file);
            std::fs::metadata(&path).map_err(|cause| Refusal::Credentials(format!("{}: {cause}", path.display())))?;
        }
        let api_server = SocketAddr::new(host, port);
        Ok(Settings { config, setup, api_server, credentials, command: command.to_vec() })
    }
}

/// What the core has to know of an agent with this configuration, in this pod and of this boot.
pub fn setup(config: &AgentConfig, pod: PodRef, boot: BootId) -> Setup {
    Setup {
        pod,
        boot,
        hot: config.standby_mode == StandbyMode::Hot,
        in_place_restarts: config.in_place_restarts,
        reconcile_restarts: config.reconcile_restarts,
        promote_hook: config.promote.is_some(),
        stop_steps: u8::try_from(config.stop_steps().count()).unwrap_or(u8::MAX),
        stop: Duration::from_secs(config.stop_seconds),
        switch_every: config.dead_mans_switch.as_ref().map(|switch| Duration::from_secs(switch.every_seconds)),
        pause_hooks: config.pausing.as_ref().map(pause_hooks).unwrap_or_default(),
        credentials: config.credentials.is_some(),
        plan: plan(config),
        checks: config.checks.iter().map(CheckConfig::to_decide).collect(),
        path: if config.gate.is_some() { OrderPath::Gated } else { OrderPath::Killed },
    }
}

fn pause_hooks(config: &PausingConfig) -> PauseHooks {
    let PausingConfig { pause, resume, again_seconds } = config;
    PauseHooks { pause: pause.is_some(), resume: resume.is_some(), again: Duration::from_secs(*again_seconds) }
}

/// What is done about checks that fail.
fn plan(config: &AgentConfig) -> Plan {
    let RecoveryConfig { rules, hooks: _, pause_seconds, period_seconds } = &config.recovery;
    Plan {
        rules: rules.clone(),
        pause: Duration::from_secs(*pause_seconds),
        period: Duration::from_secs(*period_seconds),
    }
}

fn parse(text: &str) -> Result<AgentConfig, Refusal> {
    let unusable = |cause: String| Refusal::Unusable { name: names::AGENT_CONFIG_ENV, cause };
    let config: AgentConfig = serde_json::from_str(text).map_err(|error| unusable(error.to_string()))?;
    if config.api_port == config.probe_port {
        return Err(unusable(format!("apiPort and probePort are both {}", config.api_port)));
    }
    if config.bot.is_empty() || config.namespace.is_empty() {
        return Err(unusable("bot and namespace must not be empty".into()));
    }
    Ok(config)
}

fn variable(name: &'static str) -> Result<String, Refusal> {
    match std::env::var(name) {
        Ok(value) if !value.is_empty() => Ok(value),
        Ok(_) | Err(std::env::VarError::NotPresent) => Err(Refusal::Missing(name)),
        Err(std::env::VarError::NotUnicode(_)) => Err(Refusal::Unusable { name, cause: "it is not UTF-8".into() }),
    }
}

/// Straight from the kernel: an image without devices will do.
fn nonce() -> Result<String, Refusal> {
    let mut bytes = [0u8; 8];
    // SAFETY: the buffer is as long as we say.
    let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    if usize::try_from(got) != Ok(bytes.len()) {
        return Err(Refusal::System { what: "getting randomness", cause: std::io::Error::last_os_error() });
    }
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"namespace":"n","bot":"b","standbyMode":"Warm","inPlaceRestarts":1,"reconcileRestarts":false,
        "stopSeconds":5,"promote":null,"demote":null,"apiPort":9797,"probePort":9798}"#;

    #[test]
    fn a_configuration_that_is_not_ours_is_refused_with_a_sentence() {
        assert!(parse(GOOD).is_ok());
        let unknown = GOOD.replace("\"bot\":", "\"robot\":");
        assert!(parse(&unknown).unwrap_err().to_string().contains("TRADINGBOT_AGENT_CONFIG"));
        let same_port = GOOD.replace("9798", "9797");
        assert!(parse(&same_port).unwrap_err().to_string().contains("both 9797"));
        assert!(parse("").is_err());
    }
}
