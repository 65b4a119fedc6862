//! Bad input that would otherwise be found only when pods, Jobs or connections are made: at worst when trading moves.

use serde_json::{Value, json};

use super::bot::smallest;
use super::cluster::Cluster;

type Change = fn(&mut Value);

fn pod(bot: &mut Value) -> &mut Value {
    &mut bot["spec"]["template"]["spec"]
}

fn container(bot: &mut Value) -> &mut Value {
    &mut bot["spec"]["template"]["spec"]["containers"][0]
}

fn claim() -> Value {
    let spec = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}});
    json!({"metadata": {"name": "data"}, "spec": spec})
}

fn with_job(bot: &mut Value, spec: Value) {
    let mut job = json!({"template": {"spec": {"containers": [{"name": "r", "image": "r"}]}}});
    job.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    bot["spec"]["reconciliation"] = json!({"jobTemplate": {"spec": job}});
}

fn with_egress(bot: &mut Value, rule: Value) {
    bot["spec"]["orderGate"] = json!({"networkPolicy": {"standbyEgress": [rule]}});
}

const BAD: &[(&str, Change, &str)] = &[
    ("a command without a program", |b| container(b)["command"] = json!([""]), "needs a command"),
    (
        "a variable of ours",
        |b| container(b)["env"] = json!([{"name": "TRADINGBOT_ROLE", "value": "active"}]),
        "must not set environment variables whose names begin with TRADINGBOT_",
    ),
    (
        "a mount over the agent",
        |b| {
            pod(b)["volumes"] = json!([{"name": "x", "emptyDir": {}}]);
            container(b)["volumeMounts"] = json!([{"name": "x", "mountPath": "/.tradingbot"}]);
        },
        "must not mount anything at /.tradingbot",
    ),
    (
        "a mount over the leadership page",
        |b| {
            pod(b)["volumes"] = json!([{"name": "x", "emptyDir": {}}]);
            container(b)["volumeMounts"] = json!([{"name": "x", "mountPath": "/run/tradingbot"}]);
        },
        "must not mount anything at /.tradingbot",
    ),
    (
        "a container that Kubernetes does not restart",
        |b| container(b)["restartPolicy"] = json!("Never"),
        "must have no restartPolicy of its own",
    ),
    (
        "no image",
        |b| drop(container(b).as_object_mut().unwrap().remove("image")),
        "Every container of spec.template needs an image",
    ),
    (
        "a port of the agent",
        |b| container(b)["ports"] = json!([{"containerPort": 9797}]),
        "must not listen on the TCP ports 9796 to 9799",
    ),
    (
        "a label that makes every pod the active",
        |b| b["spec"]["template"]["metadata"] = json!({"labels": {"tradingbot.io/role": "active"}}),
        "spec.template.metadata must not have labels or annotations of the operator",
    ),
    (
        "an annotation of ours",
        |b| b["spec"]["template"]["metadata"] = json!({"annotations": {"tradingbot.io/revision": "1"}}),
        "spec.template.metadata must not have labels or annotations of the operator",
    ),
    (
        "a negative time to stop",
        |b| pod(b)["terminationGracePeriodSeconds"] = json!(-1),
        "spec.template.spec.terminationGracePeriodSeconds in body should be greater than or equal to 0",
    ),
    (
        "a claim with a name of ours",
        |b| {
            let mut claim = claim();
            claim["metadata"]["name"] = json!("tradingbot-agent");
            b["spec"]["volumeClaimTemplates"] = json!([claim]);
        },
        "must not begin with tradingbot-",
    ),
    (
        "a claim without a size",
        |b| {
            let mut claim = claim();
            claim["spec"]["resources"] = json!({});
            b["spec"]["volumeClaimTemplates"] = json!([claim]);
        },
        "needs a size: set resources.requests.storage",
    ),
    (
        "a claim with an unknown access mode",
        |b| {
            let mut claim = claim();
            claim["spec"]["accessModes"] = json!(["ReadWrite"]);
            b["spec"]["volumeClaimTemplates"] = json!([claim]);
        },
        "supported values: \"ReadWriteOnce\"",
    ),
    (
        "a reconciliation without a program",
        |b| b["spec"]["reconciliation"] = json!({"command": [""]}),
        "The first entry of spec.reconciliation.command is the program",
    ),
    (
        "a reconciliation Job without a container",
        |b| with_job(b, json!({"template": {"spec": {"containers": []}}})),
        "containers in body should have at least 1 items",
    ),
    (
        "a reconciliation Job without an image",
        |b| with_job(b, json!({"template": {"spec": {"containers": [{"name": "r"}]}}})),
        "Every container of spec.reconciliation.jobTemplate needs an image",
    ),
    (
        "a reconciliation Job that another controller runs",
        |b| with_job(b, json!({"managedBy": "example.com/other"})),
        "must leave selector, manualSelector, managedBy",
    ),
    (
        "a reconciliation Job with a selector",
        |b| with_job(b, json!({"selector": {"matchLabels": {"a": "b"}}})),
        "must leave selector, manualSelector, managedBy",
    ),
    (
        "an indexed reconciliation Job",
        |b| with_job(b, json!({"completionMode": "Indexed", "backoffLimitPerIndex": 1})),
        "must leave selector, manualSelector, managedBy",
    ),
    (
        "a hook that calls the agent",
        |b| b["spec"]["hooks"] = json!({"promote": {"http": {"port": 9797}}}),
        "The ports 9796 to 9799 of a pod are its agent's own",
    ),
    (
        "a hook without a program",
        |b| b["spec"]["hooks"] = json!({"demote": {"exec": {"command": [""]}}}),
        "The first entry of a hook's command is the program",
    ),
    (
        "a header with a line break",
        |b| {
            let headers = json!([{"name": "A", "value": "b\r\nC: d"}]);
            b["spec"]["hooks"] = json!({"promote": {"http": {"port": 80, "headers": headers}}});
        },
        "spec.hooks.promote.http.headers[0].value in body should match",
    ),
    (
        "a Secret that cannot be called so",
        |b| {
            let http = json!({"port": 80, "basicAuthSecretRef": {"name": "Api_Key"}});
            b["spec"]["hooks"] = json!({"promote": {"http": http}});
        },
        "spec.hooks.promote.http.basicAuthSecretRef.name in body should match",
    ),
    (
        "a way past the gate for everything",
        |b| b["spec"]["orderGate"] = json!({"noProxy": ["*"]}),
        "spec.orderGate.noProxy takes one name, address or network an entry",
    ),
    (
        "two hosts in one entry",
        |b| b["spec"]["orderGate"] = json!({"noProxy": ["a.example.com,b.example.com"]}),
        "spec.orderGate.noProxy takes one name, address or network an entry",
    ),
    (
        "a network without a prefix length",
        |b| with_egress(b, json!({"to": [{"ipBlock": {"cidr": "192.0.2.1"}}]})),
        "needs either an ipBlock with a prefix length",
    ),
    ("a peer that is nobody", |b| with_egress(b, json!({"to": [{}]})), "needs either an ipBlock with a prefix length"),
    (
        "a peer that is two things",
        |b| with_egress(b, json!({"to": [{"ipBlock": {"cidr": "192.0.2.0/24"}, "podSelector": {}}]})),
        "needs either an ipBlock with a prefix length",
    ),
    (
        "a range of ports that ends before it begins",
        |b| with_egress(b, json!({"ports": [{"port": 443, "endPort": 80}]})),
        "is a number from 1 to 65535 or a name",
    ),
    (
        "a port that is none",
        |b| with_egress(b, json!({"ports": [{"port": 70000}]})),
        "is a number from 1 to 65535 or a name",
    ),
];

