//! A TradingBot that was applied: what it says of itself, what the exchange says of it, and what is done to it.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Resource, ResourceExt};
use serde_json::{Value, json};
use tradingbot::api::bot::TradingBot;
use tradingbot::api::bot_status::{MoveStatus, Phase, TradingBotStatus};
use tradingbot::api::operation::{TradingBotOperation, TradingBotOperationStatus};

use super::cluster::Cluster;
use super::entry::Entry;
use super::exchange::{Exchange, Round};
use super::faults::{Aim, Faults};
use super::manifest::BotManifest;
use super::{seconds, until};

/// Long enough for what has to happen at once; nothing waits for it when all is well.
pub const SOON: Duration = Duration::from_secs(60);

/// A bot of a scenario.
#[derive(Clone)]
pub struct Bot {
    pub name: String,
    pub namespace: String,
    /// Its account at the exchange.
    pub account: String,
    pub reconciled: bool,
    pub exchange: Exchange,
    pub cluster: Cluster,
}

impl Bot {
    pub fn new(cluster: &Cluster, namespace: &str, exchange: Exchange, manifest: &BotManifest) -> Bot {
        Bot {
            name: manifest.name.clone(),
            namespace: namespace.to_owned(),
            account: manifest.name.clone(),
            reconciled: manifest.reconciled,
            exchange,
            cluster: cluster.clone(),
        }
    }

    fn api<K: Resource<Scope = kube::core::NamespaceResourceScope>>(&self) -> Api<K>
    where
        K::DynamicType: Default,
    {
        Api::namespaced(self.cluster.client.clone(), &self.namespace)
    }

    /// Creates the object.
    pub async fn create(&self, object: &Value) -> Result<(), String> {
        let object = serde_json::from_value(object.clone()).expect("an object");
        let api = self.cluster.ours("TradingBot", &self.namespace);
        api.create(&PostParams::default(), &object).await.map(drop).map_err(|error| error.to_string())
    }

    /// Changes the spec, as `kubectl patch --type=merge` does.
    pub async fn change(&self, patch: Value) {
        let api: Api<TradingBot> = self.api();
        api.patch(&self.name, &PatchParams::default(), &Patch::Merge(patch)).await.expect("the change is accepted");
    }

    /// Changes the spec by a JSON Patch.
    pub async fn change_by(&self, patch: Value) {
        let patch = serde_json::from_value(patch).expect("a JSON Patch");
        let api: Api<TradingBot> = self.api();
        let changed = api.patch(&self.name, &PatchParams::default(), &Patch::<TradingBot>::Json(patch)).await;
        changed.expect("the change is accepted");
    }

    /// Asks for its deletion.
    pub async fn delete(&self) {
        let api: Api<TradingBot> = self.api();
        api.delete(&self.name, &DeleteParams::default()).await.expect("the bot is deleted");
    }

    /// Removes the object at once, finalizer and all, whatever its agents do.
    pub async fn remove_by_force(&self) {
        let api: Api<TradingBot> = self.api();
        self.delete().await;
        let none = Patch::Merge(json!({"metadata": {"finalizers": null}}));
        api.patch(&self.name, &PatchParams::default(), &none).await.expect("the finalizer is stripped");
    }

    /// The condition of this type: status, reason and message.
    pub async fn condition(&self, kind: &str) -> Option<(String, String, String)> {
        let found = self.status().await.conditions.into_iter().find(|c| c.type_ == kind);
        found.map(|c| (c.status, c.reason, c.message))
    }

    /// Waits until the object is gone.
    pub async fn until_gone(&self) {
        let api: Api<TradingBot> = self.api();
        until("the bot is gone", SOON, async || api.get_opt(&self.name).await.ok()?.is_none().then_some(())).await;
    }

    /// Its status now.
    pub async fn status(&self) -> TradingBotStatus {
        let api: Api<TradingBot> = self.api();
        let found = until("the bot can be read", seconds(20), async || api.get(&self.name).await.ok()).await;
        found.status.unwrap_or_default()
    }

