//! PATCH by server-side apply.

use serde_json::{Value, json};

use super::world::{APPLY, CORE, MERGE, RBAC, World, version};

fn config(data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "doge", "labels": {"app": "doge"}}, "data": data})
}

fn path(world: &World, query: &str) -> String {
    world.path(CORE, &format!("configmaps/doge?{query}"))
}

pub async fn what_is_applied_is_made_and_then_left_alone(world: &World) {
    let ours = path(world, "fieldManager=operator&force=true");
    let made = world.patch(&ours, APPLY, &config(json!({"a": "1"}))).await;
    assert_eq!((made.code, &made.body["data"]), (201, &json!({"a": "1"})));
    let again = world.patch(&ours, APPLY, &config(json!({"a": "1"}))).await;
    assert_eq!((again.code, version(&again.body)), (200, version(&made.body)));
    let changed = world.patch(&ours, APPLY, &config(json!({"a": "2"}))).await.done();
    assert_eq!(changed["data"], json!({"a": "2"}));
    assert!(version(&changed) > version(&made.body));
    let dry =
        world.patch(&path(world, "fieldManager=operator&dryRun=All"), APPLY, &config(json!({"a": "3"}))).await.done();
    assert_eq!(dry["data"], json!({"a": "3"}));
    assert_eq!(version(&world.get(&path(world, "")).await.done()), version(&changed));
}

pub async fn what_is_no_longer_applied_goes(world: &World) {
    let ours = path(world, "fieldManager=operator&force=true");
    world.patch(&ours, APPLY, &config(json!({"a": "1", "b": "2"}))).await.done();
    let mut less = config(json!({"b": "2"}));
    less["metadata"]["labels"] = json!({"app": "doge", "tier": "money"});
    let left = world.patch(&ours, APPLY, &less).await.done();
    assert_eq!((&left["data"], &left["metadata"]["labels"]["tier"]), (&json!({"b": "2"}), &json!("money")));
    let mut none = config(json!({}));
    none["metadata"]["labels"] = json!({});
    let none = world.patch(&ours, APPLY, &none).await.done();
    assert_eq!((none.get("data"), none["metadata"].get("labels")), (None, None));
}

pub async fn what_others_set_stays(world: &World) {
    let ours = path(world, "fieldManager=operator&force=true");
    world.patch(&ours, APPLY, &config(json!({"a": "1", "b": "2"}))).await.done();
    let theirs = json!({"data": {"b": "3", "c": "4"}, "metadata": {"annotations": {"note": "x"}}});
    world.patch(&path(world, "fieldManager=person"), MERGE, &theirs).await.done();
    // What they changed is theirs now, and stays when we no longer want it.
    let left = world.patch(&ours, APPLY, &config(json!({"a": "1"}))).await.done();
    assert_eq!(left["data"], json!({"a": "1", "b": "3", "c": "4"}));
    assert_eq!(left["metadata"]["annotations"], json!({"note": "x"}));
    // While we want it, we get it.
    let back = world.patch(&ours, APPLY, &config(json!({"a": "1", "b": "2"}))).await.done();
    assert_eq!(back["data"]["b"], "2");
}

pub async fn a_field_of_another_manager_conflicts_unless_forced(world: &World) {
    world.patch(&path(world, "fieldManager=operator"), APPLY, &config(json!({"a": "1"}))).await.done();
    world.patch(&path(world, "fieldManager=person"), MERGE, &json!({"data": {"a": "2"}})).await.done();
    let before = world.get(&path(world, "")).await.done();
    let refused = world.patch(&path(world, "fieldManager=operator"), APPLY, &config(json!({"a": "1"}))).await;
    let message = refused.refused(409, "Conflict");
    assert!(message.starts_with("Apply failed with 1 conflict: conflict with \"person\" using v1"), "{message}");
    assert_eq!(
        (&refused.body["details"]["causes"][0]["reason"], &refused.body["details"]["causes"][0]["field"]),
        (&json!("FieldManagerConflict"), &json!(".data.a"))
    );
    assert_eq!(version(&world.get(&path(world, "")).await.done()), version(&before));
    // To want the same value is no conflict.
    world.patch(&path(world, "fieldManager=third"), APPLY, &config(json!({"a": "2"}))).await.done();
    let forced =
        world.patch(&path(world, "fieldManager=operator&force=true"), APPLY, &config(json!({"a": "1"}))).await.done();
    assert_eq!(forced["data"]["a"], "1");
}

/// Manager, operation and fields of every entry.
fn owners(object: &Value) -> Vec<(String, String, Value)> {
    let entries = object["metadata"]["managedFields"].as_array().unwrap().iter();
    let text = |entry: &Value, field: &str| entry[field].as_str().unwrap().to_owned();
    let mut all: Vec<_> =
        entries.map(|entry| (text(entry, "manager"), text(entry, "operation"), entry["fieldsV1"].clone())).collect();
    all.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
    all
}

