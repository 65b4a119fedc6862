//! The world of one scenario: a namespace with an exchange and bots in it.

use std::fmt::Write;
use std::sync::Mutex;

use k8s_openapi::api::core::v1::{Namespace, Pod, Service, ServiceAccount};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::bot::Bot;
use super::cluster::{Cluster, LABEL, cluster};
use super::exchange::Exchange;
use super::faults::Faults;
use super::manifest::{BotManifest, DEMO_IMAGE, restricted_container, restricted_pod};
use super::operator::Operator;
use super::verdict::Rule;
use super::{diagnosis, seconds, until};

/// What the namespaces of all scenarios begin with.
pub const PREFIX: &str = "e2e-";
/// What a namespace demands of the pods in it.
const POD_SECURITY: &str = "pod-security.kubernetes.io/enforce";

/// A scenario's own part of the cluster.
pub struct World {
    pub name: &'static str,
    pub namespace: String,
    pub cluster: Cluster,
    exchange: OnceCell<Exchange>,
    bots: Mutex<Vec<(Bot, Vec<Rule>)>>,
    /// More namespaces of this scenario.
    others: Mutex<Vec<String>>,
    figures: Mutex<String>,
}

impl World {
    /// Makes the namespace.
    pub async fn new(name: &'static str) -> World {
        let cluster = cluster().await;
        let namespace = make_namespace(&cluster, name).await;
        World {
            name,
            namespace,
            cluster,
            exchange: OnceCell::new(),
            bots: Mutex::default(),
            others: Mutex::default(),
            figures: Mutex::default(),
        }
    }

    /// Applies a bot that trades at this world's exchange in a namespace of its own, which goes with this world.
    pub async fn apply_elsewhere(&self, manifest: BotManifest) -> Bot {
        let namespace = make_namespace(&self.cluster, self.name).await;
        self.others.lock().expect("no test panics while it holds this").push(namespace.clone());
        let exchange = self.exchange().await;
        let bot = Bot::new(&self.cluster, &namespace, exchange, &manifest);
        bot.create(&manifest.env("EXCHANGE_URL", &bot.exchange.address).object).await.expect("the bot is accepted");
        bot
    }

    /// After an outage Kubernetes itself needs a while, up to minutes, until a new namespace can be used.
    pub async fn until_namespaces_work(&self) {
        let namespace = make_namespace(&self.cluster, self.name).await;
        self.others.lock().expect("no test panics while it holds this").push(namespace.clone());
        let accounts: Api<ServiceAccount> = Api::namespaced(self.cluster.client.clone(), &namespace);
        until("a new namespace has its ServiceAccount", seconds(240), async || accounts.get("default").await.ok())
            .await;
    }

    /// The exchange; on any node unless it was placed before.
    pub async fn exchange(&self) -> Exchange {
        self.exchange.get_or_init(|| self.open_exchange(json!({}))).await.clone()
    }

    /// The exchange on this node. Before the first bot.
    pub async fn exchange_on(&self, node: &str) -> Exchange {
        let selector = json!({"kubernetes.io/hostname": node});
        self.exchange.get_or_init(|| self.open_exchange(selector)).await.clone()
    }

    async fn open_exchange(&self, node_selector: Value) -> Exchange {
        let services: Api<Service> = Api::namespaced(self.cluster.client.clone(), &self.namespace);
        let service = json!({
            "metadata": {"name": "exchange"},
            // As any exchange it is there whatever the cluster thinks of its nodes: after an outage of the API server they
            // and their pods count as not ready until the kubelets have spoken, up to a minute later.
            "spec": {"selector": {"app": "exchange"}, "ports": [{"port": 8080}], "publishNotReadyAddresses": true},
        });
        let service = serde_json::from_value(service).expect("a service");
        let service = services.create(&PostParams::default(), &service).await.expect("the service is made");
        let address = service.spec.and_then(|s| s.cluster_ip).expect("it has an address");
        let pods: Api<Pod> = Api::namespaced(self.cluster.client.clone(), &self.namespace);
        let pod = json!({
            "metadata": {"name": "exchange", "labels": {"app": "exchange"}},
            "spec": {
                "nodeSelector": node_selector,
                "terminationGracePeriodSeconds": 0,
                // It is the judge: whatever happens to nodes, it stays where it is.
                "tolerations": [{"operator": "Exists"}],
                "securityContext": restricted_pod(),
                "containers": [{
                    "name": "exchange",
                    "image": DEMO_IMAGE,
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["/paper-exchange"],
                    "ports": [{"containerPort": 8080}],
                    "securityContext": restricted_container(),
                }],
            },
        });
        let pod: Pod = serde_json::from_value(pod).expect("a pod");
        // Refused until the namespace has its ServiceAccount, which takes its time after an outage of the API server.
        let made = async || pods.create(&PostParams::default(), &pod).await.ok();
        until("the exchange's pod is made", seconds(90), made).await;
        let base = format!("/api/v1/namespaces/{}/services/exchange:8080/proxy", self.namespace);
        let exchange =
            Exchange { cluster: self.cluster.clone(), base: base.clone(), address: format!("http://{address}:8080") };
        until("the exchange answers", seconds(60), async || self.cluster.get(&format!("{base}/healthz")).await.ok())
            .await;
        exchange
    }

