//! Bots for the tests of this folder.

use serde_json::json;

use crate::api::bot::TradingBot;
use crate::core::failover::{JobContext, Reason};
use crate::core::ids::Epoch;

/// Only what must be there.
pub fn smallest() -> TradingBot {
    serde_json::from_value(json!({
        "metadata": {"name": "doge-jpy", "namespace": "money", "uid": "bot-uid"},
        "spec": {"template": {"spec": {"containers": [{"name": "bot", "image": "example/bot:1", "command": ["/bot"]}]}}},
    }))
    .unwrap()
}

/// Everything that can be said.
pub fn full() -> TradingBot {
    let bot = json!({
        "name": "bot", "image": "example/bot:1", "command": ["/bot"], "args": ["--pair", "DOGE_JPY"],
        "env": [{"name": "PAIR", "value": "DOGE_JPY"}, {"name": "TRADINGBOT_NAME", "value": "other"}],
        "ports": [{"containerPort": 8080}],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}, {"name": "tmp", "mountPath": "/tmp"}],
        "securityContext": {"runAsUser": 1000},
    });
    let claim = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}});
    let unreachable = json!({
        "key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 30,
    });
    serde_json::from_value(json!({
        "metadata": {"name": "doge-jpy", "namespace": "money", "uid": "bot-uid"},
        "spec": {
            "standbyMode": "Hot",
            "template": {
                "metadata": {"labels": {"team": "desk"}},
                "spec": {
                    "serviceAccountName": "trader",
                    "terminationGracePeriodSeconds": 5,
                    "imagePullSecrets": [{"name": "registry"}],
                    "tolerations": [unreachable],
                    "containers": [bot, {"name": "log", "image": "log"}],
                    "volumes": [{"name": "tmp", "emptyDir": {}}, {"name": "unused", "emptyDir": {}}],
                },
            },
            "volumeClaimTemplates": [{"metadata": {"name": "data", "labels": {"tier": "money"}}, "spec": claim}],
            "hooks": {
                "promote": {"http": {"port": 8080, "path": "/start", "basicAuthSecretRef": {"name": "api"}}},
                "demote": {"exec": {"command": ["/bot", "stop"]}, "timeoutSeconds": 4},
            },
            "lifecycle": {"shutdown": [
                {"name": "stop-new-orders", "http": {"port": 8080, "path": "/pause", "basicAuthSecretRef": {"name": "api"}}, "timeoutSeconds": 30},
                {"name": "cancel-orders", "exec": {"command": ["/bot", "cancel-all"]}, "timeoutSeconds": 60},
            ]},
            "reconciliation": {"command": ["/bot", "reconcile"], "deadlineSeconds": 20},
        },
    }))
    .unwrap()
}

/// What the first reconciliation of a bot is told.
pub fn first_start() -> JobContext {
    JobContext {
        epoch: Epoch(1),
        previous_epoch: Epoch(0),
        from: None,
        to: "doge-jpy-0".into(),
        reason: Reason::FirstStart,
    }
}
