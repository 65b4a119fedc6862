//! What the kubelet and the Job controller say, or somebody in their name: JSON of pods and Jobs.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, Pod};
use serde::Deserialize;

use super::reports::is_a_sentence;
use crate::product::controller::jobs::{self, JobResult};
use crate::product::controller::nodes::{NodeFacts, Nodes};
use crate::product::controller::pods;
use crate::product::core::failover::{JobState, RestoreJobState};

/// The state of the supervised container `bot` and the last one before it.
fn ends(pod: &Pod) -> Vec<&ContainerStateTerminated> {
    let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    let bot = statuses.into_iter().find(|status| status.name == "bot");
    let states = bot.into_iter().flat_map(|status| [status.state.as_ref(), status.last_state.as_ref()]);
    states.flatten().filter_map(|state| state.terminated.as_ref()).collect()
}

/// A pod of a bot.
pub fn pod(data: &[u8]) {
    let Ok(object) = serde_json::from_slice::<Pod>(data) else { return };
    let nodes = Nodes::default();
    nodes.note("node-a".into(), Some(NodeFacts::default()));
    let pod = pods::read(&object, "bot", &nodes);
    // The end of a container is evidence only where the kubelet saw that very container end.
    for boot in &pod.terminated_boots {
        let proof = ends(&object).into_iter().any(|end| {
            end.container_id.as_ref().is_some_and(|id| !id.is_empty())
                && end.reason.as_deref() != Some("ContainerStatusUnknown")
                && end.message.as_deref().is_some_and(|message| message.trim() == boot.to_string())
        });
        assert!(proof, "{boot} is taken for ended");
    }
    let text = String::from_utf8_lossy(data);
    if let Some(problem) = &pod.problem {
        is_a_sentence(problem, &text);
    }
    assert!(!(pod.ready && object.status.is_none()), "a pod without a status is ready");
}

#[derive(Deserialize)]
struct Input {
    job: Job,
    #[serde(default)]
    pods: Vec<Pod>,
}

/// A Job of a reconciliation, a backup or a restore, and pods that may be its.
pub fn job(data: &[u8]) {
    let Ok(Input { job, pods }) = serde_json::from_slice(data) else { return };
    let text = String::from_utf8_lossy(data);
    let outcome = jobs::outcome(&job, &pods);
    assert_eq!(outcome.is_some(), job.metadata.uid.is_some());
    if let Some(outcome) = &outcome {
        match &outcome.result {
            JobResult::Exited { .. } => assert!(!pods.is_empty(), "a program ended and there is no pod"),
            JobResult::Failed(why) => is_a_sentence(why, &text),
            JobResult::Running => {}
        }
    }
    if let Some(read) = jobs::read(&job, &pods) {
        let outcome = outcome.as_ref().expect("a reconciliation is a Job");
        assert_eq!(read.ended, outcome.ended);
        match &read.state {
            JobState::Succeeded(_) => {
                assert!(matches!(outcome.result, JobResult::Exited { code: 0, .. }), "{outcome:?} has succeeded");
            }
            JobState::Failed(why) => is_a_sentence(why, &text),
            JobState::Running => assert_eq!(outcome.result, JobResult::Running),
        }
    }
    if let Some(read) = jobs::read_restore(&job, &pods) {
        match &read.state {
            RestoreJobState::Succeeded(id) => assert!(text.contains(id.as_str()), "{id} was put back"),
            RestoreJobState::Failed { message, .. } => is_a_sentence(message, &text),
            RestoreJobState::Running => {}
        }
    }
}
