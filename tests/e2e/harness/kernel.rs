//! What a pod's kernel still holds, where nodes are on this machine.

use std::fs;
use std::path::Path;

use super::faults::cgroup_of;
use super::shell::cluster_env;

/// The port of the paper exchange, in the way of /proc/net/tcp.
const EXCHANGE_PORT: &str = ":1F90";

/// Bytes to the exchange that the exchange's kernel has not acknowledged, also those of processes that are dead by now;
/// 0 for a pod that is gone. `None` where nodes are elsewhere and nobody can look.
pub fn bytes_held(pod_uid: &str) -> Option<u64> {
    cluster_env().get("CLUSTER_KIND").filter(|kind| *kind == "local")?;
    let Some(pid) = cgroup_of(&format!("pod{pod_uid}")).and_then(|folder| any_process(&folder)) else { return Some(0) };
    // Any process of the pod sees the pod's network; the one that keeps it open outlives all others.
    let sockets = fs::read_to_string(format!("/proc/{pid}/net/tcp")).unwrap_or_default();
    Some(sockets.lines().filter_map(held_by).sum())
}

/// The third column is the other end, the fifth the queue to it.
fn held_by(line: &str) -> Option<u64> {
    let columns: Vec<&str> = line.split_whitespace().collect();
    columns.get(2)?.ends_with(EXCHANGE_PORT).then_some(())?;
    u64::from_str_radix(columns.get(4)?.split(':').next()?, 16).ok()
}

fn any_process(folder: &Path) -> Option<String> {
    let here = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    if let Some(pid) = here.lines().next() {
        return Some(pid.to_owned());
    }
    fs::read_dir(folder).ok()?.flatten().map(|e| e.path()).filter(|p| p.is_dir()).find_map(|p| any_process(&p))
}
