//! Helm, as a person runs it.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{kubeconfig, kubectl_said, root};

/// The namespace of the release.
pub const SYSTEM: &str = "tradingbot-system";
/// What kubectl applies.
pub const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/manifests/install.yaml");
/// The release, and what all of it is named.
pub const OPERATOR: &str = "tradingbot-operator";

/// The chart of this checkout.
pub fn chart() -> PathBuf {
    root().join("charts/tradingbot-operator")
}

/// The chart to upgrade from: that of the commit before, which `tests/e2e/chart/run` lays out; else this one.
pub fn chart_before() -> PathBuf {
    std::env::var_os("CHART_BEFORE").map_or_else(chart, PathBuf::from)
}

/// A release in place of what kubectl installed; that comes back when this is dropped, also by a failure.
pub struct Release;

impl Release {
    /// Removes what the manifest has installed, but for the kinds and the namespace.
    pub fn in_place_of_the_manifest() -> Release {
        let release = Release;
        let mine = format!("app.kubernetes.io/name={OPERATOR}");
        let namespaced = "deployment,service,serviceaccount,poddisruptionbudget,networkpolicy";
        let everywhere = "clusterrole,clusterrolebinding,priorityclass,flowschema,validatingadmissionpolicy,validatingadmissionpolicybinding";
        for what in [
            ["delete", "-n", SYSTEM, namespaced, "-l", &mine],
            ["delete", "-n", "default", "role,rolebinding", "-l", &mine],
        ] {
            kubectl_said(&what).expect("kubectl removes what it installed");
        }
        kubectl_said(&["delete", everywhere, "-l", &mine]).expect("kubectl removes what it installed");
        release
    }

    /// Installs it; kinds that are there already become its own, also where kubectl wrote them otherwise.
    pub fn install(&self, chart: &Path, more: &[&str]) {
        let chart = chart.display().to_string();
        self.put(&["install", OPERATOR, &chart, "--take-ownership", "--force-conflicts"], more);
    }

    /// Upgrades it.
    pub fn upgrade(&self, chart: &Path, more: &[&str]) {
        self.put(&["upgrade", OPERATOR, &chart.display().to_string()], more);
    }

    /// Uninstalls it.
    pub fn uninstall(&self) {
        self.put(&["uninstall", OPERATOR], &[]);
    }

    fn put(&self, arguments: &[&str], more: &[&str]) {
        if let Err(why) = helm(&[arguments, &["--namespace", SYSTEM], more].concat()) {
            panic!("{why}");
        }
    }
}

impl Drop for Release {
    fn drop(&mut self) {
        // Not there when it was uninstalled, or never installed.
        let _ = helm(&["uninstall", OPERATOR, "--namespace", SYSTEM, "--ignore-not-found"]);
        if let Err(why) = kubectl_said(&["apply", "-f", MANIFEST]) {
            eprintln!("The operator of manifests/install.yaml did not come back: {why}");
        }
    }
}

fn helm(arguments: &[&str]) -> Result<(), String> {
    let mut command = Command::new(root().join("tests/tools/tool"));
    let output = command.arg("helm").arg("--kubeconfig").arg(kubeconfig()).args(arguments).output();
    let output = output.expect("the script that runs Helm is there");
    if output.status.success() {
        return Ok(());
    }
    Err(format!("helm {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
}
