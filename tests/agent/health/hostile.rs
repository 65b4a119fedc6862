//! Servers that send without end, never answer, or answer byte by byte.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tradingbot::core::lease::AgentState;

use super::super::pod::{Container, PROBE_PORT, answered, get, in_pod, until};
use super::{check, failing, http, trading};

/// What a server does to whoever connects.
#[derive(Clone, Copy)]
enum Malice {
    /// Says this, and then a gigabyte.
    Gigabyte(&'static [u8]),
    /// Takes whatever comes and says nothing.
    Silence,
    /// Says this, and then a byte every tenth of a second.
    ByteByByte(&'static [u8]),
    /// A head that does not end.
    EndlessHead,
}

struct Server {
    port: u16,
    sent: Arc<AtomicU64>,
    connections: Arc<AtomicU64>,
}

impl Server {
    async fn start(malice: Malice) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sent, connections) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (counted, came) = (sent.clone(), connections.clone());
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                came.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(harm(stream, malice, counted.clone()));
            }
        });
        Server { port, sent, connections }
    }
}

async fn harm(mut stream: TcpStream, malice: Malice, sent: Arc<AtomicU64>) {
    // Whatever the client says first; a database's client asks for TLS, which it does not get.
    let mut asked = [0; 512];
    let Ok(length) = stream.read(&mut asked).await else { return };
    if length == 8 && asked[..4] == [0, 0, 0, 8] {
        let _ = stream.write_all(b"N").await;
        let _ = stream.read(&mut asked).await;
    }
    let (first, piece, pause) = match malice {
        Malice::Silence => {
            let _ = stream.read_exact(&mut [0; 65_536]).await;
            return;
        }
        Malice::Gigabyte(first) => (first, vec![b'1'; 65_536], Duration::ZERO),
        Malice::ByteByByte(first) => (first, vec![b'1'], Duration::from_millis(100)),
        Malice::EndlessHead => (&b"HTTP/1.1 200 OK\r\nX: "[..], vec![b'x'; 65_536], Duration::ZERO),
    };
    let _ = stream.write_all(first).await;
    while sent.load(Ordering::Relaxed) < 1 << 30 {
        if stream.write_all(&piece).await.is_err() {
            return;
        }
        sent.fetch_add(piece.len() as u64, Ordering::Relaxed);
        tokio::time::sleep(pause).await;
    }
}

/// Kilobytes of the agent's memory: `VmRSS` now, `VmHWM` at most.
pub fn memory(container: &Container, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", container.agent())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

const LARGE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n";
const DRIP: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n";

#[test]
fn whatever_a_server_does_costs_the_check_its_timeout_and_the_agent_little_memory() {
    in_pod(|mut pod| async move {
        let late = "No answer within 1 s.";
        let much = "more than 256 KiB were sent";
        let cases = [
            ("large", Malice::Gigabyte(LARGE), much),
            ("head", Malice::EndlessHead, "The request failed"),
            ("silent", Malice::Silence, late),
            ("slow", Malice::ByteByByte(DRIP), late),
            ("redis-large", Malice::Gigabyte(b"$1073741824\r\n"), much),
            ("redis-silent", Malice::Silence, late),
            // A message of a gigabyte about how to log in.
            ("postgres-large", Malice::Gigabyte(b"R\x40\x00\x00\x00\x00\x00\x00\x00"), much),
            ("postgres-silent", Malice::Silence, late),
        ];
        let (mut checks, mut servers): (Vec<Value>, Vec<Server>) = (Vec::new(), Vec::new());
        for (name, malice, _) in cases {
            let server = Server::start(malice).await;
            let port = server.port;
            let probe = match name.split('-').next().unwrap() {
                "redis" => json!({"redis": {"host": "127.0.0.1", "port": port, "authenticate": false, "role": "Any"}}),
                "postgres" => {
                    let uri = format!("postgresql://bot@127.0.0.1:{port}/bot");
                    json!({"postgres": {"uri": uri, "role": "Any", "maxLagSeconds": null}})
                }
                _ => http(port, json!([{"path": "$.price", "operator": "Exists", "value": ""}])),
            };
            checks.push(check(name, probe));
            servers.push(server);
        }
        let container = trading(&mut pod, checks).await;
        let before = memory(&container, "VmRSS");
        for (name, _, why) in cases {
            failing(&pod, name, why).await;
        }
        // Several times each, and meanwhile everything else goes on.
        let rounds: Vec<u64> = servers.iter().map(|server| server.connections.load(Ordering::Relaxed) + 3).collect();
        let all = || servers.iter().zip(&rounds).all(|(s, wanted)| s.connections.load(Ordering::Relaxed) >= *wanted);
        until(|| all().then_some(())).await.expect("they are asked again");
        let begun = Instant::now();
        assert_eq!(answered(PROBE_PORT, "/healthz", 200).await, "ok\n");
        let took = begun.elapsed();
        let most = memory(&container, "VmHWM");
        println!("resident: {before} kB before, {most} kB at most; /healthz in {took:?}");
        assert!(most < before + 6 * 1024, "{before} kB became {most} kB");
        for (server, (name, _, _)) in servers.iter().zip(&cases) {
            let per_run = server.sent.load(Ordering::Relaxed) / server.connections.load(Ordering::Relaxed);
            // What the kernel took of a connection's gigabyte, mostly.
            assert!(per_run < 16 << 20, "{name} could send {per_run} bytes a run");
        }
        let lease = pod.api.record().unwrap();
        assert_eq!((lease.state, lease.epoch.unwrap().0), (AgentState::Active, 1), "the bot trades on\n{}", pod.log());
        assert_eq!(get(PROBE_PORT, "/readyz").await.unwrap().0, 503);
        drop(container);
    });
}
