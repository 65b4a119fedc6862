//! What programs of ours find in their environment.

use crate::product::api::agent_config::AgentConfig;
use crate::product::api::backup_config::BackupConfig;

/// The agent's.
pub fn of_agent(data: &[u8]) {
    let Ok(config) = serde_json::from_slice::<AgentConfig>(data) else { return };
    let text = serde_json::to_vec(&config).expect("a configuration is JSON");
    assert_eq!(serde_json::from_slice::<AgentConfig>(&text).expect("it is read again"), config);
}

/// That of a backup's pod.
pub fn of_backup(data: &[u8]) {
    let Ok(config) = serde_json::from_slice::<BackupConfig>(data) else { return };
    let text = serde_json::to_vec(&config).expect("a configuration is JSON");
    assert_eq!(serde_json::from_slice::<BackupConfig>(&text).expect("it is read again"), config);
}
