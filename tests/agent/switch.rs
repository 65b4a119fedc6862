//! The dead-man's switch: called while the bot trades and at no other time, and never in the way of a demotion.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tradingbot::core::lease::{AgentState, Permit};

use super::api::Mode;
use super::pod::{PROBE_PORT, Pod, answered, in_pod, until};

const BOT: &str = "trap 'exit 0' TERM; touch /tmp/ready; while :; do sleep 0.05; done";

/// Called every second.
fn exec(script: &str, timeout: u64) -> Value {
    json!({"call": {"action": {"exec": {"command": ["/bin/sh", "-c", script]}}, "timeoutSeconds": timeout},
        "everySeconds": 1})
}

fn calls(pod: &Pod) -> usize {
    pod.file("calls").lines().count()
}

async fn called(pod: &Pod, times: usize) {
    let found = until(|| (calls(pod) >= times).then_some(())).await;
    found.unwrap_or_else(|| panic!("only {} calls\n{}", calls(pod), pod.log()));
}

async fn trades(pod: &Pod) {
    pod.grant(1, Permit::Trade);
    pod.lease("active", |lease| lease.state == AgentState::Active).await;
}

/// That something does not happen takes its time to see: longer than the period.
async fn no_call_follows(pod: &Pod) {
    let before = calls(pod);
    tokio::time::sleep(Duration::from_millis(1_300)).await;
    assert_eq!(calls(pod), before, "{}", pod.log());
}

#[test]
fn it_is_called_every_second_while_trading_and_neither_before_nor_after() {
    in_pod(|mut pod| async move {
        pod.config["standbyMode"] = "Hot".into();
        let script = "echo $(date +%s%N) $TRADINGBOT_ROLE $TRADINGBOT_EPOCH $TRADINGBOT_FENCING_TOKEN >> /tmp/calls";
        pod.config["deadMansSwitch"] = exec(script, 1);
        let _container = pod.start(BOT);
        answered(PROBE_PORT, "/readyz", 200).await;
        no_call_follows(&pod).await;
        pod.grant(1, Permit::Prepare);
        pod.lease("taken up", |lease| lease.state == AgentState::Claimed).await;
        no_call_follows(&pod).await;
        let permitted = Instant::now();
        pod.api.change(|lease| lease.permit = Some(Permit::Trade));
        called(&pod, 1).await;
        assert!(
            permitted.elapsed() < Duration::from_millis(800),
            "the first call is at once: {:?}",
            permitted.elapsed()
        );
        called(&pod, 4).await;
        pod.api.change(|lease| lease.permit = Some(Permit::Revoke));
        pod.lease("released", |lease| lease.state == AgentState::Released).await;
        no_call_follows(&pod).await;
        let text = pod.file("calls");
        assert!(text.lines().all(|line| line.ends_with(&format!(" active 1 {}", 1 << 20))), "{text}");
        let begun: Vec<u64> = text.lines().map(|line| line.split(' ').next().unwrap().parse().unwrap()).collect();
        for pair in begun.windows(2) {
            let apart = Duration::from_nanos(pair[1] - pair[0]);
            assert!((Duration::from_millis(800)..Duration::from_millis(1_700)).contains(&apart), "{apart:?}");
        }
    });
}

#[test]
fn a_call_that_hangs_is_alone_and_is_killed_before_the_demote_hook() {
    in_pod(|mut pod| async move {
        pod.config["deadMansSwitch"] = exec("echo >> /tmp/calls; exec tail -f /dev/null", 60);
        let look = "pgrep -x tail > /tmp/left; echo looked >> /tmp/left";
        pod.config["demote"] = json!({"action": {"exec": {"command": ["/bin/sh", "-c", look]}}, "timeoutSeconds": 5});
        let container = pod.start(BOT);
        trades(&pod).await;
        called(&pod, 1).await;
        // Its period passes, and no second call joins it.
        no_call_follows(&pod).await;
        let hangs = || container.processes().iter().filter(|(_, name)| name == "tail").count();
        assert_eq!(hangs(), 1);
        let revoked = Instant::now();
        pod.api.change(|lease| lease.permit = Some(Permit::Revoke));
        pod.lease("released", |lease| lease.state == AgentState::Released).await;
        assert!(revoked.elapsed() < Duration::from_millis(1_500), "{:?}", revoked.elapsed());
        assert_eq!(pod.file("left"), "looked\n", "the demote hook still saw the call");
        assert_eq!(calls(&pod), 1);
    });
}

