//! What becomes of objects whose owners are deleted.

use serde_json::{Value, json};

use super::world::{BATCH, CORE, LEASES, MERGE, World, pod, uid};

fn owned_by(owners: &[(&Value, bool)]) -> Value {
    let one = |(owner, blocks): &(&Value, bool)| {
        json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "name": owner["metadata"]["name"], "uid": uid(owner),
            "blockOwnerDeletion": blocks,
        })
    };
    json!({"ownerReferences": owners.iter().map(one).collect::<Vec<_>>()})
}

pub async fn dependents_go_with_their_owner(world: &World) {
    let owner = world.lease("doge").await;
    world.config_map("kept", json!({})).await;
    world.config_map("owned", owned_by(&[(&owner, false)])).await;
    world.delete(&world.path(LEASES, "leases/doge"), &json!({})).await.done();
    world.gone(&world.path(CORE, "configmaps/owned")).await;
    world.get(&world.path(CORE, "configmaps/kept")).await.done();
}

pub async fn orphans_stay_and_forget_their_owner(world: &World) {
    let owner = world.lease("doge").await;
    world.config_map("owned", owned_by(&[(&owner, false)])).await;
    world.delete(&world.path(LEASES, "leases/doge"), &json!({"propagationPolicy": "Orphan"})).await.done();
    world.gone(&world.path(LEASES, "leases/doge")).await;
    let orphan = world.get(&world.path(CORE, "configmaps/owned")).await.done();
    assert_eq!(orphan["metadata"].get("ownerReferences"), None);
}

pub async fn an_owner_waits_for_its_dependents_in_the_foreground(world: &World) {
    let owner = world.lease("doge").await;
    let mut meta = owned_by(&[(&owner, true)]);
    meta["finalizers"] = json!(["example.com/hold"]);
    world.config_map("owned", meta).await;
    let answer =
        world.delete(&world.path(LEASES, "leases/doge"), &json!({"propagationPolicy": "Foreground"})).await.done();
    assert_eq!(answer["metadata"]["finalizers"], json!(["foregroundDeletion"]));
    let owned = world.path(CORE, "configmaps/owned");
    world
        .soon("the dependent is being deleted", async || {
            world.get(&owned).await.done()["metadata"].get("deletionTimestamp").is_some()
        })
        .await;
    world.get(&world.path(LEASES, "leases/doge")).await.done();
    world.patch(&owned, MERGE, &json!({"metadata": {"finalizers": null}})).await.done();
    world.gone(&owned).await;
    world.gone(&world.path(LEASES, "leases/doge")).await;
}

pub async fn what_names_an_owner_that_never_was_goes(world: &World) {
    let mut owner = world.lease("doge").await;
    owner["metadata"]["uid"] = json!("00000000-0000-4000-8000-000000000000");
    world.config_map("owned", owned_by(&[(&owner, false)])).await;
    world.gone(&world.path(CORE, "configmaps/owned")).await;
}

pub async fn one_owner_of_two_is_forgotten(world: &World) {
    let (first, second) = (world.lease("doge").await, world.lease("btc").await);
    world.config_map("owned", owned_by(&[(&first, false), (&second, false)])).await;
    world.delete(&world.path(LEASES, "leases/doge"), &json!({})).await.done();
    let owned = world.path(CORE, "configmaps/owned");
    world
        .soon("one owner is left", async || {
            let owners = world.get(&owned).await.done()["metadata"]["ownerReferences"].clone();
            owners.as_array().is_some_and(|owners| owners.len() == 1 && owners[0]["uid"] == uid(&second))
        })
        .await;
}

pub async fn a_job_lets_its_pods_be_unless_told_otherwise(world: &World) {
    let mut template = pod("x");
    template["spec"]["restartPolicy"] = json!("Never");
    for (name, options, stays) in
        [("quiet", json!({}), true), ("told", json!({"propagationPolicy": "Background"}), false)]
    {
        let object =
            json!({"metadata": {"name": name}, "spec": {"suspend": true, "template": {"spec": template["spec"]}}});
        let job = world.post(&world.path(BATCH, "jobs"), &object).await.done();
        let owner = json!({"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": uid(&job)});
        world.config_map(name, json!({"ownerReferences": [owner]})).await;
        world.delete(&world.path(BATCH, &format!("jobs/{name}")), &options).await.done();
        world.gone(&world.path(BATCH, &format!("jobs/{name}"))).await;
        let owned = world.path(CORE, &format!("configmaps/{name}"));
        match stays {
            true => assert_eq!(world.get(&owned).await.done()["metadata"].get("ownerReferences"), None),
            false => world.gone(&owned).await,
        }
    }
}

pub async fn a_namespace_goes_with_all_that_is_in_it(world: &World) {
    let object = json!({"metadata": {"generateName": "conformance-"}});
    let made = world.post(&format!("{CORE}/namespaces"), &object).await.done();
    assert_eq!(made["status"]["phase"], "Active");
    let name = made["metadata"]["name"].as_str().unwrap();
    assert_eq!(made["metadata"]["labels"]["kubernetes.io/metadata.name"], name);
    let lease = super::world::lease("doge");
    world.post(&format!("{LEASES}/namespaces/{name}/leases"), &lease).await.done();
    let answer = world.delete(&format!("{CORE}/namespaces/{name}"), &json!({})).await.done();
    assert_eq!(answer["status"]["phase"], "Terminating");
    let late = world.post(&format!("{LEASES}/namespaces/{name}/leases"), &super::world::lease("btc")).await;
    assert!([403, 404].contains(&late.code), "{}", late.body);
    world.gone(&format!("{CORE}/namespaces/{name}")).await;
    world.get(&format!("{LEASES}/namespaces/{name}/leases/doge")).await.refused(404, "NotFound");
}
