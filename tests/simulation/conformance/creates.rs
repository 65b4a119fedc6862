//! POST.

use serde_json::json;

use super::world::{BATCH, CORE, LEASES, OURS, World, bot, lease, pod, uid, version};

pub async fn a_new_object_gets_uid_time_and_version(world: &World) {
    let leases = world.path(LEASES, "leases");
    let answer = world.post(&leases, &lease("doge")).await;
    assert_eq!(answer.code, 201);
    let first = answer.body;
    let meta = &first["metadata"];
    assert_eq!((&meta["namespace"], &first["kind"]), (&json!(world.namespace), &json!("Lease")));
    assert_eq!((uid(&first).len(), meta.get("generation")), (36, None));
    let time = meta["creationTimestamp"].as_str().unwrap();
    assert_eq!((time.len(), time.ends_with('Z')), (20, true), "{time}");
    let second = world.post(&leases, &lease("btc")).await.done();
    assert!(version(&second) > version(&first));
    assert_ne!(uid(&second), uid(&first));
    // Whatever a client says of these, the server knows better.
    let mut told = lease("eth");
    told["metadata"]["uid"] = json!("mine");
    told["metadata"]["creationTimestamp"] = json!("2001-01-01T00:00:00Z");
    let third = world.post(&leases, &told).await.done();
    assert_eq!(uid(&third).len(), 36);
    assert_ne!(third["metadata"]["creationTimestamp"], "2001-01-01T00:00:00Z");
    let bot = world.post(&world.path(OURS, "tradingbots"), &bot("doge")).await.done();
    assert_eq!(
        (&bot["metadata"]["generation"], &bot["spec"]["replicas"]),
        (&json!(1), &json!(2)),
        "a default of the schema"
    );
}

pub async fn a_name_is_taken_once(world: &World) {
    world.lease("doge").await;
    let again = world.post(&world.path(LEASES, "leases"), &lease("doge")).await;
    assert_eq!(again.refused(409, "AlreadyExists"), "leases.coordination.k8s.io \"doge\" already exists");
    assert_eq!(again.body["details"], json!({"name": "doge", "group": "coordination.k8s.io", "kind": "leases"}));
}

pub async fn a_name_is_generated(world: &World) {
    let mut object = lease("x");
    object["metadata"] = json!({"generateName": "doge-"});
    let made = world.post(&world.path(LEASES, "leases"), &object).await.done();
    let name = made["metadata"]["name"].as_str().unwrap();
    assert_eq!((name.len(), name.starts_with("doge-")), (10, true), "{name}");
}

pub async fn what_has_no_name_or_another_place_is_refused(world: &World) {
    let leases = world.path(LEASES, "leases");
    let mut nameless = lease("x");
    nameless["metadata"] = json!({});
    let message = world.post(&leases, &nameless).await.refused(422, "Invalid");
    assert!(message.contains("name or generateName is required"), "{message}");
    let mut elsewhere = lease("doge");
    elsewhere["metadata"]["namespace"] = json!("default");
    let message = world.post(&leases, &elsewhere).await.refused(400, "BadRequest");
    assert!(message.contains("does not match the namespace sent on the request"), "{message}");
    let nowhere = format!("{LEASES}/namespaces/there-is-none/leases");
    assert_eq!(
        world.post(&nowhere, &lease("doge")).await.refused(404, "NotFound"),
        "namespaces \"there-is-none\" not found"
    );
    let mut other = lease("doge");
    other["kind"] = json!("Pod");
    assert_eq!(world.post(&leases, &other).await.code, 400);
}

pub async fn a_dry_run_stores_nothing(world: &World) {
    let answer = world.post(&world.path(LEASES, "leases?dryRun=All"), &lease("doge")).await;
    assert_eq!(answer.code, 201);
    assert_eq!((uid(&answer.body).len(), answer.body["metadata"].get("resourceVersion")), (36, None));
    world.get(&world.path(LEASES, "leases/doge")).await.refused(404, "NotFound");
    let made = world.lease("doge").await;
    world.post(&world.path(LEASES, "leases?dryRun=All"), &lease("doge")).await.refused(409, "AlreadyExists");
    world.delete(&world.path(LEASES, "leases/doge"), &json!({"dryRun": ["All"]})).await.done();
    let kept = world.get(&world.path(LEASES, "leases/doge")).await.done();
    assert_eq!(version(&kept), version(&made));
}

