//! WATCH.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::world::{CORE, LEASES, MERGE, OURS, World, lease, pod, uid, version};

pub async fn a_watch_tells_what_happens_from_a_version_on(world: &World) {
    let list = world.get(&world.path(LEASES, "leases")).await.done();
    let made = world.lease("doge").await;
    let mut watch =
        world.watch(&world.path(LEASES, &format!("leases?watch=true&resourceVersion={}", version(&list)))).await;
    let path = world.path(LEASES, "leases/doge");
    let changed = world.patch(&path, MERGE, &json!({"spec": {"leaseDurationSeconds": 3}})).await.done();
    world.patch(&path, MERGE, &json!({"spec": {"leaseDurationSeconds": 3}})).await.done();
    world.delete(&path, &json!({})).await.done();
    let again = world.lease("doge").await;
    let (kind, object) = watch.event().await;
    assert_eq!((kind.as_str(), &object), ("ADDED", &made));
    let (kind, object) = watch.event().await;
    assert_eq!((kind.as_str(), &object), ("MODIFIED", &changed));
    let (kind, object) = watch.event().await;
    assert_eq!((kind.as_str(), uid(&object)), ("DELETED", uid(&made)), "what changed nothing was not told");
    assert!(version(&object) > version(&changed) && version(&object) < version(&again));
    assert_eq!(object["spec"]["leaseDurationSeconds"], json!(3), "as it was last");
    let (kind, object) = watch.event().await;
    assert_eq!((kind.as_str(), uid(&object)), ("ADDED", uid(&again)));
    // From the first event on, the same again.
    let mut later =
        world.watch(&world.path(LEASES, &format!("leases?watch=true&resourceVersion={}", version(&changed)))).await;
    assert_eq!(later.event().await.0, "DELETED");
}

pub async fn a_watch_without_a_version_begins_with_what_is_there(world: &World) {
    let made = world.lease("doge").await;
    for query in ["watch=true", "watch=true&resourceVersion=", "watch=true&resourceVersion=0"] {
        let mut watch = world.watch(&world.path(LEASES, &format!("leases?{query}"))).await;
        let (kind, object) = watch.event().await;
        assert_eq!((kind.as_str(), uid(&object)), ("ADDED", uid(&made)), "{query}");
    }
    let mut watch = world.watch(&world.path(LEASES, "leases?watch=true&resourceVersion=")).await;
    watch.event().await;
    world.lease("btc").await;
    assert_eq!(watch.event().await.1["metadata"]["name"], "btc");
}

pub async fn what_is_no_longer_selected_is_told_as_deleted(world: &World) {
    let made = world.post(&world.path(CORE, "pods"), &pod("doge-0")).await.done();
    let query = format!("pods?watch=true&labelSelector=role%3Dactive&resourceVersion={}", version(&made));
    let mut watch = world.watch(&world.path(CORE, &query)).await;
    let path = world.path(CORE, "pods/doge-0");
    let role = |role| json!({"metadata": {"labels": {"role": role}}});
    let active = world.patch(&path, MERGE, &role("active")).await.done();
    let standby = world.patch(&path, MERGE, &role("standby")).await.done();
    world.patch(&path, MERGE, &role("candidate")).await.done();
    world.patch(&path, MERGE, &role("active")).await.done();
    let (kind, object) = watch.event().await;
    assert_eq!((kind.as_str(), version(&object)), ("ADDED", version(&active)));
    // The scheduler writes a status to it meanwhile.
    let (kind, object) = loop {
        let (kind, object) = watch.event().await;
        if kind != "MODIFIED" {
            break (kind, object);
        }
    };
    assert_eq!((kind.as_str(), &object["metadata"]["labels"]["role"]), ("DELETED", &json!("active")));
    assert_eq!(version(&object), version(&standby));
    assert_eq!(watch.event().await.0, "ADDED");
}

