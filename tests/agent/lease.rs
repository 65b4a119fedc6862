//! The agent and its Lease, over a real connection.

use std::time::{Duration, Instant};

use tradingbot::core::ids::{BootId, PodRef};
use tradingbot::core::lease::{AgentState, OnApiServerLoss, Permit, ReleaseReason, Revoke};

use super::api::Mode;
use super::pod::{API_PORT, PROBE_PORT, answered, get, in_pod, until};

const TRADES: &str = "echo role=$TRADINGBOT_ROLE epoch=$TRADINGBOT_EPOCH token=$TRADINGBOT_FENCING_TOKEN >> /tmp/bot; \
    exec sleep 1000";

#[test]
fn a_warm_standby_takes_up_trades_renews_and_releases() {
    in_pod(|pod| async move {
        let mut container = pod.start(TRADES);
        assert_eq!(answered(PROBE_PORT, "/readyz", 200).await, "ok\n");
        pod.grant(7, Permit::Prepare);
        let claimed = pod.lease("taken up", |lease| lease.state == AgentState::Claimed).await;
        let boot = claimed.boot.unwrap();
        assert_eq!(container.termination_message(), boot.to_string());
        assert_eq!(pod.file("bot"), "");
        pod.api.change(|lease| lease.permit = Some(Permit::Trade));
        pod.lease("active", |lease| lease.state == AgentState::Active).await;
        pod.wrote("bot", &format!("role=active epoch=7 token={}", 7 << 20)).await;
        let told = answered(API_PORT, "/v1/leadership", 200).await;
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        assert_eq!((told["role"].as_str(), told["epoch"].as_u64()), (Some("active"), Some(7)));
        let validity = told["validityMilliseconds"].as_u64().unwrap();
        assert!((1..=3_000).contains(&validity), "{validity}");
        answered(PROBE_PORT, "/readyz", 200).await;
        let before = pod.api.stored().len();
        until(|| (pod.api.stored().len() >= before + 2).then_some(())).await.expect("renewals go on");
        pod.api.change(|lease| lease.permit = Some(Permit::Revoke));
        let released = pod.lease("released", |lease| lease.state == AgentState::Released).await;
        assert_eq!((released.holder, released.boot), (None, Some(boot)));
        assert_eq!(ReleaseReason::parse(&released.reason), Some(ReleaseReason::Revoked));
        container.emptied().await;
        let values: Vec<_> = pod.api.stored().into_iter().map(|stored| stored.record.renew).collect();
        let distinct: std::collections::HashSet<_> = values.iter().collect();
        assert_eq!(distinct.len(), values.len(), "a value of renew was used twice");
        assert!(pod.api.stored().iter().all(|stored| stored.renew_time.split_once('.').unwrap().1.len() == 7));
        container.signal_agent(libc::SIGTERM);
        container.ended().await;
    });
}

#[test]
fn probes_answer_for_everybody_and_the_api_only_on_loopback() {
    in_pod(|pod| async move {
        let _container = pod.start(TRADES);
        answered(PROBE_PORT, "/healthz", 200).await;
        for path in ["/v1/leadership", "/v1/leadership/stream"] {
            assert_eq!(get(PROBE_PORT, path).await.unwrap().0, 404);
        }
        answered(API_PORT, "/healthz", 200).await;
        let listening = std::fs::read_to_string("/proc/thread-self/net/tcp").unwrap();
        assert!(listening.contains(&format!(" 0100007F:{API_PORT:04X} 00000000:0000 0A")), "{listening}");
    });
}

#[test]
fn a_stream_tells_the_present_state_and_every_change() {
    in_pod(|pod| async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let _container = pod.start(TRADES);
        answered(PROBE_PORT, "/readyz", 200).await;
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", API_PORT)).await.unwrap();
        stream.write_all(b"GET /v1/leadership/stream HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        pod.grant(3, Permit::Trade);
        let mut text = String::new();
        let mut buffer = [0; 4096];
        while !text.contains(r#""role":"active","epoch":3"#) {
            let read = tokio::time::timeout(Duration::from_secs(10), stream.read(&mut buffer)).await.expect(&text);
            text.push_str(&String::from_utf8_lossy(&buffer[..read.unwrap()]));
        }
        assert!(text.contains("text/event-stream"));
        let roles: Vec<_> = ["standby", "candidate", "active"]
            .map(|role| text.find(&format!("\"role\":\"{role}\"")).expect(role))
            .into();
        assert!(roles.is_sorted(), "{text}");
    });
}

