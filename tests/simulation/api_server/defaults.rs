//! What the API server fills in, as far as the product or the world around it looks at it.

use serde_json::{Value, json};

use super::kinds::Kind;
use super::random::Random;

/// Sets a field that is not there.
fn default(parent: &mut Value, field: &str, value: Value) {
    if parent[field].is_null() {
        parent[field] = value;
    }
}

/// Fills in every item of a list that is there.
fn each(parent: &mut Value, list: &str, fill: impl FnMut(&mut Value)) {
    parent.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten().for_each(fill);
}

/// Fills in what every write fills in.
pub(super) fn fill(kind: &Kind, object: &mut Value) {
    match kind.kind {
        "Pod" => {
            default(object, "spec", json!({}));
            pod(&mut object["spec"]);
        }
        "Job" => {
            default(object, "spec", json!({}));
            job(&mut object["spec"]);
        }
        "CronJob" => {
            default(object, "spec", json!({}));
            let spec = &mut object["spec"];
            default(spec, "concurrencyPolicy", json!("Allow"));
            default(spec, "suspend", json!(false));
            default(spec, "successfulJobsHistoryLimit", json!(3));
            default(spec, "failedJobsHistoryLimit", json!(1));
            // A Job's own defaults come when there is one.
            if spec["jobTemplate"]["spec"]["template"]["spec"].is_object() {
                pod(&mut spec["jobTemplate"]["spec"]["template"]["spec"]);
            }
        }
        "Service" => service(object),
        "NetworkPolicy" => policy(object),
        "PersistentVolumeClaim" => {
            default(object, "spec", json!({}));
            default(&mut object["spec"], "volumeMode", json!("Filesystem"));
        }
        "RoleBinding" => each(object, "subjects", |subject| {
            if subject["kind"] != "ServiceAccount" {
                default(subject, "apiGroup", json!("rbac.authorization.k8s.io"));
            }
        }),
        "Secret" => default(object, "type", json!("Opaque")),
        _ => {}
    }
}

fn pod(spec: &mut Value) {
    default(spec, "restartPolicy", json!("Always"));
    default(spec, "terminationGracePeriodSeconds", json!(30));
    default(spec, "dnsPolicy", json!("ClusterFirst"));
    default(spec, "schedulerName", json!("default-scheduler"));
    default(spec, "securityContext", json!({}));
    if let Some(account) = spec["serviceAccountName"].as_str().map(ToOwned::to_owned) {
        default(spec, "serviceAccount", json!(account));
    }
    for containers in ["initContainers", "containers"] {
        each(spec, containers, |container| {
            default(container, "terminationMessagePath", json!("/dev/termination-log"));
            default(container, "terminationMessagePolicy", json!("File"));
            default(container, "resources", json!({}));
            let image = container["image"].as_str().unwrap_or_default();
            let named = image.rsplit('/').next().unwrap_or_default();
            let latest = !named.contains(':') || named.ends_with(":latest");
            let policy = if latest { "Always" } else { "IfNotPresent" };
            default(container, "imagePullPolicy", json!(policy));
            each(container, "ports", |port| default(port, "protocol", json!("TCP")));
        });
    }
}

fn job(spec: &mut Value) {
    default(spec, "completions", json!(1));
    default(spec, "parallelism", json!(1));
    default(spec, "backoffLimit", json!(6));
    default(spec, "completionMode", json!("NonIndexed"));
    default(spec, "suspend", json!(false));
    default(spec, "manualSelector", json!(false));
    default(spec, "podReplacementPolicy", json!("TerminatingOrFailed"));
    if spec["template"]["spec"].is_object() {
        pod(&mut spec["template"]["spec"]);
    }
}

fn service(object: &mut Value) {
    default(object, "spec", json!({}));
    let spec = &mut object["spec"];
    default(spec, "type", json!("ClusterIP"));
    default(spec, "sessionAffinity", json!("None"));
    default(spec, "internalTrafficPolicy", json!("Cluster"));
    each(spec, "ports", |port| {
        default(port, "protocol", json!("TCP"));
        let number = port["port"].clone();
        default(port, "targetPort", number);
    });
}

fn policy(object: &mut Value) {
    default(object, "spec", json!({}));
    let spec = &mut object["spec"];
    default(spec, "podSelector", json!({}));
    if spec.get("policyTypes").is_none() {
        let egress = spec.get("egress").is_some_and(Value::is_array);
        spec["policyTypes"] = if egress { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) };
    }
    for rules in ["ingress", "egress"] {
        each(spec, rules, |rule| each(rule, "ports", |port| default(port, "protocol", json!("TCP"))));
    }
}

/// Prepares an object that is new: what its kind's strategy sets whatever the client says.
pub(super) fn begin(kind: &Kind, object: &mut Value, random: &mut Random) {
    let uid = object["metadata"]["uid"].clone();
    let name = object["metadata"]["name"].clone();
    // Nodes come with their status: the kubelet makes them.
    if kind.status && kind.kind != "Node" {
        object.as_object_mut().map(|object| object.remove("status"));
    }
    match kind.kind {
        "Pod" => {
            object["status"] = json!({"phase": "Pending", "qosClass": "BestEffort"});
            default(&mut object["spec"], "serviceAccountName", json!("default"));
            default(&mut object["spec"], "serviceAccount", json!("default"));
            default(&mut object["spec"], "enableServiceLinks", json!(true));
        }
        "Job" => {
            let own = [("batch.kubernetes.io/controller-uid", &uid), ("batch.kubernetes.io/job-name", &name)];
            let older = [("controller-uid", &uid), ("job-name", &name)];
            default(&mut object["spec"], "template", json!({}));
            let template = &mut object["spec"]["template"];
            default(template, "metadata", json!({}));
            default(&mut template["metadata"], "labels", json!({}));
            for (label, value) in own.into_iter().chain(older) {
                template["metadata"]["labels"][label] = value.clone();
            }
            object["spec"]["selector"] = json!({"matchLabels": {"batch.kubernetes.io/controller-uid": uid}});
            object["status"] = json!({});
        }
        "CronJob" => object["status"] = json!({}),
        "PersistentVolumeClaim" => object["status"] = json!({"phase": "Pending"}),
        "PodDisruptionBudget" => {
            object["status"] =
                json!({"currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0});
        }
        "Service" => {
            object["status"] = json!({"loadBalancer": {}});
            let spec = &mut object["spec"];
            if spec["clusterIP"].as_str().unwrap_or_default().is_empty() {
                spec["clusterIP"] = json!(format!("10.96.{}.{}", random.below(256), 2 + random.below(253)));
            }
            spec["clusterIPs"] = json!([spec["clusterIP"]]);
            default(spec, "ipFamilies", json!(["IPv4"]));
            default(spec, "ipFamilyPolicy", json!("SingleStack"));
        }
        "Namespace" => {
            object["metadata"]["labels"]["kubernetes.io/metadata.name"] = name;
            object["spec"] = json!({"finalizers": ["kubernetes"]});
            object["status"] = json!({"phase": "Active"});
        }
        _ => {}
    }
}

/// Fields of a PUT that the client may leave to the API server once they are set.
pub(super) fn carry_over(kind: &Kind, old: &Value, new: &mut Value) {
    let kept: &[&str] = match kind.kind {
        "Service" => &["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"],
        "Job" => &["selector"],
        "Namespace" => &["finalizers"],
        _ => &[],
    };
    for field in kept {
        if !old["spec"][field].is_null() && new["spec"].get(field).is_none() {
            new["spec"][field] = old["spec"][field].clone();
        }
    }
}