pub async fn a_version_is_refused(world: &World) {
    let mut object = lease("doge");
    object["metadata"]["resourceVersion"] = json!("7");
    let answer = world.post(&world.path(LEASES, "leases"), &object).await;
    assert!(answer.refused(500, "").contains("resourceVersion should not be set on objects to be created"));
}

pub async fn a_status_is_set_by_its_subresource_alone(world: &World) {
    let mut object = bot("doge");
    object["status"] = json!({"phase": "Trading", "epoch": 7});
    let made = world.post(&world.path(OURS, "tradingbots"), &object).await.done();
    assert_eq!(made.get("status"), None);
    let mut object = pod("doge-0");
    object["status"] = json!({"phase": "Running"});
    let made = world.post(&world.path(CORE, "pods"), &object).await.done();
    assert_eq!(made["status"]["phase"], "Pending");
    assert_eq!(made["metadata"]["generation"], json!(1));
    assert_eq!(
        (&made["spec"]["restartPolicy"], &made["spec"]["terminationGracePeriodSeconds"]),
        (&json!("Always"), &json!(30))
    );
    assert_eq!(
        (&made["spec"]["serviceAccountName"], &made["spec"]["serviceAccount"]),
        (&json!("default"), &json!("default"))
    );
}

pub async fn a_pod_needs_its_account(world: &World) {
    let mut object = pod("doge-0");
    object["spec"]["serviceAccountName"] = json!("doge-agent-0");
    let pods = world.path(CORE, "pods");
    let message = world.post(&pods, &object).await.refused(403, "Forbidden");
    let ns = &world.namespace;
    let wanted = format!(
        "pods \"doge-0\" is forbidden: error looking up service account {ns}/doge-agent-0: serviceaccount \"doge-agent-0\" not found"
    );
    assert_eq!(message, wanted);
    let account = json!({"metadata": {"name": "doge-agent-0"}});
    world.post(&world.path(CORE, "serviceaccounts"), &account).await.done();
    world.soon("the account is known", async || world.post(&pods, &object).await.code == 201).await;
}

pub async fn a_job_selects_its_own_pods(world: &World) {
    let mut template = pod("x");
    template["spec"]["restartPolicy"] = json!("Never");
    let object = json!({
        "metadata": {"name": "doge-reconcile-1"},
        "spec": {"suspend": true, "template": {"metadata": {"labels": {"app": "conformance"}}, "spec": template["spec"]}},
    });
    let made = world.post(&world.path(BATCH, "jobs"), &object).await.done();
    let spec = &made["spec"];
    assert_eq!(spec["selector"], json!({"matchLabels": {"batch.kubernetes.io/controller-uid": uid(&made)}}));
    let labels = &spec["template"]["metadata"]["labels"];
    assert_eq!(
        (&labels["batch.kubernetes.io/job-name"], &labels["job-name"]),
        (&json!("doge-reconcile-1"), &json!("doge-reconcile-1"))
    );
    assert_eq!((&labels["controller-uid"], &labels["app"]), (&json!(uid(&made)), &json!("conformance")));
    let numbers = ["completions", "parallelism", "backoffLimit"].map(|field| spec[field].as_i64());
    assert_eq!((numbers, &spec["suspend"]), ([Some(1), Some(1), Some(6)], &json!(true)));
    let resumed = json!({"spec": {"suspend": false}});
    let path = world.path(BATCH, "jobs/doge-reconcile-1");
    let resumed = world.patch(&path, super::world::MERGE, &resumed).await.done();
    assert_eq!((&resumed["spec"]["suspend"], &resumed["metadata"]["generation"]), (&json!(false), &json!(2)));
    let other = json!({"spec": {"template": {"spec": {"priority": 5}}}});
    world.patch(&path, super::world::MERGE, &other).await.refused(422, "Invalid");
}

