//! PUT.

use serde_json::json;

use super::world::{BATCH, CORE, LEASES, OURS, RBAC, World, bot, lease, pod, uid, version};

pub async fn an_older_version_conflicts(world: &World) {
    let path = world.path(LEASES, "leases/doge");
    let mut first = world.lease("doge").await;
    first["spec"]["holderIdentity"] = json!("doge-1/u1");
    let second = world.put(&path, &first).await;
    assert_eq!(second.code, 200);
    assert!(version(&second.body) > version(&first));
    assert_eq!((uid(&second.body), &second.body["spec"]["holderIdentity"]), (uid(&first), &json!("doge-1/u1")));
    first["spec"]["holderIdentity"] = json!("doge-2/u2");
    let late = world.put(&path, &first).await;
    let wanted = "Operation cannot be fulfilled on leases.coordination.k8s.io \"doge\": the object has been modified; \
                  please apply your changes to the latest version and try again";
    assert_eq!(late.refused(409, "Conflict"), wanted);
    assert_eq!(late.body["details"], json!({"name": "doge", "group": "coordination.k8s.io", "kind": "leases"}));
    assert_eq!(version(&world.get(&path).await.done()), version(&second.body));
}

pub async fn without_a_version_only_some_kinds_are_replaced(world: &World) {
    world.lease("doge").await;
    let refused = world.put(&world.path(LEASES, "leases/doge"), &lease("doge")).await;
    let wanted = "metadata.resourceVersion: Invalid value: 0: must be specified for an update";
    assert!(refused.refused(422, "Invalid").ends_with(wanted), "{}", refused.body);
    assert_eq!(refused.body["details"]["causes"][0]["field"], "metadata.resourceVersion");
    world.post(&world.path(OURS, "tradingbots"), &bot("doge")).await.done();
    world.put(&world.path(OURS, "tradingbots/doge"), &bot("doge")).await.refused(422, "Invalid");
    world.config_map("doge", json!({})).await;
    let other = json!({"metadata": {"name": "doge"}, "data": {"b": "2"}});
    let replaced = world.put(&world.path(CORE, "configmaps/doge"), &other).await.done();
    assert_eq!(replaced["data"], json!({"b": "2"}));
    let role =
        json!({"metadata": {"name": "doge"}, "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]});
    world.post(&world.path(RBAC, "roles"), &role).await.done();
    world.put(&world.path(RBAC, "roles/doge"), &role).await.done();
}

pub async fn what_changes_nothing_keeps_its_version(world: &World) {
    let made = world.lease("doge").await;
    let again = world.put(&world.path(LEASES, "leases/doge"), &made).await.done();
    assert_eq!(version(&again), version(&made));
    let made = world.config_map("doge", json!({})).await;
    let unversioned = json!({"metadata": {"name": "doge"}, "data": {"a": "1"}});
    let again = world.put(&world.path(CORE, "configmaps/doge"), &unversioned).await.done();
    assert_eq!(version(&again), version(&made));
}

pub async fn a_name_or_uid_of_another_object_is_refused(world: &World) {
    let mut made = world.lease("doge").await;
    let message = world.put(&world.path(LEASES, "leases/btc"), &made).await.refused(400, "BadRequest");
    assert_eq!(message, "the name of the object (doge) does not match the name on the URL (btc)");
    let true_uid = uid(&made);
    made["metadata"]["uid"] = json!("another");
    let message = world.put(&world.path(LEASES, "leases/doge"), &made).await.refused(409, "Conflict");
    let wanted = format!(
        "Operation cannot be fulfilled on leases.coordination.k8s.io \"doge\": StorageError: invalid object, Code: 4, Key: \
         /registry/leases/{}/doge, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: \
         another, UID in object meta: {true_uid}",
        world.namespace
    );
    assert_eq!(message, wanted);
}

pub async fn a_lease_that_is_gone_is_made_again_unless_its_uid_is_named(world: &World) {
    let path = world.path(LEASES, "leases/doge");
    let made = world.lease("doge").await;
    world.delete(&path, &json!({})).await.done();
    world.put(&path, &made).await.refused(409, "Conflict");
    world.get(&path).await.refused(404, "NotFound");
    let answer = world.put(&path, &lease("doge")).await;
    assert_eq!(answer.code, 201);
    assert_ne!(uid(&answer.body), uid(&made));
    world
        .put(&world.path(CORE, "configmaps/doge"), &json!({"metadata": {"name": "doge"}}))
        .await
        .refused(404, "NotFound");
    world.put(&world.path(OURS, "tradingbots/doge"), &bot("doge")).await.refused(404, "NotFound");
}

pub async fn the_generation_counts_changes_of_the_contents(world: &World) {
    let path = world.path(OURS, "tradingbots/doge");
    let mut object = world.post(&world.path(OURS, "tradingbots"), &bot("doge")).await.done();
    object["metadata"]["labels"] = json!({"a": "b"});
    object["metadata"]["generation"] = json!(7);
    let mut object = world.put(&path, &object).await.done();
    assert_eq!(object["metadata"]["generation"], json!(1));
    object["spec"]["replicas"] = json!(3);
    let object = world.put(&path, &object).await.done();
    assert_eq!(object["metadata"]["generation"], json!(2));
}

pub async fn the_status_of_a_bot_is_written_apart(world: &World) {
    let path = world.path(OURS, "tradingbots/doge");
    let status = world.path(OURS, "tradingbots/doge/status");
    world.put(&status, &bot("doge")).await.refused(404, "NotFound");
    let mut object = world.post(&world.path(OURS, "tradingbots"), &bot("doge")).await.done();
    let first = object.clone();
    object["status"] = json!({"phase": "Preparing", "epoch": 3});
    object["spec"]["replicas"] = json!(5);
    object["metadata"]["labels"] = json!({"a": "b"});
    let written = world.put(&status, &object).await.done();
    assert_eq!((&written["status"]["epoch"], &written["spec"]["replicas"]), (&json!(3), &json!(2)));
    assert_eq!((written["metadata"].get("labels"), &written["metadata"]["generation"]), (None, &json!(1)));
    assert!(version(&written) > version(&first));
    world.put(&status, &object).await.refused(409, "Conflict");
    let mut again = written.clone();
    let same = world.put(&status, &again).await.done();
    assert_eq!(version(&same), version(&written));
    again["status"] = json!({"phase": "Trading", "epoch": 9});
    let without = world.put(&path, &again).await.done();
    assert_eq!((&without["status"]["epoch"], version(&without)), (&json!(3), version(&written)));
}

pub async fn the_status_of_a_built_in_kind_takes_metadata_along(world: &World) {
    let mut template = pod("x");
    template["spec"]["restartPolicy"] = json!("Never");
    let object =
        json!({"metadata": {"name": "doge"}, "spec": {"suspend": true, "template": {"spec": template["spec"]}}});
    world.post(&world.path(BATCH, "jobs"), &object).await.done();
    let status = world.path(BATCH, "jobs/doge/status");
    // The Job's controller writes to it, too.
    world
        .soon("a status that is written", async || {
            let mut job = world.get(&world.path(BATCH, "jobs/doge")).await.done();
            job["metadata"]["labels"] = json!({"a": "b"});
            job["spec"]["suspend"] = json!(false);
            job["status"]["failed"] = json!(0);
            let answer = world.put(&status, &job).await;
            assert!(answer.code == 409 || answer.body["metadata"]["labels"]["a"] == "b", "{}", answer.body);
            assert!(answer.code == 409 || answer.body["spec"]["suspend"] == true, "{}", answer.body);
            answer.code == 200
        })
        .await;
}
