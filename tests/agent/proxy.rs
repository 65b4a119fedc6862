//! The gate as a proxy: what clients of all kinds may rely on, and what a careless or hostile one cannot do.

mod connect;
mod hostile;
mod http;
mod socks;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use super::gate::{trading, with_gate};
use super::outside::{OUTSIDE, Outside};
use super::pod::in_pod;

/// Runs a test beside an agent that trades. It has a thread of its own, so that the Lease is renewed meanwhile.
fn while_trading(test: impl FnOnce(&Outside) + Send + 'static) {
    in_pod(|mut pod| async move {
        with_gate(&mut pod, &[], &[]);
        std::fs::create_dir_all(pod.root.join("etc")).unwrap();
        std::fs::write(pod.root.join("etc/hosts"), format!("{OUTSIDE} exchange.test\n")).unwrap();
        // Nobody answers there: other names than that one are unknown.
        std::fs::write(pod.root.join("etc/resolv.conf"), format!("nameserver {OUTSIDE}\noptions timeout:1\n")).unwrap();
        let outside = Outside::new();
        let _container = pod.start("exec sleep 1000");
        trading(&pod).await;
        let tested = tokio::task::spawn_blocking(move || test(&outside)).await;
        tested.unwrap_or_else(|end| std::panic::resume_unwind(end.into_panic()));
    });
}

/// Sends something and expects it back.
fn echoes(stream: &mut TcpStream) {
    stream.write_all(b"an order").unwrap();
    let mut back = [0; 8];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"an order");
}

/// Everything until the end, whichever it is.
fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    match stream.read_to_end(&mut all) {
        Ok(_) => {}
        Err(error) => assert_ne!(error.kind(), ErrorKind::WouldBlock, "it was never closed, after {all:?}"),
    }
    all
}
