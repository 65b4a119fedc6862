//! What the product's own code writes.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tradingbot::agent::{Told, lease_patch};
use tradingbot::api::bot::TradingBot;
use tradingbot::api::{account_lease, lease};
use tradingbot::controller::build;
use tradingbot::core::agent::{Why, Write, WriteKind};
use tradingbot::core::ids::{BootId, Epoch, FencingToken, PodRef};
use tradingbot::core::lease::{AgentState, LeaseRecord, OnApiServerLoss, OrderPath, Permit, Terms};

use super::world::{OURS, World, bot};

async fn stored(world: &World) -> TradingBot {
    let mut object = bot("doge");
    let container = &mut object["spec"]["template"]["spec"]["containers"][0];
    container["ports"] = json!([{"containerPort": 8080}, {"containerPort": 8080, "protocol": "UDP"}]);
    let database = json!({"to": [{"podSelector": {"matchLabels": {"app": "db"}}}], "ports": [{"port": 5432}]});
    object["spec"]["orderGate"] = json!({"networkPolicy": {"standbyEgress": [database]}});
    object["spec"]["credentials"] = json!({"secretName": "keys"});
    object["spec"]["volumeClaimTemplates"] = json!([{
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }]);
    let made = world.post(&world.path(OURS, "tradingbots"), &object).await.done();
    serde_json::from_value(made).expect("a bot")
}

/// Applied twice, an object has one version.
async fn settles<K>(world: &World, object: &K)
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Serialize,
{
    let api = Api::<K>::namespaced(world.client.clone(), &world.namespace);
    let params = PatchParams::apply("tradingbot-operator").force();
    let name = object.name_any();
    let first =
        api.patch(&name, &params, &Patch::Apply(object)).await.unwrap_or_else(|error| panic!("{name}: {error}"));
    let again =
        api.patch(&name, &params, &Patch::Apply(object)).await.unwrap_or_else(|error| panic!("{name}: {error}"));
    // Controllers write the status of some kinds.
    let of = |object: &K| (object.meta().uid.clone(), object.meta().generation);
    assert_eq!(of(&again), of(&first), "{} {name}", K::kind(&()));
    if first.meta().generation.is_none() {
        assert_eq!(again.resource_version(), first.resource_version(), "{} {name}", K::kind(&()));
    }
}

pub async fn what_the_operator_applies_is_left_alone_by_defaults(world: &World) {
    let bot = stored(world).await;
    let api_server = ["10.96.0.1:443", "[fd00::1]:6443"].map(|address| address.parse().unwrap()).into();
    let children = build::children(&bot, &BTreeSet::new(), &api_server);
    for account in &children.service_accounts {
        settles(world, account).await;
    }
    settles(world, &children.role).await;
    settles(world, &children.role_binding).await;
    for service in &children.services {
        settles(world, service).await;
    }
    settles(world, &children.budget).await;
    settles(world, children.policy.as_ref().expect("a policy is asked for")).await;
    settles::<Role>(world, &build::credentials_role(&bot).expect("credentials are asked for")).await;
    settles::<RoleBinding>(world, &build::credentials_binding(&bot, "doge-agent-0".into())).await;

    let claims = build::claims(&bot, 0);
    let api = Api::namespaced(world.client.clone(), &world.namespace);
    let claim = api.create(&PostParams::default(), &claims[0]).await.expect("the claim is taken");
    assert_eq!(claim.status.and_then(|status| status.phase).as_deref(), Some("Pending"));
    let pods = Api::<Pod>::namespaced(world.client.clone(), &world.namespace);
    let mut wanted = build::pod(&bot, 0, "registry.example/agent:1");
    wanted.spec.as_mut().unwrap().node_selector = Some([("nobody".to_owned(), "has-this".to_owned())].into());
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    world.soon("the pod's account is known", async || pods.create(&dry, &wanted).await.is_ok()).await;
    let made = pods.create(&PostParams::default(), &wanted).await.expect("the pod is taken");
    assert_eq!(made.metadata.owner_references, wanted.metadata.owner_references);
    let this_one = ListParams::default().fields("metadata.name=doge-0");
    assert_eq!(pods.list_metadata(&this_one).await.expect("a list").items[0].uid(), made.uid());
}

