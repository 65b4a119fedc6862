//! Health checks: what they see, what the Lease and the endpoints say of it, and what a server can do to the agent.

mod databases;
mod hostile;
mod servers;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tradingbot::core::lease::{AgentState, Permit};

use self::servers::{Answer, Http};
use super::pod::{API_PORT, Container, PROBE_PORT, Pod, answered, get, in_pod, until};

/// A check that runs every second where the bot trades, and fails after two failures.
fn check(name: &str, probe: Value) -> Value {
    json!({"name": name, "probe": probe, "periodSeconds": 1, "timeoutSeconds": 1, "failureThreshold": 2,
        "successThreshold": 1, "startupGraceSeconds": 0, "critical": true, "appliesTo": "Active", "scope": "Pod",
        "pauseTrading": false})
}

fn with(mut check: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        check[name] = value.clone();
    }
    check
}

fn request(port: u16) -> Value {
    json!({"scheme": "HTTP", "host": "127.0.0.1", "port": port, "path": "/ticker", "headers": [], "authenticate": false})
}

fn http(port: u16, json: Value) -> Value {
    json!({"http": {"request": request(port), "expectedStatus": null, "maxLatencyMilliseconds": null, "json": json}})
}

/// Trades with these checks.
async fn trading(pod: &mut Pod, checks: Vec<Value>) -> Container {
    pod.config["checks"] = checks.into();
    pod.grant(1, Permit::Trade);
    let container = pod.start("exec sleep 1000");
    pod.lease("active", |lease| lease.state == AgentState::Active).await;
    container
}

