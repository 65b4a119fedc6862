//! One live look at a bot: everything that a decision depends on, read in this moment and never from a cache.

use std::sync::Mutex;
use std::sync::PoisonError;

use futures::future::try_join_all;
use k8s_openapi::api::batch::v1::Job as JobObject;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod as PodObject;
use kube::api::{ListParams, ObjectMeta};
use kube::{Api, Client};
use tokio::sync::watch;

use super::call::{CallError, call};
use super::election::Leadership;
use super::registry::BotKey;
use super::scope::Scope;
use super::watches::World;
use super::{accounts, jobs, pods};
use crate::api::bot::TradingBot;
use crate::api::lease;
use crate::api::names::{LABEL_BOT, LABEL_COMPONENT};
use crate::api::operation::TradingBotOperation;
use crate::core::failover::Observation;
use crate::core::time::Mono;
use crate::core::wrong::{self, Wrong};
use crate::runtime::clock;

/// What was read, as objects and as the facts that decisions are made on.
pub struct Observed {
    /// The resource.
    pub bot: TradingBot,
    /// Its Lease.
    pub lease: Option<Lease>,
    /// Its pods.
    pub pods: Vec<PodObject>,
    /// All Jobs and other pods that carry its name: what they belong to is to be looked at.
    pub jobs: Vec<JobObject>,
    /// Pods that carry its name and are none of its own, such as those of the Jobs.
    pub other_pods: Vec<PodObject>,
    /// The Lease of its account.
    pub account: Option<Lease>,
    /// The operations on it that have not ended.
    pub operations: Vec<TradingBotOperation>,
    /// All of it as facts.
    pub facts: Observation,
}

/// Notices when the cluster's store was put back to an older state: resource versions then run backwards.
#[derive(Debug, Default)]
pub struct Revisions {
    /// The highest that was seen, and when it was seen to fall.
    known: Mutex<(u64, Option<Mono>)>,
    /// How often it fell.
    restores: watch::Sender<u64>,
}

impl Revisions {
    /// The highest that was seen so far: to be asked before a read or a write is sent.
    pub fn highest(&self) -> u64 {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    /// Notes the revision of a list that was read live, or of an object that was written, after `floor` had been seen.
    /// It is never older than what was seen before it was asked for, unless the store was restored (design, rule 2).
    pub fn note(&self, floor: u64, revision: &str, now: Mono) {
        let Ok(revision) = revision.parse::<u64>() else { return };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if revision < floor {
            *known = (revision, Some(now));
            self.restores.send_modify(|restores| *restores += 1);
        } else {
            known.0 = known.0.max(revision);
        }
    }

    /// Tells of restores, as they are noticed.
    pub fn restores(&self) -> watch::Receiver<u64> {
        self.restores.subscribe()
    }

    fn restored_at(&self) -> Option<Mono> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).1
    }
}

/// Reads one bot live.
///
/// # Errors
/// [`CallError::NotFound`] when the resource is gone; otherwise what became of the read that failed.
pub async fn observe(
    client: &Client,
    operator_namespace: &str,
    scope: &Scope,
    key: &BotKey,
    world: &World,
    leadership: &Leadership,
    revisions: &Revisions,
) -> Result<Observed, CallError> {
    let namespace = key.namespace.as_str();
    let bots = Api::<TradingBot>::namespaced(client.clone(), namespace);
    let leases = Api::<Lease>::namespaced(client.clone(), namespace);
    let all_pods = Api::<PodObject>::namespaced(client.clone(), namespace);
    let all_jobs = Api::<JobObject>::namespaced(client.clone(), namespace);
    let labelled = ListParams::default().labels(&format!("{LABEL_BOT}={}", key.name));
    let floor = revisions.highest();
    let (bot, lease, listed_pods, listed_jobs, operations) = tokio::try_join!(
        call(bots.get(&key.name)),
        read_lease(&leases, key, world),
        call(all_pods.list(&labelled)),
        call(all_jobs.list(&labelled)),
        open_operations(client, key, world),
    )?;
    let version = listed_pods.metadata.resource_version.clone().unwrap_or_default();
    revisions.note(floor, &version, clock::mono());

    let uid = bot.metadata.uid.clone().unwrap_or_default();
    let (members, others): (Vec<_>, Vec<_>) =
        listed_pods.items.into_iter().partition(|pod| component(&pod.metadata) == Some("bot"));
    let members: Vec<PodObject> = members.into_iter().filter(|pod| is_controlled_by(&pod.metadata, &uid)).collect();
    let own_jobs = || listed_jobs.items.iter().filter(|job| is_controlled_by(&job.metadata, &uid));
    let own_lease = lease.as_ref().map(lease::read);
    let account =
        accounts::observe(client, operator_namespace, scope, &world.accounts, &bot, own_lease.as_ref()).await?;
    let facts = Observation {
        lease: own_lease,
        pods: members.iter().map(|pod| pods::read(pod, &bot.spec.container_name, &world.nodes)).collect(),
        jobs: own_jobs().filter_map(|job| jobs::read(job, &others)).collect(),
        restores: own_jobs().filter_map(|job| jobs::read_restore(job, &others)).collect(),
        operations: operations.iter().filter_map(TradingBotOperation::to_decide).collect(),
        link: leadership.link(),
        template_error: None,
        restored_at: revisions.restored_at(),
        account: account.facts,
        wall: clock::wall(),
    };
    Ok(Observed {
        bot,
        lease,
        pods: members,
        jobs: listed_jobs.items,
        other_pods: others,
        account: account.lease,
        operations,
        facts,
    })
}

async fn read_lease(leases: &Api<Lease>, key: &BotKey, world: &World) -> Result<Option<Lease>, CallError> {
    if wrong::is(Wrong::DecisionFromCache)
        && let Some(cached) = world.sightings.cached(key)
    {
        return Ok(cached);
    }
    call(leases.get_opt(&key.name)).await
}

async fn open_operations(client: &Client, key: &BotKey, world: &World) -> Result<Vec<TradingBotOperation>, CallError> {
    let api = Api::<TradingBotOperation>::namespaced(client.clone(), &key.namespace);
    let names = world.operations.of(key);
    let mut found: Vec<TradingBotOperation> =
        try_join_all(names.iter().map(|name| call(api.get_opt(name)))).await?.into_iter().flatten().collect();
    found.retain(|o| o.spec.bot_name == key.name && o.is_open());
    found.sort_by_key(|o| (o.metadata.creation_timestamp.clone().map(|t| t.0), o.metadata.name.clone()));
    Ok(found)
}

fn component(meta: &ObjectMeta) -> Option<&str> {
    meta.labels.as_ref()?.get(LABEL_COMPONENT).map(String::as_str)
}

/// Children are recognised by their controller's uid, not by name alone (design, rule 14).
pub fn is_controlled_by(meta: &ObjectMeta, uid: &str) -> bool {
    meta.owner_references.iter().flatten().any(|owner| owner.controller == Some(true) && owner.uid == uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_put_back_is_noticed_and_a_mere_race_is_not() {
        let revisions = Revisions::default();
        revisions.note(0, "100", Mono::both(1));
        // Two reads under way at once may answer in any order.
        revisions.note(0, "90", Mono::both(2));
        assert_eq!((revisions.highest(), revisions.restored_at()), (100, None));
        revisions.note(100, "40", Mono::both(3));
        assert_eq!((revisions.highest(), revisions.restored_at()), (40, Some(Mono::both(3))));
    }
}
