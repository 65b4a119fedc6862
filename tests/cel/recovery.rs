//! Bad and good rules about checks that fail, and hooks for trading that pauses.

use serde_json::{Value, json};

use super::bot::smallest;
use super::cluster::{Cluster, refused};

/// A bot with a check of the pod, one that every pod would see alike, and this.
fn with(recovery: Value) -> Value {
    let mut bot = smallest();
    bot["spec"]["health"] = json!({"checks": [
        {"name": "price", "http": {"port": 8080}},
        {"name": "venue", "tcp": {"port": 443, "host": "api.example.com"}, "scope": "Shared"},
    ]});
    bot["spec"]["recovery"] = recovery;
    bot
}

/// One rule with these actions.
fn actions(actions: Value) -> Value {
    json!({"rules": [{"name": "blind", "checks": ["price"], "actions": actions}]})
}

fn about(checks: Value) -> Value {
    json!({"rules": [{"name": "blind", "checks": checks, "actions": [{"type": "Failover"}]}]})
}

#[tokio::test]
async fn bad_rules_are_refused_with_a_sentence_that_says_what_to_change() {
    let (restart, hook) =
        (json!({"type": "RestartProcess"}), json!({"type": "Hook", "hook": {"http": {"port": 8080}}}));
    let (moves, suspend) = (json!({"type": "Failover"}), json!({"type": "Suspend"}));
    let names =
        "Every name in spec.recovery.rules.checks must be that of a check in spec.health.checks of the scope Pod";
    let order = "The actions of a rule of spec.recovery are those on the process first";
    let belongs = "An action of the type Hook needs hook, which no other has";
    let endless = |pause: u32, period: u32| {
        let mut recovery = actions(json!([restart, moves]));
        recovery["pauseSeconds"] = json!(pause);
        recovery["periodSeconds"] = json!(period);
        recovery
    };
    let cases = [
        ("a check that is not there", about(json!(["pricee"])), names),
        ("a check of all pods", about(json!(["venue"])), names),
        ("a move before a restart", actions(json!([moves, restart])), order),
        ("something after the end", actions(json!([suspend, moves])), order),
        ("two ends", actions(json!([suspend, suspend])), order),
        ("a hook that is none", actions(json!([{"type": "Hook"}])), belongs),
        ("a hook too many", actions(json!([{"type": "Failover", "hook": hook["hook"]}])), belongs),
        (
            "a hook that calls nothing",
            actions(json!([{"type": "Hook", "hook": {}}])),
            "A hook calls either exec or http",
        ),
        (
            "a port of the agent",
            actions(json!([{"type": "Hook", "hook": {"http": {"port": 9797}}}])),
            "The ports 9796 to 9799 of a pod are its agent's own",
        ),
        (
            "a ladder that never ends",
            endless(60, 120),
            "would begin at its first action again before it came to its last",
        ),
        ("no action", actions(json!([])), "should have at least 1 items"),
        ("an action that nobody knows", actions(json!([{"type": "Reboot"}])), "Unsupported value: \"Reboot\""),
        ("no rule", json!({"rules": []}), "should have at least 1 items"),
        (
            "one name twice",
            json!({"rules": [
                {"name": "a", "actions": [moves]}, {"name": "a", "actions": [moves]},
            ]}),
            "spec.recovery.rules[1]: Duplicate value",
        ),
    ];
    let cluster = Cluster::with_namespace("bad-rules").await;
    for (what, recovery, sentence) in cases {
        refused(what, cluster.create("TradingBot", &with(recovery), true).await, sentence);
    }
    for good in [actions(json!([restart, hook, {"type": "RestartPod"}, moves, suspend])), endless(60, 121)] {
        cluster.create("TradingBot", &with(good), true).await.expect("a good rule");
    }
    cluster.clean_up().await;
}

/// A bot with these hooks, whose check of the venue lets trading pause, or not.
fn with_hooks(hooks: Value, pause_trading: bool) -> Value {
    let mut bot = with(json!(null));
    bot["spec"]["hooks"] = hooks;
    bot["spec"]["health"]["checks"][1]["pauseTrading"] = json!(pause_trading);
    bot["spec"].as_object_mut().expect("a spec").remove("recovery");
    bot
}

#[tokio::test]
async fn hooks_for_pauses_need_a_check_that_lets_trading_pause() {
    let http = |path: &str| json!({"http": {"port": 8080, "path": path}});
    let (pause, resume) = (http("/api/v1/stopentry"), http("/api/v1/start"));
    let both = json!({"pause": pause, "resume": resume});
    let nothing_pauses = "no check of spec.health.checks lets it pause";
    let mut without_checks = with_hooks(both.clone(), true);
    without_checks["spec"].as_object_mut().expect("a spec").remove("health");
    let agents_port = json!({"http": {"port": 9797}});
    let cases = [
        ("no check that pauses", with_hooks(both.clone(), false), nothing_pauses),
        ("resume, and no check that pauses", with_hooks(json!({"resume": resume}), false), nothing_pauses),
        ("no checks", without_checks, nothing_pauses),
        ("pause alone", with_hooks(json!({"pause": pause}), true), "spec.hooks.pause needs spec.hooks.resume"),
        (
            "a hook that calls nothing",
            with_hooks(json!({"pause": pause, "resume": {}}), true),
            "A hook calls either exec or http",
        ),
        (
            "a port of the agent",
            with_hooks(json!({"pause": agents_port, "resume": resume}), true),
            "The ports 9796 to 9799 of a pod are its agent's own",
        ),
        (
            "a command without a program",
            with_hooks(json!({"pause": pause, "resume": {"exec": {"command": [""]}}}), true),
            "spec.hooks.resume.exec",
        ),
    ];
    let cluster = Cluster::with_namespace("pause-hooks").await;
    for (what, bot, sentence) in cases {
        refused(what, cluster.create("TradingBot", &bot, true).await, sentence);
    }
    for good in [both, json!({"resume": resume}), json!({})] {
        cluster.create("TradingBot", &with_hooks(good, true), true).await.expect("good hooks");
    }
    cluster.clean_up().await;
}
