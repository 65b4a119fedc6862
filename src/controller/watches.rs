//! One watch a kind, each for as long as the process lives, leading or not. They say *that* something changed; what is
//! decided on is read live.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, PersistentVolumeClaim, Pod, Service, ServiceAccount};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::ObjectMeta;
use kube::core::{DeserializeGuard, PartialObjectMeta};
use kube::runtime::watcher::{self, Event, watcher as watch};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;

use super::accounts::Accounts;
use super::api_server::{self, ApiServer};
use super::nodes::{NodeFacts, Nodes};
use super::observe::Revisions;
use super::registry::{BotKey, Registry, Trigger};
use super::relist::{Begin, Relist, each};
use super::scope::Scope;
use super::sightings::Sightings;
use crate::api::bot::TradingBot;
use crate::api::names::{LABEL_ACCOUNT, LABEL_BOT};
use crate::api::operation::TradingBotOperation;
use crate::runtime::admin::Readiness;
use crate::runtime::client::WATCH_SECONDS;
use crate::runtime::clock;

/// What the watches keep up to date.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// Which bots there are.
    pub registry: Arc<Registry>,
    /// The expiry timers.
    pub sightings: Arc<Sightings>,
    /// What is known of nodes.
    pub nodes: Arc<Nodes>,
    /// Operations that have not ended, by bot.
    pub operations: Arc<OpenOperations>,
    /// Which bots have which account.
    pub accounts: Arc<Accounts>,
    /// The versions of everything else that belongs to a bot.
    pub children: Arc<ChildVersions>,
    /// Where the API server is.
    pub api_server: Arc<ApiServer>,
}

/// Names of operations that have not ended, as last seen; read live before they are acted on.
#[derive(Debug, Default)]
pub struct OpenOperations(Mutex<BTreeMap<BotKey, BTreeSet<String>>>);

impl OpenOperations {
    /// Answers whether an operation that was open has ended.
    fn note(&self, key: &BotKey, name: &str, open: bool) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let names = all.entry(key.clone()).or_default();
        let ended = !open && names.remove(name);
        if open {
            names.insert(name.to_owned());
        }
        if names.is_empty() {
            all.remove(key);
        }
        ended
    }

    /// The open operations of one bot.
    pub fn of(&self, key: &BotKey) -> Vec<String> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(key).map(|names| names.iter().cloned().collect()).unwrap_or_default()
    }
}

/// An object that belongs to a bot, by kind, namespace and name.
pub type ChildKey = (&'static str, String, String);

/// What changes of an object when its contents do: the generation where its kind has one, so that a status that another
/// controller writes does not count.
pub fn child_version(meta: &ObjectMeta) -> String {
    let contents = meta.generation.map(|g| g.to_string()).or_else(|| meta.resource_version.clone());
    format!("{}/{}", meta.uid.as_deref().unwrap_or_default(), contents.unwrap_or_default())
}

/// The [`child_version`]s of objects as last seen.
#[derive(Debug, Default)]
pub struct ChildVersions(Mutex<BTreeMap<ChildKey, String>>);

impl ChildVersions {
    /// The version that the watch saw last; `None`: the object is not there, or was not seen yet.
    pub fn of(&self, key: &ChildKey) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// The names of the objects of a kind in a namespace.
    pub fn names(&self, kind: &'static str, namespace: &str) -> BTreeSet<String> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_kind = all.range((kind, namespace.to_owned(), String::new())..);
        of_kind
            .map(|(key, _)| key)
            .take_while(|key| key.0 == kind && key.1 == namespace)
            .map(|key| key.2.clone())
            .collect()
    }

    /// Answers whether anything but a status has changed.
    fn note(&self, key: ChildKey, version: Option<String>) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match version {
            Some(version) => all.insert(key, version.clone()) != Some(version),
            None => all.remove(&key).is_some(),
        }
    }
}

