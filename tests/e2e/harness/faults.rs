//! What is done to the active, and healed when it goes out of scope.

use std::path::{Path, PathBuf};
use std::process::Command;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams};

use super::cluster::Cluster;
use super::shell::{self, cluster_env, fault};

/// Faults of nodes, pods and the API server.
pub struct Faults {
    pub cluster: Cluster,
}

/// A fault that lasts; healed at the latest when this is dropped.
#[must_use = "a fault heals as soon as this is dropped"]
pub struct Fault {
    run: fn(&[&str]) -> Result<(), String>,
    heal: Option<Vec<String>>,
}

impl Fault {
    fn new(does: &[&str], heals: &[&str]) -> Fault {
        Self::by(fault, does, heals)
    }

    fn by(run: fn(&[&str]) -> Result<(), String>, does: &[&str], heals: &[&str]) -> Fault {
        // First the guard: a fault that was half made is healed as well.
        let guard = Fault { run, heal: Some(heals.iter().map(|s| (*s).to_owned()).collect()) };
        run(does).unwrap_or_else(|failed| panic!("{failed}"));
        guard
    }

    /// Heals now.
    pub fn heal(mut self) {
        self.undo();
    }

    fn undo(&mut self) {
        if let Some(heal) = self.heal.take() {
            let arguments: Vec<&str> = heal.iter().map(String::as_str).collect();
            if let Err(failed) = (self.run)(&arguments) {
                super::scenario::say(&failed);
            }
        }
    }
}

impl Drop for Fault {
    fn drop(&mut self) {
        self.undo();
    }
}

impl Faults {
    /// Everything between a node with its pods and the API server is lost; the exchange stays in reach.
    pub fn cut_api(&self, node: &str) -> Fault {
        Fault::new(&["cut-api", node], &["heal-api", node])
    }

    /// No TCP connection to this port passes a node, as with a network plugin that enforces policies.
    pub fn close_port(&self, node: &str, port: u16) -> Fault {
        Fault::new(&["close-port", node, &port.to_string()], &["open-port", node, &port.to_string()])
    }

    /// The cable of a node is pulled: its pods reach nothing outside of it, the exchange neither.
    pub fn cut_link(&self, node: &str) -> Fault {
        Fault::new(&["cut-link", node], &["heal-link", node])
    }

    /// The power of a node fails.
    pub fn power_off(&self, node: &str) -> Fault {
        Fault::new(&["power-off", node], &["power-on", node])
    }

    /// All processes of a pod stand still without knowing it.
    pub fn freeze(&self, pod_uid: &str) -> Fault {
        Fault::new(&["freeze", pod_uid], &["thaw", pod_uid])
    }

    /// A node takes no new pods, as before it is drained.
    pub fn cordon(&self, node: &str) -> Fault {
        Fault::by(shell::kubectl_done, &["cordon", node], &["uncordon", node])
    }

    /// The API server is gone.
    pub fn stop_apiserver(&self) -> Fault {
        Fault::new(&["stop-apiserver"], &["start-apiserver"])
    }

    /// Finds the first process of a pod's container, so that the kill itself takes no time.
    pub async fn aim(&self, namespace: &str, pod: &str, container: &str) -> Aim {
        let pods: Api<Pod> = Api::namespaced(self.cluster.client.clone(), namespace);
        let pod = pods.get(pod).await.expect("the pod is there");
        let status = pod.status.as_ref().and_then(|s| s.container_statuses.as_ref());
        let id = status.and_then(|all| all.iter().find(|c| c.name == container)?.container_id.clone());
        let id = id.unwrap_or_else(|| panic!("the container {container} of {} runs", pod.name_any()));
        let node = pod.spec.and_then(|s| s.node_name).expect("the pod has a node");
        let bare = id.rsplit('/').next().unwrap_or_default().to_owned();
        let local = cluster_env().get("CLUSTER_KIND").is_some_and(|kind| kind == "local");
        let folder = local.then(|| cgroup_of(&bare)).flatten();
        Aim { node, id, folder }
    }

    /// Removes the pod's object at once, whatever its container does.
    pub async fn force_delete(&self, namespace: &str, pod: &str) {
        let pods: Api<Pod> = Api::namespaced(self.cluster.client.clone(), namespace);
        let parameters = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
        pods.delete(pod, &parameters).await.expect("the pod is deleted");
    }
}

/// A container that is about to be hit.
pub struct Aim {
    node: String,
    id: String,
    /// Its cgroup, where nodes are on this machine.
    folder: Option<PathBuf>,
}

impl Aim {
    /// SIGKILL to its first process, the agent; the kernel takes the others along.
    pub fn kill(&self) {
        self.signal("KILL");
    }

    /// SIGKILL to all its processes, where nodes are on this machine; else to the first.
    pub fn kill_all(&self) {
        let all: Vec<String> = self.processes().iter().map(|p| p.outside.to_string()).collect();
        if all.is_empty() {
            return self.kill();
        }
        // Some may have died with the first by the time they are reached.
        let _ = Command::new("kill").args(["-s", "KILL"]).args(all).status();
    }

    /// Any signal to its first process, from outside the container.
    pub fn signal(&self, signal: &str) {
        if let Some(first) = self.processes().into_iter().find(|p| p.inside == 1) {
            return send(signal, first.outside);
        }
        fault(&["kill-container", &self.node, &self.id, signal]).unwrap_or_else(|failed| panic!("{failed}"));
    }

    /// The container's processes, where nodes are on this machine.
    pub fn processes(&self) -> Vec<Process> {
        let Some(folder) = &self.folder else { return Vec::new() };
        let text = std::fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
        text.lines().filter_map(|pid| Process::read(pid.parse().ok()?)).collect()
    }
}

/// A process of a container, as the machine sees it.
#[derive(Clone, Debug)]
pub struct Process {
    pub outside: i32,
    pub inside: i32,
    pub command: String,
}

impl Process {
    fn read(pid: i32) -> Option<Process> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let inside = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?.split_whitespace().last()?;
        let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?.replace('\0', " ");
        Some(Process { outside: pid, inside: inside.parse().ok()?, command })
    }
}

fn send(signal: &str, pid: i32) {
    let sent = Command::new("kill").args(["-s", signal, &pid.to_string()]).status().expect("kill runs");
    assert!(sent.success(), "the signal {signal} could not be sent to {pid}");
}

/// The folder of a container or pod below the cluster's cgroup.
pub(super) fn cgroup_of(id: &str) -> Option<PathBuf> {
    let name = cluster_env().get("CLUSTER_NAME")?;
    let version_2 = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    let top = Path::new(if version_2 { "/sys/fs/cgroup" } else { "/sys/fs/cgroup/pids" }).join(name);
    let mut folders = vec![top];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).ok()?.flatten() {
            let path = entry.path();
            if entry.file_name().to_string_lossy().contains(id) {
                return Some(path);
            }
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
    None
}