pub async fn services_policies_and_cron_jobs_get_their_defaults(world: &World) {
    let services = world.path(CORE, "services");
    let ports = json!([{"port": 80}]);
    let object = json!({"metadata": {"name": "active"}, "spec": {"selector": {"a": "b"}, "ports": ports}});
    let made = world.post(&services, &object).await.done();
    let spec = &made["spec"];
    assert_eq!(spec["ports"], json!([{"port": 80, "protocol": "TCP", "targetPort": 80}]));
    assert_eq!((&spec["type"], &spec["sessionAffinity"]), (&json!("ClusterIP"), &json!("None")));
    assert_eq!(spec["clusterIPs"], json!([spec["clusterIP"]]));
    assert!(spec["clusterIP"].as_str().unwrap().parse::<std::net::IpAddr>().is_ok());
    assert_eq!((&made["status"], made["metadata"].get("generation")), (&json!({"loadBalancer": {}}), None));
    let object =
        json!({"metadata": {"name": "members"}, "spec": {"clusterIP": "None", "selector": {"a": "b"}, "ports": ports}});
    let made = world.post(&services, &object).await.done();
    assert_eq!((&made["spec"]["clusterIP"], &made["spec"]["clusterIPs"]), (&json!("None"), &json!(["None"])));

    let policy =
        json!({"metadata": {"name": "standby"}, "spec": {"podSelector": {}, "egress": [{"ports": [{"port": 53}]}]}});
    let made = world.post(&world.path("/apis/networking.k8s.io/v1", "networkpolicies"), &policy).await.done();
    assert_eq!(made["spec"]["policyTypes"], json!(["Ingress", "Egress"]));
    assert_eq!(made["spec"]["egress"], json!([{"ports": [{"port": 53, "protocol": "TCP"}]}]));
    assert_eq!(made["metadata"]["generation"], json!(1));

    let mut template = pod("x");
    template["spec"]["restartPolicy"] = json!("Never");
    let object = json!({
        "metadata": {"name": "daily"},
        "spec": {"schedule": "0 2 1 1 *", "jobTemplate": {"spec": {"template": {"spec": template["spec"]}}}},
    });
    let made = world.post(&world.path(BATCH, "cronjobs"), &object).await.done();
    assert_eq!((&made["spec"]["concurrencyPolicy"], &made["spec"]["suspend"]), (&json!("Allow"), &json!(false)));
}

pub async fn unknown_fields_and_empty_ones_are_not_stored(world: &World) {
    let mut object = lease("doge");
    object["spec"]["profit"] = json!(1);
    object["metadata"]["labels"] = json!({});
    object["metadata"]["finalizers"] = json!([]);
    let made = world.post(&world.path(LEASES, "leases"), &object).await.done();
    assert_eq!((made["spec"].get("profit"), made["metadata"].get("labels")), (None, None));
    assert_eq!(made["metadata"].get("finalizers"), None);
    let mut object = bot("doge");
    object["spec"]["profit"] = json!(1);
    let made = world.post(&world.path(OURS, "tradingbots"), &object).await.done();
    assert_eq!(made["spec"].get("profit"), None);
}

pub async fn a_lease_counts_microseconds(world: &World) {
    let leases = world.path(LEASES, "leases");
    let mut object = lease("doge");
    object["spec"]["renewTime"] = json!("2026-01-01T00:00:00.001Z");
    world.post(&leases, &object).await.refused(400, "BadRequest");
    object["spec"]["renewTime"] = json!("2026-01-01T00:00:00.001000Z");
    object["spec"]["holderIdentity"] = json!("");
    let made = world.post(&leases, &object).await.done();
    assert_eq!(made["spec"]["renewTime"], "2026-01-01T00:00:00.001000Z");
    assert_eq!(made["spec"]["holderIdentity"], "", "an empty holder is a holder's place that is empty");
}

pub async fn events_have_two_forms(world: &World) {
    let regarding = json!({"kind": "TradingBot", "name": "doge", "namespace": world.namespace, "uid": "u"});
    let event = json!({
        "metadata": {"name": "doge.1", "namespace": world.namespace}, "action": "Epoch1", "reason": "Trading", "type": "Normal",
        "eventTime": "2026-01-01T00:00:00.000001Z", "note": "It trades.", "regarding": regarding,
        "reportingController": "tradingbot-operator", "reportingInstance": "operator-0",
    });
    world.post(&world.path("/apis/events.k8s.io/v1", "events"), &event).await.done();
    let older = world.get(&world.path(CORE, "events/doge.1")).await.done();
    assert_eq!((&older["message"], &older["involvedObject"]["name"]), (&json!("It trades."), &json!("doge")));
    assert_eq!((&older["reportingComponent"], &older["apiVersion"]), (&json!("tradingbot-operator"), &json!("v1")));
    let series = json!({"series": {"count": 2, "lastObservedTime": "2026-01-01T00:00:01.000001Z"}});
    let path = world.path("/apis/events.k8s.io/v1", "events/doge.1");
    let again = world.patch(&path, super::world::MERGE, &series).await.done();
    assert_eq!((&again["series"]["count"], &again["note"]), (&json!(2), &json!("It trades.")));
}
