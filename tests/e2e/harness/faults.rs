//! What is done to the active, and healed when it goes out of scope.

use std::path::{Path, PathBuf};
use std::process::Command;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams};

use super::cluster::{Cluster, OPERATOR, SYSTEM};
use super::shell::{self, cluster_env, fault};

/// Faults of nodes, pods and the API server.
pub struct Faults {
    pub cluster: Cluster,
}

/// A fault that lasts; healed at the latest when this is dropped.
#[must_use = "a fault heals as soon as this is dropped"]
pub struct Lasting {
    run: fn(&[&str]) -> Result<(), String>,
    heal: Option<Vec<String>>,
}

impl Lasting {
    fn new(does: &[&str], heals: &[&str]) -> Lasting {
        Self::by(fault, does, heals)
    }

    fn by(run: fn(&[&str]) -> Result<(), String>, does: &[&str], heals: &[&str]) -> Lasting {
        // First the guard: a fault that was half made is healed as well.
        let guard = Lasting { run, heal: Some(heals.iter().map(|s| (*s).to_owned()).collect()) };
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

impl Drop for Lasting {
    fn drop(&mut self) {
        self.undo();
    }
}

impl Faults {
    /// Everything between a node with its pods and the API server is lost; the exchange stays in reach.
    pub fn cut_api(&self, node: &str) -> Lasting {
        Lasting::new(&["cut-api", node], &["heal-api", node])
    }

    /// No TCP connection to this port passes a node, as with a network plugin that enforces policies.
    pub fn close_port(&self, node: &str, port: u16) -> Lasting {
        Lasting::new(&["close-port", node, &port.to_string()], &["open-port", node, &port.to_string()])
    }

    /// The cable of a node is pulled: its pods reach nothing outside of it, the exchange neither.
    pub fn cut_link(&self, node: &str) -> Lasting {
        Lasting::new(&["cut-link", node], &["heal-link", node])
    }

    /// Nothing arrives at a node any more.
    pub fn cut_in(&self, node: &str) -> Lasting {
        Lasting::new(&["cut-in", node], &["heal-in", node])
    }

    /// Nothing leaves a node any more.
    pub fn cut_out(&self, node: &str) -> Lasting {
        Lasting::new(&["cut-out", node], &["heal-out", node])
    }

    /// A node's pods and this address exchange nothing more.
    pub fn cut_address(&self, node: &str, address: &str) -> Lasting {
        Lasting::new(&["cut-address", node, address], &["heal-address", node, address])
    }

    /// The kubelet of a node is gone; its pods run on.
    pub fn stop_kubelet(&self, node: &str) -> Lasting {
        Lasting::new(&["stop-kubelet", node], &["start-kubelet", node])
    }

    /// The power of a node fails.
    pub fn power_off(&self, node: &str) -> Lasting {
        Lasting::new(&["power-off", node], &["power-on", node])
    }

    /// All processes of a pod stand still without knowing it.
    pub fn freeze(&self, pod_uid: &str) -> Lasting {
        Lasting::new(&["freeze", pod_uid], &["thaw", pod_uid])
    }

    /// A node takes no new pods, as before it is drained.
    pub fn cordon(&self, node: &str) -> Lasting {
        Lasting::by(shell::kubectl_done, &["cordon", node], &["uncordon", node])
    }

    /// No replica of the operator that is installed runs.
    pub fn scale_operator_down(&self) -> Lasting {
        let scale = |replicas| ["-n", SYSTEM, "scale", "deployment", OPERATOR, replicas];
        Lasting::by(shell::kubectl_done, &scale("--replicas=0"), &scale("--replicas=2"))
    }

    /// The API server is gone.
    pub fn stop_apiserver(&self) -> Lasting {
        Lasting::new(&["stop-apiserver"], &["start-apiserver"])
    }

    /// The API server stands still.
    pub fn pause_apiserver(&self) -> Lasting {
        Lasting::new(&["pause-apiserver"], &["resume-apiserver"])
    }

    /// The API server's store stands still.
    pub fn pause_etcd(&self) -> Lasting {
        Lasting::new(&["pause-etcd"], &["resume-etcd"])
    }

    /// Keeps a copy of the store, which [`Faults::restore_etcd`] puts back.
    pub fn save_etcd(&self) {
        fault(&["save-etcd"]).unwrap_or_else(|failed| panic!("{failed}"));
    }

    /// The store is lost and is again what it was when it was saved.
    pub fn restore_etcd(&self) {
        fault(&["restore-etcd"]).unwrap_or_else(|failed| panic!("{failed}"));
    }

    /// What pods ask of the API server goes to this port of the machine.
    pub fn divert_api(&self, port: u16) -> Lasting {
        Lasting::new(&["divert-api", &port.to_string()], &["undivert-api"])
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

/// Processes that stand still until this is dropped.
#[must_use = "they go on as soon as this is dropped"]
pub struct Stopped(Vec<Process>);

impl Stopped {
    /// SIGSTOP to all of them at once.
    pub fn all(processes: Vec<Process>) -> Stopped {
        let stopped = Stopped(processes);
        stopped.send("STOP");
        stopped
    }

    /// Whether each of them is there and stands still.
    pub fn stand_still(&self) -> bool {
        let still = |process: &Process| {
            let status = std::fs::read_to_string(format!("/proc/{}/status", process.outside)).unwrap_or_default();
            status.lines().any(|line| line.starts_with("State:") && line.contains('T'))
        };
        !self.0.is_empty() && self.0.iter().all(still)
    }

    /// Some may be gone by now.
    fn send(&self, signal: &str) {
        let ids: Vec<String> = self.0.iter().map(|process| process.outside.to_string()).collect();
        if !ids.is_empty() {
            let _ = Command::new("kill").args(["-s", signal]).args(ids).stderr(std::process::Stdio::null()).status();
        }
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        self.send("CONT");
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
