//! Where things are in the pod of a run.

use std::path::{Path, PathBuf};

use crate::api::backup_config::{DESTINATION_CA_DIR, DESTINATION_CLAIMS_DIR, DESTINATION_SECRETS_DIR, IDENTITY_DIR};

/// The environment variable with a folder that stands for `/` in all of these paths, for runs outside a pod.
pub const ROOT_ENV: &str = "TRADINGBOT_BACKUP_ROOT";
const TERMINATION_LOG: &str = "/dev/termination-log";

/// The files that are mounted into the pod, and the one that the kubelet reads.
#[derive(Clone, Debug)]
pub struct Places {
    root: PathBuf,
}

impl Places {
    /// Those of this pod.
    pub fn from_environment() -> Places {
        Places { root: std::env::var_os(ROOT_ENV).map_or_else(|| "/".into(), PathBuf::from) }
    }

    fn below(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// The folder with the Secret of a destination, one file a key.
    pub fn secret(&self, number: usize) -> PathBuf {
        self.below(DESTINATION_SECRETS_DIR).join(number.to_string())
    }

    /// The certificate authorities of a destination.
    pub fn certificates(&self, number: usize) -> PathBuf {
        self.below(DESTINATION_CA_DIR).join(number.to_string()).join("ca.crt")
    }

    /// The claim of a destination.
    pub fn claim(&self, number: usize) -> PathBuf {
        self.below(DESTINATION_CLAIMS_DIR).join(number.to_string())
    }

    /// The private key that decrypts artefacts.
    pub fn identity(&self) -> PathBuf {
        self.below(IDENTITY_DIR).join("identity")
    }

    /// What the kubelet puts into the pod's status.
    pub fn termination_log(&self) -> PathBuf {
        self.below(TERMINATION_LOG)
    }
}

/// The content of a file, without white space around it.
pub fn trimmed(path: &Path) -> std::io::Result<String> {
    Ok(std::fs::read_to_string(path)?.trim().to_owned())
}
