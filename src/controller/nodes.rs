//! What is known of nodes: few facts, none of which is ever evidence that a bot has stopped.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use k8s_openapi::api::core::v1::Node;

/// The facts about a node that decisions or the status use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeFacts {
    /// It is cordoned.
    pub unschedulable: bool,
    /// Its kubelet is not heard of.
    pub not_ready: bool,
    /// The zone it is in.
    pub zone: Option<String>,
}

impl NodeFacts {
    /// What a node's object says.
    pub fn of(node: &Node) -> Self {
        let conditions = node.status.as_ref().and_then(|s| s.conditions.as_deref()).unwrap_or_default();
        Self {
            unschedulable: node.spec.as_ref().and_then(|s| s.unschedulable).unwrap_or_default(),
            not_ready: conditions.iter().any(|c| c.type_ == "Ready" && c.status != "True"),
            zone: node.metadata.labels.as_ref().and_then(|l| l.get("topology.kubernetes.io/zone").cloned()),
        }
    }
}

/// All nodes.
#[derive(Debug, Default)]
pub struct Nodes(Mutex<BTreeMap<String, NodeFacts>>);

impl Nodes {
    /// Notes a node (`None`: gone). Answers whether anything has changed.
    pub fn note(&self, name: String, facts: Option<NodeFacts>) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match facts {
            Some(facts) => all.insert(name, facts.clone()) != Some(facts),
            None => all.remove(&name).is_some(),
        }
    }

    /// What is known of one node; `None`: there is none of this name.
    pub fn get(&self, name: &str) -> Option<NodeFacts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }
}
