//! Which replica leads: an election on a Lease of the operator's own, by the same arithmetic as the bots' Leases.
//!
//! Every replica also proves its own link to the API server by writes: the leader by renewing the election Lease, the
//! others by renewing a Lease that only says that they are there. So a replica that takes over has had its expiry
//! timers running all along (design, rule 12).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference};
use kube::api::PostParams;
use kube::{Api, Client};
use tracing::{debug, info, warn};

use super::call::{CallError, call};
use super::kept_timers;
use super::observe::Revisions;
use crate::core::silence::{Link, Sighting, Silence, holder_deadline, judge};
use crate::core::time::Mono;
use crate::core::wrong::{self, Wrong};
use crate::runtime::clock;

/// The name of the election Lease.
pub const ELECTION: &str = "tradingbot-operator";
/// How long a silent leader keeps the lead.
pub const LEASE_DURATION: Duration = Duration::from_secs(6);
const RENEW_PERIOD: Duration = Duration::from_millis(1500);
const RETRY_PERIOD: Duration = Duration::from_millis(500);
/// Two missed writes and their time-outs still make one chain of proofs.
const LONGEST_GAP: Duration = Duration::from_secs(6);

/// Whether this replica may write now, and what it knows of its own link. Cheap to clone and to ask.
#[derive(Clone, Debug, Default)]
pub struct Leadership(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    /// Until when this replica leads; `None`: it does not.
    deadline: Option<Mono>,
    link: Option<Link>,
}

/// This replica does not lead (any more), so it must not write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this replica does not lead any more; the other one goes on")]
pub struct NotLeading;

impl Leadership {
    /// To be asked right before each write, after anything that was waited for (design, rule 13).
    ///
    /// # Errors
    /// When this replica does not lead.
    pub fn check(&self) -> Result<(), NotLeading> {
        let now = clock::mono();
        match self.lock().deadline {
            Some(deadline) if !now.has_possibly_reached(deadline) => Ok(()),
            _ => Err(NotLeading),
        }
    }

    /// The chain of proofs that this replica reaches the API server.
    pub fn link(&self) -> Option<Link> {
        self.lock().link
    }

    /// The lead for `time` from now, without an election: for whoever knows that nobody else writes, as tests do.
    pub fn until_further_notice(time: Duration) -> Self {
        let now = clock::mono();
        Self(Arc::new(Mutex::new(Known { deadline: Some(now.plus(time)), link: Some(Link::new(now, time)) })))
    }

    fn proven(&self, sent_at: Mono) {
        let now = clock::mono();
        let mut known = self.lock();
        let before = match known.link {
            None if wrong::is(Wrong::TimerKeptOverRestart) => kept_timers::link(sent_at),
            link => link,
        };
        let link = before.map_or_else(|| Link::new(sent_at, LONGEST_GAP), |l| l.proven(sent_at, now));
        if wrong::is(Wrong::TimerKeptOverRestart) {
            kept_timers::keep_link(link);
        }
        known.link = Some(link);
    }

