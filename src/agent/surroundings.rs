//! What the bot and its hooks find around them: variables, and limits as they were before the agent changed its own.

use std::os::unix::process::CommandExt;
use std::process::Command;

use tracing::warn;

use super::credentials;
use crate::api::agent_config::AgentConfig;
use crate::api::names;
use crate::core::agent::Leadership;

/// Read by nearly every HTTP library; some know only one of the two spellings. Python's aiohttp looks for a websocket's
/// proxy under its own scheme and connects directly where there is none.
const PROXY: [&str; 10] = [
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "WS_PROXY",
    "WSS_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
    "ws_proxy",
    "wss_proxy",
    "all_proxy",
];
const NO_PROXY: [&str; 2] = ["NO_PROXY", "no_proxy"];
/// Never through the gate: the bot's own servers, hooks and the local API.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// What the gate needs: two descriptors a connection, and some for the rest.
const DESCRIPTORS: u64 = 16 * 1024;

/// What is set for every process that the agent starts.
#[derive(Clone)]
pub(super) struct Surroundings {
    api: String,
    /// Address of the gate, and what is not connected to through it.
    proxy: Option<(String, String)>,
    /// The keys of the exchange.
    credentials: Option<credentials::Shared>,
    /// The limit of descriptors before the agent raised its own.
    descriptors: Option<libc::rlimit>,
}

impl Surroundings {
    pub(super) fn new(config: &AgentConfig, credentials: Option<credentials::Shared>) -> Surroundings {
        let proxy = config.gate.as_ref().map(|gate| {
            let direct: Vec<_> = LOOPBACK.into_iter().chain(gate.no_proxy.iter().map(String::as_str)).collect();
            for name in PROXY.into_iter().chain(NO_PROXY).filter(|name| std::env::var_os(name).is_some()) {
                warn!(
                    "{name} of the container is replaced, because the bot's connections lead through the order gate."
                );
            }
            // Not `socks5://` for any of them: some libraries refuse to start where they cannot speak it.
            (format!("http://127.0.0.1:{}", gate.port), direct.join(","))
        });
        let descriptors = proxy.is_some().then(raise_descriptors).flatten();
        Surroundings { api: format!("http://127.0.0.1:{}", config.api_port), proxy, credentials, descriptors }
    }

    /// Prepares a process that is about to be started.
    pub(super) fn apply(&self, command: &mut Command, role: Leadership) {
        command
            .env_remove(names::AGENT_CONFIG_ENV)
            .env("TRADINGBOT_ROLE", role.role.as_str())
            .env("TRADINGBOT_EPOCH", role.epoch.to_string())
            .env("TRADINGBOT_FENCING_TOKEN", role.token.to_string())
            .env("TRADINGBOT_API", &self.api);
        if let Some(store) = &self.credentials {
            command.env(names::CREDENTIALS_ENV, names::CREDENTIALS_DIR).envs(credentials::variables(store));
        }
        if let Some((gate, direct)) = &self.proxy {
            for name in PROXY {
                command.env(name, gate);
            }
            for name in NO_PROXY {
                command.env(name, direct);
            }
        }
        if let Some(limit) = self.descriptors {
            // SAFETY: one system call on the new process, no allocation.
            unsafe {
                command.pre_exec(move || {
                    libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
                    Ok(())
                });
            }
        }
    }
}

/// Raises the agent's own limit and returns what it was; `None` where it was high enough or cannot be raised.
fn raise_descriptors() -> Option<libc::rlimit> {
    let mut before = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the structure is valid to write to.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut before) } != 0 || before.rlim_cur >= DESCRIPTORS {
        return None;
    }
    let raised = libc::rlimit { rlim_cur: DESCRIPTORS.min(before.rlim_max), rlim_max: before.rlim_max };
    // SAFETY: the structure is valid.
    let result = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) };
    (result == 0).then_some(before)
}
