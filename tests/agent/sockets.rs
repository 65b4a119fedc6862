//! What is still on its way when a bot is killed: a link is cut, the bot writes an order, its time ends, and the link
//! heals. With the right to destroy connections nothing arrives any more; without it the kernel delivers.

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use tradingbot::core::lease::{AgentState, OrderPath, Permit};

use super::api::Mode;
use super::pod::{Container, Pod, in_pod, until};

const PORT: u16 = 9000;
/// The link address of the exchange's end.
const NEIGHBOUR: &str = "02:00:00:00:77:02";
/// The kernel tries again after 0.2 s, 0.4 s, 0.8 s … without an answer. The link is cut for up to 5 s: by then it has.
const DELIVERY: Duration = Duration::from_secs(9);

/// Keeps all capabilities, over the pod's network too.
const ROOT: u32 = 0;
/// Has none.
const NOBODY: u32 = 65532;

/// A machine beside the pod, at the other end of a cable: a thread with a network namespace of its own, which goes, and
/// the cable with it, when the thread ends.
struct Exchange {
    orders: Sender<Order>,
    received: Receiver<String>,
    thread: Option<std::thread::JoinHandle<()>>,
}

enum Order {
    Link(&'static str, Sender<()>),
    End,
}

fn ip(arguments: &[&str]) {
    let output = Command::new("ip").args(arguments).output().unwrap();
    assert!(output.status.success(), "ip {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
}

impl Exchange {
    /// Lays the cable from this thread's namespace and listens at its other end.
    fn open() -> Exchange {
        let (tell_id, id) = channel();
        let (tell_laid, laid) = channel::<()>();
        let (tell_ready, ready) = channel();
        let (orders, inbox) = channel();
        let (text, received) = channel();
        let thread = std::thread::spawn(move || {
            // SAFETY: concerns this thread only.
            assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNET) }, 0, "{}", std::io::Error::last_os_error());
            // SAFETY: no memory is involved.
            tell_id.send(unsafe { libc::syscall(libc::SYS_gettid) }).unwrap();
            if laid.recv_timeout(Duration::from_secs(20)).is_err() {
                return;
            }
            // Pulling the cable is no reason to forget an address.
            std::fs::write("/proc/sys/net/ipv6/conf/all/keep_addr_on_down", "1").unwrap();
            ip(&["address", "add", "10.77.0.2/24", "dev", "exchange"]);
            ip(&["address", "add", "fd77::2/64", "dev", "exchange", "nodad"]);
            ip(&["link", "set", "exchange", "address", NEIGHBOUR, "up"]);
            let listener = TcpListener::bind(("::", PORT)).unwrap();
            tell_ready.send(()).unwrap();
            std::thread::spawn(move || {
                for stream in listener.incoming() {
                    let (Ok(stream), text) = (stream, text.clone()) else { return };
                    std::thread::spawn(move || receive(stream, &text));
                }
            });
            while let Ok(Order::Link(state, done)) = inbox.recv() {
                ip(&["link", "set", "exchange", state]);
                let _ = done.send(());
            }
        });
        let id = id.recv_timeout(Duration::from_secs(20)).unwrap().to_string();
        ip(&["link", "add", "pod", "type", "veth", "peer", "name", "exchange", "netns", &id]);
        ip(&["address", "add", "10.77.0.1/24", "dev", "pod"]);
        ip(&["address", "add", "fd77::1/64", "dev", "pod", "nodad"]);
        ip(&["link", "set", "pod", "up"]);
        // A pod's neighbour is its node, which stays known when a link beyond it is cut.
        for address in ["10.77.0.2", "fd77::2"] {
            ip(&["neighbour", "add", address, "lladdr", NEIGHBOUR, "dev", "pod", "nud", "permanent"]);
        }
        tell_laid.send(()).unwrap();
        ready.recv_timeout(Duration::from_secs(20)).expect("the exchange listens");
        Exchange { orders, received, thread: Some(thread) }
    }

    fn link(&self, state: &'static str) {
        let (done, is_done) = channel();
        self.orders.send(Order::Link(state, done)).unwrap();
        is_done.recv_timeout(Duration::from_secs(20)).expect("the cable is plugged in or pulled");
    }

    /// The next thing that arrives; `None`: nothing within this time.
    async fn next_within(&self, limit: Duration) -> Option<String> {
        let end = Instant::now() + limit;
        loop {
            match self.received.try_recv() {
                Ok(text) => return Some(text),
                // The API server of this test runs on the same thread.
                Err(_) if Instant::now() < end => tokio::time::sleep(Duration::from_millis(5)).await,
                Err(_) => return None,
            }
        }
    }
}