#[test]
fn from_the_bots_end_to_the_release_and_from_the_permit_to_the_bot_it_takes_a_blink() {
    in_pod(|pod| async move {
        let container = pod.start("date +%s%N > /tmp/started; exec sleep 1000");
        answered(PROBE_PORT, "/readyz", 200).await;
        let (mut to_start, mut to_release) = (Vec::new(), Vec::new());
        for epoch in 1..=5 {
            pod.grant(epoch, Permit::Prepare);
            pod.lease("taken up", |lease| lease.state == AgentState::Claimed).await;
            let _ = std::fs::remove_file(pod.root.join("tmp/started"));
            let permitted = std::time::SystemTime::now();
            pod.api.change(|lease| lease.permit = Some(Permit::Trade));
            pod.lease("active", |lease| lease.state == AgentState::Active).await;
            pod.wrote("started", "\n").await;
            let started = Duration::from_nanos(pod.file("started").trim().parse().unwrap());
            let permitted = permitted.duration_since(std::time::UNIX_EPOCH).unwrap();
            to_start.push(started.saturating_sub(permitted));
            let bot = until(|| container.processes().into_iter().find(|(_, name)| name == "sleep")).await.unwrap().0;
            let killed = Instant::now();
            // SAFETY: no memory is involved.
            unsafe { libc::kill(bot, libc::SIGKILL) };
            let released = pod.lease("released", |lease| lease.state == AgentState::Released).await;
            assert_eq!(ReleaseReason::parse(&released.reason), Some(ReleaseReason::ProcessExited));
            to_release.push(pod.api.stored().last().unwrap().at.duration_since(killed));
        }
        to_start.sort();
        to_release.sort();
        println!("permit to bot {to_start:?}, end to release {to_release:?}");
        // Medians, with room for a busy machine.
        assert!(to_start[2] < Duration::from_millis(60), "{to_start:?}");
        assert!(to_release[2] < Duration::from_millis(60), "{to_release:?}");
    });
}

#[test]
fn without_the_api_server_the_bot_stops_in_time_and_releases_when_it_is_back() {
    in_pod(|pod| async move {
        let container = pod.start(TRADES);
        pod.grant(1, Permit::Trade);
        pod.lease("active", |lease| lease.state == AgentState::Active).await;
        let last = pod.api.stored().last().unwrap().at;
        pod.api.set_mode(Mode::Hang);
        let emptied = container.emptied().await;
        let after = emptied.duration_since(last);
        assert!(after < Duration::from_secs(4), "lived on for {after:?} of a lease of 4 s");
        pod.api.set_mode(Mode::Answer);
        let released = pod.lease("released", |lease| lease.state == AgentState::Released).await;
        assert_eq!(ReleaseReason::parse(&released.reason), Some(ReleaseReason::RenewDeadline));
    });
}

