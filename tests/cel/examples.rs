//! Every manifest in the repository, and every object that the documents show in full, is accepted by a real API server
//! that is told to refuse what it does not know.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::bot::smallest;
use super::cluster::{Cluster, kubectl, objects, rendered, try_apply};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Written in YAML, and no objects of an API server.
const FOR_TOOLS: [&str; 3] = ["kustomize.config.k8s.io/", "kind.x-k8s.io/", "kubeadm.k8s.io/"];

fn is_object(value: &Value) -> bool {
    let version = value["apiVersion"].as_str().unwrap_or_default();
    !version.is_empty() && value["kind"].is_string() && !FOR_TOOLS.iter().any(|tool| version.starts_with(tool))
}

/// Tries objects as a dry run, in the test's namespace where they are in one: theirs need not exist. The answer is what
/// was wrong, and how many were tried.
fn refusal(cluster: &Cluster, objects: Vec<Value>) -> (Option<String>, usize) {
    let mut objects: Vec<Value> = objects.into_iter().filter(is_object).collect();
    for object in &mut objects {
        if let Some(namespace) = object["metadata"].get_mut("namespace") {
            *namespace = json!(cluster.namespace);
        }
    }
    if objects.is_empty() {
        return (None, 0);
    }
    let output = try_apply(
        &["-n", &cluster.namespace, "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict"],
        &objects,
    );
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    ((!output.status.success()).then_some(why), objects.len())
}

/// Tries all, tells all that was refused at once, and returns how many objects there were.
async fn all_accepted(name: &str, files: Vec<(String, Vec<Value>)>) -> usize {
    let cluster = Cluster::with_namespace(name).await;
    let (mut wrong, mut tried) = (Vec::new(), 0);
    for (what, objects) in files {
        let (why, count) = refusal(&cluster, objects);
        wrong.extend(why.map(|why| format!("{what}: {why}")));
        tried += count;
    }
    cluster.clean_up().await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    tried
}

fn files_below(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn name(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

#[tokio::test]
async fn every_manifest_is_accepted() {
    let found = ["crds", "examples", "manifests"].iter().flat_map(|folder| files_below(&root().join(folder), "yaml"));
    let files: Vec<_> = found.map(|path| (name(&path), objects(&fs::read_to_string(&path).unwrap()))).collect();
    assert!(files.iter().any(|(name, _)| name == "manifests/install.yaml") && files.len() >= 8, "{files:?}");
    let tried = all_accepted("manifests", files).await;
    assert!(tried >= 20, "only {tried} objects were found");
}

#[tokio::test]
async fn everything_that_the_chart_can_make_is_accepted() {
    let on = [
        "namespace.create",
        "crds.install",
        "priorityClass.create",
        "podDisruptionBudget.enabled",
        "networkPolicy.enabled",
        "serviceMonitor.enabled",
        "podMonitor.enabled",
        "prometheusRule.enabled",
        "dashboard.enabled",
        "flowSchema.enabled",
        "admissionPolicy.enabled",
    ];
    let on = on.map(|value| format!("{value}=true")).join(",");
    let variants: [(&str, &[&str]); 3] = [
        ("the chart as it is", &[]),
        ("the chart with everything on", &["--set", &on]),
        ("the chart for two namespaces", &["--set", &on, "--set", "watchNamespaces={desk-a,desk-b}"]),
    ];
    let files: Vec<_> = variants.iter().map(|(what, values)| ((*what).to_owned(), rendered(values))).collect();
    let monitored = files.iter().flat_map(|(_, objects)| objects).any(|object| {
        object["apiVersion"].as_str().is_some_and(|version| version.starts_with("monitoring.coreos.com/"))
    });
    let kinds = if monitored { prometheus_kinds() } else { Vec::new() };
    for file in &kinds {
        let output = kubectl(&["apply", "--server-side", "--force-conflicts", "-f", file]);
        assert!(output.status.success(), "{file}: {}", String::from_utf8_lossy(&output.stderr));
        let output = kubectl(&["wait", "--for=condition=Established", "--timeout=30s", "-f", file]);
        assert!(output.status.success(), "{file}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let tried = all_accepted("chart", files).await;
    for file in &kinds {
        kubectl(&["delete", "--wait=false", "-f", file]);
    }
    assert!(tried >= 6, "only {tried} objects were made");
}

/// The files of the Prometheus Operator's kinds that the chart makes objects of.
fn prometheus_kinds() -> Vec<String> {
    let output = Command::new(root().join("tests/tools/prometheus/kinds")).output().expect("a script runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let folder = String::from_utf8(output.stdout).expect("a path in UTF-8");
    let file = |kind| format!("{}/monitoring.coreos.com_{kind}.yaml", folder.trim());
    ["servicemonitors", "podmonitors", "prometheusrules"].map(file).into()
}

/// So the tests here can fail.
#[tokio::test]
async fn a_manifest_with_a_misspelling_is_not_accepted() {
    let cluster = Cluster::with_namespace("misspelt").await;
    let mut bot = smallest();
    bot["spec"]["template"]["spec"]["containers"][0]["imagePullPolice"] = json!("Always");
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a", "namespace": "elsewhere"},
        "spec": {"ports": [{"port": 80}], "selektor": {"a": "b"}}});
    let answers = [(bot, "imagePullPolice"), (service, "selektor")].map(|(object, word)| {
        let (why, tried) = refusal(&cluster, vec![object]);
        (why.unwrap_or_default(), word, tried)
    });
    cluster.clean_up().await;
    for (why, word, tried) in answers {
        assert!(tried == 1 && why.contains("unknown field \"") && why.contains(word), "{word}: {why}");
    }
}

#[test]
fn the_first_example_is_short() {
    let minimal = fs::read_to_string(root().join("examples/minimal.yaml")).unwrap();
    assert!(minimal.lines().count() <= 15, "the first example has {} lines", minimal.lines().count());
}

/// Every page of the documents.
fn pages() -> Vec<PathBuf> {
    let mut pages = files_below(&root().join("docs"), "md");
    pages.extend(
        fs::read_dir(root())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|e| e == "md")),
    );
    pages
}

/// The blocks of YAML on a page, without the indentation of the list that they may be in.
fn blocks(page: &str) -> Vec<String> {
    let found = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split_once("```"));
    let moved = found.map(|(block, _)| {
        let indent = |line: &&str| line.len() - line.trim_start().len();
        let least = block.lines().filter(|line| !line.trim().is_empty()).map(|line| indent(&line)).min().unwrap_or(0);
        block.lines().map(|line| line.get(least..).unwrap_or_default()).collect::<Vec<_>>().join("\n")
    });
    moved.collect()
}

#[tokio::test]
async fn every_object_that_the_documents_show_in_full_is_accepted() {
    let mut files = Vec::new();
    for page in pages() {
        for block in blocks(&fs::read_to_string(&page).unwrap()) {
            // What does not begin so is a part of an object.
            let begins = block.lines().find(|line| !line.starts_with('#') && !line.trim().is_empty());
            if begins.is_some_and(|line| line.starts_with("apiVersion:")) {
                files.push((name(&page), objects(&block)));
            }
        }
    }
    assert!(files.iter().any(|(page, _)| page == "README.md"), "the README shows a bot");
    let tried = all_accepted("docs", files).await;
    assert!(tried >= 4, "only {tried} objects were found");
}
