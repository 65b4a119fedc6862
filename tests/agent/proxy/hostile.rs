//! Clients that take their time, say too much, or nothing of sense.

use std::io::Write;
use std::net::TcpStream;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::super::outside::{Server, connect, to_gate};
use super::{echoes, rest, while_trading};

/// What the gate gives a client for its first byte, and for a whole head.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long until the gate closes a connection on which `slow` writes.
fn closed_after(slow: impl FnOnce(&mut TcpStream) + Send + 'static) -> JoinHandle<Duration> {
    std::thread::spawn(move || {
        let mut stream = to_gate();
        let begun = Instant::now();
        slow(&mut stream);
        rest(&mut stream);
        begun.elapsed()
    })
}

/// Writes a byte now and then until that fails.
fn drip(stream: &mut TcpStream, bytes: impl Iterator<Item = u8>) {
    let end = Instant::now() + 2 * PATIENCE;
    for byte in bytes {
        if stream.write_all(&[byte]).is_err() || Instant::now() > end {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn who_takes_longer_than_a_client_needs_is_sent_away() {
    while_trading(|outside| {
        let server = outside.serve(Server::Echo);
        let (mut working, _) = connect(&server.to_string());
        let slow = [
            ("says nothing", closed_after(|_| {})),
            (
                "a head byte by byte",
                closed_after(|stream| drip(stream, b"GET ".iter().copied().chain((0..).map(|_| b'a')))),
            ),
            ("half a head", closed_after(|stream| stream.write_all(b"CONNECT 10.99.0.1:443 HTTP/1.1\r\n").unwrap())),
            ("half a SOCKS greeting", closed_after(|stream| stream.write_all(&[5, 9, 0]).unwrap())),
            (
                "SOCKS byte by byte",
                closed_after(|stream| drip(stream, [5, 255].into_iter().chain((0..255).map(|_| 1)))),
            ),
        ];
        for (what, slow) in slow {
            let after = slow.join().unwrap();
            assert!((PATIENCE - Duration::from_secs(1)..PATIENCE * 2).contains(&after), "{what}: {after:?}");
        }
        // A connection that leads somewhere is not hurried.
        echoes(&mut working);
    });
}

#[test]
fn five_thousand_connections_without_a_word_lock_nobody_out_for_long() {
    while_trading(|outside| {
        let server = outside.serve(Server::Echo);
        let (mut working, _) = connect(&server.to_string());
        raise_own_limit();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let waiting: Vec<_> =
                (0..5_000).map(|_| tokio::spawn(tokio::net::TcpStream::connect(("127.0.0.1", 9796)))).collect();
            // As many as there are places are taken at once; the kernel holds some more.
            let mut idle = Vec::new();
            for connecting in waiting.into_iter().take(4_000) {
                idle.push(connecting.await.unwrap().unwrap());
            }
            let begun = Instant::now();
            let target = server.to_string();
            let served = tokio::task::spawn_blocking(move || {
                let (mut stream, answer) = connect(&target);
                assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
                echoes(&mut stream);
                echoes(&mut working);
            });
            served.await.unwrap_or_else(|end| std::panic::resume_unwind(end.into_panic()));
            assert!(begun.elapsed() < PATIENCE * 3, "{:?}", begun.elapsed());
        });
    });
}

fn raise_own_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is valid; the call concerns this process.
    unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
        limit.rlim_cur = limit.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
    }
}

#[test]
fn heads_that_are_too_large_are_refused() {
    while_trading(|outside| {
        let server = outside.serve(Server::Http);
        let long = "a".repeat(200 * 1024);
        let many: String = (0..300).map(|n| format!("X-{n}: 1\r\n")).collect();
        for (what, head, codes) in [
            ("a long header", format!("GET http://{server}/ HTTP/1.1\r\nX: {long}\r\n\r\n"), ["431", "400"]),
            ("many headers", format!("GET http://{server}/ HTTP/1.1\r\n{many}\r\n"), ["431", "400"]),
            ("a long target", format!("GET http://{server}/{long} HTTP/1.1\r\n\r\n"), ["414", "431"]),
            ("a long name", format!("CONNECT {long}:443 HTTP/1.1\r\n\r\n"), ["414", "431"]),
        ] {
            let mut stream = to_gate();
            // The gate may have answered and closed before all of it is written.
            let _ = stream.write_all(head.as_bytes());
            let answer = String::from_utf8_lossy(&rest(&mut stream)).into_owned();
            let line = answer.lines().next().unwrap_or_default();
            assert!(codes.iter().any(|code| line.starts_with(&format!("HTTP/1.1 {code}"))), "{what}: {line}");
        }
        assert_eq!(outside.heard().len(), 0, "nothing of that was passed on");
        // What clients do send, long cookies and all, passes.
        let head =
            format!("GET http://{server}/ HTTP/1.1\r\nX: {}\r\nConnection: close\r\n\r\n", "a".repeat(30 * 1024));
        let mut stream = to_gate();
        stream.write_all(head.as_bytes()).unwrap();
        assert!(rest(&mut stream).starts_with(b"HTTP/1.1 200"));
    });
}

#[test]
fn what_is_neither_http_nor_socks_is_closed_and_harms_nobody() {
    while_trading(|outside| {
        let server = outside.serve(Server::Echo);
        for garbage in [
            &b"\0\0\0\0\r\n\r\n"[..],
            // The first bytes of TLS, and of SOCKS version 4.
            &[0x16, 3, 1, 0, 0xa5, 1, 0, 0, 0xa1, 3, 3],
            &[4, 1, 0, 80, 10, 99, 0, 1, 0],
            b"\xff\xfe\xfd\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"GET http://10.99.0.1/ HTTP/9.9\r\n\r\n",
            b"GET http://10.99.0.1/ HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            b"GET http://10.99.0.1/\r\n\r\n",
            b"\n",
        ] {
            let mut stream = to_gate();
            stream.write_all(garbage).unwrap();
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let answer = rest(&mut stream);
            assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 400"), "{}", String::from_utf8_lossy(&answer));
        }
        let (mut stream, _) = connect(&server.to_string());
        echoes(&mut stream);
        assert_eq!(outside.heard().len(), 1);
    });
}
