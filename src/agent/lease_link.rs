//! The agent's link to the API server: one Lease, read, watched and patched, and nothing else.
//!
//! Every call has a time of its own. There is no retry layer: whether and when to try again is decided in the core.

use std::path::Path;
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Client;
use kube::api::{Api, WatchEvent, WatchParams};
use kube::config::{AuthInfo, Config};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::clock;
use super::config::{Refusal, Settings};
use crate::api::agent_config::AgentConfig;
use crate::api::lease::{promotion_text, read as record_of, shutdown_text};
use crate::api::names::lease as key;
use crate::core::agent::{Outcome, Setup, Write, WriteKind};
use crate::core::ids::{BootId, PodRef};
use crate::core::lease::{AgentState, LeaseRecord, Permit, ReleaseReason};
use crate::core::shutdown::StepReport;
use crate::core::wrong::{self, Wrong};

/// For one read or write. A request that was given up closes its connection, so that the next one makes a new one.
const CALL: Duration = Duration::from_secs(2);
/// The API server ends a watch after this many seconds, so that one that died silently is noticed.
const WATCH_SECONDS: u32 = 15;
/// A watch that says nothing, not even its end, is dead.
const WATCH_SILENCE: Duration = Duration::from_secs(WATCH_SECONDS as u64 + 3);
/// Between two attempts to reach the API server: grows from the first to the second.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(2));
/// An annotation is no place for a novel.
const LONGEST_REASON: usize = 1024;

/// What the watch reports.
#[derive(Debug)]
pub(super) enum Sight {
    /// The Lease, or that there is none.
    Lease(Option<Box<LeaseRecord>>),
    /// The API server could not be reached; why.
    Lost(String),
}

/// What a write tells people beside what it is for.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// What the steps of the stop came to, which a release says.
    pub steps: Vec<StepReport>,
    /// What was done about checks that failed, which renewals and a release say.
    pub recovery: String,
    /// What the promote hook came to, once it is known in this epoch, likewise.
    pub promotion: Option<StepReport>,
}

/// One Lease on one API server.
#[derive(Clone)]
pub(super) struct LeaseLink {
    client: Client,
    namespace: String,
    name: String,
    pod: PodRef,
    boot: BootId,
}

/// The client of this pod's agent.
pub(super) fn client(settings: &Settings) -> Result<Client, Refusal> {
    let refused = |what: &dyn std::fmt::Display| Refusal::Credentials(what.to_string());
    let server = format!("https://{}", settings.api_server);
    let mut config = Config::new(server.parse().map_err(|error| refused(&error))?);
    config.default_namespace = settings.config.namespace.clone();
    // The file is read again as it changes, and alone counts; without this the client would look for the system's roots
    // first, which a bot's image need not have.
    config.root_cert = Some(Vec::new());
    config.root_cert_file = Some(settings.credentials.join("ca.crt"));
    config.auth_info = token(&settings.credentials.join("token"));
    config.default_retry = false;
    config.connect_timeout = Some(CALL);
    // Not on idle connections: one that is kept between two renewals would be closed just when it is needed. The
    // time of each call does the same for those under way.
    config.read_timeout = None;
    Client::try_from(config).map_err(|error| refused(&error))
}

fn token(path: &Path) -> AuthInfo {
    AuthInfo { token_file: Some(path.to_string_lossy().into_owned()), ..AuthInfo::default() }
}

impl LeaseLink {
    pub(super) fn new(client: Client, config: &AgentConfig, setup: &Setup) -> LeaseLink {
        LeaseLink {
            client,
            namespace: config.namespace.clone(),
            name: config.bot.clone(),
            pod: setup.pod.clone(),
            boot: setup.boot.clone(),
        }
    }

    /// Sends a write and says what became of it.
    pub(super) async fn write(&self, write: &Write, told: &Told) -> (Outcome, Option<String>) {
        match timeout(CALL, self.patch(write, told)).await {
            Ok(Ok(lease)) => (Outcome::Answered(record_of(&lease)), None),
            // Another holder, a failed test, an admission webhook: only the object tells.
            Ok(Err(kube::Error::Api(status))) if status.code == 422 => match self.read().await {
                Ok(found) => (Outcome::Refused(found), Some(status.message.clone())),
                Err(cause) => (Outcome::Unknown, Some(cause)),
            },
            Ok(Err(kube::Error::Api(status))) if status.code == 404 => {
                (Outcome::Refused(None), Some("the Lease does not exist".into()))
            }
            Ok(Err(cause)) => (Outcome::Unknown, Some(chain(&cause))),
            Err(_) => (Outcome::Unknown, Some(format!("no answer within {} s", CALL.as_secs()))),
        }
    }

