//! A node and its kubelet.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::pod::Local;
use super::{Due, Site, text};

/// How often a kubelet says that it lives.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// How long a machine takes to start.
const BOOT: Duration = Duration::from_secs(20);

/// A node.
pub struct Node {
    name: String,
    /// What runs on it, by the pod's uid.
    pub pods: BTreeMap<String, Local>,
    /// When the API server heard of it last.
    pub heard: Instant,
    beat: Instant,
    /// Without power until then.
    dark: Option<Instant>,
    /// Its kubelet is stopped until then, while all that it has started goes on.
    stopped: Option<Instant>,
    seen: u64,
}

impl Node {
    /// A node with its object.
    pub fn new(site: &Site, name: &str) -> Self {
        let now = Instant::now();
        site.api.create(
            "nodes",
            json!({
                "apiVersion": "v1", "kind": "Node",
                "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
                "spec": {},
                "status": {"conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}]},
            }),
        );
        Self { name: name.to_owned(), pods: BTreeMap::new(), heard: now, beat: now, dark: None, stopped: None, seen: 0 }
    }

    /// Takes its power away for so long; everything on it ends at once.
    pub fn power_cut(&mut self, time: Duration) {
        self.dark = Some(Instant::now() + time + BOOT);
        for pod in self.pods.values_mut() {
            pod.lose_power();
        }
    }

    /// Stops its kubelet for so long.
    pub fn stop_kubelet(&mut self, time: Duration) {
        self.stopped = Some(Instant::now() + time);
    }

    /// It gets its power and its kubelet back.
    pub fn heal(&mut self) {
        let now = Instant::now();
        self.dark = self.dark.map(|until| until.min(now + BOOT));
        self.stopped = None;
    }

    pub(super) fn step(&mut self, site: &Site, pods: &[Value], reads: u64, now: Instant, due: &mut Due) {
        if let Some(until) = self.dark {
            if !due.reached(until, now) {
                return;
            }
            self.dark = None;
            self.seen = 0;
        }
        if let Some(until) = self.stopped {
            if !due.reached(until, now) {
                return;
            }
            self.stopped = None;
        }
        let linked = site.network.node_reaches_api(&self.name);
        if linked && due.reached(self.beat, now) {
            self.heard = now;
            self.beat = now + HEARTBEAT;
            due.by(self.beat);
        }
        if !linked {
            // It tries again soon.
            due.by(now + Duration::from_secs(1));
        }
        if linked && reads != self.seen {
            self.take_over(site, pods, now);
            self.seen = reads;
        }
        for pod in self.pods.values_mut() {
            pod.step(site, linked, now, due);
        }
        self.pods.retain(|_, pod| !pod.is_forgotten());
    }

    /// Brings what runs here to what the API server says.
    fn take_over(&mut self, site: &Site, pods: &[Value], now: Instant) {
        for local in self.pods.values_mut() {
            let there = pods.iter().find(|pod| text(pod, "/metadata/uid") == local.uid);
            match there {
                Some(object) => local.seen(site, object, now),
                None => local.gone(site, now),
            }
        }
        for object in pods.iter().filter(|pod| text(pod, "/spec/nodeName") == self.name) {
            let uid = text(object, "/metadata/uid");
            let over = matches!(text(object, "/status/phase"), "Succeeded" | "Failed");
            if !self.pods.contains_key(uid) && !over {
                self.pods.insert(uid.to_owned(), Local::new(site, &self.name, object, now));
            }
        }
    }
}