/// Starts all watches; `namespace` is the operator's own, `scope` says where the bots are. They run until the set is
/// dropped; readiness waits for the first full list of each.
pub fn start(
    client: &Client,
    namespace: &str,
    scope: &Scope,
    world: &World,
    readiness: &Readiness,
    revisions: &Revisions,
) -> JoinSet<()> {
    let begin = |what| Begin { restores: revisions.restores(), not_yet: readiness.waits_for(what) };
    let mut tasks = JoinSet::new();
    for bots in scope.apis(client) {
        tasks.spawn(watch_bots(bots, world.clone(), begin("the list of TradingBots")));
    }
    for (leases, within) in scope.apis(client).into_iter().zip(scope.each(|within| within.map(ToOwned::to_owned))) {
        tasks.spawn(watch_leases(leases, within, world.clone(), begin("the list of Leases")));
    }
    let accounts = Api::namespaced(client.clone(), namespace);
    tasks.spawn(watch_accounts(accounts, world.clone(), begin("the list of accounts")));
    tasks.spawn(watch_nodes(client.clone(), world.clone(), begin("the list of nodes")));
    for operations in scope.apis(client) {
        tasks.spawn(watch_operations(operations, world.clone(), begin("the list of operations")));
    }
    let addresses = begin("the addresses of the API server");
    let service = begin("the API server's Service");
    tasks.spawn(watch_api_server::<EndpointSlice>(
        client.clone(),
        world.clone(),
        addresses,
        config().labels(&format!("{}={}", "kubernetes.io/service-name", api_server::SERVICE)),
        |known, slice, there| known.note_slice(slice, there),
    ));
    tasks.spawn(watch_api_server::<Service>(
        client.clone(),
        world.clone(),
        service,
        config().fields(&format!("metadata.name={}", api_server::SERVICE)),
        |known, service, there| known.note_service(service, there),
    ));
    let mut wakes = Wakes { tasks, client, scope, world, begin: &begin };
    wakes.on::<Pod>("the list of pods", Trigger::Pod);
    wakes.on::<Job>("the list of Jobs", Trigger::Job);
    wakes.on::<Service>("the list of Services", Trigger::Child);
    wakes.on::<ServiceAccount>("the list of ServiceAccounts", Trigger::Child);
    wakes.on::<Role>("the list of Roles", Trigger::Child);
    wakes.on::<RoleBinding>("the list of RoleBindings", Trigger::Child);
    wakes.on::<PodDisruptionBudget>("the list of PodDisruptionBudgets", Trigger::Child);
    wakes.on::<NetworkPolicy>("the list of NetworkPolicies", Trigger::Child);
    wakes.on::<CronJob>("the list of CronJobs", Trigger::Child);
    wakes.on::<PersistentVolumeClaim>("the list of claims", Trigger::Child);
    wakes.tasks
}

struct Wakes<'a, B> {
    tasks: JoinSet<()>,
    client: &'a Client,
    scope: &'a Scope,
    world: &'a World,
    begin: &'a B,
}

