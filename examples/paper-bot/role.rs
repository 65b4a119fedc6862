//! Whether this process may trade, and under which token: from the environment at first, then from the agent's stream.

use std::time::Duration;

use serde::Deserialize;
use tokio::sync::watch;

use super::http::Http;
use super::options::Options;

/// Between two attempts to reach the agent.
const AGAIN: Duration = Duration::from_millis(100);

/// What this process may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Role {
    pub active: bool,
    pub epoch: Option<u64>,
    pub token: Option<u64>,
}

/// What the agent says.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Leadership {
    role: String,
    epoch: u64,
    fencing_token: u64,
}

impl Role {
    pub fn from_environment(options: &Options) -> Self {
        Self { active: options.active, epoch: options.epoch, token: options.token }
    }

    fn read(text: &str) -> Option<Self> {
        let Leadership { role, epoch, fencing_token } = serde_json::from_str(text).ok()?;
        Some(Self { active: role == "active", epoch: Some(epoch), token: Some(fencing_token) })
    }
}

/// Follows the agent's stream for as long as the process lives. Without an agent the role never changes.
pub async fn follow(options: &Options, roles: watch::Sender<Role>) {
    let Some(api) = &options.api else { return std::future::pending().await };
    loop {
        if let Err(error) = listen(api, options, &roles).await {
            eprintln!("the agent at {api} cannot be heard: {error}");
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn listen(api: &str, options: &Options, roles: &watch::Sender<Role>) -> std::io::Result<()> {
    let http = Http::new(api, Duration::from_secs(1)).and_then(|http| options.proxied(http));
    let mut events = http.map_err(std::io::Error::other)?.events("/v1/leadership/stream").await?;
    while let Some(text) = events.next().await? {
        if let Some(role) = Role::read(&text) {
            roles.send_if_modified(|known| {
                let changed = *known != role;
                *known = role;
                changed
            });
        }
    }
    Ok(())
}