pub async fn a_role_is_set_on_the_very_pod(world: &World) {
    let pods = Api::<Pod>::namespaced(world.client.clone(), &world.namespace);
    let object = serde_json::from_value(super::world::pod("doge-0")).unwrap();
    let made = pods.create(&PostParams::default(), &object).await.expect("a pod");
    let patch = |uid: &str, role: Option<&str>| {
        Patch::Merge(json!({"metadata": {"uid": uid, "labels": {"tradingbot.io/role": role}}}))
    };
    let uid = made.uid().unwrap();
    let set = pods.patch("doge-0", &PatchParams::default(), &patch(&uid, Some("active"))).await.expect("it is set");
    assert_eq!(set.labels()["tradingbot.io/role"], "active");
    let other = pods.patch("doge-0", &PatchParams::default(), &patch("another", None)).await;
    assert!(matches!(&other, Err(kube::Error::Api(status)) if status.code == 422), "{other:?}");
    let cleared = pods.patch("doge-0", &PatchParams::default(), &patch(&uid, None)).await.expect("it is removed");
    assert!(!cleared.labels().contains_key("tradingbot.io/role"));
}

pub async fn a_lease_is_granted_renewed_and_released(world: &World) {
    let leases = Api::<Lease>::namespaced(world.client.clone(), &world.namespace);
    let holder = PodRef { name: "doge-0".into(), uid: "u0".into() };
    let boot = BootId { pod_uid: "u0".into(), nonce: "n".into() };
    let record = LeaseRecord {
        holder: Some(holder.clone()),
        epoch: Some(Epoch(7)),
        token: Some(FencingToken(7 << 20)),
        permit: Some(Permit::Prepare),
        terms: Some(Terms {
            lease_duration: Duration::from_secs(10),
            renew_period: Duration::from_secs(2),
            renew_deadline: Duration::from_secs(6),
            on_api_server_loss: OnApiServerLoss::Stop,
        }),
        ..LeaseRecord::default()
    };
    let mut object = Lease::default();
    object.metadata.name = Some("doge".into());
    lease::write(&record, &mut object, Some(Timestamp::now()));
    let made = leases.create(&PostParams::default(), &object).await.expect("the grant is stored");
    assert_eq!((lease::read(&made).holder, lease::read(&made).epoch), (Some(holder.clone()), Some(Epoch(7))));

    let change = async |number, kind| {
        let write = Write { number, epoch: Epoch(7), kind, path: OrderPath::Gated, health: String::new() };
        let patch =
            serde_json::from_value(lease_patch(&write, &Told::default(), &holder, &boot, Timestamp::now())).unwrap();
        leases.patch("doge", &PatchParams::default(), &Patch::Json::<()>(patch)).await
    };
    let claimed = lease::read(&change(1, WriteKind::Claim).await.expect("it is taken up"));
    assert_eq!((claimed.state, claimed.boot), (AgentState::Claimed, Some(boot.clone())));
    let late = change(2, WriteKind::Claim).await;
    assert!(matches!(&late, Err(kube::Error::Api(status)) if status.code == 422), "it has its boot: {late:?}");
    let mut object = leases.get("doge").await.expect("it is there");
    let stale = object.clone();
    lease::write(&LeaseRecord { permit: Some(Permit::Trade), ..lease::read(&object) }, &mut object, None);
    leases.replace("doge", &PostParams::default(), &object).await.expect("the permit is stored");
    let conflict = leases.replace("doge", &PostParams::default(), &stale).await;
    assert!(matches!(&conflict, Err(kube::Error::Api(status)) if status.code == 409), "{conflict:?}");
    let renewed = lease::read(&change(3, WriteKind::Renew(AgentState::Active)).await.expect("it is renewed"));
    assert_eq!((renewed.renew, renewed.permit), (format!("{boot}/3"), Some(Permit::Trade)));
    let released = lease::read(&change(4, WriteKind::Release(Why::Revoked)).await.expect("it is released"));
    assert_eq!((released.holder, released.state), (None, AgentState::Released));
    let gone = change(5, WriteKind::Renew(AgentState::Active)).await;
    assert!(matches!(&gone, Err(kube::Error::Api(status)) if status.code == 422), "{gone:?}");

    let mut account = Lease::default();
    let mut told = account_lease::read("main", &account);
    told.epoch = Some(Epoch(1));
    account_lease::write(&told, &mut account);
    let made = leases.create(&PostParams::default(), &account).await.expect("the account's Lease is stored");
    assert_eq!(made.name_any(), account_lease::name_of("main"));
}