pub async fn one_object_is_watched_by_its_name(world: &World) {
    let list = world.get(&world.path(LEASES, "leases")).await.done();
    let query = format!("leases?watch=true&fieldSelector=metadata.name%3Ddoge&resourceVersion={}", version(&list));
    let mut watch = world.watch(&world.path(LEASES, &query)).await;
    world.lease("btc").await;
    let made = world.lease("doge").await;
    assert_eq!(watch.event().await, ("ADDED".to_owned(), made));
}

pub async fn a_watch_ends_in_time_after_a_bookmark(world: &World) {
    let made = world.lease("doge").await;
    let from = version(&made);
    let path = |query: &str| world.path(LEASES, &format!("leases?watch=true&resourceVersion={from}&{query}"));
    let began = Instant::now();
    let mut watch = world.watch(&path("timeoutSeconds=10&allowWatchBookmarks=true")).await;
    let mark = watch.next().await.expect("a bookmark");
    assert_eq!((&mark["type"], &mark["object"]["kind"]), (&json!("BOOKMARK"), &json!("Lease")), "{mark}");
    assert!(version(&mark["object"]) >= from);
    while let Some(more) = watch.next().await {
        assert_eq!(more["type"], "BOOKMARK", "{more}");
    }
    let took = began.elapsed();
    assert!((Duration::from_secs(9)..Duration::from_secs(15)).contains(&took), "{took:?}");
    let mut watch = world.watch(&path("timeoutSeconds=5")).await;
    assert_eq!(watch.next().await, None, "nobody asked for bookmarks");
}

pub async fn metadata_alone_is_told(world: &World) {
    let list = world.get(&world.path(LEASES, "leases")).await.done();
    let path = world.path(LEASES, &format!("leases?watch=true&resourceVersion={}", version(&list)));
    let mut watch = world.watch_as(&path, "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1").await;
    let made = world.lease("doge").await;
    let (kind, object) = watch.event().await;
    assert_eq!((kind.as_str(), &object["kind"], object.get("spec")), ("ADDED", &json!("PartialObjectMetadata"), None));
    assert_eq!((uid(&object), version(&object)), (uid(&made), version(&made)));
}

pub async fn a_version_that_is_forgotten_is_told_as_an_error(world: &World) {
    let mut watch = world.watch(&world.path(OURS, "tradingbots?watch=true&resourceVersion=1")).await;
    let (kind, status) = watch.event().await;
    assert_eq!((kind.as_str(), &status["code"], &status["reason"]), ("ERROR", &json!(410), &json!("Expired")));
    let message = status["message"].as_str().unwrap();
    assert!(message.starts_with("too old resource version: 1 ("), "{message}");
    assert_eq!(watch.next().await, None);
}

pub async fn a_list_can_be_streamed(world: &World) {
    let made = world.lease("doge").await;
    let query = "leases?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=20";
    let mut watch = world.watch(&world.path(LEASES, query)).await;
    let first = watch.next().await.expect("an event");
    assert_eq!((&first["type"], uid(&first["object"])), (&json!("ADDED"), uid(&made)));
    let mark = watch.next().await.expect("a bookmark");
    assert_eq!(mark["type"], "BOOKMARK");
    assert_eq!(mark["object"]["metadata"]["annotations"], json!({"k8s.io/initial-events-end": "true"}));
    let other = world.post(&world.path(LEASES, "leases"), &lease("btc")).await.done();
    assert!(version(&mark["object"]) < version(&other));
    assert_eq!(uid(&watch.event().await.1), uid(&other));
}

pub async fn a_watch_of_all_namespaces_sees_ours(world: &World) {
    let list = world.get(&format!("{CORE}/configmaps?limit=1")).await.done();
    let mut watch = world.watch(&format!("{CORE}/configmaps?watch=true&resourceVersion={}", version(&list))).await;
    let made = world.config_map("doge", json!({})).await;
    loop {
        let (_, object) = watch.event().await;
        if object["metadata"]["namespace"] == json!(world.namespace) && object["metadata"]["name"] == "doge" {
            assert_eq!(version(&object), version(&made));
            break;
        }
    }
}
