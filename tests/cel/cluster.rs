//! The cluster of the tests: our kinds installed, and a namespace of its own for every test.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, Config, ResourceExt};
use serde_json::{Value, json};
use tradingbot::api::crds;

/// Held by the tests that have kubectl write the kinds: two that take turns would see each other's changes.
pub static KINDS: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// A namespace of one test. Nothing in it is stored by most tests: their requests are dry runs.
pub struct Cluster {
    pub client: Client,
    pub namespace: String,
}

/// Where the kubeconfig is.
pub fn kubeconfig() -> PathBuf {
    let given = std::env::var_os("KUBECONFIG").map(PathBuf::from);
    let path = given.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/cluster/kubeconfig"));
    assert!(path.exists(), "There is no {}. Run `make cluster` first, or set KUBECONFIG.", path.display());
    path
}

/// kubectl as `make cluster` built it, otherwise from the PATH.
pub fn kubectl(arguments: &[&str]) -> std::process::Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let written = std::fs::read_to_string(root.join("target/cluster/env")).unwrap_or_default();
    let folder = written.lines().find_map(|line| line.strip_prefix("export BIN=")).map(PathBuf::from);
    let built = folder.map(|folder| folder.join("kubectl")).filter(|path| path.exists());
    let program = built.unwrap_or_else(|| "kubectl".into());
    Command::new(program).arg("--kubeconfig").arg(kubeconfig()).args(arguments).output().expect("kubectl runs")
}

/// What the chart makes of its values, object by object.
pub fn rendered(arguments: &[&str]) -> Vec<Value> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(root.join("tests/tools/tool"))
        .args(["helm", "template", "tradingbot-operator"])
        .arg(root.join("charts/tradingbot-operator"))
        .args(["-n", "tradingbot-system"])
        .args(arguments)
        .output()
        .expect("helm runs");
    assert!(output.status.success(), "helm template: {}", String::from_utf8_lossy(&output.stderr));
    objects(&String::from_utf8(output.stdout).expect("YAML in UTF-8"))
}

/// The objects in a file of YAML, as kubectl reads them: unknown fields and all, and lists taken apart.
pub fn objects(yaml: &str) -> Vec<Value> {
    let documents = yaml.split("\n---").map(str::trim).filter(|text| {
        text.lines().any(|line| !line.trim().is_empty() && !line.starts_with('#') && !line.starts_with("---"))
    });
    documents.map(|text| serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error} in\n{text}"))).collect()
}

/// Runs `kubectl` on objects with what follows `apply`.
pub fn try_apply(arguments: &[&str], objects: &[Value]) -> std::process::Output {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    static MADE: AtomicUsize = AtomicUsize::new(0);
    let name = format!("cel-{}-{}.json", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, list.to_string()).unwrap();
    let file = path.to_str().expect("a path in UTF-8");
    let output = kubectl(&[&["apply"], arguments, &["-f", file]].concat());
    std::fs::remove_file(&path).unwrap();
    output
}

/// Stores objects.
pub fn apply(objects: &[Value]) {
    let output = try_apply(&["--server-side", "--force-conflicts"], objects);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

impl Cluster {
    /// A client that is somebody else to the API server: a service account of the test's namespace.
    pub async fn acting_as(&self, account: &str) -> Client {
        let file = kube::config::Kubeconfig::read_from(kubeconfig()).expect("the kubeconfig can be read");
        let mut config =
            Config::from_custom_kubeconfig(file, &Default::default()).await.expect("the kubeconfig is valid");
        config.auth_info.impersonate = Some(format!("system:serviceaccount:{}:{account}", self.namespace));
        config.auth_info.impersonate_groups =
            Some(vec!["system:serviceaccounts".into(), "system:authenticated".into()]);
        Client::try_from(config).expect("a client")
    }

    /// Connects, installs the kinds and makes the namespace `cel-<name>-<random>`.
    pub async fn with_namespace(name: &str) -> Cluster {
        let file = kube::config::Kubeconfig::read_from(kubeconfig()).expect("the kubeconfig can be read");
        let config = Config::from_custom_kubeconfig(file, &Default::default()).await.expect("the kubeconfig is valid");
        let client = Client::try_from(config).expect("a client");
        install(&client).await;
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let object = serde_json::from_value(json!({"metadata": {"generateName": format!("cel-{name}-")}})).unwrap();
        let made = namespaces.create(&PostParams::default(), &object).await.expect("a namespace");
        Cluster { client, namespace: made.name_any() }
    }

    /// Objects of one of our kinds, as JSON: so that the server sees what a person wrote, not what our types make of it.
    pub fn objects(&self, kind: &str) -> Api<DynamicObject> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("tradingbot.io", "v1alpha1", kind));
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource)
    }

    /// Creates an object; `dry` keeps it from being stored. The answer is the object as stored, or the refusal's text.
    pub async fn create(&self, kind: &str, object: &Value, dry: bool) -> Result<Value, String> {
        let object = serde_json::from_value(object.clone()).unwrap();
        let parameters = PostParams { dry_run: dry, field_manager: None };
        let answer = self.objects(kind).create(&parameters, &object).await;
        answer.map(|made| serde_json::to_value(made).unwrap()).map_err(|error| error.to_string())
    }

    /// Removes the namespace and what the test stored in it.
    pub async fn clean_up(self) {
        for kind in ["TradingBot", "TradingBotOperation"] {
            let _ = self.objects(kind).delete_collection(&DeleteParams::default(), &Default::default()).await;
        }
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let _ = namespaces.delete(&self.namespace, &DeleteParams::default()).await;
    }
}

async fn install(client: &Client) {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for crd in crds::all() {
        let name = crd.name_any();
        let parameters = PatchParams::apply("tests").force();
        api.patch(&name, &parameters, &Patch::Apply(&crd)).await.expect("the kind is accepted");
        let established = |crd: &CustomResourceDefinition| {
            let conditions = crd.status.as_ref().and_then(|s| s.conditions.as_ref());
            conditions.is_some_and(|c| c.iter().any(|c| c.type_ == "Established" && c.status == "True"))
        };
        soon(&format!("{name} is established"), Duration::from_secs(10), async || {
            established(&api.get(&name).await.expect("the kind is there"))
        })
        .await;
    }
}

/// Asserts that a refusal says `sentence`.
pub fn refused(what: &str, answer: Result<Value, String>, sentence: &str) {
    match answer {
        Ok(_) => panic!("{what}: was accepted, should be refused with: {sentence}"),
        Err(text) => assert!(text.contains(sentence), "{what}: refused with\n  {text}\ninstead of\n  {sentence}"),
    }
}

/// The longest that a policy, a right or a FlowSchema may take to count.
pub const IN_FORCE: Duration = Duration::from_secs(30);

/// Asks until the answer is as wanted, and says after how long: what is written reaches the API server's caches a little
/// later.
pub async fn soon(what: &str, limit: Duration, mut ask: impl AsyncFnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !ask().await {
        assert!(begun.elapsed() < limit, "{what}: not within {} s", limit.as_secs());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    begun.elapsed()
}