pub async fn fields_are_owned_as_written_down(world: &World) {
    let entry = |manager: &str, operation: &str, fields: Value| (manager.to_owned(), operation.to_owned(), fields);
    let applied =
        world.patch(&path(world, "fieldManager=operator"), APPLY, &config(json!({"a": "1", "b": "2"}))).await.done();
    let labels = json!({"f:labels": {"f:app": {}}});
    let ours = json!({"f:metadata": labels, "f:data": {"f:a": {}, "f:b": {}}});
    assert_eq!(owners(&applied), [entry("operator", "Apply", ours)]);
    let theirs = json!({"data": {"b": "3", "c": "4"}, "metadata": {"annotations": {"note": "x"}}});
    let merged = world.patch(&path(world, "fieldManager=person"), MERGE, &theirs).await.done();
    let ours = json!({"f:metadata": labels, "f:data": {"f:a": {}}});
    let theirs = json!({"f:data": {"f:b": {}, "f:c": {}}, "f:metadata": {"f:annotations": {".": {}, "f:note": {}}}});
    assert_eq!(owners(&merged), [entry("operator", "Apply", ours), entry("person", "Update", theirs)]);
    let forced =
        world.patch(&path(world, "fieldManager=operator&force=true"), APPLY, &config(json!({"b": "2"}))).await.done();
    let ours = json!({"f:metadata": labels, "f:data": {"f:b": {}}});
    let theirs = json!({"f:data": {"f:c": {}}, "f:metadata": {"f:annotations": {".": {}, "f:note": {}}}});
    assert_eq!(owners(&forced), [entry("operator", "Apply", ours), entry("person", "Update", theirs)]);

    let object = json!({"metadata": {"name": "made"}, "data": {"a": "1"}});
    let made = world.post(&world.path(CORE, "configmaps?fieldManager=person"), &object).await.done();
    let fields = json!({"f:data": {".": {}, "f:a": {}}});
    assert_eq!(owners(&made), [entry("person", "Update", fields)]);
}

pub async fn items_of_lists_are_merged_by_their_keys(world: &World) {
    let service = |ports: Value| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "doge"}, "spec": {"ports": ports, "selector": {"a": "b"}}});
    let path = |manager: &str| world.path(CORE, &format!("services/doge?fieldManager={manager}"));
    let ours = json!([{"name": "web", "port": 80, "protocol": "TCP"}, {"name": "old", "port": 81, "protocol": "TCP"}]);
    let made = world.patch(&path("operator"), APPLY, &service(ours)).await.done();
    let theirs = json!({"spec": {"ports": [{"name": "more", "port": 82}]}});
    let mut both = service(json!([]));
    both["spec"] = theirs["spec"].clone();
    world.patch(&path("person"), APPLY, &both).await.done();
    let left = world.patch(&path("operator"), APPLY, &service(json!([{"name": "web", "port": 80}]))).await.done();
    let ports: Vec<_> =
        left["spec"]["ports"].as_array().unwrap().iter().map(|port| port["name"].as_str().unwrap()).collect();
    assert_eq!(ports, ["web", "more"]);
    assert_eq!(left["spec"]["clusterIP"], made["spec"]["clusterIP"]);
}

pub async fn an_apply_needs_a_manager_and_the_right_version(world: &World) {
    let nobody = world.patch(&path(world, ""), APPLY, &config(json!({"a": "1"}))).await;
    assert!([400, 422].contains(&nobody.code), "{}", nobody.body);
    let made = world.patch(&path(world, "fieldManager=operator"), APPLY, &config(json!({"a": "1"}))).await.done();
    let mut stale = config(json!({"a": "2"}));
    stale["metadata"]["resourceVersion"] = json!((version(&made) - 1).to_string());
    world.patch(&path(world, "fieldManager=operator"), APPLY, &stale).await.refused(409, "Conflict");
    let mut other = config(json!({"a": "2"}));
    other["metadata"]["uid"] = json!("another");
    world.patch(&path(world, "fieldManager=operator"), APPLY, &other).await.refused(422, "Invalid");
    let mut missing = config(json!({"a": "2"}));
    missing["metadata"] = json!({"name": "btc", "uid": "another"});
    let elsewhere = world.path(CORE, "configmaps/btc?fieldManager=operator");
    world.patch(&elsewhere, APPLY, &missing).await.refused(409, "Conflict");
}

pub async fn the_role_of_a_binding_cannot_change(world: &World) {
    let binding = |role: &str| {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "doge"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": "doge-agent-0", "namespace": world.namespace}],
        })
    };
    let path = world.path(RBAC, "rolebindings/doge?fieldManager=operator&force=true");
    let made = world.patch(&path, APPLY, &binding("doge")).await.done();
    assert_eq!(made["subjects"], binding("doge")["subjects"]);
    world.patch(&path, APPLY, &binding("other")).await.refused(422, "Invalid");
}
