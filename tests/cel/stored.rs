//! Objects that were stored under an earlier or a later schema than today's, and what becomes of them when the kinds are
//! upgraded or downgraded. The kind is installed here under a group of the test's own, beside the real one.

use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};
use tradingbot::api::bot::TradingBot;
use tradingbot::api::crds;
use tradingbot::api::record::{Seen, record_from, status_from};
use tradingbot::api::wanted::spec_from;
use tradingbot::core::failover::Record;
use tradingbot::core::ids::Epoch;
use tradingbot::core::lease::OnApiServerLoss;

use super::cluster::{Cluster, refused};

/// The kind `TradingBot` in a group of its own, with schemas of the test's choice.
struct Kind {
    cluster: Cluster,
    name: String,
    bots: Api<DynamicObject>,
}

type Schema = fn(&mut Value);

impl Kind {
    async fn installed(test: &str, schema: Schema) -> Kind {
        let cluster = Cluster::with_namespace(test).await;
        let group = format!("{}.example.com", cluster.namespace);
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(&group, "v1alpha1", "TradingBot"));
        let bots = Api::namespaced_with(cluster.client.clone(), &cluster.namespace, &resource);
        let kind = Kind { cluster, name: format!("tradingbots.{group}"), bots };
        kind.install(schema).await;
        kind
    }

    fn kinds(&self) -> Api<CustomResourceDefinition> {
        Api::all(self.cluster.client.clone())
    }

    /// Puts a schema in place of the one before, and waits until the API server goes by it.
    async fn install(&self, change: Schema) {
        let [bot, _] = crds::all().try_into().expect("two kinds");
        let mut crd = serde_json::to_value(&bot).unwrap();
        crd["metadata"] = json!({"name": self.name});
        crd["spec"]["group"] = json!(self.name.split_once('.').unwrap().1);
        crd["spec"]["names"]["shortNames"] = json!([]);
        change(&mut crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]);
        // A default that is new with every schema shows which one the API server goes by.
        let mark = format!("{:x}", fnv(&crd.to_string()));
        crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["mark"] =
            json!({"type": "string", "default": mark});
        self.kinds()
            .patch(&self.name, &PatchParams::apply("tests").force(), &Patch::Apply(&crd))
            .await
            .expect("a kind");
        let probe = self.object(json!({"metadata": {"name": "probe"}, "spec": {"template": {"spec": {"containers":
            [{"name": "bot", "image": "example/bot:1", "command": ["/bot"]}]}}}}));
        let parameters = PostParams { dry_run: true, ..PostParams::default() };
        for _ in 0..200 {
            let made = self.bots.create(&parameters, &probe).await;
            if made.is_ok_and(|made| made.data["spec"]["mark"] == mark.as_str()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the API server did not go by the schema within 10 s");
    }

    fn object(&self, mut value: Value) -> DynamicObject {
        let group = self.name.split_once('.').unwrap().1;
        value["apiVersion"] = json!(format!("{group}/v1alpha1"));
        value["kind"] = json!("TradingBot");
        serde_json::from_value(value).unwrap()
    }

    /// Stores an object with the status that an operator of the time had written.
    async fn store(&self, value: &Value) {
        let made = self.bots.create(&PostParams::default(), &self.object(value.clone())).await.expect("it is accepted");
        let mut with_status = made.clone();
        with_status.data["status"] = value["status"].clone();
        let name = made.metadata.name.unwrap();
        self.bots.replace_status(&name, &PostParams::default(), &with_status).await.expect("its status is accepted");
    }

    /// As the operator reads it.
    async fn read(&self, name: &str) -> TradingBot {
        let mut value = serde_json::to_value(self.bots.get(name).await.expect("it is there")).unwrap();
        value["apiVersion"] = json!("tradingbot.io/v1alpha1");
        serde_json::from_value(value).expect("the operator reads it")
    }

    /// As the operator writes it: the whole status by PUT, at the version that was read.
    async fn write_next_epoch(&self, name: &str) -> Result<DynamicObject, kube::Error> {
        let bot = self.read(name).await;
        let mut record = record_from(&bot.status.clone().unwrap_or_default());
        record.epoch = Epoch(record.epoch.0 + 1);
        let seen = Seen { bot: name.into(), desired_replicas: bot.spec.replicas, ..Seen::default() };
        let next = TradingBot { status: Some(status_from(&record, seen)), ..bot };
        let object = self.object(serde_json::to_value(next).unwrap());
        self.bots.replace_status(name, &PostParams::default(), &object).await
    }

    async fn merge(&self, name: &str, patch: Value) -> Result<Value, String> {
        let answer = self.bots.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await;
        answer.map(|object| serde_json::to_value(object).unwrap()).map_err(|error| error.to_string())
    }

    async fn clean_up(self) {
        self.kinds().delete(&self.name, &DeleteParams::default()).await.expect("the kind goes");
        self.cluster.clean_up().await;
    }
}

fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

fn today(_: &mut Value) {}

/// As the schema was when the kind was made: without what came later, and without any rule.
fn first(schema: &mut Value) {
    let remove = |node: &mut Value, name: &str| {
        node["properties"].as_object_mut().unwrap().remove(name).unwrap_or_else(|| panic!("no {name}"));
    };
    let spec = &mut schema["properties"]["spec"];
    remove(spec, "account");
    remove(spec, "orderGate");
    remove(&mut spec["properties"]["hooks"], "deadMansSwitch");
    let status = &mut schema["properties"]["status"];
    remove(status, "account");
    status["properties"]["blocked"]["enum"].as_array_mut().unwrap().retain(|word| word != "AccountHeld");
    drop_rules(schema);
}

fn drop_rules(node: &mut Value) {
    match node {
        Value::Object(fields) => {
            fields.remove("x-kubernetes-validations");
            fields.values_mut().for_each(drop_rules);
        }
        Value::Array(entries) => entries.iter_mut().for_each(drop_rules),
        _ => {}
    }
}

/// As a later version of the operator may bring it.
fn future(schema: &mut Value) {
    let text = json!({"type": "string"});
    let status = &mut schema["properties"]["status"]["properties"];
    status["weather"] = text.clone();
    status["trading"]["properties"]["weather"] = text.clone();
    status["failover"]["properties"]["history"]["items"]["properties"]["weather"] = text.clone();
    schema["properties"]["spec"]["properties"]["weather"] = text;
}

fn stored_first() -> Value {
    serde_json::from_str(include_str!("stored/first.json")).unwrap()
}

#[tokio::test]
async fn a_bot_of_the_first_schema_lives_on_under_todays() {
    let kind = Kind::installed("upgrade", first).await;
    kind.store(&stored_first()).await;
    let stored = serde_json::to_value(kind.bots.get("doge-jpy").await.unwrap()).unwrap();
    kind.install(today).await;

    let bot = kind.read("doge-jpy").await;
    let spec = spec_from(&bot);
    assert_eq!((spec.replicas, spec.terms.lease_duration), (2, Duration::from_secs(12)));
    assert_eq!((spec.target, spec.promotion_time), (Duration::from_secs(20), Duration::from_secs(17)));
    assert_eq!(spec.account, None);
    let record = record_from(bot.status.as_ref().unwrap());
    let ledger = record.trading.as_ref().expect("who may be trading is not forgotten");
    assert_eq!((ledger.epoch, ledger.pod.uid.as_str()), (Epoch(7), "uid-0"));
    assert_eq!(ledger.boot.as_ref().map(ToString::to_string).as_deref(), Some("uid-0/abc"));
    assert_eq!(ledger.on_api_server_loss, OnApiServerLoss::Continue);
    assert_eq!((record.token.0, record.fenced, record.total), (1_838_592_000_000_123, Epoch(6), 1));
    assert_eq!((record.lost.len(), record.jobs.len(), record.history.len()), (1, 1, 1));
    // Nothing that was stored is read otherwise than before.
    let now = serde_json::to_value(kind.bots.get("doge-jpy").await.unwrap()).unwrap();
    assert_eq!(now["status"], stored["status"]);
    assert_eq!(now["spec"]["template"], stored["spec"]["template"]);
    assert_eq!(now["metadata"]["generation"], stored["metadata"]["generation"]);

    kind.write_next_epoch("doge-jpy").await.expect("the operator's status is accepted");
    let again = record_from(&kind.read("doge-jpy").await.status.unwrap());
    assert_eq!(again, Record { epoch: Epoch(8), ..record });
    kind.merge("doge-jpy", json!({"spec": {"replicas": 3}})).await.expect("an unrelated change");
    let gated = kind.merge("doge-jpy", json!({"spec": {"orderGate": {}}})).await.expect("what is new can be used");
    assert_eq!(gated["spec"]["orderGate"], json!({}));
    kind.clean_up().await;
}

