//! What the API server tells of a namespace, followed by watches: many bots are waited for without asking for each.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::api::Api;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tradingbot::api::bot::TradingBot;
use tradingbot::api::bot_status::TradingBotStatus;

use super::cluster::Cluster;

/// The server ends a watch after this long, so that one that died silently is noticed.
const WATCH_SECONDS: u32 = 15;
/// A watch that broke is tried again after this long.
const PAUSE: Duration = Duration::from_millis(200);

/// The objects of a namespace by their names, as last heard of.
#[derive(Default)]
pub struct Known {
    pub bots: BTreeMap<String, TradingBot>,
    pub leases: BTreeMap<String, Lease>,
    pub pods: BTreeMap<String, Pod>,
}

impl Known {
    /// What a bot says of itself.
    pub fn status(&self, bot: &str) -> Option<&TradingBotStatus> {
        self.bots.get(bot)?.status.as_ref()
    }

    /// An annotation of a bot's Lease.
    pub fn note(&self, bot: &str, name: &str) -> Option<&str> {
        self.leases.get(bot)?.annotations().get(&format!("tradingbot.io/{name}")).map(String::as_str)
    }

    /// The name of the pod that a bot's Lease names.
    pub fn holder(&self, bot: &str) -> Option<&str> {
        let holder = self.leases.get(bot)?.spec.as_ref()?.holder_identity.as_deref()?;
        holder.split('/').next().filter(|name| !name.is_empty())
    }
}

/// Watches bots, Leases and pods until it is dropped.
pub struct View {
    known: Arc<Mutex<Known>>,
    changed: watch::Receiver<()>,
    _tasks: JoinSet<()>,
}

impl View {
    /// Begins to watch.
    pub fn of(cluster: &Cluster, namespace: &str) -> View {
        let known = Arc::new(Mutex::new(Known::default()));
        let (change, changed) = watch::channel(());
        let change = Arc::new(change);
        let mut tasks = JoinSet::new();
        tasks.spawn(follow(Api::namespaced(cluster.client.clone(), namespace), known.clone(), change.clone(), |k| {
            &mut k.bots
        }));
        tasks.spawn(follow(Api::namespaced(cluster.client.clone(), namespace), known.clone(), change.clone(), |k| {
            &mut k.leases
        }));
        tasks.spawn(follow(Api::namespaced(cluster.client.clone(), namespace), known.clone(), change, |k| &mut k.pods));
        View { known, changed, _tasks: tasks }
    }

    /// What is known now.
    pub fn now(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until what is known is as asked for.
    pub async fn until<T>(&self, what: &str, limit: Duration, mut is: impl FnMut(&Known) -> Option<T>) -> T {
        let mut changed = self.changed.clone();
        let waiting = async {
            loop {
                changed.borrow_and_update();
                if let Some(answer) = is(&self.now()) {
                    return answer;
                }
                changed.changed().await.expect("the watches go on for as long as there is a view");
            }
        };
        let answer = tokio::time::timeout(limit, waiting).await;
        answer.unwrap_or_else(|_| panic!("not within {} s: {what}", limit.as_secs()))
    }
}

/// Keeps one kind up to date. A watch whose version the server does not know begins anew with a list.
async fn follow<K>(
    api: Api<K>,
    known: Arc<Mutex<Known>>,
    change: Arc<watch::Sender<()>>,
    place: fn(&mut Known) -> &mut BTreeMap<String, K>,
) where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    K::DynamicType: Eq + Hash + Clone + Default,
{
    let within = |on: &mut dyn FnMut(&mut BTreeMap<String, K>)| {
        on(place(&mut known.lock().unwrap_or_else(PoisonError::into_inner)));
        change.send_replace(());
    };
    loop {
        let mut listed: BTreeMap<String, K> = BTreeMap::new();
        let mut stream = std::pin::pin!(watcher(api.clone(), watcher::Config::default().timeout(WATCH_SECONDS)));
        while let Some(Ok(event)) = stream.next().await {
            match event {
                Event::Init => listed.clear(),
                Event::InitApply(object) => drop(listed.insert(object.name_any(), object)),
                Event::InitDone => within(&mut |all| *all = std::mem::take(&mut listed)),
                Event::Apply(object) => within(&mut |all| drop(all.insert(object.name_any(), object.clone()))),
                Event::Delete(object) => within(&mut |all| drop(all.remove(&object.name_any()))),
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}