    async fn patch(&self, write: &Write, told: &Told) -> Result<Lease, kube::Error> {
        let body = serde_json::to_vec(&patch(write, told, &self.pod, &self.boot, clock::timestamp()))
            .map_err(kube::Error::SerdeError)?;
        let path = format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases/{}", self.namespace, self.name);
        let request = http::Request::patch(path)
            .header(http::header::CONTENT_TYPE, "application/json-patch+json")
            .header(http::header::ACCEPT, "application/json")
            .body(body)
            .map_err(kube::Error::HttpError)?;
        self.client.request(request).await
    }

    /// Reads the Lease; `None`: there is none.
    pub(super) async fn read(&self) -> Result<Option<LeaseRecord>, String> {
        Ok(self.get().await?.as_ref().map(record_of))
    }

    async fn get(&self) -> Result<Option<Lease>, String> {
        let api: Api<Lease> = Api::namespaced(self.client.clone(), &self.namespace);
        match timeout(CALL, api.get_opt(&self.name)).await {
            Ok(result) => result.map_err(|cause| chain(&cause)),
            Err(_) => Err(format!("no answer within {} s", CALL.as_secs())),
        }
    }

    /// Watches the Lease until the receiver is gone.
    pub(super) async fn watch(self, sights: mpsc::Sender<Sight>) {
        let mut pause = PAUSES.0;
        loop {
            let lost = match self.get().await {
                Ok(lease) => {
                    let version = lease.as_ref().and_then(|lease| lease.metadata.resource_version.clone());
                    if sights.send(Sight::Lease(lease.as_ref().map(record_of).map(Box::new))).await.is_err() {
                        return;
                    }
                    pause = PAUSES.0;
                    // Without a version the watch begins with the Lease as it is, should it be made meanwhile.
                    self.follow(version.unwrap_or_default(), &sights).await
                }
                Err(cause) => Some(cause),
            };
            if let Some(cause) = lost
                && sights.send(Sight::Lost(cause)).await.is_err()
            {
                return;
            }
            if sights.is_closed() {
                return;
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// Follows one watch after the other from `version` on, for as long as they end well. Returns why not, or `None`
    /// where only the version was too old to go on from.
    async fn follow(&self, mut version: String, sights: &mpsc::Sender<Sight>) -> Option<String> {
        let api: Api<Lease> = Api::namespaced(self.client.clone(), &self.namespace);
        let only_ours = WatchParams::default().fields(&format!("metadata.name={}", self.name)).timeout(WATCH_SECONDS);
        loop {
            let stream = match timeout(CALL, api.watch(&only_ours, &version)).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(kube::Error::Api(status))) if status.code == 410 => return None,
                Ok(Err(cause)) => return Some(chain(&cause)),
                Err(_) => return Some(format!("no answer to a watch within {} s", CALL.as_secs())),
            };
            let mut stream = std::pin::pin!(stream);
            loop {
                let event = match timeout(WATCH_SILENCE, stream.next()).await {
                    Ok(Some(Ok(event))) => event,
                    Ok(Some(Err(cause))) => return Some(chain(&cause)),
                    // The API server ended it as agreed: go on from where it was.
                    Ok(None) => break,
                    Err(_) => return Some(format!("a silent watch for {} s", WATCH_SILENCE.as_secs())),
                };
                let sight = match event {
                    WatchEvent::Added(lease) | WatchEvent::Modified(lease) => {
                        version = lease.metadata.resource_version.clone().unwrap_or(version);
                        Some(Box::new(record_of(&lease)))
                    }
                    WatchEvent::Deleted(lease) => {
                        version = lease.metadata.resource_version.clone().unwrap_or(version);
                        None
                    }
                    WatchEvent::Bookmark(mark) => {
                        version = mark.metadata.resource_version;
                        continue;
                    }
                    WatchEvent::Error(status) if status.code == 410 => return None,
                    WatchEvent::Error(status) => return Some(status.message),
                };
                if sights.send(Sight::Lease(sight)).await.is_err() {
                    return None;
                }
            }
        }
    }
}

/// An error with its causes, on one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
}