impl<B: Fn(&'static str) -> Begin> Wakes<'_, B> {
    /// Any change of a child of this kind wakes its bot.
    fn on<K>(&mut self, what: &'static str, trigger: Trigger)
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + k8s_openapi::Resource
            + Clone
            + DeserializeOwned
            + Debug
            + Send
            + 'static,
    {
        for api in self.scope.apis::<PartialObjectMeta<K>>(self.client) {
            let (world, begin) = (self.world.clone(), (self.begin)(what));
            self.tasks.spawn(async move {
                let mut relisted = Relist::default();
                let open = || watch(api.clone(), labelled());
                each(open, begin, |event| {
                    for (object, there) in relisted.changes(event) {
                        let Some(key) = bot_of(&object) else { continue };
                        let child = (K::KIND, key.namespace.clone(), object.metadata.name.clone().unwrap_or_default());
                        let version = there.then(|| child_version(&object.metadata));
                        if trigger != Trigger::Child || world.children.note(child, version) {
                            world.registry.wake(&key, trigger);
                        }
                    }
                })
                .await;
            });
        }
    }
}

async fn watch_bots(bots: Api<PartialObjectMeta<TradingBot>>, world: World, begin: Begin) {
    let mut relisted = Relist::default();
    let mut outlines = BTreeMap::new();
    let open = || watch(bots.clone(), config());
    each(open, begin, |event| {
        for (object, there) in relisted.changes(event) {
            let meta = &object.metadata;
            let key = BotKey::new(meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default());
            if !there {
                outlines.remove(&key);
                world.registry.left(&key);
                world.sightings.forget(&key);
                world.accounts.left(&key).iter().for_each(|other| world.registry.wake(other, Trigger::Account));
                continue;
            }
            // Writes of the status change none of these.
            let outline =
                (meta.uid.clone(), meta.generation, meta.finalizers.clone(), meta.deletion_timestamp.is_some());
            let before = outlines.insert(key.clone(), outline.clone());
            if before.as_ref().is_some_and(|(uid, ..)| *uid != meta.uid) {
                // Deleted and made again while the watch was broken: another bot under the same name.
                world.registry.left(&key);
            }
            if before != Some(outline) {
                world.registry.arrived(key);
            }
        }
    })
    .await;
}

/// The Leases of all bots `within` a namespace, or of all.
async fn watch_leases(leases: Api<Lease>, within: Option<String>, world: World, begin: Begin) {
    let mut relisted = Relist::default();
    let open = || watch(leases.clone(), labelled());
    each(open, begin, |event| {
        let complete = matches!(event, Event::InitDone);
        for (lease, there) in relisted.changes(event) {
            let Some(key) = bot_of(&lease) else { continue };
            if world.sightings.note(&key, Some(&lease).filter(|_| there), clock::mono()) {
                world.registry.wake(&key, Trigger::Lease);
            }
        }
        if complete {
            world.sightings.relisted(within.as_deref(), clock::mono());
            let present = relisted.known.values().filter_map(bot_of).collect();
            for key in world.sightings.missing_from(within.as_deref(), &present) {
                world.sightings.note(&key, None, clock::mono());
                world.registry.wake(&key, Trigger::Lease);
            }
        }
    })
    .await;
}

/// The Leases of accounts, in the operator's own namespace: whoever waits for one is told at once.
async fn watch_accounts(leases: Api<PartialObjectMeta<Lease>>, world: World, begin: Begin) {
    let mut relisted = Relist::default();
    let open = || watch(leases.clone(), config().labels(LABEL_ACCOUNT));
    each(open, begin, |event| {
        for (lease, _) in relisted.changes(event) {
            let Some(account) = lease.metadata.labels.as_ref().and_then(|l| l.get(LABEL_ACCOUNT)) else { continue };
            world.accounts.bots_of(account).iter().for_each(|key| world.registry.wake(key, Trigger::Account));
        }
    })
    .await;
}

async fn watch_nodes(client: Client, world: World, begin: Begin) {
    let mut relisted = Relist::default();
    let open = || watch(Api::<Node>::all(client.clone()), config());
    each(open, begin, |event| {
        for (node, there) in relisted.changes(event) {
            let name = node.metadata.name.clone().unwrap_or_default();
            // Kubelets write their node's status every few seconds; few of these writes matter.
            if world.nodes.note(name, there.then(|| NodeFacts::of(&node))) {
                world.registry.wake_all(Trigger::Node);
            }
        }
    })
    .await;
}

/// Objects of the API server's own namespace that say where it is. They hardly ever change.
async fn watch_api_server<K>(
    client: Client,
    world: World,
    begin: Begin,
    which: watcher::Config,
    note: impl Fn(&ApiServer, &K, bool) -> bool + Send,
) where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let mut relisted = Relist::default();
    let open = || watch(Api::<K>::namespaced(client.clone(), api_server::NAMESPACE), which.clone());
    each(open, begin, |event| {
        for (object, there) in relisted.changes(event) {
            if note(&world.api_server, &object, there) {
                world.registry.wake_all(Trigger::Child);
            }
        }
    })
    .await;
}

async fn watch_operations(operations: Api<DeserializeGuard<TradingBotOperation>>, world: World, begin: Begin) {
    let mut relisted = Relist::default();
    let open = || watch(operations.clone(), config());
    each(open, begin, |event| {
        for (guarded, there) in relisted.changes(event) {
            let Ok(operation) = guarded.0 else { continue };
            let namespace = operation.metadata.namespace.clone().unwrap_or_default();
            let key = BotKey::new(namespace, operation.spec.bot_name.clone());
            let open = there && operation.is_open();
            let name = operation.metadata.name.as_deref().unwrap_or_default();
            // One that has ended is still named by the bot's status.
            let ended = world.operations.note(&key, name, open);
            if open || ended || !there {
                world.registry.wake(&key, Trigger::Operation);
            }
        }
    })
    .await;
}

/// The bot that an object is labelled with; what it really belongs to is decided by its controller's uid.
fn bot_of<K: Resource>(object: &K) -> Option<BotKey> {
    let meta = object.meta();
    let name = meta.labels.as_ref()?.get(LABEL_BOT)?;
    Some(BotKey::new(meta.namespace.clone().unwrap_or_default(), name.clone()))
}

fn config() -> watcher::Config {
    watcher::Config::default().timeout(WATCH_SECONDS)
}

fn labelled() -> watcher::Config {
    config().labels(LABEL_BOT)
}