/// Waits until what is told of this check is so.
async fn shown(pod: &Pod, name: &str, what: &str, condition: impl Fn(&Value) -> bool) -> Value {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let answer = get(API_PORT, "/health/detailed").await.map(|(_, body)| body).unwrap_or_default();
        let page: Value = serde_json::from_str(&answer).unwrap_or_default();
        let entry = page["checks"].as_array().and_then(|all| all.iter().find(|entry| entry["name"] == name)).cloned();
        match entry {
            Some(entry) if condition(&entry) => return entry,
            entry => assert!(Instant::now() < end, "{name} was never {what}: {entry:?} of {page}\n{}", pod.log()),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn passing(pod: &Pod, name: &str) -> Value {
    shown(pod, name, "passing", |entry| entry["state"] == "Passing").await
}

/// Waits until it fails for this reason.
async fn failing(pod: &Pod, name: &str, why: &str) -> Value {
    let so = |entry: &Value| entry["state"] == "Failing" && entry["error"].as_str().is_some_and(|e| e.contains(why));
    shown(pod, name, &format!("failing with '{why}'"), so).await
}

#[test]
fn a_price_that_is_missing_is_told_everywhere_and_so_is_its_return() {
    in_pod(|mut pod| async move {
        let exchange = Http::start(Answer::json(r#"{"current_price": "0.1"}"#)).await;
        let above_zero = json!([{"path": "$.current_price", "operator": "GreaterThan", "value": "0"}]);
        let _container = trading(&mut pod, vec![check("price", http(exchange.port, above_zero))]).await;
        let entry = passing(&pod, "price").await;
        assert!(entry["latencyMilliseconds"].as_f64().is_some_and(|took| took > 0.0), "{entry}");
        for port in [API_PORT, PROBE_PORT] {
            assert_eq!(answered(port, "/health", 200).await, "ok\n");
        }
        pod.lease("without a note", |lease| lease.health.is_empty()).await;

        exchange.set(Answer::json(r#"{"best_bid": "0.1"}"#));
        failing(&pod, "price", "The answer has no $.current_price.").await;
        for (port, path) in [(API_PORT, "/health"), (PROBE_PORT, "/health"), (PROBE_PORT, "/readyz")] {
            let why = answered(port, path, 503).await;
            assert!(why.contains("Check price fails since 20") && why.contains("no $.current_price."), "{why}");
        }
        answered(PROBE_PORT, "/health/detailed", 503).await;
        let lease = pod.lease("with a note", |lease| lease.health.contains("current_price")).await;
        assert_eq!(lease.state, AgentState::Active, "the Lease stays held");
        pod.logged("Check price fails: The answer has no $.current_price.").await;

        exchange.set(Answer::json(r#"{"current_price": 1e-8}"#));
        passing(&pod, "price").await;
        pod.lease("without a note again", |lease| lease.health.is_empty()).await;
        answered(PROBE_PORT, "/readyz", 200).await;
        pod.logged("Check price passes again.").await;
    });
}

#[test]
fn status_latency_and_headers_of_an_answer_are_looked_at() {
    in_pod(|mut pod| async move {
        let server = Http::start(Answer::json("{}")).await;
        let asked = |name: &str, changes: Value| {
            let mut probe = http(server.port, json!([]));
            for (field, value) in changes.as_object().unwrap() {
                probe["http"][field] = value.clone();
            }
            check(name, probe)
        };
        let mut secret = asked("secret", json!({}));
        secret["probe"]["http"]["request"]["authenticate"] = json!(true);
        secret["probe"]["http"]["request"]["headers"] = json!([["X-Api", "7"]]);
        let folder = pod.root.join(".tradingbot-health/secret");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("username"), "bot\n").unwrap();
        std::fs::write(folder.join("password"), "s3cret").unwrap();
        let checks = vec![
            asked("any", json!({})),
            asked("teapot", json!({"expectedStatus": 418})),
            asked("fast", json!({"maxLatencyMilliseconds": 300})),
            secret,
        ];
        let _container = trading(&mut pod, checks).await;
        failing(&pod, "teapot", "The answer was 200 OK.").await;
        for name in ["any", "fast", "secret"] {
            passing(&pod, name).await;
        }
        let head = server.heard("x-api: 7").await;
        assert!(head.contains("authorization: basic ym90onmzy3jlda=="), "{head}");
        server.set(Answer { status: "418 I'm a teapot", ..Answer::json("{}") });
        passing(&pod, "teapot").await;
        failing(&pod, "any", "The answer was 418").await;
        server.set(Answer { after: Duration::from_millis(400), ..Answer::json("{}") });
        failing(&pod, "fast", "The answer took longer than 300 ms.").await;
        drop(server);
        failing(&pod, "any", "No connection to 127.0.0.1").await;
    });
}

#[test]
fn over_tls_only_a_server_with_a_known_authority_is_believed() {
    in_pod(|mut pod| async move {
        // The API server of the test: it has a certificate that it has made itself.
        let at_once = json!({"scheme": "HTTPS", "host": "127.0.0.1", "port": pod.api.address.port(), "authenticate": false,
            "path": "/apis/coordination.k8s.io/v1/namespaces/trading/leases/doge",
            "headers": [["Authorization", "Bearer secret-token"]]});
        let is_lease = json!([{"path": "$.kind", "operator": "Equals", "value": "Lease"}]);
        let probe = json!({"http": {"request": at_once, "expectedStatus": null, "maxLatencyMilliseconds": null,
            "json": is_lease}});
        let container = trading(&mut pod, vec![check("secure", probe)]).await;
        failing(&pod, "secure", "No TLS with 127.0.0.1: invalid peer certificate: ").await;
        drop(container);
        pod.more.push(("SSL_CERT_FILE", "/.tradingbot-credentials/ca.crt".into()));
        pod.grant(2, Permit::Trade);
        let container = pod.start("exec sleep 1000");
        passing(&pod, "secure").await;
        println!("with TLS: {} kB at most", hostile::memory(&container, "VmHWM"));
        drop(container);
        pod.more = vec![("SSL_CERT_FILE", "/nowhere.pem".into())];
        pod.grant(3, Permit::Trade);
        let _container = pod.start("exec sleep 1000");
        failing(&pod, "secure", "/nowhere.pem, which SSL_CERT_FILE names, cannot be used").await;
    });
}

#[test]
fn what_is_older_than_it_may_be_is_not_fresh() {
    in_pod(|mut pod| async move {
        let now = || jiff::Timestamp::now();
        let server = Http::start(Answer::json(&json!({"tick": {"at": now().to_string()}}).to_string())).await;
        let fresh = |source: Value| json!({"freshness": {"source": source, "maxAgeSeconds": 3}});
        let checks = vec![
            check("tick", fresh(json!({"http": {"request": request(server.port), "jsonPath": "$.tick.at"}}))),
            check("order", fresh(json!({"file": {"path": "/tmp/order", "jsonPath": null}}))),
            check("heartbeat", fresh(json!({"modified": {"path": "/tmp/heartbeat"}}))),
        ];
        let touch = || {
            let after = now().as_millisecond();
            std::fs::write(pod.root.join("tmp/order"), format!("{after}\n")).unwrap();
            std::fs::write(pod.root.join("tmp/heartbeat"), "").unwrap();
        };
        touch();
        pod.config["checks"] = checks.into();
        pod.grant(1, Permit::Trade);
        let _container = pod.start("exec sleep 1000");
        passing(&pod, "tick").await;
        for name in ["tick", "order", "heartbeat"] {
            failing(&pod, name, " s old, and may be 3 s old.").await;
        }
        touch();
        server.set(Answer::json(&json!({"tick": {"at": now().as_second()}}).to_string()));
        for name in ["tick", "order", "heartbeat"] {
            passing(&pod, name).await;
        }
        let tomorrow = now().as_second() + 86_400;
        server.set(Answer::json(&json!({"tick": {"at": tomorrow}}).to_string()));
        failing(&pod, "tick", "ahead of the node's clock").await;
        server.set(Answer::json(r#"{"tick": {"at": "soon"}}"#));
        failing(&pod, "tick", "$.tick.at is 'soon', which is no time.").await;
        std::fs::remove_file(pod.root.join("tmp/order")).unwrap();
        failing(&pod, "order", "/tmp/order cannot be read").await;
    });
}

#[test]
fn commands_ports_and_files_are_checked_and_a_command_that_hangs_is_killed() {
    in_pod(|mut pod| async move {
        let server = Http::start(Answer::json("{}")).await;
        let exec = |script: &str| json!({"exec": {"command": ["/bin/sh", "-c", script]}});
        std::fs::write(pod.root.join("tmp/log"), vec![b'x'; 1000]).unwrap();
        let checks = vec![
            check("ok", exec("test -e /tmp/good && test $TRADINGBOT_ROLE = active")),
            check("hangs", exec("sleep 4321 & wait")),
            check("nothing", json!({"exec": {"command": ["/nothing"]}})),
            check("port", json!({"tcp": {"host": "localhost", "port": server.port}})),
            check("log", json!({"fileSize": {"path": "/tmp/log", "maxBytes": 1000}})),
            check(
                "disk",
                json!({"resources": {"memoryPercent": null, "cpuPercent": null, "disk": [["/nowhere", 99]]}}),
            ),
        ];
        let container = trading(&mut pod, checks).await;
        failing(&pod, "ok", "ended with exit code 1").await;
        std::fs::write(pod.root.join("tmp/good"), "").unwrap();
        passing(&pod, "ok").await;
        failing(&pod, "hangs", "No answer within 1 s.").await;
        failing(&pod, "nothing", "'/nothing' could not be started").await;
        failing(&pod, "disk", "/nowhere cannot be looked at").await;
        passing(&pod, "port").await;
        passing(&pod, "log").await;
        std::fs::write(pod.root.join("tmp/log"), vec![b'x'; 1001]).unwrap();
        failing(&pod, "log", "/tmp/log has 1001 bytes, and may have 1000.").await;
        drop(server);
        failing(&pod, "port", "No connection to localhost").await;
        // Nothing that an earlier run has started lives on; one run may be under way.
        let sleeping = || container.processes().iter().filter(|(_, name)| name == "sleep").count();
        assert!(until(|| (sleeping() <= 2).then_some(())).await.is_some(), "{:?}", container.processes());
        // With the bot everything of its checks ends.
        let mut record = pod.api.record().unwrap();
        record.permit = Some(Permit::Revoke);
        pod.api.put(&record);
        pod.lease("released", |lease| lease.state == AgentState::Released).await;
        container.emptied().await;
    });
}

#[test]
fn a_standby_is_ready_when_its_own_checks_pass_whatever_all_pods_see_alike() {
    in_pod(|mut pod| async move {
        let (replica, exchange) = (Http::start(Answer::json("{}")).await, Http::start(Answer::json("{}")).await);
        replica.set(Answer { status: "500 Internal Server Error", ..Answer::json("{}") });
        exchange.set(Answer { status: "503 Service Unavailable", ..Answer::json("{}") });
        pod.config["checks"] = json!([
            with(check("replica", http(replica.port, json!([]))), json!({"appliesTo": "Standby"})),
            with(check("exchange", http(exchange.port, json!([]))), json!({"appliesTo": "Both", "scope": "Shared"})),
            with(check("optional", http(1, json!([]))), json!({"appliesTo": "Both", "critical": false})),
            check("active", http(1, json!([]))),
        ]);
        pod.grant(1, Permit::Trade);
        let mut record = pod.api.record().unwrap();
        record.holder = None;
        pod.api.put(&record);
        let _container = pod.start("exec sleep 1000");
        failing(&pod, "replica", "500").await;
        let why = answered(PROBE_PORT, "/readyz", 503).await;
        assert!(why.contains("Check replica fails since"), "{why}");
        replica.set(Answer::json("{}"));
        answered(PROBE_PORT, "/readyz", 200).await;
        failing(&pod, "exchange", "503").await;
        failing(&pod, "optional", "No connection").await;
        assert_eq!(get(PROBE_PORT, "/readyz").await.unwrap().0, 200);
        let why = answered(PROBE_PORT, "/health", 503).await;
        assert!(why.contains("Check exchange fails"), "{why}");
        let page: Value = serde_json::from_str(&get(API_PORT, "/health/detailed").await.unwrap().1).unwrap();
        assert_eq!((&page["role"], page["checks"].as_array().unwrap().len()), (&json!("standby"), 3), "{page}");
    });
}
