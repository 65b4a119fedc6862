//! What people type: `kubectl tradingbot`.

use std::process::Command;

use super::shell::kubeconfig;

/// Exit code, standard output and standard error.
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// Runs the plugin on bots of this namespace.
pub async fn plugin(namespace: &str, arguments: &[&str]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-tradingbot"));
    command.arg("--kubeconfig").arg(kubeconfig()).args(["--namespace", namespace]).args(arguments);
    let output = tokio::task::spawn_blocking(move || command.output().expect("the plugin runs")).await;
    let output = output.expect("the plugin ends");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}
