//! PATCH with a merge patch or a JSON Patch.

use http::Method;
use serde_json::{Value, json};

use super::world::{CORE, JSON_PATCH, LEASES, MERGE, OURS, World, bot, pod, uid, version};

pub async fn a_merge_sets_and_removes(world: &World) {
    let path = world.path(CORE, "pods/doge-0");
    let made = world.post(&world.path(CORE, "pods"), &pod("doge-0")).await.done();
    let set = json!({"metadata": {"labels": {"role": "active"}}});
    let answer = world.patch(&path, MERGE, &set).await;
    assert_eq!((answer.code, &answer.body["metadata"]["labels"]["app"]), (200, &json!("conformance")));
    assert_eq!(
        (&answer.body["metadata"]["labels"]["role"], &answer.body["metadata"]["generation"]),
        (&json!("active"), &json!(1))
    );
    assert!(version(&answer.body) > version(&made));
    let again = world.patch(&path, MERGE, &set).await.done();
    assert_eq!(version(&again), version(&answer.body), "nothing has changed");
    let removed = world.patch(&path, MERGE, &json!({"metadata": {"labels": {"role": null}}})).await.done();
    assert_eq!(removed["metadata"]["labels"], json!({"app": "conformance"}));
}

pub async fn a_merge_names_an_object_by_uid_or_version(world: &World) {
    let path = world.path(CORE, "pods/doge-0");
    let made = world.post(&world.path(CORE, "pods"), &pod("doge-0")).await.done();
    let role = |meta: Value| {
        let mut patch = json!({"metadata": meta});
        patch["metadata"]["labels"] = json!({"role": "standby"});
        patch
    };
    let refused = world.patch(&path, MERGE, &role(json!({"uid": "another"}))).await.refused(422, "Invalid");
    assert!(refused.contains("metadata.uid: Invalid value: \"another\": field is immutable"), "{refused}");
    let stale = json!({"resourceVersion": (version(&made) - 1).to_string()});
    let message = world.patch(&path, MERGE, &role(stale)).await.refused(409, "Conflict");
    assert!(message.contains("the object has been modified"), "{message}");
    let right = json!({"uid": uid(&made), "resourceVersion": version(&made).to_string()});
    assert_eq!(world.patch(&path, MERGE, &role(right)).await.done()["metadata"]["labels"]["role"], "standby");
    // Our own kinds answer the same.
    world.post(&world.path(OURS, "tradingbots"), &bot("doge")).await.done();
    let path = world.path(OURS, "tradingbots/doge");
    world.patch(&path, MERGE, &role(json!({"uid": "another"}))).await.refused(422, "Invalid");
    world.patch(&path, MERGE, &role(json!({"resourceVersion": "1"}))).await.refused(409, "Conflict");
}

pub async fn a_patch_of_nothing_is_not_found(world: &World) {
    let path = world.path(LEASES, "leases/doge");
    let message =
        world.patch(&path, MERGE, &json!({"metadata": {"labels": {"a": "b"}}})).await.refused(404, "NotFound");
    assert_eq!(message, "leases.coordination.k8s.io \"doge\" not found");
    let test = json!([{"op": "test", "path": "/spec/holderIdentity", "value": "x"}]);
    world.patch(&path, JSON_PATCH, &test).await.refused(404, "NotFound");
}

pub async fn a_test_that_fails_changes_nothing(world: &World) {
    let path = world.path(LEASES, "leases/doge");
    let made = world.lease("doge").await;
    let patch = json!([
        {"op": "add", "path": "/spec/leaseDurationSeconds", "value": 3},
        {"op": "test", "path": "/spec/holderIdentity", "value": "doge-1/u1"},
    ]);
    let answer = world.patch(&path, JSON_PATCH, &patch).await;
    let wanted = "the server rejected our request due to an error in our request";
    assert_eq!(answer.refused(422, "Invalid"), wanted);
    let absent = json!([{"op": "test", "path": "/metadata/annotations/tradingbot.io~1boot", "value": ""}]);
    world.patch(&path, JSON_PATCH, &absent).await.refused(422, "Invalid");
    assert_eq!(version(&world.get(&path).await.done()), version(&made));
}

