//! The TradingBot of a scenario, as a person would write it.

use serde_json::{Value, json};

/// The image with exchange, bot and reconciliation program.
pub const DEMO_IMAGE: &str = "ghcr.io/tradingbot-io/tradingbot-demo:0.1.0";

/// The books of a bot that keeps them on its volume.
pub const BOOKS: &str = "/data/books.sqlite";

/// What the Pod Security Standard `restricted` asks of a pod, which every scenario's namespace enforces.
pub fn restricted_pod() -> Value {
    json!({"runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"}})
}

/// And of its containers.
pub fn restricted_container() -> Value {
    json!({"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}})
}

/// A bot that is about to be applied. Short times, so that scenarios are quick: leases of 5/1/3 s, 3 s to stop.
#[derive(Clone, Debug)]
pub struct BotManifest {
    pub name: String,
    pub object: Value,
    pub reconciled: bool,
}

/// A warm bot with one standby that trades 20 times a second, without a reconciliation and without limits.
pub fn bot() -> BotManifest {
    let object = json!({
        "apiVersion": "tradingbot.io/v1alpha1",
        "kind": "TradingBot",
        "metadata": {"name": "doge"},
        "spec": {
            "replicas": 2,
            "standbyMode": "Warm",
            "template": {"spec": {
                "terminationGracePeriodSeconds": 3,
                "securityContext": restricted_pod(),
                "containers": [{
                    "name": "bot",
                    "image": DEMO_IMAGE,
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["/paper-bot"],
                    "args": ["--orders-per-second", "20"],
                    "securityContext": restricted_container(),
                }],
            }},
            "leadership": {"leaseDurationSeconds": 5, "renewPeriodSeconds": 1, "renewDeadlineSeconds": 3},
            "failover": {"inPlaceRestarts": 0, "cooldownSeconds": 0, "rateLimit": {"maxFailovers": 0}},
        },
    });
    BotManifest { name: "doge".into(), object, reconciled: false }
}

impl BotManifest {
    /// Another name.
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self.with("/metadata/name", json!(name))
    }

    /// The standby's process runs already.
    pub fn hot(self) -> Self {
        self.with("/spec/standbyMode", json!("Hot"))
    }

    /// The paper bot's own reconciliation runs before every epoch.
    pub fn reconciled(self) -> Self {
        self.reconciled_by(json!({"command": ["/paper-reconcile"], "deadlineSeconds": 20}))
    }

    /// With this reconciliation policy.
    pub fn reconciled_by(mut self, policy: Value) -> Self {
        self.reconciled = true;
        self.with("/spec/reconciliation", policy)
    }

    /// It hardly ever trades, and asks for next to nothing.
    pub fn idle(self) -> Self {
        self.with("/spec/template/spec/containers/0/args", json!(["--orders-per-second", "0.1"]))
    }

    /// The account that no other bot trades on at the same time.
    pub fn account(self, name: &str) -> Self {
        self.with("/spec/account", json!({"name": name}))
    }

    /// Pods only on this node.
    pub fn only_on(self, node: &str) -> Self {
        self.with("/spec/template/spec/nodeSelector", json!({"kubernetes.io/hostname": node}))
    }

    /// So many pods.
    pub fn replicas(self, n: u32) -> Self {
        self.with("/spec/replicas", json!(n))
    }

    /// So many restarts by the agent before trading moves.
    pub fn in_place_restarts(self, n: u32) -> Self {
        self.with("/spec/failover/inPlaceRestarts", json!(n))
    }

    /// Lease duration, renew period and renew deadline in seconds.
    pub fn lease(self, duration: u32, period: u32, deadline: u32) -> Self {
        self.with("/spec/leadership/leaseDurationSeconds", json!(duration))
            .with("/spec/leadership/renewPeriodSeconds", json!(period))
            .with("/spec/leadership/renewDeadlineSeconds", json!(deadline))
    }

    /// A variable in the environment of bot and reconciliation.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        let container = self.object.pointer_mut("/spec/template/spec/containers/0").expect("a container");
        let container = container.as_object_mut().expect("an object");
        let env = container.entry("env").or_insert_with(|| json!([]));
        env.as_array_mut().expect("a list").push(json!({"name": name, "value": value}));
        self
    }

    /// Pods keep away from this node, and from each other.
    pub fn not_on(self, node: &str) -> Self {
        let labels = json!({"matchLabels": {"tradingbot.io/bot": self.name}});
        let away =
            json!({"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "NotIn", "values": [node]}]});
        self.with(
            "/spec/template/spec/affinity",
            json!({
                "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [away]}},
                "podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
                    {"weight": 100, "podAffinityTerm": {"labelSelector": labels, "topologyKey": "kubernetes.io/hostname"}},
                ]},
            }),
        )
    }

    /// Backed up from there to there, on a schedule that comes once a year: scenarios ask for backups themselves.
    pub fn backed_up(self, source: Value, destination: Value) -> Self {
        let schedules = json!([{"name": "yearly", "schedule": "0 0 1 1 *"}]);
        let backup = json!({
            "source": source, "destination": destination, "schedules": schedules, "deadlineSeconds": 90,
        });
        self.with("/spec/backup", backup)
    }

    /// It keeps books in a database that the Secret names, so many orders a second.
    pub fn books_in_database(self, secret: &str, orders_per_second: u32) -> Self {
        let rate = orders_per_second.to_string();
        self.with("/spec/template/spec/containers/0/args", json!(["--orders-per-second", rate, "--database"]))
            .with("/spec/template/spec/containers/0/envFrom", json!([{"secretRef": {"name": secret}}]))
    }

    /// Every slot has a claim of its own at `/data`, in which the bot keeps its books.
    pub fn books_on_volume(self, orders_per_second: u32) -> Self {
        let claims = json!([{"metadata": {"name": "data"}, "spec": {
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}
        }}]);
        let rate = orders_per_second.to_string();
        let args = json!(["--orders-per-second", rate, "--journal", BOOKS]);
        self.with("/spec/volumeClaimTemplates", claims)
            .with("/spec/template/spec/containers/0/args", args)
            .with("/spec/template/spec/containers/0/volumeMounts", json!([{"name": "data", "mountPath": "/data"}]))
    }

    /// Any field, by JSON pointer.
    pub fn with(mut self, pointer: &str, value: Value) -> Self {
        let mut at = &mut self.object;
        for part in pointer.trim_start_matches('/').split('/') {
            at = match at {
                Value::Array(list) => &mut list[part.parse::<usize>().expect("an index")],
                other => &mut other[part],
            };
        }
        *at = value;
        self
    }
}
