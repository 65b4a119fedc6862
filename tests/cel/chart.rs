//! Parts of the chart, rendered as they are installed, on the cluster of the tests.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy;
use kube::ResourceExt;
use kube::api::Api;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::cluster::{Cluster, kubectl};
use super::identity::{Identity, With, allow_everything};

/// The release and its namespace, as in `manifests/install.yaml`.
pub const OPERATOR: &str = "tradingbot-operator";
pub const SYSTEM: &str = "tradingbot-system";

/// Renders one template and applies it.
pub fn install(template: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let chart = root.join("charts/tradingbot-operator");
    let rendered = Command::new(root.join("tests/tools/tool"))
        .args(["helm", "template", OPERATOR])
        .arg(&chart)
        .args(["--namespace", SYSTEM, "--show-only", &format!("templates/{template}")])
        .output()
        .expect("helm runs");
    assert!(rendered.status.success(), "{}", String::from_utf8_lossy(&rendered.stderr));
    let file = root.join("target/cluster").join(template);
    std::fs::create_dir_all(file.parent().expect("a folder")).expect("the folder can be made");
    std::fs::write(&file, &rendered.stdout).expect("the file can be written");
    let applied = kubectl(&["apply", "--server-side", "--force-conflicts", "-f", file.to_str().expect("UTF-8")]);
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
}

/// The policies of the chart, in force, and in the test's namespace nothing else that refuses service accounts anything.
pub async fn with_policies(name: &str) -> Cluster {
    static INSTALLED: OnceCell<()> = OnceCell::const_new();
    let cluster = Cluster::with_namespace(name).await;
    allow_everything(&cluster).await;
    INSTALLED.get_or_init(|| async { install("admission-policy.yaml") }).await;
    until_in_force(&cluster).await;
    cluster
}

/// A binding counts some moments after it was made: every policy is asked for what it has to refuse.
async fn until_in_force(cluster: &Cluster) {
    let (client, ns) = (&cluster.client, &cluster.namespace);
    let ci = Identity::account(ns, "ci");
    cluster.create("TradingBot", &super::bot::smallest(), false).await.expect("a bot");
    let bot = format!("/apis/tradingbot.io/v1alpha1/namespaces/{ns}/tradingbots/doge-jpy");
    let finalizers = |list: Value| json!({"metadata": {"finalizers": list}});
    let admin = Identity::person();
    let held = finalizers(json!(["tradingbot.io/fencing"]));
    admin.change(client, &bot, With::MergePatch, &held).await.expect("a finalizer");
    let leases = format!("/apis/coordination.k8s.io/v1/namespaces/{ns}/leases?dryRun=All");
    let lease = json!({"metadata": {"name": "asked", "labels": {"tradingbot.io/bot": "asked"}}, "spec": {}});
    for tries in 0.. {
        let answers = [
            ci.create(client, &leases, &lease).await,
            ci.change(client, &format!("{bot}/status?dryRun=All"), With::MergePatch, &json!({"status": {"epoch": 1}}))
                .await,
            ci.change(client, &format!("{bot}?dryRun=All"), With::MergePatch, &finalizers(json!([]))).await,
        ];
        if answers.iter().all(|a| a.as_ref().is_err_and(|text| text.contains("ValidatingAdmissionPolicy"))) {
            break;
        }
        assert!(tries < 300, "the policies were not in force within 30 s: {answers:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // So that the namespace can go.
    admin.change(client, &bot, With::MergePatch, &finalizers(json!([]))).await.expect("the finalizer is taken off");
    admin.delete(client, &bot).await.expect("the bot is deleted");
}

#[tokio::test]
async fn the_rules_of_the_policies_fit_the_kinds_they_are_about() {
    let cluster = with_policies("types").await;
    let api: Api<ValidatingAdmissionPolicy> = Api::all(cluster.client.clone());
    let mut warnings = BTreeMap::new();
    for part in ["lease", "account-lease", "status", "finalizer"] {
        let name = format!("{OPERATOR}-{part}");
        let mut tries = 0;
        let policy = loop {
            let policy = api.get(&name).await.expect("the policy is there");
            let checked = policy.status.as_ref().and_then(|s| s.observed_generation);
            if checked.is_some() && checked == policy.metadata.generation {
                break policy;
            }
            tries += 1;
            assert!(tries < 300, "{name} was not checked within 30 s");
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        let found = policy.status.as_ref().and_then(|s| s.type_checking.as_ref()?.expression_warnings.clone());
        warnings.insert(policy.name_any(), found.unwrap_or_default());
    }
    assert!(warnings.values().all(Vec::is_empty), "{warnings:#?}");
    cluster.clean_up().await;
}
