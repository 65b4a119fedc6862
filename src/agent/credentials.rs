//! The exchange's keys: read from the API server by the pod that may trade, kept in memory and in files that are in
//! memory too, and gone again before the Lease is.
//!
//! No value is ever written to a log: not by a `Debug`, and not by an error that quotes an answer.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, GetParams};
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use super::board::Board;
use super::container::Message;
use super::hooks;
use super::lease_link::chain;
use super::processes::HookStarter;
use crate::api::agent_config::{AgentConfig, CREDENTIALS_SECONDS, CredentialsConfig};
use crate::api::names::{CREDENTIALS_DIR, RUN_DIR};
use crate::core::agent::Role;

/// For all attempts of a promotion. The right to read travels from the operator to the API server's own cache.
const PATIENCE: Duration = Duration::from_secs(CREDENTIALS_SECONDS);
/// For one request.
const CALL: Duration = Duration::from_secs(2);
/// Between two attempts: doubles from the first to the second.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// While the bot trades the Secret is looked at this often.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// One value of the Secret.
#[derive(Clone, PartialEq, Eq)]
struct Hidden(Vec<u8>);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// All of the Secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Keys(BTreeMap<String, Hidden>);

/// What this pod has of the Secret now: nothing, unless it may trade.
pub(super) struct Store {
    config: CredentialsConfig,
    keys: Option<Keys>,
    /// Numbers the folders.
    folders: u64,
}

/// Shared with whoever starts processes.
pub(super) type Shared = Arc<Mutex<Store>>;

fn lock(store: &Shared) -> MutexGuard<'_, Store> {
    store.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The variables that a process of the bot gets now.
pub(super) fn variables(store: &Shared) -> Vec<(String, OsString)> {
    let store = lock(store);
    let Some(Keys(keys)) = &store.keys else { return Vec::new() };
    let of = |key: &str| keys.get(key).map(|Hidden(bytes)| OsString::from_vec(bytes.clone()));
    store.config.environment.iter().filter_map(|v| Some((v.name.clone(), of(&v.key)?))).collect()
}

impl Store {
    /// Also removes what an earlier boot of this pod left behind: the folder outlives its container.
    pub(super) fn new(config: &CredentialsConfig) -> Store {
        let mut store = Store { config: config.clone(), keys: None, folders: 0 };
        store.clear();
        store
    }

    /// Takes these keys for the old ones: the files all at once, the environment for every process that starts from now.
    fn replace(&mut self, keys: Keys) -> Result<(), String> {
        let secret = &self.config.secret_name;
        for variable in &self.config.environment {
            let (name, key) = (&variable.name, &variable.key);
            match keys.0.get(key) {
                None => {
                    return Err(format!(
                        "the Secret {secret} has no key '{key}', which spec.credentials.environment puts into {name}; \
                         add it, or correct the key."
                    ));
                }
                Some(Hidden(bytes)) if bytes.contains(&0) => {
                    return Err(format!(
                        "the key '{key}' of Secret {secret} holds a zero byte, which no environment variable can: let \
                         the bot read the file {CREDENTIALS_DIR}/{key} instead of {name}."
                    ));
                }
                Some(_) => {}
            }
        }
        self.write(&keys).map_err(|cause| format!("the files in {CREDENTIALS_DIR} cannot be written: {cause}."))?;
        self.keys = Some(keys);
        Ok(())
    }

    /// The folder's name is a link to a folder that is complete before the link points to it, so that nobody ever sees
    /// half of two sets.
    fn write(&mut self, Keys(keys): &Keys) -> io::Result<()> {
        let earlier = folders();
        self.folders += 1;
        let name = format!("{FOLDER}{}", self.folders);
        let folder = Path::new(RUN_DIR).join(&name);
        fs::create_dir_all(&folder)?;
        // As in a Secret's volume: the bot may have given up the user that the agent runs as. Nobody but this
        // container sees the folder.
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))?;
        for (key, Hidden(bytes)) in keys {
            let file = folder.join(key);
            fs::write(&file, bytes)?;
            fs::set_permissions(&file, fs::Permissions::from_mode(0o444))?;
        }
        let link = Path::new(RUN_DIR).join(NEW_LINK);
        let _ = fs::remove_file(&link);
        symlink(&name, &link)?;
        fs::rename(&link, CREDENTIALS_DIR)?;
        earlier.into_iter().for_each(remove);
        Ok(())
    }

    fn clear(&mut self) {
        self.keys = None;
        let _ = fs::remove_file(CREDENTIALS_DIR);
        folders().into_iter().for_each(remove);
    }
}

/// What the real folders' names begin with.
const FOLDER: &str = ".credentials-";
const NEW_LINK: &str = ".new-credentials";

fn folders() -> Vec<PathBuf> {
    let entries = fs::read_dir(RUN_DIR).into_iter().flatten().flatten();
    entries.filter(|e| e.file_name().to_string_lossy().starts_with(FOLDER)).map(|e| e.path()).collect()
}

fn remove(folder: PathBuf) {
    if let Err(cause) = fs::remove_dir_all(&folder) {
        warn!("Keys of the exchange cannot be removed from {}: {cause}.", folder.display());
    }
}

/// Reads the Secret, hands it to the bot and follows its changes.
pub(super) struct Credentials {
    store: Shared,
    source: Source,
    reading: Option<AbortHandle>,
    following: Option<AbortHandle>,
    /// Numbers the readings: an answer to an earlier one no longer counts.
    number: u64,
}

impl Credentials {
    pub(super) fn new(client: kube::Client, config: &AgentConfig, store: Shared) -> Credentials {
        let name = lock(&store).config.secret_name.clone();
        let source = Source { secrets: Api::namespaced(client, &config.namespace), name };
        Credentials { store, source, reading: None, following: None, number: 0 }
    }

