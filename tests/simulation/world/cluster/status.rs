//! A pod's status as its kubelet writes it.

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::containers::{Container, Ended};
use super::text;

/// What a kubelet has to report about a pod.
pub struct Report<'a> {
    /// The pod.
    pub object: &'a Value,
    /// The container that runs.
    pub running: Option<&'a Container>,
    /// No container is started any more.
    pub over: bool,
    /// The container that ended last.
    pub last: Option<&'a Ended>,
    /// How often a container was started after the first.
    pub restarts: u64,
    /// Its readiness probe succeeds.
    pub ready: bool,
    /// Why it has failed as a whole.
    pub failed: Option<&'static str>,
}

/// The status.
pub fn of(report: &Report<'_>) -> Value {
    let Report { object, running, over, last, restarts, ready, failed } = *report;
    let ended = last.map(|ended| json!({"terminated": terminated(ended)}));
    let waiting = |reason: &str| json!({"waiting": {"reason": reason}});
    let (state, before) = match (running, &ended) {
        (Some(container), _) => (json!({"running": {"startedAt": stamp(container.started)}}), ended.clone()),
        (None, Some(ended)) if over => (ended.clone(), None),
        (None, Some(ended)) => (waiting("CrashLoopBackOff"), Some(ended.clone())),
        (None, None) => (waiting("ContainerCreating"), None),
    };
    let id = running.map(|container| container.id.as_str()).or(last.map(|ended| ended.id.as_str()));
    let phase = match (over, failed, last) {
        (true, Some(_), _) => "Failed",
        (true, None, Some(ended)) if ended.code == 0 => "Succeeded",
        (true, None, _) => "Failed",
        (false, _, None) if running.is_none() => "Pending",
        (false, _, _) => "Running",
    };
    let image = text(object, "/spec/containers/0/image");
    let condition = |kind: &str, is: bool| json!({"type": kind, "status": if is { "True" } else { "False" }});
    let mut status = json!({
        "phase": phase,
        "conditions": [
            condition("PodScheduled", true), condition("Initialized", true),
            condition("ContainersReady", ready), condition("Ready", ready),
        ],
        "hostIP": "10.90.0.1", "podIP": "10.244.0.1",
        "containerStatuses": [{
            "name": text(object, "/spec/containers/0/name"), "ready": ready, "started": running.is_some(),
            "restartCount": restarts, "image": image, "imageID": image, "state": state,
            "lastState": before.unwrap_or_else(|| json!({})),
        }],
    });
    if let Some(id) = id {
        status["containerStatuses"][0]["containerID"] = json!(id);
    }
    if let Some(reason) = failed {
        status["reason"] = json!(reason);
    }
    status
}

fn terminated(ended: &Ended) -> Value {
    json!({
        "exitCode": ended.code, "reason": if ended.code == 0 { "Completed" } else { "Error" }, "message": ended.message,
        "containerID": ended.id, "startedAt": stamp(ended.started), "finishedAt": stamp(ended.at),
    })
}

/// A time of the virtual clock, as objects carry it: full seconds.
fn stamp(at: Instant) -> String {
    let ago = jiff::SignedDuration::try_from(at.elapsed()).unwrap_or_default();
    let then = tradingbot::simulation::timestamp() - ago;
    Timestamp::from_second(then.as_second()).unwrap_or(then).to_string()
}