    /// Applies a bot. At the end the judge must find it clean.
    pub async fn apply(&self, manifest: BotManifest) -> Bot {
        self.apply_judged_without(manifest, &[]).await
    }

    /// Applies a bot whose scenario judges some rules itself.
    pub async fn apply_judged_without(&self, manifest: BotManifest, rules: &[Rule]) -> Bot {
        let exchange = self.exchange().await;
        let bot = Bot::new(&self.cluster, &self.namespace, exchange, &manifest);
        bot.create(&manifest.env("EXCHANGE_URL", &bot.exchange.address).object).await.expect("the bot is accepted");
        let mut bots = self.bots.lock().expect("no test panics while it holds this");
        bots.retain(|(other, _)| other.name != bot.name);
        bots.push((bot.clone(), rules.to_vec()));
        bot
    }

    /// Applies a bot that trades at the exchange of another world, which judges it.
    pub async fn apply_at(&self, exchange: Exchange, manifest: BotManifest) -> Bot {
        let bot = Bot::new(&self.cluster, &self.namespace, exchange, &manifest);
        bot.create(&manifest.env("EXCHANGE_URL", &bot.exchange.address).object).await.expect("the bot is accepted");
        bot
    }

    /// Lets pods into this world that ask for more than the strictest standard grants.
    pub async fn admit_privileged_pods(&self) {
        let namespaces: Api<Namespace> = Api::all(self.cluster.client.clone());
        let patch = json!({"metadata": {"labels": {POD_SECURITY: "privileged"}}});
        let changed = namespaces.patch(&self.namespace, &PatchParams::default(), &Patch::Merge(patch)).await;
        changed.expect("the namespace is changed");
    }

    /// What can be done to nodes, pods and the API server.
    pub fn faults(&self) -> Faults {
        Faults { cluster: self.cluster.clone() }
    }

    /// The operator.
    pub fn operator(&self) -> Operator {
        Operator { cluster: self.cluster.clone() }
    }

    /// Something measured, for the line that is printed at the end.
    pub fn note(&self, what: &str, value: impl std::fmt::Display) {
        let mut figures = self.figures.lock().expect("no test panics while it holds this");
        let _ = write!(figures, "; {what} {value}");
    }

    pub fn figures(&self) -> String {
        self.figures.lock().map(|f| f.clone()).unwrap_or_default()
    }

    /// The auditor's verdict on every bot.
    pub async fn judge(&self) {
        let bots = self.bots.lock().expect("no test panics while it holds this").clone();
        for (bot, judged_elsewhere) in bots {
            bot.exchange.assert_clean(&bot.account, bot.reconciled, &judged_elsewhere).await;
        }
    }

    /// Writes down what a person needs to understand a failure.
    pub async fn keep_evidence(&self, failure: &str) {
        let exchange = self.exchange.get().cloned();
        diagnosis::write(self.name, &self.namespace, exchange, failure).await;
    }

    /// The same in the middle of a story, in a folder of this name.
    pub async fn keep_evidence_of(&self, name: &str, text: &str) {
        diagnosis::write(name, &self.namespace, self.exchange.get().cloned(), text).await;
    }

    /// Removes the namespace, without waiting for it; KEEP=namespaces leaves it.
    pub async fn remove(&self) {
        if keeps_namespaces() {
            return;
        }
        // Bots first: a namespace takes its pods first, and its bots several seconds later.
        let others = self.others.lock().map(|others| others.clone()).unwrap_or_default();
        for namespace in std::iter::once(&self.namespace).chain(&others) {
            let bots = self.cluster.ours("TradingBot", namespace);
            let _ = bots.delete_collection(&DeleteParams::default(), &ListParams::default()).await;
            let namespaces: Api<Namespace> = Api::all(self.cluster.client.clone());
            let _ = namespaces.delete(namespace, &DeleteParams::default()).await;
        }
    }
}

async fn make_namespace(cluster: &Cluster, name: &str) -> String {
    let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
    let short: String = name.replace('_', "-").chars().take(40).collect();
    // Nothing that the product makes may need more than Kubernetes' strictest standard grants.
    let labels = json!({LABEL: "scenario", POD_SECURITY: "restricted"});
    let object = json!({"metadata": {"generateName": format!("{PREFIX}{short}-"), "labels": labels}});
    let object = serde_json::from_value(object).expect("a namespace");
    let made = namespaces.create(&PostParams::default(), &object).await.expect("the namespace is made");
    made.name_any()
}

/// KEEP=1 keeps the cluster alone; KEEP=namespaces everything that scenarios made, for somebody to look at.
pub fn keeps_namespaces() -> bool {
    std::env::var_os("KEEP").is_some_and(|keep| keep == "namespaces")
}