    /// Begins to read; the answer is a [`Message::Credentials`] with the present number.
    pub(super) fn read(&mut self, messages: mpsc::Sender<Message>) {
        self.number += 1;
        let (source, number) = (self.source.clone(), self.number);
        let task = tokio::spawn(async move {
            let keys = source.patiently().await;
            let _ = messages.send(Message::Credentials(number, keys)).await;
        });
        if let Some(earlier) = self.reading.replace(task.abort_handle()) {
            earlier.abort();
        }
    }

    /// Hands what was read to the bot; `None`: nobody waits for this any more.
    pub(super) fn answered(&mut self, number: u64, keys: Result<Keys, String>) -> Option<Result<(), String>> {
        let awaited = number == self.number && self.reading.take().is_some();
        awaited.then(|| keys.and_then(|keys| lock(&self.store).replace(keys)))
    }

    /// Looks for changes while the bot trades, and at no other time.
    pub(super) fn follow(&mut self, role: Role, board: &watch::Sender<Board>, starter: &HookStarter) {
        if role != Role::Active {
            if let Some(task) = self.following.take() {
                task.abort();
            }
            return;
        }
        if self.following.is_none() && lock(&self.store).keys.is_some() {
            let follower = Follower {
                store: self.store.clone(),
                source: self.source.clone(),
                board: board.subscribe(),
                starter: starter.clone(),
            };
            self.following = Some(tokio::spawn(follower.run()).abort_handle());
        }
    }

    /// Removes everything.
    pub(super) fn drop_all(&mut self) {
        // All tasks run on this thread, so that none is in the middle of a write.
        for task in [self.reading.take(), self.following.take()].into_iter().flatten() {
            task.abort();
        }
        lock(&self.store).clear();
    }
}

/// Where the keys come from.
#[derive(Clone)]
struct Source {
    secrets: Api<Secret>,
    name: String,
}

impl Source {
    async fn patiently(&self) -> Result<Keys, String> {
        let end = Instant::now() + PATIENCE;
        let mut pause = PAUSES.0;
        loop {
            let cause = match self.once(&GetParams::default()).await {
                Ok(keys) => return Ok(keys),
                Err(cause) => cause,
            };
            if Instant::now() + pause >= end {
                let Source { name, .. } = self;
                return Err(format!(
                    "the Secret {name} with the keys of the exchange could not be read within {CREDENTIALS_SECONDS} s: \
                     {cause}. It must exist, and the bot's condition CredentialsWithheld says whether this pod may read it."
                ));
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    async fn once(&self, how: &GetParams) -> Result<Keys, String> {
        let secret = match timeout(CALL, self.secrets.get_with(&self.name, how)).await {
            Ok(Ok(secret)) => secret,
            Ok(Err(kube::Error::Api(status))) => return Err(status.message.clone()),
            // Its text may quote what it could not read.
            Ok(Err(kube::Error::SerdeError(_) | kube::Error::FromUtf8(_))) => {
                return Err("the API server's answer is no Secret".into());
            }
            Ok(Err(error)) => return Err(chain(&error)),
            Err(_) => return Err(format!("no answer within {} s", CALL.as_secs())),
        };
        Ok(Keys(secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, Hidden(value.0))).collect()))
    }
}

/// Follows the Secret's changes.
struct Follower {
    store: Shared,
    source: Source,
    board: watch::Receiver<Board>,
    starter: HookStarter,
}

impl Follower {
    async fn run(self) {
        // From the API server's cache: a look costs next to nothing, and the next one sees what this one missed.
        let cached = GetParams::at("0");
        let mut trouble: Option<String> = None;
        let mut untold = false;
        loop {
            sleep(LOOK_EVERY).await;
            let outcome = match self.source.once(&cached).await {
                Ok(keys) => self.take(keys),
                Err(cause) => Err(format!("the Secret cannot be read: {cause}.")),
            };
            match outcome {
                Ok(changed) => {
                    if trouble.take().is_some() {
                        info!("The keys of the exchange can be read again.");
                    }
                    untold |= changed;
                }
                Err(cause) => {
                    if trouble.as_ref() != Some(&cause) {
                        warn!("Trading on with the keys that were read last; trying again every 10 s: {cause}");
                    }
                    trouble = Some(cause);
                }
            }
            if untold {
                untold = !self.told().await;
            }
        }
    }

    fn take(&self, keys: Keys) -> Result<bool, String> {
        let mut store = lock(&self.store);
        if store.keys.as_ref() == Some(&keys) {
            return Ok(false);
        }
        store.replace(keys)?;
        info!("The keys of the exchange have changed; the files in {CREDENTIALS_DIR} are new.");
        Ok(true)
    }

    /// Whether the bot knows.
    async fn told(&self) -> bool {
        let reload = lock(&self.store).config.reload.clone();
        let Some(reload) = reload else { return true };
        let role = self.board.borrow().leadership;
        match hooks::call("reload", false, &reload, role, &self.starter).await {
            Ok(()) => {
                info!("The bot has reloaded the keys of the exchange.");
                true
            }
            Err(failure) => {
                warn!(
                    "The bot may still use the old keys of the exchange; it is told again in 10 s: {}",
                    failure.sentence
                );
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_is_ever_printed() {
        let keys = Keys([("key".to_owned(), Hidden(b"planted".to_vec()))].into());
        let text = format!("{keys:?}");
        assert!(text.contains("key") && text.contains("hidden") && !text.contains("planted"), "{text}");
        let bytes = format!("{:?}", b"planted");
        assert!(!text.contains(&bytes), "{text}");
    }
}
