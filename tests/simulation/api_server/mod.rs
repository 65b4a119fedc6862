//! An API server in memory that answers as Kubernetes does, as far as the product looks.

mod link;

use std::sync::Arc;

use serde_json::Value;

pub use self::link::{Call, Direct, Fate, Link};

/// The API server. Clones share one state.
#[derive(Clone, Debug)]
pub struct ApiServer {}

/// All that was stored at some time.
#[derive(Clone, Debug)]
pub struct Snapshot {}

#[expect(unused_variables, clippy::missing_panics_doc, reason = "the interface is agreed on before it is built")]
impl ApiServer {
    /// An empty cluster with the namespaces `default` and `kube-system`. Its uids come from `seed`, its times from the
    /// runtime's clock, which starts at a fixed date.
    pub fn new(seed: u64) -> Self {
        todo!()
    }

    /// A client whose every request passes `link`.
    pub fn client(&self, link: Arc<dyn Link>) -> kube::Client {
        todo!()
    }

    /// All that is stored now.
    pub fn snapshot(&self) -> Snapshot {
        todo!()
    }

    /// Goes back to what was stored then, as after etcd was restored: versions go back too, and all watches end.
    pub fn restore(&self, earlier: &Snapshot) {
        todo!()
    }

    /// Forgets the past: watches that begin at a version before now are answered with 410.
    pub fn compact(&self) {
        todo!()
    }

    /// Ends every open watch.
    pub fn end_watches(&self) {
        todo!()
    }

    /// Every object of a kind, by namespace and name.
    pub fn all(&self, plural: &str) -> Vec<Value> {
        todo!()
    }

    /// One object; `namespace` is empty where the kind has none.
    pub fn get(&self, plural: &str, namespace: &str, name: &str) -> Option<Value> {
        todo!()
    }

    /// Changes an object as a whole, status included. Answers whether there was one.
    pub fn change(&self, plural: &str, namespace: &str, name: &str, change: impl FnOnce(&mut Value)) -> bool {
        todo!()
    }

    /// Makes an object as a client would, and answers what was stored.
    pub fn create(&self, plural: &str, object: Value) -> Value {
        todo!()
    }

    /// Deletes an object as a client would: finalizers and a pod's grace period hold it back. Answers whether there was
    /// one.
    pub fn delete(&self, plural: &str, namespace: &str, name: &str) -> bool {
        todo!()
    }

    /// Takes an object away at once, as a kubelet does with a pod whose containers have ended. Answers whether there was
    /// one.
    pub fn remove(&self, plural: &str, namespace: &str, name: &str) -> bool {
        todo!()
    }

    /// Resolves at the next change of anything.
    pub async fn changed(&self) {
        todo!()
    }
}
