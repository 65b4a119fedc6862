//! `kubectl apply -f manifests/install.yaml`: a second time it changes nothing.

use std::path::Path;

use serde_json::{Value, json};

use super::cluster::{Cluster, KINDS, apply, kubectl, objects};

const NAMESPACE: &str = "tradingbot-system";

/// What is stored of each object of the file, without what controllers write on their own.
fn contents(file: &str) -> Vec<Value> {
    let output = kubectl(&["get", "-f", file, "-o", "json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let list: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let mut objects = list["items"].as_array().expect("a list").clone();
    for object in &mut objects {
        let changes_by_itself = object.as_object_mut().unwrap().remove("status").is_some();
        let metadata = object["metadata"].as_object_mut().unwrap();
        metadata.remove("managedFields");
        if changes_by_itself {
            metadata.remove("resourceVersion");
            if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
                annotations.remove("deployment.kubernetes.io/revision");
            }
        }
    }
    objects
}

/// kubectl always sends the selector of a disruption budget, which it replaces as a whole, and says so although nothing
/// comes of it.
fn says_unchanged(line: &str) -> bool {
    line.ends_with(" unchanged") || (line.starts_with("poddisruptionbudget.policy/") && line.ends_with(" configured"))
}

#[tokio::test]
async fn a_second_kubectl_apply_changes_nothing() {
    let cluster = Cluster::with_namespace("install").await;
    let _alone = KINDS.lock().await;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/install.yaml");
    let file = path.to_str().unwrap();
    let there_before = kubectl(&["get", "namespace", NAMESPACE]).status.success();
    if !there_before {
        // No replica starts here: it would take up the bots of the tests beside this one.
        apply(&[
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}),
            json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "no-pods", "namespace": NAMESPACE},
                "spec": {"hard": {"pods": "0"}}}),
        ]);
    }
    let first = kubectl(&["apply", "-f", file]);
    let installed = first.status.success().then(|| contents(file));
    let second = kubectl(&["apply", "-f", file]);
    let again = second.status.success().then(|| contents(file));
    let parts = objects(&std::fs::read_to_string(&path).unwrap());
    if !there_before {
        // The kinds stay: other tests are using them.
        let rest: Vec<_> = parts.iter().filter(|part| part["kind"] != "CustomResourceDefinition").cloned().collect();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": rest});
        let trash = std::env::temp_dir().join(format!("{}.json", cluster.namespace));
        std::fs::write(&trash, list.to_string()).unwrap();
        let gone = kubectl(&["delete", "--wait=false", "--ignore-not-found", "-f", trash.to_str().unwrap()]);
        std::fs::remove_file(&trash).unwrap();
        assert!(gone.status.success(), "{}", String::from_utf8_lossy(&gone.stderr));
    }
    cluster.clean_up().await;

    assert!(first.status.success(), "{}", String::from_utf8_lossy(&first.stderr));
    let said = String::from_utf8_lossy(&second.stdout).into_owned() + &String::from_utf8_lossy(&second.stderr);
    assert!(second.status.success(), "{said}");
    assert!(said.lines().all(says_unchanged), "{said}");
    assert_eq!(said.lines().count(), parts.len(), "{said}");
    assert_eq!(installed, again);
}