pub async fn a_renewal_is_a_patch_that_tests(world: &World) {
    let path = world.path(LEASES, "leases/doge");
    let made = world.lease("doge").await;
    let notes = json!({"metadata": {"annotations": {"tradingbot.io/boot": "u0/n", "tradingbot.io/epoch": "3"}}});
    world.patch(&path, MERGE, &notes).await.done();
    let patch = json!([
        {"op": "test", "path": "/spec/holderIdentity", "value": "doge-0/u0"},
        {"op": "test", "path": "/metadata/annotations/tradingbot.io~1boot", "value": "u0/n"},
        {"op": "add", "path": "/metadata/annotations/tradingbot.io~1renew", "value": "u0/n/7"},
        {"op": "add", "path": "/spec/renewTime", "value": "2026-01-01T00:00:01.000000Z"},
        {"op": "add", "path": "/spec/holderIdentity", "value": ""},
    ]);
    let answer = world.patch(&path, JSON_PATCH, &patch).await;
    assert_eq!((answer.code, &answer.body["kind"]), (200, &json!("Lease")));
    assert_eq!(answer.body["metadata"]["annotations"]["tradingbot.io/renew"], "u0/n/7");
    assert_eq!(answer.body["spec"]["holderIdentity"], "", "a place that is empty is still tested for");
    assert!(version(&answer.body) > version(&made));
    let repeated = json!([
        {"op": "test", "path": "/spec/holderIdentity", "value": ""},
        {"op": "add", "path": "/spec/renewTime", "value": "2026-01-01T00:00:01.000000Z"},
    ]);
    let again = world.patch(&path, JSON_PATCH, &repeated).await.done();
    assert_eq!(version(&again), version(&answer.body), "the same value again is no change");
}

pub async fn a_path_that_leads_nowhere_is_refused(world: &World) {
    world.config_map("doge", json!({})).await;
    let path = world.path(CORE, "configmaps/doge");
    for operation in [
        json!({"op": "add", "path": "/metadata/annotations/note", "value": "x"}),
        json!({"op": "remove", "path": "/data/nothing"}),
        json!({"op": "replace", "path": "/metadata/annotations/note", "value": "x"}),
        json!({"op": "remove", "path": "/metadata/finalizers/0"}),
    ] {
        let answer = world.patch(&path, JSON_PATCH, &json!([operation])).await;
        assert_eq!(answer.code, 422, "{operation}: {}", answer.body);
    }
    // What is not there is replaced where it could be.
    let replace = json!([{"op": "replace", "path": "/data/nothing", "value": "x"}]);
    assert_eq!(world.patch(&path, JSON_PATCH, &replace).await.done()["data"], json!({"a": "1", "nothing": "x"}));
}

pub async fn what_cannot_be_read_is_refused(world: &World) {
    world.lease("doge").await;
    let path = world.path(LEASES, "leases/doge");
    let send =
        async |kind: &str, body: &str| world.ask(Method::PATCH, &path, kind, "application/json", body.into()).await;
    send(MERGE, "{").await.refused(400, "BadRequest");
    send(JSON_PATCH, "{}").await.refused(400, "BadRequest");
    assert_eq!(send("text/plain", "{}").await.code, 415);
    let coarse = json!([{"op": "add", "path": "/spec/renewTime", "value": "2026-01-01T00:00:01Z"}]);
    let answer = world.patch(&path, JSON_PATCH, &coarse).await;
    answer.refused(422, "Invalid");
    let no_number = world.patch(&path, MERGE, &json!({"spec": {"leaseDurationSeconds": "long"}})).await;
    no_number.refused(422, "Invalid");
    let elsewhere = world.patch(&path, MERGE, &json!({"metadata": {"name": "btc"}})).await;
    elsewhere.refused(400, "BadRequest");
}

pub async fn a_status_is_patched_apart(world: &World) {
    world.post(&world.path(OURS, "tradingbots"), &bot("doge")).await.done();
    let patch = json!({"status": {"phase": "Preparing", "epoch": 3}, "spec": {"replicas": 5}});
    let main = world.patch(&world.path(OURS, "tradingbots/doge"), MERGE, &patch).await.done();
    assert_eq!(
        (main.get("status"), &main["spec"]["replicas"], &main["metadata"]["generation"]),
        (None, &json!(5), &json!(2))
    );
    let patch = json!({"status": {"phase": "Preparing", "epoch": 3}, "spec": {"replicas": 7}});
    let status = world.patch(&world.path(OURS, "tradingbots/doge/status"), MERGE, &patch).await.done();
    assert_eq!((&status["status"]["epoch"], &status["spec"]["replicas"]), (&json!(3), &json!(5)));
    assert_eq!(status["metadata"]["generation"], json!(2));
}
