//! The programs beside the tests: kubectl, and the scripts of tests/cluster.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// The checkout.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The cluster that `make cluster` made for this checkout; never somebody's KUBECONFIG.
pub fn kubeconfig() -> PathBuf {
    let path = root().join("target/cluster/kubeconfig");
    assert!(path.exists(), "There is no {}. Run `make e2e KEEP=1` or `make cluster` first.", path.display());
    path
}

/// What `make cluster` wrote for scripts, such as CLUSTER_KIND, CLUSTER_NAME, NODES and BIN.
pub fn cluster_env() -> &'static BTreeMap<String, String> {
    static ENV: OnceLock<BTreeMap<String, String>> = OnceLock::new();
    ENV.get_or_init(|| {
        let file = root().join("target/cluster/env");
        // Bash wrote it and knows how to read it, quotes and all.
        let script = format!("set -a; . '{}'; env -0", file.display());
        let output = Command::new("bash").args(["-c", &script]).env_clear().output().expect("bash runs");
        assert!(output.status.success(), "{} cannot be read", file.display());
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.split('\0').filter_map(|pair| pair.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
    })
}

/// kubectl from where `make cluster` keeps its programs, or from the PATH, before it is told what to do.
pub fn kubectl_command() -> Command {
    let kept = cluster_env().get("BIN").map(|bin| Path::new(bin).join("kubectl")).filter(|path| path.exists());
    let mut command = Command::new(kept.unwrap_or_else(|| "kubectl".into()));
    command.arg("--kubeconfig").arg(kubeconfig());
    command
}

/// kubectl that ends by itself.
pub fn kubectl(arguments: &[&str]) -> Output {
    kubectl_command().arg("--request-timeout=20s").args(arguments).output().expect("kubectl runs")
}

/// kubectl that has to succeed.
pub fn kubectl_done(arguments: &[&str]) -> Result<(), String> {
    kubectl_said(arguments).map(drop)
}

/// What a kubectl that has to succeed prints.
pub fn kubectl_said(arguments: &[&str]) -> Result<String, String> {
    let output = kubectl(arguments);
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("kubectl {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
}

/// Runs `tests/cluster/fault` and waits until it has done its work.
pub fn fault(arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(root().join("tests/cluster/fault")).args(arguments).output().expect("the script runs");
    if output.status.success() {
        return Ok(());
    }
    Err(format!("fault {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
}