/// All that was not refused as it should be is told at once.
#[tokio::test]
async fn what_would_fail_later_is_refused_at_once() {
    let cluster = Cluster::with_namespace("input").await;
    let mut wrong = Vec::new();
    for (what, change, sentence) in BAD {
        let mut bot = smallest();
        change(&mut bot);
        match cluster.create("TradingBot", &bot, true).await {
            Ok(_) => wrong.push(format!("{what}: was accepted")),
            Err(text) if !text.contains(sentence) => wrong.push(format!("{what}: {text}")),
            Err(_) => {}
        }
    }
    cluster.clean_up().await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

const HOSTS: &[&str] = &[
    "api.example.com",
    "API.Example.com:443",
    "*.example.com",
    "*.example.com:8443",
    "exchange",
    "a_b.example",
    "xn--bcher-kva.example",
    "3com.com",
    "1-2.3-4",
    "192.0.2.7",
    "192.0.2.7:443",
    "2001:db8::7",
    "::",
    "::1",
    "1:2:3:4:5:6:7::",
    "1:2:3:4:5:6:7:8",
    "[2001:db8::7]",
    "[2001:db8::7]:443",
];

const NO_HOSTS: &[&str] = &[
    "1.2.3",
    "256.1.1.1",
    "192.0.2.07",
    "1.2.3.4.5",
    "a..b",
    ".a",
    "a.-b.c",
    "a-.b",
    "a b",
    "a:0",
    "a:65536",
    "a:b",
    "a:",
    "*",
    "*.",
    "*.192.0.2.7",
    "a.*.b",
    "https://a",
    "a/b",
    "1:2:3",
    "1:2:3:4:5:6:7:8:9",
    "1::2::3",
    "12345::",
    "[::1",
    "::1]",
    "[::1]:0",
    "[a.example.com]:70000",
    "api.1234",
];

/// So no agent ever meets an entry that it cannot read.
#[tokio::test]
async fn the_schema_takes_exactly_the_hosts_that_agents_read() {
    let cluster = Cluster::with_namespace("hosts").await;
    let long = format!("{}.example.com", "a".repeat(64));
    let fits = format!("{}.example.com", "a".repeat(63));
    let endless = format!("{}example.com", "a.".repeat(125));
    let all = HOSTS.iter().chain(NO_HOSTS).copied().chain([long.as_str(), fits.as_str(), endless.as_str()]);
    let mut wrong = Vec::new();
    for host in all {
        let mut bot = smallest();
        bot["spec"]["orderGate"] = json!({"allowedHosts": [host]});
        let accepted = cluster.create("TradingBot", &bot, true).await.is_ok();
        let read = host.parse::<tradingbot::core::gate::HostRule>().is_ok();
        if accepted != read {
            wrong.push(format!("'{host}': accepted is {accepted}, readable is {read}"));
        }
    }
    cluster.clean_up().await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(HOSTS.iter().all(|host| host.parse::<tradingbot::core::gate::HostRule>().is_ok()));
}