/// A rule that came later holds for what is written, not for what is there: so nobody loses the kill switch over it.
#[tokio::test]
async fn a_bot_that_breaks_a_later_rule_is_still_run_and_can_be_suspended() {
    let kind = Kind::installed("ratchet", first).await;
    let mut bot = stored_first();
    bot["spec"]["template"]["metadata"]["labels"]["tradingbot.io/role"] = json!("active");
    bot["spec"]["template"]["spec"]["containers"][0]["ports"][0]["containerPort"] = json!(9797);
    bot["spec"]["hooks"]["promote"]["http"]["port"] = json!(9798);
    bot["spec"]["leadership"]["renewDeadlineSeconds"] = json!(12);
    kind.store(&bot).await;
    kind.install(today).await;

    kind.write_next_epoch("doge-jpy").await.expect("the operator's status is accepted");
    let suspended = kind.merge("doge-jpy", json!({"spec": {"suspend": true}})).await.expect("the kill switch works");
    assert_eq!(suspended["spec"]["suspend"], true);
    kind.merge("doge-jpy", json!({"spec": {"replicas": 3}})).await.expect("an unrelated change");
    let label = json!({"spec": {"template": {"metadata": {"labels": {"team": "other"}}}}});
    let sentence = "spec.template.metadata must not have labels or annotations of the operator";
    refused("a change of what is wrong", kind.merge("doge-jpy", label).await, sentence);
    kind.clean_up().await;
}

#[tokio::test]
async fn a_status_of_a_later_operator_is_read_and_a_downgrade_drops_only_what_is_unknown() {
    let kind = Kind::installed("downgrade", future).await;
    let mut bot = stored_first();
    bot["spec"]["weather"] = json!("fine");
    bot["status"]["weather"] = json!("fine");
    bot["status"]["trading"]["weather"] = json!("fine");
    bot["status"]["failover"]["history"][0]["weather"] = json!("fine");
    kind.store(&bot).await;
    let stored = kind.bots.get("doge-jpy").await.unwrap();
    assert_eq!((&stored.data["spec"]["weather"], &stored.data["status"]["weather"]), (&json!("fine"), &json!("fine")));

    // The kinds of the later version, and today's operator.
    let record = record_from(&kind.read("doge-jpy").await.status.unwrap());
    assert_eq!(record.trading.map(|ledger| ledger.epoch), Some(Epoch(7)));
    let written = kind.write_next_epoch("doge-jpy").await.expect("today's operator writes its status");
    assert_eq!(written.data["spec"]["weather"], "fine", "a write of the status leaves the spec alone");
    assert!(written.data["status"]["weather"].is_null(), "what it does not know, it does not write");

    // Today's kinds.
    kind.install(today).await;
    let read = kind.bots.get("doge-jpy").await.unwrap();
    assert!(read.data["spec"]["weather"].is_null(), "unknown fields are dropped when an object is read");
    kind.merge("doge-jpy", json!({"spec": {"suspend": true}})).await.expect("it can be edited");
    kind.write_next_epoch("doge-jpy").await.expect("and run");
    kind.clean_up().await;
}

#[tokio::test]
async fn one_version_is_stored_and_nothing_is_converted() {
    let cluster = Cluster::with_namespace("versions").await;
    let kinds: Api<CustomResourceDefinition> = Api::all(cluster.client.clone());
    for crd in crds::all() {
        let stored = kinds.get(crd.metadata.name.as_deref().unwrap()).await.unwrap();
        assert_eq!(stored.status.unwrap().stored_versions, Some(vec!["v1alpha1".to_owned()]));
        assert_eq!(stored.spec.conversion.map(|conversion| conversion.strategy).as_deref(), Some("None"));
        let served: Vec<_> = stored.spec.versions.iter().filter(|v| v.served).map(|v| v.name.as_str()).collect();
        assert_eq!(served, ["v1alpha1"]);
    }
    cluster.clean_up().await;
}
