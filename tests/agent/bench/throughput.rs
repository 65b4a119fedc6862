//! A thousand connections at once, each with one request on its way at any time.

use std::net::{TcpListener, TcpStream};
use std::time::Instant;

use super::super::outside::{OUTSIDE, Outside, connect};
use super::super::pod::Container;
use super::traffic::{MESSAGE, echo, ping_pong};
use super::{Figures, beside_a_gate};

const CONNECTIONS: usize = 1_000;
const REQUESTS: usize = 100;

pub fn thousand() -> Figures {
    let (direct, gate) = beside_a_gate(|outside, container| {
        let server = serve(outside);
        let direct = measure("without the gate", || TcpStream::connect((OUTSIDE, server)).unwrap());
        let server = serve(outside);
        println!("  agent before: {}", size(container));
        let gate = measure("through the gate", || {
            let (stream, answer) = connect(&format!("{OUTSIDE}:{server}"));
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            stream
        });
        println!("  agent right after: {}", size(container));
        let server = serve(outside);
        let open: Vec<_> = (0..CONNECTIONS).map(|_| connect(&format!("{OUTSIDE}:{server}"))).collect();
        println!("  agent with {} connections open: {}", open.len(), size(container));
        (direct, gate)
    });
    println!("  {direct}");
    gate
}

/// A server in the other namespace, for one measurement; its port.
fn serve(outside: &Outside) -> u16 {
    outside.run(|| {
        let listener = TcpListener::bind((OUTSIDE, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || echo(&listener, CONNECTIONS));
        port
    })
}

fn measure(what: &str, connect: impl Fn() -> TcpStream) -> Figures {
    let mut streams: Vec<_> = (0..CONNECTIONS).map(|_| connect()).collect();
    for stream in &streams {
        stream.set_nodelay(true).unwrap();
    }
    let begun = Instant::now();
    let times = ping_pong(&mut streams, REQUESTS);
    let seconds = begun.elapsed().as_secs_f64();
    let requests = times.len() as f64 / seconds;
    let volume = requests * (2 * MESSAGE) as f64 / f64::from(1 << 20);
    println!("  {what}: {requests:.0} requests/s, {volume:.1} MiB/s both ways together");
    Figures::of_times("throughput-1000", &times)
}

/// The agent's resident memory and descriptors.
fn size(container: &Container) -> String {
    let agent = container.agent();
    let status = std::fs::read_to_string(format!("/proc/{agent}/status")).unwrap();
    let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap().trim().to_owned();
    let descriptors = std::fs::read_dir(format!("/proc/{agent}/fd")).unwrap().count();
    format!("{memory} resident, {descriptors} descriptors")
}
