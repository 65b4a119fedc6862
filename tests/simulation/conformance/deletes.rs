//! DELETE.

use serde_json::json;

use super::world::{CORE, JSON_PATCH, LEASES, MERGE, OURS, World, bot, pod, uid, version};

pub async fn what_is_deleted_is_gone(world: &World) {
    let path = world.path(LEASES, "leases/doge");
    let made = world.lease("doge").await;
    let answer = world.delete(&path, &json!({})).await;
    assert_eq!((answer.code, &answer.body["kind"], &answer.body["status"]), (200, &json!("Status"), &json!("Success")));
    let details = json!({"name": "doge", "group": "coordination.k8s.io", "kind": "leases", "uid": uid(&made)});
    assert_eq!(answer.body["details"], details);
    world.get(&path).await.refused(404, "NotFound");
    let again = world.delete(&path, &json!({})).await;
    assert_eq!(again.refused(404, "NotFound"), "leases.coordination.k8s.io \"doge\" not found");
    assert_ne!(uid(&world.lease("doge").await), uid(&made), "another one under the name");
}

pub async fn preconditions_are_kept(world: &World) {
    let path = world.path(LEASES, "leases/doge");
    let made = world.lease("doge").await;
    let other = world.delete(&path, &json!({"preconditions": {"uid": "another"}})).await;
    let wanted = format!(
        "Operation cannot be fulfilled on Lease.coordination.k8s.io \"doge\": the UID in the precondition (another) does \
         not match the UID in record ({}). The object might have been deleted and then recreated",
        uid(&made)
    );
    assert_eq!(other.refused(409, "Conflict"), wanted);
    let older = (version(&made) - 1).to_string();
    let late = world.delete(&path, &json!({"preconditions": {"resourceVersion": older}})).await;
    let message = late.refused(409, "Conflict");
    assert!(message.contains(&format!("the ResourceVersion in the precondition ({older})")), "{message}");
    let this_one = json!({"preconditions": {"uid": uid(&made), "resourceVersion": version(&made).to_string()}});
    world.delete(&path, &this_one).await.done();
    world.delete(&path, &this_one).await.refused(404, "NotFound");
}

pub async fn a_finalizer_holds_an_object(world: &World) {
    let path = world.path(OURS, "tradingbots/doge");
    let mut object = bot("doge");
    object["metadata"]["finalizers"] = json!(["tradingbot.io/fence"]);
    let made = world.post(&world.path(OURS, "tradingbots"), &object).await.done();
    let mut watch =
        world.watch(&world.path(OURS, &format!("tradingbots?watch=true&resourceVersion={}", version(&made)))).await;
    let answer = world.delete(&path, &json!({"propagationPolicy": "Background"})).await;
    assert_eq!(answer.code, 200);
    let dying = world.get(&path).await.done();
    assert!(dying["metadata"]["deletionTimestamp"].is_string(), "{dying}");
    assert_eq!(
        (&dying["metadata"]["deletionGracePeriodSeconds"], &dying["metadata"]["generation"]),
        (&json!(0), &json!(2))
    );
    let again = world.delete(&path, &json!({"propagationPolicy": "Background"})).await.done();
    assert_eq!(version(&again), version(&dying), "it is being deleted already");
    let more = json!({"metadata": {"finalizers": ["tradingbot.io/fence", "example.com/other"]}});
    let message = world.patch(&path, MERGE, &more).await.refused(422, "Invalid");
    assert!(message.contains("no new finalizers can be added if the object is being deleted"), "{message}");
    let last = json!([
        {"op": "test", "path": "/metadata/uid", "value": uid(&made)},
        {"op": "test", "path": "/metadata/finalizers/0", "value": "tradingbot.io/fence"},
        {"op": "remove", "path": "/metadata/finalizers/0"},
    ]);
    let end = world.patch(&path, JSON_PATCH, &last).await.done();
    assert_eq!(end["metadata"].get("finalizers"), None);
    world.get(&path).await.refused(404, "NotFound");
    let (kind, object) = watch.event().await;
    assert_eq!((kind.as_str(), version(&object)), ("MODIFIED", version(&dying)));
    let (kind, object) = watch.event().await;
    assert_eq!((kind.as_str(), uid(&object)), ("DELETED", uid(&made)));
    assert!(version(&object) > version(&dying));
}

pub async fn a_pod_that_runs_nowhere_goes_at_once(world: &World) {
    let path = world.path(CORE, "pods/doge-0");
    let made = world.post(&world.path(CORE, "pods"), &pod("doge-0")).await.done();
    let answer = world.delete(&path, &json!({})).await;
    assert_eq!((answer.code, &answer.body["kind"], uid(&answer.body)), (200, &json!("Pod"), uid(&made)));
    world.get(&path).await.refused(404, "NotFound");
}

pub async fn a_pod_on_a_node_has_time_to_end(world: &World) {
    let path = world.path(CORE, "pods/doge-0");
    let mut object = pod("doge-0");
    object["spec"]["nodeName"] = json!("a-node-that-is-not-there");
    object["spec"]["terminationGracePeriodSeconds"] = json!(600);
    let made = world.post(&world.path(CORE, "pods"), &object).await.done();
    let answer = world.delete(&path, &json!({"preconditions": {"uid": uid(&made)}})).await;
    assert_eq!((answer.code, &answer.body["kind"]), (200, &json!("Pod")));
    let meta = &answer.body["metadata"];
    assert_eq!((&meta["deletionGracePeriodSeconds"], meta["deletionTimestamp"].is_string()), (&json!(600), true));
    assert!(version(&answer.body) > version(&made));
    let created = meta["creationTimestamp"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let end = meta["deletionTimestamp"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert!((590..=700).contains(&end.duration_since(created).as_secs()), "the time at which it is to be gone");
    let again = world.delete(&path, &json!({})).await.done();
    assert_eq!(again["metadata"]["deletionTimestamp"], meta["deletionTimestamp"]);
    let sooner = world.delete(&path, &json!({"gracePeriodSeconds": 300})).await.done();
    assert_eq!(sooner["metadata"]["deletionGracePeriodSeconds"], json!(300));
    let longer = world.delete(&path, &json!({"gracePeriodSeconds": 900})).await.done();
    assert_eq!(longer["metadata"]["deletionGracePeriodSeconds"], json!(300));
    let forced = world.delete(&path, &json!({"gracePeriodSeconds": 0})).await.done();
    assert_eq!(uid(&forced), uid(&made));
    world.get(&path).await.refused(404, "NotFound");
}

pub async fn many_are_deleted_by_label(world: &World) {
    world.config_map("a", json!({"labels": {"app": "doge"}})).await;
    world.config_map("b", json!({"labels": {"app": "doge"}})).await;
    world.config_map("c", json!({"labels": {"app": "btc"}})).await;
    world.delete(&world.path(CORE, "configmaps?labelSelector=app%3Ddoge"), &json!({})).await.done();
    world.gone(&world.path(CORE, "configmaps/a")).await;
    world.gone(&world.path(CORE, "configmaps/b")).await;
    world.get(&world.path(CORE, "configmaps/c")).await.done();
}
