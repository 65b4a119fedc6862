//! GET and LIST.

use http::Method;
use serde_json::{Value, json};

use super::world::{CORE, LEASES, OURS, World, bot, uid, version};

pub async fn what_is_not_there_is_not_found(world: &World) {
    let missing = world.get(&world.path(LEASES, "leases/doge")).await;
    assert_eq!(missing.refused(404, "NotFound"), "leases.coordination.k8s.io \"doge\" not found");
    assert_eq!(missing.body["details"], json!({"name": "doge", "group": "coordination.k8s.io", "kind": "leases"}));
    let missing = world.get(&world.path(CORE, "pods/doge")).await;
    assert_eq!(missing.refused(404, "NotFound"), "pods \"doge\" not found");
    assert_eq!(missing.body["details"], json!({"name": "doge", "kind": "pods"}));
    assert_eq!(world.get(&world.path(LEASES, "trades")).await.code, 404);
}

pub async fn a_list_has_a_version_and_says_once_what_its_items_are(world: &World) {
    let made = world.lease("doge").await;
    let list = world.get(&world.path(LEASES, "leases")).await.done();
    assert_eq!((&list["kind"], &list["apiVersion"]), (&json!("LeaseList"), &json!("coordination.k8s.io/v1")));
    assert!(version(&list) >= version(&made));
    let [item] = list["items"].as_array().unwrap().as_slice() else { panic!("{list}") };
    assert_eq!((item.get("kind"), &item["metadata"]["name"]), (None, &json!("doge")));

    world.post(&world.path(OURS, "tradingbots"), &bot("doge")).await.done();
    let list = world.get(&world.path(OURS, "tradingbots")).await.done();
    assert_eq!((&list["kind"], &list["items"][0]["kind"]), (&json!("TradingBotList"), &json!("TradingBot")));
    // An empty list is an array, too.
    assert_eq!(world.get(&world.path(OURS, "tradingbotoperations")).await.done()["items"], json!([]));
}

fn names(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|item| item["metadata"]["name"].as_str().unwrap()).collect()
}

pub async fn labels_and_fields_select(world: &World) {
    for (name, labels) in [("a", json!({"role": "active"})), ("b", json!({"role": "standby"})), ("c", json!({}))] {
        world.config_map(name, json!({"labels": labels})).await;
    }
    let ours = "metadata.name!=kube-root-ca.crt";
    for (labels, fields, wanted) in [
        ("role", ours, vec!["a", "b"]),
        ("role%3Dactive", ours, vec!["a"]),
        ("role!%3Dactive", ours, vec!["b", "c"]),
        ("role%20in%20(active,standby)", ours, vec!["a", "b"]),
        ("role%20notin%20(active)", ours, vec!["b", "c"]),
        ("!role", ours, vec!["c"]),
        ("", "metadata.name%3Db", vec!["b"]),
        ("role%3Dactive", "metadata.name%3Db", vec![]),
    ] {
        let path = world.path(CORE, &format!("configmaps?labelSelector={labels}&fieldSelector={fields}"));
        assert_eq!(names(&world.get(&path).await.done()), wanted, "{labels} {fields}");
    }
    let ask = async |group: &str, kind: &str| {
        let answer = world.get(&world.path(group, &format!("{kind}?fieldSelector=spec.x%3Dx"))).await;
        answer.refused(400, "BadRequest")
    };
    assert!(ask(LEASES, "leases").await.contains("\"spec.x\" is not a known field selector"));
    assert!(ask(CORE, "pods").await.contains("field label not supported: spec.x"));
    assert!(ask(OURS, "tradingbots").await.contains("field label not supported: spec.x"));
}

pub async fn a_list_comes_in_pages_of_one_version(world: &World) {
    for name in ["a", "b", "c"] {
        world.lease(name).await;
    }
    let page = world.get(&world.path(LEASES, "leases?limit=2")).await.done();
    assert_eq!((names(&page), &page["metadata"]["remainingItemCount"]), (vec!["a", "b"], &json!(1)));
    world.delete(&world.path(LEASES, "leases/c"), &json!({})).await.done();
    let token = page["metadata"]["continue"].as_str().unwrap();
    let rest = world.get(&world.path(LEASES, &format!("leases?limit=2&continue={token}"))).await.done();
    assert_eq!((names(&rest), rest["metadata"].get("continue")), (vec!["c"], None), "as it was at the first page");
    assert_eq!(version(&rest), version(&page));
    let unreadable = world.get(&world.path(LEASES, "leases?limit=2&continue=nonsense")).await;
    unreadable.refused(400, "BadRequest");
}

pub async fn metadata_alone_can_be_asked_for(world: &World) {
    let made = world.lease("doge").await;
    let one = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
    let found =
        world.ask(Method::GET, &world.path(LEASES, "leases/doge"), "application/json", one, vec![]).await.done();
    assert_eq!((&found["kind"], &found["apiVersion"]), (&json!("PartialObjectMetadata"), &json!("meta.k8s.io/v1")));
    assert_eq!((uid(&found), found.get("spec")), (uid(&made), None));
    let many = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
    let list = world.ask(Method::GET, &world.path(LEASES, "leases"), "application/json", many, vec![]).await.done();
    assert_eq!((&list["kind"], list["items"][0].get("spec")), (&json!("PartialObjectMetadataList"), None));
    assert_eq!(list["items"][0]["kind"], "PartialObjectMetadata");
    let missing = world.ask(Method::GET, &world.path(LEASES, "leases/x"), "application/json", one, vec![]).await;
    missing.refused(404, "NotFound");
}

pub async fn a_version_in_the_past_will_do_and_one_in_the_future_will_not(world: &World) {
    let made = world.lease("doge").await;
    for query in ["resourceVersion=0".to_owned(), format!("resourceVersion={}", version(&made))] {
        world
            .soon("the cache has it", async || {
                let found = world.get(&world.path(LEASES, &format!("leases/doge?{query}"))).await;
                found.code == 200 && uid(&found.body) == uid(&made)
            })
            .await;
        let list = world.get(&world.path(LEASES, &format!("leases?{query}"))).await.done();
        assert_eq!(names(&list), ["doge"]);
    }
    let future = version(&made) + 1_000_000;
    let list = world.get(&world.path(LEASES, &format!("leases?resourceVersion={future}"))).await;
    assert!(list.refused(504, "Timeout").contains("Too large resource version"));
    assert_eq!(list.body["details"]["causes"][0]["reason"], "ResourceVersionTooLarge");
}
