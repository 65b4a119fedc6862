//! The order gate: who is let through, and that nothing passes or is left when the permit has ended.

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use serde_json::json;
use tradingbot::core::lease::{AgentState, Permit};

use super::api::Mode;
use super::outside::{OUTSIDE, Outside, POD, Server, connect, read_head, to_gate};
use super::pod::{PROBE_PORT, Pod, answered, in_pod, until};

const TRADES: &str = "env > /tmp/env; exec sleep 1000";
/// The lease of these tests is 4 s and the guard 1 s.
pub const VALIDITY: Duration = Duration::from_secs(3);

pub fn with_gate(pod: &mut Pod, allowed: &[&str], standby: &[&str]) {
    pod.config["gate"] =
        json!({"port": 9796, "allowedHosts": allowed, "standbyHosts": standby, "noProxy": ["db.local"]});
}

pub async fn trading(pod: &Pod) {
    pod.grant(1, Permit::Trade);
    pod.lease("active", |lease| lease.state == AgentState::Active).await;
}

/// Watches for so long that the last connection brings no more than these bytes.
async fn nothing_follows(outside: &Outside, bytes: &[u8], time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        assert_eq!(outside.heard().last().unwrap().bytes, bytes);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn the_active_is_let_through_and_its_bot_knows_the_way() {
    in_pod(|mut pod| async move {
        with_gate(&mut pod, &[], &[]);
        let outside = Outside::new();
        let server = outside.serve(Server::Echo);
        let _container = pod.start(TRADES);
        trading(&pod).await;
        let (mut stream, head) = connect(&server.to_string());
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        stream.write_all(b"an order").unwrap();
        let mut back = [0; 8];
        stream.read_exact(&mut back).unwrap();
        assert_eq!(&back, b"an order");
        pod.wrote("env", "HTTPS_PROXY=http://127.0.0.1:9796").await;
        for line in [
            "https_proxy=http://127.0.0.1:9796",
            "ALL_PROXY=http://127.0.0.1:9796",
            "NO_PROXY=localhost,127.0.0.1,::1,db.local",
        ] {
            pod.wrote("env", line).await;
        }
        let metrics = answered(PROBE_PORT, "/metrics", 200).await;
        for line in [
            "tradingbot_gate_connections_total{host=\"*\",outcome=\"forwarded\"} 1",
            "tradingbot_gate_open_connections 1",
            "tradingbot_gate_sent_bytes_total 8",
            "tradingbot_gate_received_bytes_total 8",
            "tradingbot_gate_send_seconds_count 1",
            "tradingbot_gate_cut_connections_total 0",
        ] {
            assert!(metrics.contains(line), "{line} is not in {metrics}");
        }
    });
}

#[test]
fn a_standby_reaches_market_data_and_is_told_why_nothing_else() {
    in_pod(|mut pod| async move {
        let outside = Outside::new();
        let (exchange, data) = (outside.serve(Server::Echo), outside.serve(Server::Echo));
        with_gate(&mut pod, &[], &[&data.to_string()]);
        pod.config["standbyMode"] = json!("Hot");
        let _container = pod.start(TRADES);
        let (_stream, head) = connect(&data.to_string());
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        let (_stream, answer) = connect(&exchange.to_string());
        assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
        assert!(
            answer.contains("The order gate of doge-0 is closed for") && answer.contains("may not trade now"),
            "{answer}"
        );
        assert!(
            answer.to_ascii_lowercase().contains("proxy-status: tradingbot-gate; error=http_request_denied"),
            "{answer}"
        );
    });
}

#[test]
fn at_the_deadline_every_connection_is_reset_within_milliseconds() {
    in_pod(|mut pod| async move {
        with_gate(&mut pod, &[], &[]);
        let outside = Outside::new();
        let server = outside.serve(Server::Count);
        let _container = pod.start(TRADES);
        trading(&pod).await;
        let (mut stream, _) = connect(&server.to_string());
        pod.api.set_mode(Mode::Hang);
        // The bot writes as fast as it can until it is cut off.
        let writer = std::thread::spawn(move || while stream.write_all(&[7; 512]).is_ok() {});
        let heard = outside.last("was cut off", |heard| heard.end.is_some()).await;
        writer.join().unwrap();
        assert_eq!(heard.end, Some(false), "a reset, no orderly end");
        let renewed = pod.api.stored().last().unwrap().at;
        // The server stores a renewal a little later than it was sent, by which the deadline counts.
        let latest = renewed + VALIDITY + Duration::from_millis(50);
        assert!(heard.last.unwrap() <= latest, "{:?} late", heard.last.unwrap() - latest);
        assert!(heard.last.unwrap() > renewed + Duration::from_secs(2), "it was let through until then");
    });
}

#[test]
fn what_a_cut_link_held_back_is_never_delivered() {
    in_pod(|mut pod| async move {
        with_gate(&mut pod, &[], &[]);
        let outside = Outside::new();
        let server = outside.serve(Server::Count);
        let mut container = pod.start(TRADES);
        trading(&pod).await;
        let (mut stream, _) = connect(&server.to_string());
        stream.write_all(b"before").unwrap();
        outside.last("heard the first order", |heard| heard.bytes == b"before").await;
        outside.set_cable(false);
        stream.write_all(b" after").unwrap();
        // Killed from outside, with its bytes in the kernel: nobody is left to take them back.
        container.signal_agent(libc::SIGKILL);
        container.ended().await;
        outside.set_cable(true);
        // A connection of our own shows that the link carries again; what was held back would come within seconds, as it
        // does without the gate.
        nothing_follows(&outside, b"before", Duration::from_secs(4)).await;
    });
}

#[test]
fn an_agent_that_was_stopped_between_check_and_send_sends_nothing_when_it_goes_on() {
    in_pod(|mut pod| async move {
        with_gate(&mut pod, &[], &[]);
        let outside = Outside::new();
        let server = outside.serve(Server::Count);
        let container = pod.start(TRADES);
        trading(&pod).await;
        let (mut stream, _) = connect(&server.to_string());
        // A thread that writes all the time, so that the gate is stopped in the middle of its work.
        stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
        let writer = std::thread::spawn(move || {
            loop {
                match stream.write(&[7; 64]) {
                    Err(error) if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return,
                    _ => {}
                }
            }
        });
        outside.last("heard orders", |heard| !heard.bytes.is_empty()).await;
        container.signal_agent(libc::SIGSTOP);
        let renewed = pod.api.stored().last().unwrap().at;
        // What was on its way arrives within moments; after the deadline nothing does.
        tokio::time::sleep_until((renewed + VALIDITY).into()).await;
        let before = outside.heard().pop().unwrap().bytes.len();
        container.signal_agent(libc::SIGCONT);
        let heard = outside.last("was cut off", |heard| heard.end.is_some()).await;
        writer.join().unwrap();
        assert_eq!(heard.bytes.len(), before, "sent after the deadline");
    });
}

#[test]
fn at_demotion_what_is_held_back_is_thrown_away_and_the_release_waits_for_copies_of_it() {
    in_pod(|mut pod| async move {
        with_gate(&mut pod, &[], &[]);
        let outside = Outside::new();
        let server = outside.serve(Server::Count);
        let container = pod.start(TRADES);
        trading(&pod).await;
        let (mut stream, _) = connect(&server.to_string());
        stream.write_all(b"before").unwrap();
        outside.last("heard the first order", |heard| heard.bytes == b"before").await;
        outside.set_cable(false);
        stream.write_all(b" after").unwrap();
        pod.api.change(|lease| lease.permit = Some(Permit::Revoke));
        let asked = Instant::now();
        pod.lease("released", |lease| lease.state == AgentState::Released).await;
        // Half a second for an acknowledgement, four for copies that may wait below TCP; without the gate it would wait
        // for the link.
        assert!((4..8).contains(&asked.elapsed().as_secs()), "{:?}", asked.elapsed());
        container.emptied().await;
        outside.set_cable(true);
        nothing_follows(&outside, b"before", Duration::from_secs(3)).await;
        let (_stream, answer) = connect(&server.to_string());
        assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    });
}

#[test]
fn at_demotion_an_order_on_its_way_is_waited_for_and_costs_no_more_than_that() {
    in_pod(|mut pod| async move {
        with_gate(&mut pod, &[], &[]);
        let outside = Outside::new();
        let server = outside.serve(Server::Count);
        let _container = pod.start(TRADES);
        trading(&pod).await;
        let (mut stream, _) = connect(&server.to_string());
        stream.write_all(b"before").unwrap();
        pod.api.change(|lease| lease.permit = Some(Permit::Revoke));
        let asked = Instant::now();
        pod.lease("released", |lease| lease.state == AgentState::Released).await;
        assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
        let heard = outside.last("was cut off", |heard| heard.end.is_some()).await;
        assert_eq!(heard.bytes, b"before");
    });
}

#[test]
fn names_are_resolved_and_what_they_resolve_to_is_looked_at() {
    in_pod(|mut pod| async move {
        with_gate(
            &mut pod,
            &["*.exchange.test", "evil.test", "exchange.hosts", "api.hosts", "pod.hosts", "127.9.9.9"],
            &[],
        );
        let outside = Outside::new();
        let server = outside.serve(Server::Echo);
        outside.serve_names(OUTSIDE);
        std::fs::create_dir_all(pod.root.join("etc")).unwrap();
        std::fs::write(pod.root.join("etc/resolv.conf"), format!("nameserver {OUTSIDE}\noptions timeout:1\n")).unwrap();
        let hosts = format!(
            "127.9.9.9 evil.test\n{OUTSIDE} exchange.hosts\n{} api.hosts\n{POD} pod.hosts\n",
            pod.api.address.ip()
        );
        std::fs::write(pod.root.join("etc/hosts"), hosts).unwrap();
        let _container = pod.start(TRADES);
        trading(&pod).await;
        for name in ["api.exchange.test", "exchange.hosts"] {
            let (_stream, answer) = connect(&format!("{name}:{}", server.port()));
            assert!(answer.starts_with("HTTP/1.1 200"), "{name}: {answer}");
        }
        for (host, why) in [
            ("evil.test", "is a loopback address"),
            ("127.9.9.9", "is a loopback address"),
            ("api.hosts", "is the cluster's API server"),
            ("pod.hosts", "is an address of this pod"),
            ("other.test", "is not listed"),
        ] {
            let (_stream, answer) = connect(&format!("{host}:443"));
            assert!(answer.starts_with("HTTP/1.1 403") && answer.contains(why), "{host}: {answer}");
        }
    });
}

#[test]
fn ten_thousand_attempts_of_a_standby_are_answered_and_leave_nothing_behind() {
    in_pod(|mut pod| async move {
        with_gate(&mut pod, &[], &[]);
        let container = pod.start(TRADES);
        answered(PROBE_PORT, "/readyz", 200).await;
        for _ in 0..100 {
            connect("10.99.0.1:443");
        }
        let resident = || {
            let status = std::fs::read_to_string(format!("/proc/{}/status", container.agent())).unwrap();
            status.split("VmRSS:").nth(1).unwrap().trim().split(' ').next().unwrap().parse::<u64>().unwrap()
        };
        let descriptors = || std::fs::read_dir(format!("/proc/{}/fd", container.agent())).unwrap().count();
        let (memory, files) = (resident(), descriptors());
        let attempts: Vec<_> = (0..4)
            .map(|_| {
                std::thread::spawn(|| {
                    for _ in 0..2_500 {
                        let (_stream, answer) = connect("10.99.0.1:443");
                        assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
                    }
                })
            })
            .collect();
        attempts.into_iter().for_each(|attempt| attempt.join().unwrap());
        let given_back = until(|| (descriptors() <= files + 4).then_some(())).await;
        assert!(given_back.is_some(), "{files} descriptors, then {}", descriptors());
        assert!(resident() < memory + 4_096, "{} KiB, then {} KiB", memory, resident());
    });
}

#[test]
fn plain_http_is_passed_on_as_the_client_meant_it_over_one_connection() {
    in_pod(|mut pod| async move {
        with_gate(&mut pod, &[], &[]);
        let outside = Outside::new();
        let server = outside.serve(Server::Http);
        let _container = pod.start(TRADES);
        trading(&pod).await;
        let mut stream = to_gate();
        for path in ["/a?b=c", "/d"] {
            let request = format!(
                "GET http://{server}{path} HTTP/1.1\r\nHost: wrong\r\nX-Own-Case: 1\r\nX-Hop: 2\r\nConnection: \
                 keep-alive, X-Hop\r\nProxy-Connection: keep-alive\r\n\r\n"
            );
            stream.write_all(request.as_bytes()).unwrap();
            let head = read_head(&mut stream);
            assert!(head.starts_with("HTTP/1.1 200"), "{head}");
            let seen = read_head(&mut stream);
            assert!(seen.starts_with(&format!("GET {path} HTTP/1.1\r\n")), "{seen}");
            assert!(seen.to_ascii_lowercase().contains(&format!("host: {server}\r\n")), "{seen}");
            assert!(seen.contains("X-Own-Case: 1\r\n"), "{seen}");
            for gone in ["x-hop", "proxy-connection", "wrong"] {
                assert!(!seen.to_ascii_lowercase().contains(gone), "{seen}");
            }
        }
        assert_eq!(outside.heard().len(), 1, "one connection to the server for both");
    });
}