fn receive(mut stream: TcpStream, text: &Sender<String>) {
    let mut buffer = [0u8; 64];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        let _ = text.send(String::from_utf8_lossy(&buffer[..length]).trim().to_owned());
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let _ = self.orders.send(Order::End);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// How the bot's time ends while its order is on its way.
#[derive(Clone, Copy, Debug)]
enum End {
    /// The permit is revoked.
    Demotion,
    /// The API server is silent until the deadline.
    Deadline,
    /// The same with an agent that stands still: the guard process alone is left.
    DeadlineOfAStoppedAgent,
}

/// Starts a bot that sends `early`, cuts its link, lets it send `late` and ends its time. Returns when its processes
/// are gone; the link is still cut.
async fn order_on_its_way(pod: &mut Pod, exchange: &Exchange, user: u32, address: &str, end: End) -> Container {
    pod.user = user;
    let script = format!(
        "exec 3<>/dev/tcp/{address}/{PORT} && echo early >&3 && touch /tmp/connected; \
         until [ -e /tmp/go ]; do sleep 0.01; done; echo late >&3 && touch /tmp/sent; exec sleep 1000"
    );
    let container = pod.start_command(&["/bin/bash", "-c", &script]);
    pod.grant(1, Permit::Trade);
    pod.lease("active", |lease| lease.state == AgentState::Active).await;
    assert_eq!(exchange.next_within(Duration::from_secs(20)).await.as_deref(), Some("early"), "{}", pod.log());
    until(|| pod.root.join("tmp/connected").exists().then_some(())).await.expect("the bot is connected");
    // What was sent is acknowledged, so that what is on its way afterwards is the order alone.
    exchange.link("down");
    std::fs::write(pod.root.join("tmp/go"), "").unwrap();
    until(|| pod.root.join("tmp/sent").exists().then_some(())).await.expect("the bot sends");
    match end {
        End::Demotion => pod.api.change(|lease| lease.permit = Some(Permit::Revoke)),
        End::Deadline => pod.api.set_mode(Mode::Hang),
        End::DeadlineOfAStoppedAgent => container.signal_agent(libc::SIGSTOP),
    }
    let bot_is_gone = || container.processes().iter().all(|(_, name)| name != "sleep" && name != "bash");
    until(|| bot_is_gone().then_some(())).await.unwrap_or_else(|| panic!("{:?}\n{}", container.processes(), pod.log()));
    container
}

/// The pod's connections to the exchange, in any state.
fn connections(address: &str) -> usize {
    let output = Command::new("ss").args(["-Htan", "dst", address]).output().unwrap();
    String::from_utf8_lossy(&output.stdout).lines().filter(|line| !line.starts_with("TIME-WAIT")).count()
}

fn nothing_arrives(address: &'static str, end: End) {
    in_pod(move |mut pod| async move {
        let exchange = Exchange::open();
        let _container = order_on_its_way(&mut pod, &exchange, ROOT, address, end).await;
        assert_eq!(pod.api.record().unwrap().path, OrderPath::SocketsDestroyed);
        let destroyed = until(|| (connections(address) == 0).then(Instant::now)).await;
        destroyed.unwrap_or_else(|| panic!("a connection is left\n{}", pod.log()));
        if matches!(end, End::Demotion) {
            // Nothing is on its way any more, so the Lease is given back although the link is still down.
            pod.lease("released", |lease| lease.state == AgentState::Released).await;
        }
        exchange.link("up");
        assert_eq!(exchange.next_within(DELIVERY).await, None, "{}", pod.log());
    });
}

#[test]
fn after_a_demotion_nothing_is_delivered_when_the_link_heals() {
    nothing_arrives("10.77.0.2", End::Demotion);
}

#[test]
fn after_the_deadline_nothing_is_delivered_when_the_link_heals() {
    nothing_arrives("10.77.0.2", End::Deadline);
}

#[test]
fn the_guard_process_destroys_what_a_stopped_agent_leaves() {
    nothing_arrives("10.77.0.2", End::DeadlineOfAStoppedAgent);
}

#[test]
fn over_ipv6_nothing_is_delivered_either() {
    nothing_arrives("fd77::2", End::Demotion);
}

#[test]
fn without_the_capability_the_kernel_delivers_for_the_dead() {
    in_pod(|mut pod| async move {
        let exchange = Exchange::open();
        let container = order_on_its_way(&mut pod, &exchange, NOBODY, "10.77.0.2", End::Deadline).await;
        let record = pod.api.record().unwrap();
        assert_eq!(record.path, OrderPath::Killed);
        pod.logged("no effective CAP_NET_ADMIN").await;
        // The Lease is not given back meanwhile, also when the API server answers again.
        pod.api.set_mode(Mode::Answer);
        pod.logged("bytes of the bot are on their way").await;
        assert_ne!(pod.api.record().unwrap().state, AgentState::Released);
        let healed = Instant::now();
        exchange.link("up");
        let late = exchange.next_within(DELIVERY).await;
        assert_eq!(late.as_deref(), Some("late"), "{}", pod.log());
        eprintln!("delivered {:.1} s after the link healed", healed.elapsed().as_secs_f64());
        drop(container);
    });
}

#[test]
fn a_healthy_link_loses_the_connection_and_the_agent_keeps_its_own() {
    in_pod(|mut pod| async move {
        let exchange = Exchange::open();
        pod.user = ROOT;
        let script = format!("exec 3<>/dev/tcp/10.77.0.2/{PORT}; echo early >&3; exec sleep 1000");
        let _container = pod.start_command(&["/bin/bash", "-c", &script]);
        pod.grant(1, Permit::Trade);
        assert_eq!(exchange.next_within(Duration::from_secs(20)).await.as_deref(), Some("early"));
        pod.lease("active", |lease| lease.state == AgentState::Active).await;
        pod.api.change(|lease| lease.permit = Some(Permit::Revoke));
        pod.lease("released", |lease| lease.state == AgentState::Released).await;
        // The agent's watch goes on: the next epoch is taken up.
        pod.grant(2, Permit::Trade);
        pod.lease("active again", |lease| lease.state == AgentState::Active).await;
        assert!(!pod.log().contains("Cannot watch the Lease"), "{}", pod.log());
    });
}

#[test]
fn a_bot_that_goes_past_its_gate_is_told_of_and_the_canary_answers() {
    in_pod(|mut pod| async move {
        let exchange = Exchange::open();
        pod.config["gate"] = serde_json::json!({"port": 9796, "allowedHosts": [], "standbyHosts": [], "noProxy": [], "canaryPort": 9799});
        let script = format!("exec 3<>/dev/tcp/10.77.0.2/{PORT}; echo early >&3; exec sleep 1000");
        let _container = pod.start_command(&["/bin/bash", "-c", &script]);
        pod.grant(1, Permit::Trade);
        assert_eq!(exchange.next_within(Duration::from_secs(20)).await.as_deref(), Some("early"));
        // Before it was looked, and if it is looked only now, it is believed.
        let past = OrderPath::Bypassed(format!("10.77.0.2:{PORT}"));
        pod.lease("said to be gated or bypassed", |lease| lease.path == OrderPath::Gated || lease.path == past).await;
        pod.lease("said to be bypassed", |lease| lease.path == past).await;
        let canary = tokio::net::TcpStream::connect(("10.77.0.1", 9799)).await.expect("the canary listens");
        let mut byte = [0u8];
        let read = async { tokio::io::AsyncReadExt::read(&mut { canary }, &mut byte).await };
        let end = tokio::time::timeout(Duration::from_secs(5), read).await.expect("it closes at once");
        assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    });
}
