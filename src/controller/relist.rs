//! From a watch's events to changes, whatever the watch goes through.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::{Stream, StreamExt};
use kube::Resource;
use kube::runtime::watcher::{self, Event};
use tokio::sync::watch::Receiver;
use tracing::{debug, warn};

use crate::runtime::admin::NotYet;

/// After a watch broke, the next attempt waits this long.
const REWATCH_PAUSE: Duration = Duration::from_millis(500);

/// When a watch begins anew, and who waits for its first list.
pub struct Begin {
    /// Restores of the cluster's store.
    pub restores: Receiver<u64>,
    /// Dropped when the first list is complete.
    pub not_yet: NotYet,
}

/// Feeds a watch's events to `on` for ever; the first complete list drops `not_yet`. After a restore of the cluster's
/// store it lists anew: a watch that goes on from a version that is yet to come again is silent until it comes.
pub async fn each<K: Send + 'static, S: Stream<Item = watcher::Result<Event<K>>> + Send>(
    open: impl Fn() -> S,
    begin: Begin,
    mut on: impl FnMut(Event<K>),
) {
    let Begin { mut restores, not_yet } = begin;
    let mut not_yet = Some(not_yet);
    let mut told = false;
    let mut stream = Box::pin(open());
    loop {
        let item = tokio::select! {
            biased;
            Ok(()) = restores.changed() => {
                stream = Box::pin(open());
                continue;
            }
            item = stream.next() => item,
        };
        let Some(item) = item else { return };
        match item {
            Ok(event) => {
                let complete = matches!(event, Event::InitDone);
                on(event);
                told = false;
                if complete {
                    drop(not_yet.take());
                }
            }
            Err(error) => {
                let kind = std::any::type_name::<K>();
                match forbidden(&error) {
                    Some(why) if !told => {
                        warn!("The operator lacks a right, see docs/reference/privileges.md: {why}");
                        told = true;
                    }
                    _ => debug!(%error, kind, "a watch broke and starts again"),
                }
                tokio::time::sleep(REWATCH_PAUSE).await;
            }
        }
    }
}

/// What the API server says where the operator lacks a right.
fn forbidden(error: &watcher::Error) -> Option<&str> {
    let (watcher::Error::InitialListFailed(kube::Error::Api(status))
    | watcher::Error::WatchStartFailed(kube::Error::Api(status))) = error
    else {
        return None;
    };
    (status.code == 403).then_some(status.message.as_str())
}

/// Turns a watch's events into changes, and finds what vanished while the watch was broken.
pub struct Relist<K> {
    /// What there is, as last seen.
    pub known: BTreeMap<(String, String), K>,
    listed: Option<BTreeSet<(String, String)>>,
}

impl<K> Default for Relist<K> {
    fn default() -> Self {
        Self { known: BTreeMap::new(), listed: None }
    }
}

impl<K: Resource + Clone> Relist<K> {
    /// The objects that changed, and whether each is there or gone. An object that a new list shows unchanged is none.
    pub fn changes(&mut self, event: Event<K>) -> Vec<(K, bool)> {
        match event {
            Event::Init => {
                self.listed = Some(BTreeSet::new());
                Vec::new()
            }
            Event::InitApply(object) => {
                if let Some(listed) = &mut self.listed {
                    listed.insert(id(&object));
                }
                self.applied(object)
            }
            Event::Apply(object) => self.applied(object),
            Event::Delete(object) => {
                self.known.remove(&id(&object));
                vec![(object, false)]
            }
            Event::InitDone => {
                let listed = self.listed.take().unwrap_or_default();
                let gone: Vec<_> = self.known.keys().filter(|id| !listed.contains(*id)).cloned().collect();
                gone.into_iter().filter_map(|id| self.known.remove(&id)).map(|object| (object, false)).collect()
            }
        }
    }

    fn applied(&mut self, object: K) -> Vec<(K, bool)> {
        let before = self.known.insert(id(&object), object.clone());
        let same = before.is_some_and(|b| b.meta().resource_version == object.meta().resource_version);
        if same { Vec::new() } else { vec![(object, true)] }
    }
}

fn id<K: Resource>(object: &K) -> (String, String) {
    let meta = object.meta();
    (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
}