/// The JSON Patch of a write (design, rules 6 and 7): pinned to holder, boot and epoch, with a value of `renew` that
/// was never used before.
pub fn patch(write: &Write, told: &Told, pod: &PodRef, boot: &BootId, now: Timestamp) -> Value {
    let note = |name: &str| format!("/metadata/annotations/{}", name.replace('~', "~0").replace('/', "~1"));
    let unpinned = wrong::is(Wrong::RenewalWithoutTest) && matches!(write.kind, WriteKind::Renew(_));
    let pin = if unpinned { "add" } else { "test" };
    let test = |path: &str, value: String| json!({"op": pin, "path": path, "value": value});
    let set = |path: &str, value: String| json!({"op": "add", "path": path, "value": value});
    let pinned_boot = match &write.kind {
        WriteKind::Claim => String::new(),
        WriteKind::Renew(_) | WriteKind::Release(_) => boot.to_string(),
        WriteKind::ReleaseFor(earlier) => earlier.to_string(),
    };
    let mut operations = vec![
        test("/spec/holderIdentity", pod.to_string()),
        test(&note(key::BOOT), pinned_boot),
        test(&note(key::EPOCH), write.epoch.to_string()),
        set(&note(key::RENEW), format!("{boot}/{}", write.number)),
        // Exactly six digits, or the API server refuses the patch.
        set("/spec/renewTime", DateTimePrinter::new().precision(Some(6)).timestamp_to_string(&now)),
    ];
    let state = match &write.kind {
        WriteKind::Claim => {
            operations.insert(0, test(&note(key::PERMIT), Permit::Prepare.as_str().to_owned()));
            operations.push(set(&note(key::BOOT), boot.to_string()));
            AgentState::Claimed
        }
        WriteKind::Renew(state) => *state,
        WriteKind::Release(why) => {
            let reason: String = why.to_string().chars().take(LONGEST_REASON).collect();
            operations.push(set("/spec/holderIdentity", String::new()));
            operations.push(set(&note(key::REASON), reason));
            if !told.steps.is_empty() {
                operations.push(set(&note(key::SHUTDOWN), shutdown_text(&told.steps)));
            }
            AgentState::Released
        }
        WriteKind::ReleaseFor(earlier) => {
            let word = ReleaseReason::AgentRestarted.as_str();
            operations.push(set("/spec/holderIdentity", String::new()));
            operations.push(set(&note(key::SUCCESSOR), boot.to_string()));
            operations.push(set(
                &note(key::REASON),
                format!("{word}: the container with boot {earlier} died and was restarted."),
            ));
            AgentState::Restarted
        }
    };
    if matches!(write.kind, WriteKind::Claim | WriteKind::Renew(_)) {
        operations.push(set(&note(key::PATH), write.path.to_string()));
        operations.push(set(&note(key::HEALTH), write.health.clone()));
    }
    // Not while there is nothing to say: an admission policy from before this would refuse the whole write.
    if matches!(write.kind, WriteKind::Renew(_) | WriteKind::Release(_)) && !told.recovery.is_empty() {
        operations.push(set(&note(key::RECOVERY), told.recovery.clone()));
    }
    if let (WriteKind::Renew(_) | WriteKind::Release(_), Some(step)) = (&write.kind, &told.promotion) {
        operations.push(set(&note(key::PROMOTION), promotion_text(step)));
    }
    operations.push(set(&note(key::STATE), state.as_str().to_owned()));
    Value::Array(operations)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::agent::Why;
    use crate::core::ids::Epoch;
    use crate::core::lease::OrderPath;
    use crate::core::shutdown::StepResult;

    fn ids() -> (PodRef, BootId) {
        let pod = PodRef { name: "doge-0".into(), uid: "u0".into() };
        (pod, BootId { pod_uid: "u0".into(), nonce: "n".into() })
    }

    fn step(name: &str) -> StepReport {
        let (result, message) = (StepResult::Succeeded, String::new());
        StepReport { name: name.into(), result, milliseconds: 1, message }
    }

    fn made(kind: WriteKind) -> Vec<(String, String, String)> {
        let (pod, boot) = ids();
        let value = patch(
            &Write { number: 7, epoch: Epoch(3), kind, path: OrderPath::Gated, health: "[]".into() },
            &Told { steps: vec![step("cancel")], recovery: "[1]".into(), promotion: Some(step("promote")) },
            &pod,
            &boot,
            Timestamp::UNIX_EPOCH,
        );
        let text = |operation: &Value, name: &str| operation[name].as_str().unwrap().to_owned();
        value.as_array().unwrap().iter().map(|o| (text(o, "op"), text(o, "path"), text(o, "value"))).collect()
    }

    fn has(operations: &[(String, String, String)], op: &str, path: &str, value: &str) -> bool {
        operations.contains(&(op.to_owned(), path.to_owned(), value.to_owned()))
    }

    #[test]
    fn every_write_is_pinned_and_new() {
        let earlier = BootId { pod_uid: "u0".into(), nonce: "old".into() };
        for (kind, boot) in [
            (WriteKind::Claim, ""),
            (WriteKind::Renew(AgentState::Active), "u0/n"),
            (WriteKind::Release(Why::Revoked), "u0/n"),
            (WriteKind::ReleaseFor(earlier), "u0/old"),
        ] {
            let made = made(kind);
            assert!(has(&made, "test", "/spec/holderIdentity", "doge-0/u0"));
            assert!(has(&made, "test", "/metadata/annotations/tradingbot.io~1boot", boot));
            assert!(has(&made, "test", "/metadata/annotations/tradingbot.io~1epoch", "3"));
            assert!(has(&made, "add", "/metadata/annotations/tradingbot.io~1renew", "u0/n/7"));
            assert!(has(&made, "add", "/spec/renewTime", "1970-01-01T00:00:00.000000Z"));
        }
    }

    #[test]
    fn a_claim_is_stored_only_while_nobody_may_trade() {
        assert!(has(&made(WriteKind::Claim), "test", "/metadata/annotations/tradingbot.io~1permit", "Prepare"));
    }

    #[test]
    fn claims_and_renewals_say_how_orders_are_fenced() {
        let told = |kind| has(&made(kind), "add", "/metadata/annotations/tradingbot.io~1path", "Gated");
        assert!(told(WriteKind::Claim) && told(WriteKind::Renew(AgentState::Active)));
        // Nobody trades any more.
        assert!(!told(WriteKind::Release(Why::Revoked)));
        assert!(has(&made(WriteKind::Claim), "add", "/metadata/annotations/tradingbot.io~1health", "[]"));
    }

    #[test]
    fn only_a_release_says_what_the_steps_of_the_stop_came_to() {
        let text = r#"[{"name":"cancel","result":"Succeeded","milliseconds":1}]"#;
        let told = |kind| has(&made(kind), "add", "/metadata/annotations/tradingbot.io~1shutdown", text);
        assert!(told(WriteKind::Release(Why::Revoked)));
        assert!(!told(WriteKind::Renew(AgentState::Demoting)));
    }

    #[test]
    fn what_was_done_about_checks_and_what_the_promote_hook_came_to_is_told_to_the_end() {
        let hook = r#"{"name":"promote","result":"Succeeded","milliseconds":1}"#;
        let said = |kind, name: &str, text| {
            has(&made(kind), "add", &format!("/metadata/annotations/tradingbot.io~1{name}"), text)
        };
        let told = |kind: WriteKind| (said(kind.clone(), "recovery", "[1]"), said(kind, "promotion", hook));
        assert_eq!(told(WriteKind::Renew(AgentState::Active)), (true, true));
        assert_eq!(told(WriteKind::Release(Why::Revoked)), (true, true));
        assert_eq!(told(WriteKind::Claim), (false, false));
    }

    #[test]
    fn a_release_clears_the_holder_and_says_why() {
        let made = made(WriteKind::Release(Why::PodStopping));
        assert!(has(&made, "add", "/spec/holderIdentity", ""));
        assert!(has(&made, "add", "/metadata/annotations/tradingbot.io~1state", "Released"));
        assert!(has(
            &made,
            "add",
            "/metadata/annotations/tradingbot.io~1reason",
            "PodStopping: the pod is being stopped."
        ));
    }
}
