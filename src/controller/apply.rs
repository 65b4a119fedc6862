//! Carries out one decision: its writes in order, each only after the one before it has plainly succeeded, and each
//! only while this replica leads.

use std::fmt::Debug;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod as PodObject, ServiceAccount};
use kube::api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tracing::{debug, info};

use super::build;
use super::call::{CallError, call};
use super::children::is_ours;
use super::conditions::{Troubles, conditions, ready_standbys};
use super::election::Leadership;
use super::events::Publisher;
use super::finalize::finalize;
use super::health;
use super::jobs;
use super::observe::{Observed, is_controlled_by};
use super::operations;
use super::pods::role_label;
use super::watches::World;
use crate::api::account_lease;
use crate::api::bot::TradingBot;
use crate::api::bot_status::TradingBotStatus;
use crate::api::lease;
use crate::api::names::{LABEL_BOT, LABEL_ROLE};
use crate::api::operation::TradingBotOperation;
use crate::api::record::{Seen, status_from};
use crate::core::account::{AccountRecord, BotRef};
use crate::core::failover::{AccountWrite, Action, Decision, LeaseWrite, Memory, Record, RestoreRun, Role, Spec};
use crate::core::ids::PodRef;
use crate::core::lease::LeaseRecord;
use crate::core::wrong::{self, Wrong};
use crate::runtime::clock;

/// What carrying out a decision needs besides the decision.
pub struct Applier<'a> {
    /// For writes and reads that end in time.
    pub client: &'a Client,
    /// Asked before every write.
    pub leadership: &'a Leadership,
    /// The operator's namespace, where the Leases of accounts are.
    pub operator_namespace: &'a str,
    /// For the node and zone of the active.
    pub world: &'a World,
    /// The image that the agent is copied from.
    pub agent_image: &'a str,
    /// What the decision was made on.
    pub observed: &'a Observed,
    /// The same, as decisions see it.
    pub spec: &'a Spec,
    /// For conditions.
    pub troubles: Troubles,
    /// For what a status is the first to tell.
    pub events: &'a Publisher,
}

/// How a round ended.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The bot is gone: its finalizer was removed.
    pub finished: bool,
}

