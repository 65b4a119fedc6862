//! What the operator makes is what the API server takes, also in a namespace with restricted Pod Security.

use std::collections::BTreeSet;
use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tradingbot::api::bot::TradingBot;
use tradingbot::controller::build;
use tradingbot::core::failover::{JobContext, Reason};
use tradingbot::core::ids::{Epoch, FencingToken};

use super::bot::smallest;
use super::cluster::Cluster;

/// A bot with everything, fit for restricted Pod Security.
fn full() -> Value {
    let mut bot = smallest();
    let security = json!({
        "allowPrivilegeEscalation": false, "runAsNonRoot": true, "runAsUser": 1000,
        "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"},
    });
    let container = &mut bot["spec"]["template"]["spec"]["containers"][0];
    container["securityContext"] = security;
    container["ports"] = json!([{"containerPort": 8080}, {"containerPort": 8080, "protocol": "UDP"}]);
    container["volumeMounts"] = json!([{"name": "data", "mountPath": "/data"}]);
    let claim = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}});
    bot["spec"]["volumeClaimTemplates"] = json!([{"metadata": {"name": "data"}, "spec": claim}]);
    let http = json!({"port": 8080, "basicAuthSecretRef": {"name": "api"}});
    bot["spec"]["hooks"] = json!({"promote": {"http": http}, "demote": {"exec": {"command": ["/bot", "stop"]}}});
    let database = json!({"to": [{"podSelector": {"matchLabels": {"app": "db"}}}], "ports": [{"port": 5432}]});
    bot["spec"]["orderGate"] = json!({"networkPolicy": {"standbyEgress": [database]}});
    bot["spec"]["credentials"] = json!({
        "secretName": "keys", "environment": [{"name": "API_KEY", "key": "key"}],
        "reload": {"http": {"port": 8080, "path": "/reload"}, "timeoutSeconds": 3},
    });
    bot["spec"]["reconciliation"] = json!({"command": ["/bot", "reconcile"]});
    bot
}

async fn taken<K>(cluster: &Cluster, object: &K, dry: bool)
where
    K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Serialize + DeserializeOwned + Debug,
{
    let api = Api::<K>::namespaced(cluster.client.clone(), &cluster.namespace);
    let parameters = PostParams { dry_run: dry, ..PostParams::default() };
    if let Err(error) = api.create(&parameters, object).await {
        panic!("{} {:?}: {error}", K::kind(&()), object.meta().name);
    }
}

#[tokio::test]
async fn every_child_is_accepted_under_restricted_pod_security() {
    let cluster = Cluster::with_namespace("children").await;
    let restricted = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
    let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
    let patch = Patch::Merge(restricted);
    namespaces.patch(&cluster.namespace, &PatchParams::default(), &patch).await.expect("a label");
    let stored = cluster.create("TradingBot", &full(), false).await.expect("the bot is accepted");
    let bot: TradingBot = serde_json::from_value(stored).unwrap();

    let api_server = ["10.96.0.1:443", "[fd00::1]:6443"].map(|address| address.parse().unwrap()).into();
    let children = build::children(&bot, &BTreeSet::new(), &api_server);
    for service in &children.services {
        taken(&cluster, service, true).await;
    }
    // Stored, because a pod is refused without its account.
    for account in &children.service_accounts {
        taken(&cluster, account, false).await;
    }
    taken(&cluster, &children.role, true).await;
    taken(&cluster, &children.role_binding, true).await;
    taken(&cluster, &build::credentials_role(&bot).expect("it is asked for"), true).await;
    taken(&cluster, &build::credentials_binding(&bot, "doge-jpy-agent-0".into()), true).await;
    taken(&cluster, &children.budget, true).await;
    taken(&cluster, children.policy.as_ref().expect("it is asked for"), true).await;
    for claim in build::claims(&bot, 0) {
        taken(&cluster, &claim, true).await;
    }
    taken(&cluster, &build::pod(&bot, 0, "example/operator:1"), true).await;

    let context = JobContext {
        epoch: Epoch(1),
        previous_epoch: Epoch(0),
        from: None,
        to: "doge-jpy-0".into(),
        reason: Reason::FirstStart,
    };
    let job = build::reconciliation_job(&bot, FencingToken((1 << 53) - 1), &context).unwrap();
    taken(&cluster, &job, true).await;
    // A Job is accepted whatever its pod says; so its pod is tried as one.
    let template = job.spec.unwrap().template;
    let mut pod = k8s_openapi::api::core::v1::Pod { spec: template.spec, ..Default::default() };
    pod.metadata.name = Some("doge-jpy-r".into());
    pod.spec.as_mut().unwrap().service_account_name = Some("doge-jpy-agent-0".into());
    taken(&cluster, &pod, true).await;
    cluster.clean_up().await;
}
