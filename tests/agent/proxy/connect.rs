//! CONNECT, and the streams that it makes.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::mpsc;
use std::time::Duration;

use super::super::outside::{OUTSIDE, OUTSIDE_V6, Server, connect, read_head, to_gate};
use super::{echoes, rest, while_trading};

const MEBIBYTE: usize = 1 << 20;
/// More than a server takes without reading, and less than that and what the gate's kernel holds.
const MORE_THAN_A_WINDOW: usize = 200_000;

#[test]
fn names_and_addresses_of_both_kinds_are_connected_to() {
    while_trading(|outside| {
        let port = outside.serve_with(|mut stream| {
            let mut writer = stream.try_clone().unwrap();
            let _ = std::io::copy(&mut stream, &mut writer);
        });
        let port = port.port();
        for host in [OUTSIDE.to_string(), "exchange.test".into(), "Exchange.TEST.".into(), format!("[{OUTSIDE_V6}]")] {
            let (mut stream, answer) = connect(&format!("{host}:{port}"));
            assert!(answer.starts_with("HTTP/1.1 200"), "{host}: {answer}");
            echoes(&mut stream);
        }
    });
}

#[test]
fn a_target_without_a_usable_port_is_refused() {
    while_trading(|_| {
        for target in ["10.99.0.1", "exchange.test", "10.99.0.1:", "10.99.0.1:0", "10.99.0.1:99999", "[fd00::1]"] {
            let (_stream, answer) = connect(target);
            assert!(answer.starts_with("HTTP/1.1 400"), "{target}: {answer}");
            assert!(
                answer.contains("CONNECT needs a host and a port") && answer.contains(target),
                "{target}: {answer}"
            );
        }
        // These are no targets at all, to any HTTP server.
        for target in ["10.99.0.1:port", "fd00::1:443", "/path", "http://10.99.0.1:443/"] {
            let (_stream, answer) = connect(target);
            assert!(answer.starts_with("HTTP/1.1 400"), "{target}: {answer}");
        }
        let (_stream, answer) = connect("10.99.0.1:1");
        assert!(answer.starts_with("HTTP/1.1 502") && answer.contains("cannot be reached"), "{answer}");
        assert!(answer.contains("error=connection_refused"), "{answer}");
    });
}

#[test]
fn bytes_that_come_with_the_head_are_passed_on() {
    while_trading(|outside| {
        let server = outside.serve(Server::Echo);
        let mut stream = to_gate();
        stream.write_all(format!("CONNECT {server} HTTP/1.1\r\nHost: {server}\r\n\r\nearly").as_bytes()).unwrap();
        assert!(read_head(&mut stream).starts_with("HTTP/1.1 200"));
        let mut back = [0; 5];
        stream.read_exact(&mut back).unwrap();
        assert_eq!(&back, b"early");
        echoes(&mut stream);
    });
}

#[test]
fn a_client_of_the_old_version_is_connected_too() {
    while_trading(|outside| {
        let server = outside.serve(Server::Echo);
        let mut stream = to_gate();
        stream.write_all(format!("CONNECT {server} HTTP/1.0\r\n\r\n").as_bytes()).unwrap();
        let head = read_head(&mut stream);
        assert!(head.starts_with("HTTP/1.0 200") || head.starts_with("HTTP/1.1 200"), "{head}");
        echoes(&mut stream);
    });
}

#[test]
fn a_mebibyte_passes_both_ways_at_once() {
    while_trading(|outside| {
        let server = outside.serve_with(|mut stream| {
            let mut reader = stream.try_clone().unwrap();
            let sending = std::thread::spawn(move || stream.write_all(&vec![2; MEBIBYTE]).map(|()| stream));
            let mut heard = vec![0; MEBIBYTE];
            reader.read_exact(&mut heard).unwrap();
            let mut stream = sending.join().unwrap().unwrap();
            stream.write_all(&[u8::from(heard.iter().all(|byte| *byte == 1))]).unwrap();
        });
        let (mut stream, _) = connect(&server.to_string());
        let mut writer = stream.try_clone().unwrap();
        let sending = std::thread::spawn(move || writer.write_all(&vec![1; MEBIBYTE]).unwrap());
        let mut heard = vec![0; MEBIBYTE];
        stream.read_exact(&mut heard).unwrap();
        sending.join().unwrap();
        assert!(heard.iter().all(|byte| *byte == 2));
        assert_eq!(rest(&mut stream), [1], "the other side got all of ours");
    });
}

#[test]
fn a_client_that_has_ended_still_gets_its_answer() {
    while_trading(|outside| {
        let server = outside.serve(Server::Count);
        let (mut stream, _) = connect(&server.to_string());
        stream.write_all(&vec![7; MEBIBYTE]).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(rest(&mut stream), MEBIBYTE.to_string().as_bytes());
    });
}

/// The gate's own socket throws its queue away when it is closed. Here it must be empty before that.
#[test]
fn a_server_that_has_ended_still_gets_everything() {
    while_trading(|outside| {
        let (tell, told) = mpsc::channel();
        let (go, wait) = mpsc::channel::<()>();
        let (tell, wait) = (std::sync::Mutex::new(tell), std::sync::Mutex::new(wait));
        let server = outside.serve_with(move |mut stream| {
            stream.shutdown(Shutdown::Write).unwrap();
            // Nothing is read before the client is done, so that most of it is still in queues then.
            wait.lock().unwrap().recv().unwrap();
            let mut all = Vec::new();
            let end = stream.read_to_end(&mut all);
            tell.lock().unwrap().send((all.len(), end.is_ok())).unwrap();
        });
        let (mut stream, _) = connect(&server.to_string());
        assert_eq!(rest(&mut stream), b"", "the server's end is passed on at once");
        stream.write_all(&[7; MORE_THAN_A_WINDOW]).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        // Time for a gate that does not wait to show it.
        std::thread::sleep(Duration::from_millis(300));
        go.send(()).unwrap();
        assert_eq!(told.recv().unwrap(), (MORE_THAN_A_WINDOW, true));
    });
}

#[test]
fn a_reset_of_one_side_ends_the_other() {
    while_trading(|outside| {
        let server = outside.serve_with(|mut stream| {
            let mut first = [0];
            stream.read_exact(&mut first).unwrap();
            // Closed with unread bytes: the kernel sends a reset.
        });
        let (mut stream, _) = connect(&server.to_string());
        stream.write_all(b"two").unwrap();
        assert_eq!(rest(&mut stream), b"");
    });
}