    /// Waits until the status is as asked for.
    pub async fn until(&self, what: &str, limit: Duration, is: impl Fn(&TradingBotStatus) -> bool) -> TradingBotStatus {
        let api: Api<TradingBot> = self.api();
        let mut last = TradingBotStatus::default();
        let began = std::time::Instant::now();
        loop {
            if let Ok(bot) = api.get(&self.name).await {
                last = bot.status.unwrap_or_default();
                if is(&last) {
                    return last;
                }
            }
            let text = || serde_json::to_string(&last).unwrap_or_default();
            assert!(began.elapsed() < limit, "not within {} s: {what}; the status is {}", limit.as_secs(), text());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits for a phase.
    pub async fn until_phase(&self, phase: Phase) -> TradingBotStatus {
        self.until(&format!("the phase is {phase:?}"), SOON, |s| s.phase == phase).await
    }

    /// Waits until orders are accepted and the status says who trades and that all standbys are ready.
    pub async fn until_trading(&self) -> TradingBotStatus {
        self.exchange.wait("the bot trades", SOON, &self.at("")).await;
        self.until("one trades and all standbys are ready", SOON, |s| {
            s.phase == Phase::Active
                && s.active.as_ref().is_some_and(|a| a.since_time.is_some())
                && s.standbys.ready >= s.standbys.desired
        })
        .await
    }

    /// Waits until a later epoch than this trades, and returns its move.
    pub async fn until_moved_beyond(&self, epoch: u64) -> MoveStatus {
        let status = self
            .until("a later epoch trades", SOON, |s| {
                s.phase == Phase::Active && s.failover.history.first().is_some_and(|m| m.epoch > epoch)
            })
            .await;
        status.failover.history.into_iter().next().expect("it was just seen")
    }

    /// The pod in the ledger.
    pub async fn active(&self) -> Pod {
        let name = self.status().await.active.expect("one trades").pod;
        self.pod(&name).await.expect("the active's pod is there")
    }

    /// The name of a pod that is not the active, and ready.
    pub async fn standby(&self) -> String {
        let active = self.status().await.active.expect("one trades").pod;
        let found = self.pods().await.into_iter().map(|p| p.name_any()).find(|name| *name != active);
        found.expect("there is a standby")
    }

    /// One pod.
    pub async fn pod(&self, name: &str) -> Option<Pod> {
        let api: Api<Pod> = self.api();
        until("the pod can be read", seconds(20), async || api.get_opt(name).await.ok()).await
    }

    /// The log of a pod's supervised container: the agent's lines and the bot's.
    pub async fn log(&self, pod: &str) -> String {
        let path = format!("/api/v1/namespaces/{}/pods/{pod}/log?container=bot", self.namespace);
        self.cluster.get(&path).await.unwrap_or_default()
    }

    /// All pods of the bot itself.
    pub async fn pods(&self) -> Vec<Pod> {
        let selector = format!("tradingbot.io/bot={},tradingbot.io/component=bot", self.name);
        let api: Api<Pod> = self.api();
        let parameters = ListParams::default().labels(&selector);
        until("the pods can be listed", seconds(20), async || api.list(&parameters).await.ok()).await.items
    }

    /// The Lease.
    pub async fn lease(&self) -> Option<Lease> {
        let api: Api<Lease> = self.api();
        api.get_opt(&self.name).await.expect("the Lease can be read")
    }

    /// Leases of this bot.
    pub fn leases(&self) -> Api<Lease> {
        self.api()
    }

    /// The container of a pod, to be hit.
    pub async fn aim(&self, pod: &str) -> Aim {
        Faults { cluster: self.cluster.clone() }.aim(&self.namespace, pod, "bot").await
    }

    /// Tells the paper bot in a pod to misbehave: `crash`, `hang`, `ignore-sigterm` or `daemonise`.
    pub async fn tell(&self, pod: &str, what: &str) {
        let path = format!("/api/v1/namespaces/{}/pods/{pod}:9000/proxy/control/{what}", self.namespace);
        // One that crashes at once may not answer any more.
        let told = tokio::time::timeout(seconds(5), self.cluster.post(&path, &json!({}))).await;
        if what != "crash" {
            told.expect("the paper bot answers").expect("the paper bot does as it is told");
        }
    }

    /// Marks the moment of a fault of the active.
    pub async fn begin_round(&self, text: &str) -> Round {
        self.exchange.begin_round(&self.account, text).await
    }

    /// A line in the exchange's log about this bot.
    pub async fn mark(&self, text: &str) -> Entry {
        self.exchange.mark(json!({"text": text, "account": self.account})).await
    }

    /// A filter of the exchange's log for this bot.
    pub fn at(&self, filter: &str) -> String {
        format!("account={}&{filter}", self.account)
    }

    /// Its accepted orders after an entry.
    pub async fn orders_since(&self, entry: &Entry) -> Vec<Entry> {
        self.exchange.orders(&self.account, entry.seq).await
    }

    /// Nobody has traded between this entry and now but under its token, and somebody does trade now.
    pub async fn assert_undisturbed_since(&self, round: &Round) {
        let filter = self.at(&format!("since={}", round.marker.seq));
        self.exchange.wait("the active goes on trading", seconds(5), &filter).await;
        let orders = self.orders_since(&round.marker).await;
        let other = orders.iter().find(|o| o.token != round.order.token || o.instance != round.order.instance);
        assert!(other.is_none(), "the active was not left alone: {other:?}");
    }

    /// The longest pause between accepted orders after an entry, in seconds.
    pub async fn longest_pause_since(&self, round: &Round) -> f64 {
        let orders = self.exchange.orders(&self.account, round.marker.seq.saturating_sub(1)).await;
        let mut last = &round.order;
        let mut longest: f64 = 0.0;
        for order in &orders {
            longest = longest.max(super::exchange::seconds_between(last, order));
            last = order;
        }
        longest
    }

    /// Creates an operation and returns its name.
    pub async fn ask(&self, kind: &str, to: Option<&str>) -> String {
        let mut spec = json!({"botName": self.name, "type": kind});
        if let Some(to) = to {
            spec["to"] = json!(to);
        }
        self.ask_for(spec).await
    }

    /// Creates an operation with this spec.
    pub async fn ask_for(&self, spec: Value) -> String {
        let object = json!({
            "apiVersion": "tradingbot.io/v1alpha1", "kind": "TradingBotOperation",
            "metadata": {"generateName": format!("{}-", self.name)}, "spec": spec,
        });
        let object = serde_json::from_value(object).expect("an operation");
        let api = self.cluster.ours("TradingBotOperation", &self.namespace);
        api.create(&PostParams::default(), &object).await.expect("the operation is accepted").name_any()
    }

    /// Waits until an operation has ended.
    pub async fn until_ended(&self, operation: &str) -> TradingBotOperationStatus {
        self.until_ended_within(operation, SOON).await
    }

    /// With another limit.
    pub async fn until_ended_within(&self, operation: &str, limit: Duration) -> TradingBotOperationStatus {
        let api: Api<TradingBotOperation> = self.api();
        until(&format!("the operation {operation} ends"), limit, async || {
            let status = api.get(operation).await.ok()?.status?;
            status.phase.has_ended().then_some(status)
        })
        .await
    }

    /// The first order after an entry under a later token, the old one having stopped; see [`Exchange`].
    pub async fn first_order_of_next(&self, round: &Round) -> Entry {
        self.exchange.first_order_of_next(round, SOON).await
    }
}