#[test]
fn under_continue_the_bot_trades_on_without_the_api_server() {
    in_pod(|pod| async move {
        let container = pod.start(TRADES);
        let mut record = pod.grant(1, Permit::Revoke);
        record.permit = Some(Permit::Prepare);
        record.terms.as_mut().unwrap().on_api_server_loss = OnApiServerLoss::Continue;
        pod.api.set_permits(true);
        pod.api.put(&record);
        pod.lease("active", |lease| lease.state == AgentState::Active).await;
        until(|| container.processes().iter().any(|(_, name)| name == "sleep").then_some(())).await.unwrap();
        pod.api.set_mode(Mode::Hang);
        let end = Instant::now() + Duration::from_secs(6);
        while Instant::now() < end {
            assert!(container.processes().iter().any(|(_, name)| name == "sleep"), "{}", pod.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        pod.api.set_mode(Mode::Answer);
        let before = pod.api.stored().len();
        until(|| (pod.api.stored().len() > before).then_some(())).await.expect("renewals resume");
        assert_eq!(pod.api.record().unwrap().state, AgentState::Active);
    });
}

#[test]
fn refusals_without_a_reason_are_failed_attempts_until_the_renew_deadline() {
    in_pod(|pod| async move {
        let container = pod.start(TRADES);
        pod.grant(1, Permit::Trade);
        pod.lease("active", |lease| lease.state == AgentState::Active).await;
        let last = pod.api.stored().last().unwrap().at;
        pod.api.set_mode(Mode::RefusePatches);
        let emptied = container.emptied().await;
        assert!(emptied.duration_since(last) >= Duration::from_millis(1_900), "stopped before the renew deadline");
        pod.api.set_mode(Mode::Answer);
        pod.lease("released", |lease| lease.state == AgentState::Released).await;
    });
}

#[test]
fn answers_that_are_lost_do_not_count_until_the_lease_shows_them() {
    in_pod(|pod| async move {
        let container = pod.start(TRADES);
        pod.grant(1, Permit::Trade);
        pod.lease("active", |lease| lease.state == AgentState::Active).await;
        until(|| container.processes().iter().any(|(_, name)| name == "sleep").then_some(())).await.unwrap();
        // The watch still shows each renewal, which proves that it was stored.
        pod.api.set_mode(Mode::LoseAnswers);
        let end = Instant::now() + Duration::from_secs(5);
        while Instant::now() < end {
            assert!(container.processes().iter().any(|(_, name)| name == "sleep"), "{}", pod.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
}

#[test]
fn another_holder_stops_the_bot_at_once() {
    in_pod(|mut pod| async move {
        pod.config["stopSeconds"] = 60.into();
        let container = pod.start("trap '' TERM; touch /tmp/ready; while :; do sleep 1; done");
        pod.grant(1, Permit::Trade);
        pod.lease("active", |lease| lease.state == AgentState::Active).await;
        pod.wrote("ready", "").await;
        let taken = Instant::now();
        pod.api.change(|lease| {
            lease.holder = Some(PodRef { name: "doge-1".into(), uid: "uid-1".into() });
            lease.epoch = Some(tradingbot::core::ids::Epoch(2));
            lease.boot = None;
        });
        let emptied = container.emptied().await;
        assert!(emptied.duration_since(taken) < Duration::from_secs(1));
    });
}

#[test]
fn revoked_now_does_not_wait_for_a_bot_that_ignores_sigterm() {
    in_pod(|mut pod| async move {
        pod.config["stopSeconds"] = 60.into();
        let _container = pod.start("trap '' TERM; while :; do sleep 1; done");
        pod.grant(1, Permit::Trade);
        pod.lease("active", |lease| lease.state == AgentState::Active).await;
        let revoked = Instant::now();
        pod.api.change(|lease| (lease.permit, lease.revoke) = (Some(Permit::Revoke), Revoke::Now));
        pod.lease("released", |lease| lease.state == AgentState::Released).await;
        assert!(revoked.elapsed() < Duration::from_secs(1));
    });
}

#[test]
fn a_second_boot_releases_for_the_first() {
    in_pod(|pod| async move {
        let mut first = pod.start(TRADES);
        pod.grant(1, Permit::Trade);
        let record = pod.lease("active", |lease| lease.state == AgentState::Active).await;
        first.signal_agent(libc::SIGKILL);
        first.ended().await;
        assert_eq!(first.termination_message(), record.boot.as_ref().unwrap().to_string());
        let second = pod.start(TRADES);
        let released = pod.lease("released", |lease| lease.state == AgentState::Restarted).await;
        assert_eq!((released.holder, released.boot), (None, record.boot));
        assert_eq!(released.successor.unwrap().to_string(), second.termination_message());
        assert_eq!(ReleaseReason::parse(&released.reason), Some(ReleaseReason::AgentRestarted));
        pod.grant(2, Permit::Trade);
        pod.lease("active again", |lease| lease.state == AgentState::Active).await;
    });
}

#[test]
fn nobody_releases_for_another_pod() {
    in_pod(|pod| async move {
        let record = pod.grant(1, Permit::Trade);
        let other = BootId { pod_uid: "uid-9".into(), nonce: "n".into() };
        pod.api.put(&tradingbot::core::lease::LeaseRecord {
            holder: Some(PodRef { name: "doge-9".into(), uid: "uid-9".into() }),
            boot: Some(other),
            ..record
        });
        let _container = pod.start(TRADES);
        answered(PROBE_PORT, "/readyz", 200).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(pod.api.stored().len(), 0);
    });
}
