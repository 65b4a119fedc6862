//! An API server in memory that answers as Kubernetes does, as far as the product looks.

mod defaults;
mod delete;
mod failure;
mod fields;
mod garbage;
mod kinds;
mod link;
mod managed;
mod older_events;
mod patch;
mod random;
mod request;
mod select;
mod serve;
mod service;
mod shape;
mod store;
mod watch;
mod write;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch as news;
use tokio::time::sleep;

pub use self::link::{Call, Direct, Fate, Link};
pub use self::store::BEGINNING;

use self::kinds::known;
use self::service::Way;
use self::store::{Id, State};
use self::write::How;

/// The API server. Clones share one state.
#[derive(Clone)]
pub struct ApiServer(Arc<Shared>);

/// All that was stored at some time.
#[derive(Clone, Debug)]
pub struct Snapshot {
    objects: BTreeMap<Id, Arc<Value>>,
    version: u64,
}

/// What the server and its clients share.
struct Shared {
    state: Mutex<State>,
    /// Told after every change; the value is of no interest.
    news: news::Sender<()>,
}

impl Shared {
    /// Looks at the state.
    fn look<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the state, and tells whoever waits for changes.
    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let before = (state.version, state.breaks, state.floor);
        let outcome = change(&mut state);
        let after = (state.version, state.breaks, state.floor);
        drop(state);
        if before != after {
            self.news.send_replace(());
        }
        outcome
    }
}

impl fmt::Debug for ApiServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.look(|state| f.debug_struct("ApiServer").field("version", &state.version).finish_non_exhaustive())
    }
}

impl ApiServer {
    /// An empty cluster with the namespaces `default` and `kube-system`. Its uids come from `seed`, its times from the
    /// runtime's clock, which is at [`BEGINNING`] now. To be called inside the runtime, where its garbage collector runs.
    pub fn new(seed: u64) -> Self {
        let server = ApiServer(Arc::new(Shared { state: Mutex::new(State::new(seed)), news: news::channel(()).0 }));
        for namespace in ["default", "kube-system"] {
            server.create("namespaces", json!({"metadata": {"name": namespace}}));
        }
        tokio::spawn(collect_garbage(Arc::downgrade(&server.0)));
        server
    }

    /// A client whose every request passes `link`, and which waits for an answer for as long as its caller does.
    pub fn client(&self, link: Arc<dyn Link>) -> kube::Client {
        kube::Client::new(Way { server: self.0.clone(), link, limit: None }, "default")
    }

    /// A client that gives up a connection on which nothing has come for so long, as one with a read timeout does.
    pub fn client_with_limit(&self, link: Arc<dyn Link>, limit: Duration) -> kube::Client {
        kube::Client::new(Way { server: self.0.clone(), link, limit: Some(limit) }, "default")
    }

    /// All that is stored now.
    pub fn snapshot(&self) -> Snapshot {
        self.0.look(|state| Snapshot { objects: state.objects.clone(), version: state.version })
    }

    /// Goes back to what was stored then, as after etcd was restored: versions go back too, and all watches end.
    pub fn restore(&self, earlier: &Snapshot) {
        self.0.with(|state| state.restore(earlier.objects.clone(), earlier.version));
    }

    /// Forgets the past: watches that begin at a version before now are answered with 410, and so are lists that go on
    /// from an earlier page.
    pub fn compact(&self) {
        self.0.with(State::compact);
    }

    /// Breaks every open watch.
    pub fn end_watches(&self) {
        self.0.with(|state| state.breaks += 1);
    }

    /// Every object of a kind, by namespace and name.
    ///
    /// # Panics
    /// Where the kind is unknown, as all that follow do.
    pub fn all(&self, plural: &str) -> Vec<Value> {
        let listed = self.0.look(|state| state.listed(known(plural), None, state.version));
        listed.into_values().map(|object| Value::clone(&object)).collect()
    }

    /// How often anything of a kind has changed: what tells whether a look is worth while.
    pub fn changes(&self, plural: &str) -> u64 {
        self.0.look(|state| state.changes.get(plural).copied().unwrap_or_default())
    }

    /// One object; `namespace` is empty where the kind has none.
    pub fn get(&self, plural: &str, namespace: &str, name: &str) -> Option<Value> {
        let found = self.0.look(|state| state.get(known(plural), namespace, name));
        found.map(|object| Value::clone(&object))
    }

    /// Changes an object as a whole, status included. Answers whether there was one. A change of nothing stores nothing.
    ///
    /// # Panics
    /// Where the object would be refused: that is a mistake of the caller.
    pub fn change(&self, plural: &str, namespace: &str, name: &str, change: impl FnOnce(&mut Value)) -> bool {
        let kind = known(plural);
        self.0.with(|state| {
            let Some(old) = state.get(kind, namespace, name) else { return false };
            let mut new = Value::clone(&old);
            change(&mut new);
            let mut new =
                shape::shape(kind, new).unwrap_or_else(|failure| panic!("{plural} {name}: {}", failure.message));
            if kind.generation && spec_of(&old) != spec_of(&new) {
                new["metadata"]["generation"] = json!(old["metadata"]["generation"].as_i64().unwrap_or_default() + 1);
            }
            let written = state.store(kind, &old, new, &How::default());
            written.unwrap_or_else(|failure| panic!("{plural} {name}: {}", failure.message));
            true
        })
    }

    /// Makes an object as a client would, and answers what was stored.
    ///
    /// # Panics
    /// Where the API server would refuse it.
    pub fn create(&self, plural: &str, object: Value) -> Value {
        let kind = known(plural);
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default().to_owned();
        let made = self.0.with(|state| state.create(kind, &namespace, object, &How::default()));
        let (made, _) = made.unwrap_or_else(|failure| panic!("{plural}: {}", failure.message));
        Value::clone(&made)
    }

    /// Deletes an object as a client would: finalizers and a pod's grace period hold it back. Answers whether there was
    /// one.
    pub fn delete(&self, plural: &str, namespace: &str, name: &str) -> bool {
        let policy = json!({"propagationPolicy": "Background"});
        self.0.with(|state| state.delete(known(plural), namespace, name, &policy)).is_ok()
    }

    /// Takes an object away without a grace period, as a kubelet does with a pod whose containers have ended. Answers
    /// whether there was one.
    pub fn remove(&self, plural: &str, namespace: &str, name: &str) -> bool {
        let options = json!({"propagationPolicy": "Background", "gracePeriodSeconds": 0});
        self.0.with(|state| state.delete(known(plural), namespace, name, &options)).is_ok()
    }

    /// Resolves at the next change of anything.
    pub async fn changed(&self) {
        // The sender lives as long as `self`.
        let _ = self.0.news.subscribe().changed().await;
    }
}

fn spec_of(object: &Value) -> Value {
    let mut rest = object.clone();
    write::strip(&mut rest, &["metadata", "status"]);
    rest
}

/// Collects garbage a while after it came to be, for as long as there is a server.
async fn collect_garbage(server: Weak<Shared>) {
    let Some(mut news) = server.upgrade().map(|server| server.news.subscribe()) else { return };
    while news.changed().await.is_ok() {
        let Some(delay) = server.upgrade().and_then(|server| {
            server.with(|state| state.litter.then(|| Duration::from_millis(20 + state.random.below(500))))
        }) else {
            continue;
        };
        sleep(delay).await;
        if let Some(server) = server.upgrade() {
            server.with(State::collect_garbage);
        }
    }
}