impl Applier<'_> {
    /// Carries out the actions of `decision`. On success of a fencing write, notes in `memory` which version it left.
    ///
    /// # Errors
    /// What became of the first write that did not plainly succeed; later ones were not tried.
    pub async fn apply(&self, decision: &Decision, memory: &mut Memory) -> Result<Outcome, CallError> {
        let mut outcome = Outcome::default();
        for action in &decision.actions {
            debug!(?action, "apply");
            match action {
                Action::WriteStatus => self.write_status(&decision.record).await?,
                Action::CreateLease { lease, purpose } | Action::PutLease { lease, purpose } => {
                    let written = self.write_lease(lease, *purpose).await?;
                    if let LeaseWrite::Fence { epoch } = purpose {
                        memory.fenced_version = Some((*epoch, written));
                    }
                }
                Action::WriteAccount { account, purpose } => self.write_account(account, *purpose).await?,
                Action::RemoveLeaseOf { bot, version } => {
                    self.remove_lease_of(bot, version).await?;
                    memory.holder_removed = Some(bot.clone());
                }
                Action::CreatePod { slot } => self.create_pod(*slot).await?,
                Action::DeletePod(pod) => self.delete_pod(pod).await?,
                Action::SetRole { pod, role } => self.set_role(pod, *role).await?,
                Action::CreateJob { token, context } => {
                    let job = build::reconciliation_job(&self.observed.bot, *token, context);
                    if let Some(job) = job {
                        self.create(&job).await?;
                    }
                }
                Action::CreateRestoreJob { restore, run } => {
                    let mut asked = self.observed.operations.iter();
                    let asked = asked.find(|o| o.metadata.uid.as_ref() == Some(&restore.operation_uid));
                    let selection = asked.map(TradingBotOperation::selection).unwrap_or_default();
                    let job = build::restore_job(&self.observed.bot, restore, *run, &selection, self.agent_image);
                    if let Some(mut job) = job {
                        // Nothing is put back before the status says so: `Action::StartRestoreJob`.
                        let spec = job.spec.get_or_insert_default();
                        spec.suspend = (*run == RestoreRun::Apply).then_some(true);
                        self.create(&job).await?;
                    }
                }
                Action::StartRestoreJob { operation_uid } => self.start_restore(operation_uid).await?,
                Action::UpdateOperation { name, uid, update } => {
                    self.leadership.check()?;
                    let operation = self.observed.operations.iter().find(|o| o.metadata.uid.as_ref() == Some(uid));
                    if let Some(operation) = operation {
                        operations::write(self.client, operation, update, &decision.record).await?;
                    } else {
                        debug!(name, "an operation that was to be updated is gone");
                    }
                }
                Action::Finalize => {
                    finalize(self.client, self.leadership, self.observed).await?;
                    outcome.finished = true;
                }
            }
        }
        Ok(outcome)
    }

    /// Lets the Job run that puts a backup back: the very object that was seen.
    async fn start_restore(&self, operation_uid: &str) -> Result<(), CallError> {
        let uid = self.observed.bot.metadata.uid.as_deref().unwrap_or_default();
        let ours = |job: &&Job| is_controlled_by(&job.metadata, uid) && jobs::puts_back(job, operation_uid);
        let Some(job) = self.observed.jobs.iter().find(ours) else { return Ok(()) };
        let name = job.metadata.name.as_deref().unwrap_or_default();
        let patch = json!({"metadata": {"uid": job.metadata.uid}, "spec": {"suspend": false}});
        self.leadership.check()?;
        let written = call(self.api::<Job>().patch(name, &PatchParams::default(), &Patch::Merge(&patch))).await;
        info!(job = name, "a backup is put back");
        written.map(|_| ())
    }

    /// Writes the status if it differs from what is there, never over a version that was not read (design, rule 1).
    ///
    /// # Errors
    /// What became of the write.
    pub async fn write_status(&self, record: &Record) -> Result<(), CallError> {
        let mut bot = self.observed.bot.clone();
        let status = self.status(record);
        if bot.status.as_ref() == Some(&status) {
            return Ok(());
        }
        let news = health::news(bot.status.as_ref().map_or(&[], TradingBotStatus::remedies), status.remedies());
        bot.status = Some(status);
        self.leadership.check()?;
        let bots = self.api::<TradingBot>();
        let name = bot.metadata.name.clone().unwrap_or_default();
        call(bots.replace_status(&name, &PostParams::default(), &bot)).await?;
        self.events.publish(&bot.object_ref(&()), news);
        Ok(())
    }

    fn status(&self, record: &Record) -> TradingBotStatus {
        let bot = &self.observed.bot;
        let facts = &self.observed.facts;
        let active = record.trading.as_ref().map(|l| l.pod.uid.as_str());
        let node = self
            .observed
            .pods
            .iter()
            .find(|p| p.metadata.uid.as_deref() == active && active.is_some())
            .and_then(|p| p.spec.as_ref()?.node_name.clone());
        let zone = node.as_deref().and_then(|n| self.world.nodes.get(n)).and_then(|facts| facts.zone);
        let before = bot.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
        let generation = bot.metadata.generation;
        let now = clock::timestamp();
        let health = bot.status.as_ref().and_then(|status| status.health.as_ref());
        let health = health::status(&bot.spec.health, record, facts, health, now);
        let troubles = Troubles {
            health: health.clone().map(|status| (bot.spec.health.clone(), status)),
            ..self.troubles.clone()
        };
        let seen = Seen {
            bot: bot.metadata.name.clone().unwrap_or_default(),
            generation,
            desired_replicas: self.spec.replicas,
            replicas: u32::try_from(facts.pods.iter().filter(|p| !p.terminating).count()).unwrap_or(u32::MAX),
            ready_standbys: ready_standbys(record, facts),
            node,
            zone,
            target: self.spec.target,
            backup: self.troubles.backup.as_ref().map(|view| view.status.clone()),
            health,
            conditions: conditions(self.spec, record, facts, &troubles, generation, before, now),
        };
        status_from(record, seen)
    }

    /// A PUT at the observed version, or a create; answers the version that it left behind.
    async fn write_lease(&self, record: &LeaseRecord, purpose: LeaseWrite) -> Result<String, CallError> {
        let granted = (purpose == LeaseWrite::Grant).then(clock::timestamp);
        let leases = self.api::<Lease>();
        let name = self.observed.bot.metadata.name.clone().unwrap_or_default();
        let mut object = self.observed.lease.clone().unwrap_or_else(|| Lease {
            metadata: ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() },
            spec: None,
        });
        object.metadata.labels.get_or_insert_default().insert(LABEL_BOT.into(), name.clone());
        lease::write(record, &mut object, granted);
        self.leadership.check()?;
        let written = if record.version.is_empty() {
            call(leases.create(&PostParams::default(), &object)).await
        } else if wrong::is(Wrong::GrantWithoutVersion) && purpose == LeaseWrite::Grant {
            self.overwrite_lease(&name, &object).await
        } else {
            call(leases.replace(&name, &PostParams::default(), &object)).await
        };
        let written = match written {
            Err(CallError::Unknown(_)) if wrong::is(Wrong::UnknownWriteRetried) => {
                self.overwrite_lease(&name, &object).await?
            }
            written => written?,
        };
        let holder = record.holder.as_ref().map(PodRef::to_string).unwrap_or_default();
        let epoch = record.epoch.unwrap_or_default();
        info!(%epoch, holder, permit = %record.effective_permit(), ?purpose, "Lease written");
        Ok(written.metadata.resource_version.unwrap_or_default())
    }

    /// A write over whatever the Lease has become: what [`Wrong::GrantWithoutVersion`] and [`Wrong::UnknownWriteRetried`]
    /// do.
    async fn overwrite_lease(&self, name: &str, object: &Lease) -> Result<Lease, CallError> {
        let metadata = json!({"labels": object.metadata.labels, "annotations": object.metadata.annotations});
        let patch = json!({"metadata": metadata, "spec": object.spec});
        call(self.api::<Lease>().patch(name, &PatchParams::default(), &Patch::Merge(&patch))).await
    }

    /// A PUT of the account's Lease at the observed version, or a create.
    async fn write_account(&self, account: &AccountRecord, purpose: AccountWrite) -> Result<(), CallError> {
        let leases = Api::<Lease>::namespaced(self.client.clone(), self.operator_namespace);
        let mut object = self.observed.account.clone().unwrap_or_default();
        account_lease::write(account, &mut object);
        self.leadership.check()?;
        if account.version.is_empty() {
            call(leases.create(&PostParams::default(), &object)).await?;
        } else {
            call(leases.replace(&account_lease::name_of(&account.name), &PostParams::default(), &object)).await?;
        }
        let epoch = account.epoch.unwrap_or_default();
        info!(account = account.name, %epoch, ?purpose, "the account's Lease written");
        Ok(())
    }

    async fn remove_lease_of(&self, bot: &BotRef, version: &str) -> Result<(), CallError> {
        let leases = Api::<Lease>::namespaced(self.client.clone(), &bot.namespace);
        let this_one = Preconditions { uid: None, resource_version: Some(version.to_owned()) };
        let params = DeleteParams { preconditions: Some(this_one), ..DeleteParams::default() };
        self.leadership.check()?;
        call(leases.delete(&bot.name, &params)).await.map(|_| ())
    }

    async fn create_pod(&self, slot: u32) -> Result<(), CallError> {
        let bot = &self.observed.bot;
        for claim in build::claims(bot, slot) {
            self.create_claim(&claim).await?;
        }
        if build::template_account(bot).is_none() {
            self.create_account(slot).await?;
        }
        self.create(&build::pod(bot, slot, self.agent_image)).await
    }

    /// A pod is refused without its account. Those of the wanted slots are there already; a rollout may take another
    /// slot, whose account is bound in the round that the pod itself causes.
    async fn create_account(&self, slot: u32) -> Result<(), CallError> {
        let bot = &self.observed.bot;
        let account = build::slot_account(bot, slot);
        let name = account.metadata.name.clone().unwrap_or_default();
        let accounts = self.api::<ServiceAccount>();
        match call(accounts.get_metadata_opt(&name)).await? {
            Some(there) if is_ours(&there.metadata, bot) => return Ok(()),
            Some(_) => {
                return Err(CallError::Conflict(format!(
                    "ServiceAccount {name} is there already and belongs to something else; delete it, or name the bot otherwise"
                )));
            }
            None => {}
        }
        self.leadership.check()?;
        match call(accounts.create(&PostParams::default(), &account)).await {
            Err(CallError::Conflict(_)) => Ok(()),
            other => other.map(|_| ()),
        }
    }

    /// Creates an object of ours; one that is there already and is ours is as good.
    async fn create<K>(&self, object: &K) -> Result<(), CallError>
    where
        K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + Serialize
            + Debug,
    {
        self.leadership.check()?;
        let name = object.meta().name.clone().unwrap_or_default();
        match call(self.api::<K>().create(&PostParams::default(), object)).await {
            Err(CallError::Conflict(text)) => {
                // Listed, not got: then nothing needs the right to get pods or Jobs one by one.
                let this_one = ListParams::default().fields(&format!("metadata.name={name}"));
                let there = call(self.api::<K>().list_metadata(&this_one)).await?;
                let uid = self.observed.bot.metadata.uid.as_deref().unwrap_or_default();
                match there.items.first() {
                    Some(found) if is_controlled_by(found.meta(), uid) => Ok(()),
                    Some(_) => Err(CallError::Conflict(format!(
                        "{} {name} is there already and belongs to something else; delete it, or name the bot otherwise",
                        K::kind(&())
                    ))),
                    None => Err(CallError::Conflict(text)),
                }
            }
            other => other.map(|_| ()),
        }
    }

    /// Claims outlive their pods, so one that is there under its name is the one that is meant.
    async fn create_claim(&self, claim: &PersistentVolumeClaim) -> Result<(), CallError> {
        let claims = self.api::<PersistentVolumeClaim>();
        if call(claims.get_metadata_opt(claim.metadata.name.as_deref().unwrap_or_default())).await?.is_some() {
            return Ok(());
        }
        self.leadership.check()?;
        match call(claims.create(&PostParams::default(), claim)).await {
            Err(CallError::Conflict(_)) => Ok(()),
            other => other.map(|_| ()),
        }
    }

    async fn delete_pod(&self, pod: &PodRef) -> Result<(), CallError> {
        self.leadership.check()?;
        let this_one = Preconditions { uid: Some(pod.uid.clone()), resource_version: None };
        let params = DeleteParams { preconditions: Some(this_one), ..DeleteParams::default() };
        match call(self.api::<PodObject>().delete(&pod.name, &params)).await {
            Ok(_) | Err(CallError::NotFound(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn set_role(&self, pod: &PodRef, role: Option<Role>) -> Result<(), CallError> {
        self.leadership.check()?;
        let patch = json!({"metadata": {"uid": pod.uid, "labels": {LABEL_ROLE: role.map(role_label)}}});
        match call(self.api::<PodObject>().patch(&pod.name, &PatchParams::default(), &Patch::Merge(&patch))).await {
            Ok(_) | Err(CallError::NotFound(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), self.observed.bot.metadata.namespace.as_deref().unwrap_or_default())
    }
}