    fn set_deadline(&self, deadline: Option<Mono>) {
        self.lock().deadline = deadline;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One replica's part in the election.
pub struct Election {
    leases: Api<Lease>,
    identity: String,
    owner: Option<OwnerReference>,
    leadership: Leadership,
    revisions: Arc<Revisions>,
    /// The election Lease as last read or written.
    lease: Option<Lease>,
    sighting: Option<Sighting>,
    presence: Option<Lease>,
    presence_sent: Option<Mono>,
}

impl Election {
    /// `identity`: unique to this process. `owner`: the pod, so that its presence Lease goes with it.
    /// `revisions`: whatever is written shows whether the store was restored, also to replicas that do not lead.
    pub fn new(
        client: Client,
        namespace: &str,
        identity: String,
        owner: Option<OwnerReference>,
        revisions: Arc<Revisions>,
    ) -> Self {
        Self {
            leases: Api::namespaced(client, namespace),
            identity,
            owner,
            leadership: Leadership::default(),
            revisions,
            lease: None,
            sighting: None,
            presence: None,
            presence_sent: None,
        }
    }

    /// What the rest of the process asks before it writes.
    pub fn leadership(&self) -> Leadership {
        self.leadership.clone()
    }

    /// Returns when this replica leads.
    pub async fn campaign(&mut self) {
        loop {
            let wait = match self.try_to_lead().await {
                Ok(None) => return,
                Ok(Some(wait)) => wait,
                Err(error) => {
                    debug!(%error, "the election Lease could not be read or written");
                    RETRY_PERIOD
                }
            };
            self.show_presence().await;
            tokio::time::sleep(wait.min(RETRY_PERIOD)).await;
        }
    }

    /// Keeps the lead; returns when it is lost.
    pub async fn hold(&mut self) {
        loop {
            tokio::time::sleep(RENEW_PERIOD).await;
            let deadline = self.leadership.lock().deadline;
            while let Err(error) = self.renew().await {
                let out_of_time = deadline.is_none_or(|d| clock::mono().has_possibly_reached(d));
                if out_of_time || matches!(error, CallError::Conflict(_)) {
                    self.leadership.set_deadline(None);
                    warn!(%error, "the lead is lost");
                    return;
                }
                debug!(%error, "the election Lease was not renewed, trying again");
                tokio::time::sleep(RETRY_PERIOD).await;
            }
            if deadline.is_none_or(|d| clock::mono().has_possibly_reached(d)) {
                // Nobody else took it, but workers that were about to write meanwhile have ended.
                self.leadership.set_deadline(None);
                warn!("the lead was renewed too late");
                return;
            }
        }
    }

    /// Gives the lead back, so that the other replica need not wait. To be called when nothing is being written.
    pub async fn release(&mut self) {
        if self.leadership.check().is_err() {
            return;
        }
        self.leadership.set_deadline(None);
        let Some(mut lease) = self.lease.clone() else { return };
        lease.spec.get_or_insert_default().holder_identity = Some(String::new());
        match call(self.leases.replace(ELECTION, &PostParams::default(), &lease)).await {
            Ok(_) => info!("the lead was given back"),
            Err(error) => warn!(%error, "the lead could not be given back; it runs out by itself"),
        }
    }

    /// `None`: we lead. Otherwise how long to wait before the next attempt.
    async fn try_to_lead(&mut self) -> Result<Option<Duration>, CallError> {
        let lease = call(self.leases.get_opt(ELECTION)).await?;
        let now = clock::mono();
        let version = lease.as_ref().and_then(|l| l.metadata.resource_version.clone());
        self.sighting = Some(Sighting::updated(self.sighting.take(), version.as_deref(), now));
        let holder = lease.as_ref().and_then(holder).cloned().unwrap_or_default();
        self.lease = lease;
        if holder.is_empty() || holder == self.identity {
            self.renew().await?;
            info!(identity = self.identity, "this replica leads");
            return Ok(None);
        }
        let Some(sighting) = &self.sighting else { return Ok(Some(RETRY_PERIOD)) };
        match judge(sighting, self.leadership.link().as_ref(), LEASE_DURATION, now) {
            Silence::Expired => {
                self.renew().await?;
                info!(identity = self.identity, previous = holder, "this replica leads; the previous leader is silent");
                Ok(None)
            }
            Silence::Waiting(left) => Ok(Some(left)),
            Silence::LinkDown => Ok(Some(RETRY_PERIOD)),
        }
    }

    /// Writes the election Lease over the version we know, whoever holds it.
    async fn renew(&mut self) -> Result<(), CallError> {
        let (sent_at, floor) = (clock::mono(), self.revisions.highest());
        let now = Some(MicroTime(clock::timestamp()));
        let known = self.lease.clone();
        let ours = known.as_ref().and_then(holder) == Some(&self.identity);
        let mut lease = known.clone().unwrap_or_else(|| named(ELECTION));
        let spec = lease.spec.get_or_insert_default();
        spec.renew_time = now.clone();
        spec.lease_duration_seconds = i32::try_from(LEASE_DURATION.as_secs()).ok();
        if !ours {
            spec.holder_identity = Some(self.identity.clone());
            spec.acquire_time = now;
            spec.lease_transitions = Some(spec.lease_transitions.unwrap_or(-1) + 1);
        }
        let written = match known {
            Some(_) => call(self.leases.replace(ELECTION, &PostParams::default(), &lease)).await,
            None => call(self.leases.create(&PostParams::default(), &lease)).await,
        };
        match written {
            Ok(lease) => {
                self.note_revision(floor, &lease);
                self.lease = Some(lease);
            }
            Err(error) => {
                // Unknown outcomes are read, not guessed: our own write may have gone through.
                if let Ok(read) = call(self.leases.get_opt(ELECTION)).await
                    && !matches!(error, CallError::Conflict(_))
                    && read.as_ref().and_then(holder) == Some(&self.identity)
                {
                    self.lease = read;
                }
                return Err(error);
            }
        }
        self.leadership.proven(sent_at);
        self.leadership.set_deadline(Some(holder_deadline(sent_at, LEASE_DURATION)));
        Ok(())
    }

    fn note_revision(&self, floor: u64, written: &Lease) {
        let revision = written.metadata.resource_version.as_deref().unwrap_or_default();
        self.revisions.note(floor, revision, clock::mono());
    }

    /// Proves the link of a replica that does not lead.
    async fn show_presence(&mut self) {
        let sent_at = clock::mono();
        if self.presence_sent.is_some_and(|last| sent_at.surely_elapsed_since(last) < RENEW_PERIOD) {
            return;
        }
        self.presence_sent = Some(sent_at);
        let floor = self.revisions.highest();
        let name = format!("{ELECTION}-{}", self.identity);
        let mut lease = self.presence.take().unwrap_or_else(|| named(&name));
        lease.metadata.owner_references = self.owner.clone().map(|owner| vec![owner]);
        lease.spec = Some(LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(LEASE_DURATION.as_secs()).ok(),
            renew_time: Some(MicroTime(clock::timestamp())),
            ..LeaseSpec::default()
        });
        let written = if lease.metadata.resource_version.is_some() {
            call(self.leases.replace(&name, &PostParams::default(), &lease)).await
        } else {
            call(self.leases.create(&PostParams::default(), &lease)).await
        };
        match written {
            Ok(lease) => {
                self.note_revision(floor, &lease);
                self.presence = Some(lease);
                self.leadership.proven(sent_at);
            }
            Err(error) => {
                debug!(%error, "the presence Lease was not written");
                self.presence = call(self.leases.get_opt(&name)).await.ok().flatten();
            }
        }
    }
}

fn holder(lease: &Lease) -> Option<&String> {
    lease.spec.as_ref()?.holder_identity.as_ref().filter(|name| !name.is_empty())
}

fn named(name: &str) -> Lease {
    Lease { metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() }, spec: None }
}