#[test]
fn a_call_that_hangs_is_ended_at_its_time_and_the_next_one_follows() {
    in_pod(|mut pod| async move {
        pod.config["deadMansSwitch"] = exec("echo >> /tmp/calls; exec tail -f /dev/null", 1);
        let _container = pod.start(BOT);
        trades(&pod).await;
        called(&pod, 3).await;
        pod.logged("did not end within 1 s").await;
        assert_eq!(pod.api.record().unwrap().state, AgentState::Active);
    });
}

#[test]
fn a_call_over_http_has_its_password_and_is_closed_at_the_demotion() {
    in_pod(|mut pod| async move {
        pod.config["deadMansSwitch"] = json!({"call": {"action": {"http": {"method": "POST", "port": 8080,
            "path": "/alive", "headers": [], "basic_auth_dir": "/tmp/auth"}}, "timeoutSeconds": 60}, "everySeconds": 1});
        std::fs::create_dir(pod.root.join("tmp/auth")).unwrap();
        std::fs::write(pod.root.join("tmp/auth/username"), "bot").unwrap();
        std::fs::write(pod.root.join("tmp/auth/password"), "secret\n").unwrap();
        let _container = pod.start(BOT);
        // The bot listens late, and is asked again until it does.
        trades(&pod).await;
        let listener = TcpListener::bind("127.0.0.1:8080").await.unwrap();
        let request = async |status: Option<&str>| {
            let (mut stream, _) =
                tokio::time::timeout(Duration::from_secs(10), listener.accept()).await.unwrap().unwrap();
            let mut buffer = vec![0; 4096];
            let read = stream.read(&mut buffer).await.unwrap();
            if let Some(status) = status {
                let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            (stream, String::from_utf8_lossy(&buffer[..read]).into_owned())
        };
        let (_, first) = request(Some("204 No Content")).await;
        assert!(first.starts_with("POST /alive HTTP/1.1\r\n"), "{first}");
        assert!(first.contains("Basic Ym90OnNlY3JldA=="), "{first}");
        // The second is never answered.
        let (mut stream, _) = request(None).await;
        pod.api.change(|lease| lease.permit = Some(Permit::Revoke));
        let mut rest = [0; 16];
        let closed = tokio::time::timeout(Duration::from_secs(2), stream.read(&mut rest)).await;
        assert!(matches!(closed, Ok(Ok(0) | Err(_))), "{closed:?}");
        pod.lease("released", |lease| lease.state == AgentState::Released).await;
    });
}

#[test]
fn a_switch_that_fails_is_logged_once_and_demotes_nobody() {
    in_pod(|mut pod| async move {
        pod.config["deadMansSwitch"] = exec("echo >> /tmp/calls; test -e /tmp/repaired", 1);
        let _container = pod.start(BOT);
        trades(&pod).await;
        called(&pod, 3).await;
        pod.logged("ended with exit code 1").await;
        std::fs::write(pod.root.join("tmp/repaired"), "").unwrap();
        pod.logged("The dead-man's switch works again after").await;
        assert_eq!(pod.log().matches("in a row").count(), 1, "{}", pod.log());
        assert_eq!(pod.api.record().unwrap().state, AgentState::Active);
    });
}

#[test]
fn a_call_does_not_outlive_the_deadline_of_an_agent_that_is_stopped() {
    in_pod(|mut pod| async move {
        pod.config["deadMansSwitch"] = exec("echo >> /tmp/calls; exec tail -f /dev/null", 60);
        let container = pod.start(BOT);
        trades(&pod).await;
        called(&pod, 1).await;
        pod.api.set_mode(Mode::Hang);
        container.signal_agent(libc::SIGSTOP);
        let last = pod.api.stored().last().unwrap().at;
        let hangs = || container.processes().iter().any(|(_, name)| name == "tail");
        until(|| (!hangs()).then_some(())).await.expect("the guard kills the call, too");
        assert!(last.elapsed() < Duration::from_millis(3_300), "{:?}", last.elapsed());
        pod.api.set_mode(Mode::Answer);
        container.signal_agent(libc::SIGCONT);
        pod.lease("released", |lease| lease.state == AgentState::Released).await;
        assert_eq!(calls(&pod), 1, "{}", pod.log());
    });
}

#[test]
fn when_the_api_server_is_away_the_calls_end_with_the_renew_deadline() {
    in_pod(|mut pod| async move {
        pod.config["deadMansSwitch"] = exec("echo >> /tmp/calls", 1);
        let container = pod.start(BOT);
        trades(&pod).await;
        called(&pod, 2).await;
        pod.api.set_mode(Mode::Hang);
        container.emptied().await;
        no_call_follows(&pod).await;
    });
}
