//! From a Pod object to what decisions know of it.

use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, ContainerStatus, Pod as PodObject};

use super::nodes::Nodes;
use crate::api::names::{ANNOTATION_REVISION, LABEL_ROLE, LABEL_SLOT};
use crate::core::failover::{Pod, Role};
use crate::core::ids::BootId;

/// What a bot's pod says. `container` is the supervised one.
pub fn read(object: &PodObject, container: &str, nodes: &Nodes) -> Pod {
    let meta = &object.metadata;
    let label = |name: &str| meta.labels.as_ref().and_then(|l| l.get(name)).map(String::as_str);
    let status = object.status.as_ref();
    let phase = status.and_then(|s| s.phase.as_deref()).unwrap_or_default();
    let conditions = status.and_then(|s| s.conditions.as_deref()).unwrap_or_default();
    let statuses = status.and_then(|s| s.container_statuses.as_deref()).unwrap_or_default();
    let supervised = statuses.iter().find(|c| c.name == container);
    let node = object.spec.as_ref().and_then(|s| s.node_name.as_deref());
    let facts = node.map(|name| nodes.get(name));
    Pod {
        name: meta.name.clone().unwrap_or_default(),
        uid: meta.uid.clone().unwrap_or_default(),
        // A pod without a readable slot takes none: it is replaced like one of an older template.
        slot: label(LABEL_SLOT).and_then(|text| text.parse().ok()).unwrap_or(u32::MAX),
        revision: meta.annotations.as_ref().and_then(|a| a.get(ANNOTATION_REVISION)).cloned().unwrap_or_default(),
        role: match label(LABEL_ROLE) {
            Some("active") => Some(Role::Active),
            Some("candidate") => Some(Role::Candidate),
            Some("standby") => Some(Role::Standby),
            _ => None,
        },
        ready: conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True"),
        terminating: meta.deletion_timestamp.is_some(),
        finished: matches!(phase, "Failed" | "Succeeded"),
        draining: facts.as_ref().is_some_and(|f| f.as_ref().is_some_and(|f| f.unschedulable)),
        node_lost: facts.is_some_and(|f| f.is_none_or(|f| f.not_ready)),
        container_id: supervised.and_then(running_container),
        terminated_boots: supervised.map(terminated_boots).unwrap_or_default(),
        problem: problem(object, "spec.template"),
    }
}

/// The label's value for a role.
pub fn role_label(role: Role) -> &'static str {
    match role {
        Role::Active => "active",
        Role::Candidate => "candidate",
        Role::Standby => "standby",
    }
}

fn running_container(status: &ContainerStatus) -> Option<String> {
    status.state.as_ref().and_then(|s| s.running.as_ref()).and(status.container_id.clone())
}

/// The boots that the kubelet saw end. A state that the kubelet made up because it lost track of the container is
/// evidence of nothing (design, rule 11).
fn terminated_boots(status: &ContainerStatus) -> Vec<BootId> {
    let ended = |state: &Option<ContainerState>| state.as_ref().and_then(|s| s.terminated.clone());
    [ended(&status.state), ended(&status.last_state)].into_iter().flatten().filter_map(|t| boot_of(&t)).collect()
}

fn boot_of(ended: &ContainerStateTerminated) -> Option<BootId> {
    let seen = ended.container_id.as_ref().is_some_and(|id| !id.is_empty());
    let made_up = ended.reason.as_deref() == Some("ContainerStatusUnknown");
    if !seen || made_up {
        return None;
    }
    ended.message.as_deref()?.trim().parse().ok()
}

/// Why the pod does not come up, a sentence for the status. `place`: the field of the spec that it was made from.
pub(super) fn problem(object: &PodObject, place: &str) -> Option<String> {
    let name = object.metadata.name.as_deref().unwrap_or_default();
    let status = object.status.as_ref()?;
    let statuses = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    for container in statuses {
        let waiting = container.state.as_ref().and_then(|s| s.waiting.as_ref());
        let Some(reason) = waiting.and_then(|w| w.reason.as_deref()) else { continue };
        let detail = waiting.and_then(|w| w.message.as_deref()).unwrap_or("the kubelet says no more");
        let advice = match reason {
            "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" => {
                format!("Check the image's name and the pull secrets in {place}.")
            }
            "CreateContainerConfigError" | "CreateContainerError" => {
                format!("Check the Secrets, ConfigMaps and volumes that {place} names.")
            }
            "RunContainerError" => format!("Check the container's command and security context in {place}."),
            "CrashLoopBackOff" => {
                let last = container.last_state.as_ref().and_then(|s| s.terminated.as_ref());
                let code = last.map_or(0, |t| t.exit_code);
                let text = format!(
                    "Container {} of {name} ends again and again (exit code {code}). Run: kubectl logs {name} -c {} --previous",
                    container.name, container.name
                );
                return Some(text);
            }
            _ => continue,
        };
        return Some(format!("Container {} of {name} does not start ({reason}: {detail}). {advice}", container.name));
    }
    let unscheduled =
        status.conditions.iter().flatten().find(|c| {
            c.type_ == "PodScheduled" && c.status == "False" && c.reason.as_deref() == Some("Unschedulable")
        })?;
    let detail = unscheduled.message.as_deref().unwrap_or("the scheduler says no more");
    Some(format!("{name} cannot be placed on a node ({detail})."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(status: serde_json::Value) -> PodObject {
        serde_json::from_value(json!({"metadata": {"name": "doge-0", "uid": "u0"}, "status": status})).unwrap()
    }

    fn terminated(fields: serde_json::Value) -> PodObject {
        pod(json!({"containerStatuses": [{
            "name": "bot", "ready": false, "restartCount": 1, "image": "i", "imageID": "i", "state": {},
            "lastState": {"terminated": fields}
        }]}))
    }

    #[test]
    fn only_a_container_that_the_kubelet_saw_end_is_evidence() {
        let nodes = Nodes::default();
        let boots = |fields| read(&terminated(fields), "bot", &nodes).terminated_boots;
        let good = json!({"exitCode": 137, "containerID": "containerd://1", "message": "u0/n1", "reason": "Error"});
        assert_eq!(boots(good.clone()), ["u0/n1".parse().unwrap()]);
        let mut made_up = good.clone();
        made_up["reason"] = json!("ContainerStatusUnknown");
        assert!(boots(made_up).is_empty());
        let mut unseen = good.clone();
        unseen.as_object_mut().unwrap().remove("containerID");
        assert!(boots(unseen).is_empty());
        let mut other = good;
        other["message"] = json!("panicked at 'oops'");
        assert!(boots(other).is_empty());
    }

    #[test]
    fn an_image_that_cannot_be_pulled_is_a_sentence() {
        let object = pod(json!({"containerStatuses": [{
            "name": "bot", "ready": false, "restartCount": 0, "image": "i", "imageID": "",
            "state": {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}}
        }]}));
        let problem = read(&object, "bot", &Nodes::default()).problem.unwrap();
        assert!(problem.contains("doge-0") && problem.contains("Check the image's name"), "{problem}");
    }
}
