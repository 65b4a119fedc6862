//! The scheduler and the controller of nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::kubelet::Node;
use super::{Due, Site, text};

/// A node that was not heard of for so long is reported as not ready.
const GRACE: Duration = Duration::from_secs(40);
/// The controllers.
#[derive(Default)]
pub struct Controllers {
    /// When each pod without a node was seen first, and how long the scheduler takes for it.
    pending: BTreeMap<String, Instant>,
    /// Whether each node is reported as ready.
    ready: BTreeMap<String, bool>,
    /// When the API server was heard of again; silence of nodes counts only from then.
    back: Option<Instant>,
    looked: Option<Instant>,
}

impl Controllers {
    pub(super) fn step(
        &mut self,
        site: &Site,
        pods: &[Value],
        nodes: &mut BTreeMap<String, Node>,
        now: Instant,
        due: &mut Due,
    ) {
        // Nobody has looked for a while: the API server was away.
        if self.looked.is_none_or(|looked| now.duration_since(looked) > Duration::from_secs(6)) {
            self.back = Some(now);
        }
        self.looked = Some(now);
        self.watch_nodes(site, pods, nodes, now, due);
        self.schedule(site, pods, nodes, now, due);
    }

    fn watch_nodes(
        &mut self,
        site: &Site,
        pods: &[Value],
        nodes: &BTreeMap<String, Node>,
        now: Instant,
        due: &mut Due,
    ) {
        for (name, node) in nodes {
            let heard = self.back.map_or(node.heard, |back| node.heard.max(back));
            let ready = !due.reached(heard + GRACE, now);
            if self.ready.insert(name.clone(), ready).unwrap_or(true) == ready {
                continue;
            }
            site.trace.line(name, if ready { "is ready again" } else { "is not ready" });
            let status = if ready { "True" } else { "Unknown" };
            site.api.change("nodes", "", name, |node| {
                node["status"]["conditions"] = json!([{"type": "Ready", "status": status}]);
                let taint = json!([{"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}]);
                node["spec"]["taints"] = if ready { json!([]) } else { taint };
            });
            if !ready {
                pods.iter().filter(|pod| text(pod, "/spec/nodeName") == name).for_each(|pod| unready(site, pod));
            }
        }
    }

    fn schedule(&mut self, site: &Site, pods: &[Value], nodes: &BTreeMap<String, Node>, now: Instant, due: &mut Due) {
        let waits = |pod: &&Value| {
            text(pod, "/spec/nodeName").is_empty() && pod.pointer("/metadata/deletionTimestamp").is_none()
        };
        let waiting: Vec<&Value> = pods.iter().filter(waits).collect();
        let uids: BTreeSet<&str> = waiting.iter().map(|pod| text(pod, "/metadata/uid")).collect();
        self.pending.retain(|uid, _| uids.contains(uid.as_str()));
        for pod in waiting {
            let uid = text(pod, "/metadata/uid").to_owned();
            let at = *self.pending.entry(uid).or_insert_with(|| now + site.random.millis(5, 60));
            if !due.reached(at, now) {
                continue;
            }
            let Some(node) = self.node_for(site, pod, pods, nodes) else {
                due.by(now + Duration::from_secs(1));
                continue;
            };
            let (namespace, name) = (text(pod, "/metadata/namespace"), text(pod, "/metadata/name"));
            site.trace.line("scheduler", format_args!("{name} to {node}"));
            site.api.change("pods", namespace, name, |pod| {
                pod["spec"]["nodeName"] = json!(node);
                pod["status"]["conditions"] = json!([{"type": "PodScheduled", "status": "True"}]);
            });
            // One at a time: the next is placed by what is there then.
            due.by(now);
            break;
        }
    }

    /// A node that is ready and not cordoned, with the fewest pods of the same kind.
    fn node_for(&self, site: &Site, pod: &Value, pods: &[Value], nodes: &BTreeMap<String, Node>) -> Option<String> {
        let group = |pod: &Value| {
            let label = |name: &str| pod["metadata"]["labels"][name].as_str().unwrap_or_default().to_owned();
            (label("tradingbot.io/bot"), label("tradingbot.io/component"))
        };
        let own = group(pod);
        let fit = nodes.keys().filter(|name| {
            let cordoned = site.api.get("nodes", "", name).is_some_and(|node| node["spec"]["unschedulable"] == true);
            !cordoned && self.ready.get(*name).copied().unwrap_or(true)
        });
        let load = |name: &String| {
            pods.iter().filter(|other| text(other, "/spec/nodeName") == name && group(other) == own).count()
        };
        fit.min_by_key(|name| load(name)).cloned()
    }
}

fn unready(site: &Site, pod: &Value) {
    site.api.change("pods", text(pod, "/metadata/namespace"), text(pod, "/metadata/name"), |pod| {
        for condition in pod["status"]["conditions"].as_array_mut().into_iter().flatten() {
            if condition["type"] == "Ready" {
                condition["status"] = json!("False");
            }
        }
    });
}
