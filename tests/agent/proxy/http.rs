//! Plain HTTP (RFC 9110, RFC 9112).

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};

use super::super::outside::{Outside, read_head, to_gate};
use super::super::pod::PROBE_PORT;
use super::{rest, while_trading};

/// A message as it arrived: its head, and its body without its framing.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Message {
    head: String,
    body: Vec<u8>,
}

impl Message {
    /// `None`: the other side closed before it began.
    fn read(stream: &mut TcpStream) -> Option<Message> {
        let mut first = [0];
        if !matches!(stream.peek(&mut first), Ok(1)) {
            return None;
        }
        let head = read_head(stream);
        let mut message = Message { head, body: Vec::new() };
        if message.header("transfer-encoding").is_some_and(|value| value == "chunked") {
            while let Some(chunk) = chunk(stream) {
                message.body.extend(chunk);
            }
        } else if let Some(length) = message.header("content-length") {
            message.body = vec![0; length.parse().unwrap()];
            stream.read_exact(&mut message.body).unwrap();
        }
        Some(message)
    }

    fn header(&self, name: &str) -> Option<&str> {
        let value =
            |line: &'_ str| line.split_once(": ").filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(n, _)| n.len());
        self.head.lines().find_map(|line| value(line).map(|length| &line[length + 2..]))
    }

    fn text(&self) -> String {
        format!("{}{}", self.head, String::from_utf8_lossy(&self.body))
    }
}

/// The next chunk; `None`: it was the last.
fn chunk(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        line.push(byte[0]);
    }
    let size = usize::from_str_radix(std::str::from_utf8(&line).unwrap().trim(), 16).unwrap();
    let mut data = vec![0; size + 2];
    stream.read_exact(&mut data).unwrap();
    data.truncate(size);
    (size > 0).then_some(data)
}

type Seen = Arc<Mutex<Vec<Message>>>;

/// A server that writes down what it is asked and has `answer` do the rest; it goes on while that says so.
fn server(
    outside: &Outside,
    answer: impl Fn(&mut TcpStream, &Message) -> bool + Send + Sync + 'static,
) -> (SocketAddr, Seen) {
    let seen = Seen::default();
    let write_down = Arc::clone(&seen);
    let address = outside.serve_with(move |mut stream| {
        while let Some(message) = Message::read(&mut stream) {
            write_down.lock().unwrap().push(message.clone());
            if !answer(&mut stream, &message) {
                return;
            }
        }
    });
    (address, seen)
}

fn says(stream: &mut TcpStream, text: &str) -> bool {
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len()).is_ok()
}

fn get(stream: &mut TcpStream, server: SocketAddr, path: &str) -> Message {
    write!(stream, "GET http://{server}{path} HTTP/1.1\r\nHost: {server}\r\n\r\n").unwrap();
    Message::read(stream).expect("an answer")
}

/// How many connections to outside the gate has.
fn open_connections() -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", PROBE_PORT)).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let text = String::from_utf8(rest(&mut stream)).unwrap();
    text.lines().find_map(|line| line.strip_prefix("tradingbot_gate_open_connections ")).unwrap().to_owned()
}

fn wait_until_none_is_open() {
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while open_connections() != "0" {
        assert!(std::time::Instant::now() < end, "{} are open", open_connections());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

#[test]
fn bodies_arrive_whole_with_a_length_or_in_chunks() {
    while_trading(|outside| {
        let (server, seen) = server(outside, |stream, asked| {
            write!(stream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
            for part in asked.body.chunks(3) {
                write!(stream, "{:x}\r\n{}\r\n", part.len(), String::from_utf8_lossy(part)).unwrap();
            }
            stream.write_all(b"0\r\n\r\n").is_ok()
        });
        let mut stream = to_gate();
        write!(stream, "POST http://{server}/o HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\nan order").unwrap();
        let answer = Message::read(&mut stream).unwrap();
        assert!(answer.head.starts_with("HTTP/1.1 200") && answer.body == b"an order", "{}", answer.text());
        write!(stream, "POST http://{server}/o HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
        for part in ["3\r\nan \r\n", "5;an-extension\r\norder\r\n", "0\r\n\r\n"] {
            stream.write_all(part.as_bytes()).unwrap();
        }
        assert_eq!(Message::read(&mut stream).unwrap().body, b"an order");
        let seen = seen.lock().unwrap();
        assert_eq!(seen[0].header("content-length"), Some("8"));
        assert_eq!((seen[1].body.as_slice(), seen[1].header("content-length")), (&b"an order"[..], None));
    });
}

#[test]
fn a_request_of_two_lengths_reaches_the_server_as_one_or_not_at_all() {
    while_trading(|outside| {
        let (server, seen) = server(outside, |stream, _| says(stream, "ok"));
        let mut stream = to_gate();
        write!(
            stream,
            "POST http://{server}/o HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n\
             2\r\nab\r\n0\r\n\r\nGET http://{server}/smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
        )
        .unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        rest(&mut stream);
        for asked in seen.lock().unwrap().iter() {
            let both = asked.header("content-length").is_some() && asked.header("transfer-encoding").is_some();
            assert!(!both && (asked.body == b"ab" || asked.head.starts_with("GET")), "{}", asked.text());
        }
    });
}

#[test]
fn an_answer_to_head_has_a_length_and_no_body() {
    while_trading(|outside| {
        let (server, _) = server(outside, |stream, asked| {
            if asked.head.starts_with("HEAD") {
                return stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n").is_ok();
            }
            says(stream, "next")
        });
        let mut stream = to_gate();
        write!(stream, "HEAD http://{server}/ HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let head = read_head(&mut stream).to_ascii_lowercase();
        assert!(head.contains("content-length: 500\r\n"), "{head}");
        assert_eq!(get(&mut stream, server, "/").body, b"next");
    });
}

#[test]
fn a_client_that_waits_for_100_continue_gets_it() {
    while_trading(|outside| {
        let (server, seen) = server(outside, |stream, _| says(stream, "taken"));
        let mut stream = to_gate();
        write!(
            stream,
            "POST http://{server}/ HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\nExpect: 100-continue\r\n\r\n"
        )
        .unwrap();
        let interim = read_head(&mut stream);
        assert!(interim.starts_with("HTTP/1.1 100"), "{interim}");
        stream.write_all(b"an order").unwrap();
        assert_eq!(Message::read(&mut stream).unwrap().body, b"taken");
        assert_eq!(seen.lock().unwrap()[0].body, b"an order");
    });
}

#[test]
fn a_client_of_the_old_version_is_answered_without_chunks_and_closed() {
    while_trading(|outside| {
        let (server, seen) = server(outside, |stream, _| {
            stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n").is_ok()
        });
        let mut stream = to_gate();
        write!(stream, "GET http://{server}/a HTTP/1.0\r\n\r\n").unwrap();
        let answer = String::from_utf8(rest(&mut stream)).unwrap();
        assert!(answer.starts_with("HTTP/1.") && answer.contains(" 200 OK\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\nok") && !answer.to_ascii_lowercase().contains("chunked"), "{answer}");
        assert!(seen.lock().unwrap()[0].head.starts_with("GET /a HTTP/1.1\r\n"));
    });
}

#[test]
fn one_connection_serves_several_hosts_by_turns() {
    while_trading(|outside| {
        let (one, _) = server(outside, |stream, _| says(stream, "one"));
        let (two, _) = server(outside, |stream, _| says(stream, "two"));
        let mut stream = to_gate();
        for (server, text) in [(one, "one"), (two, "two"), (one, "one"), (one, "one"), (two, "two")] {
            assert_eq!(get(&mut stream, server, "/").text().lines().last(), Some(text));
        }
    });
}

#[test]
fn a_connection_that_the_server_closed_in_between_is_made_anew() {
    while_trading(|outside| {
        // It promises to keep the connection and does not.
        let (server, seen) = server(outside, |stream, _| {
            says(stream, "ok");
            false
        });
        let mut stream = to_gate();
        for round in 0..5 {
            let answer = get(&mut stream, server, &format!("/{round}"));
            assert!(answer.head.starts_with("HTTP/1.1 200"), "round {round}: {}", answer.text());
            wait_until_none_is_open();
        }
        assert_eq!(seen.lock().unwrap().len(), 5);
    });
}

#[test]
fn a_request_of_which_a_byte_was_sent_is_never_sent_again() {
    while_trading(|outside| {
        let (server, seen) = server(outside, |stream, asked| asked.head.starts_with("GET /kept") && says(stream, "ok"));
        let mut fresh = to_gate();
        let mut kept = to_gate();
        assert_eq!(get(&mut kept, server, "/kept").body, b"ok");
        for stream in [&mut fresh, &mut kept] {
            let request = format!("POST http://{server}/order HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nok");
            stream.write_all(request.as_bytes()).unwrap();
            let answer = Message::read(stream).unwrap();
            assert!(answer.head.starts_with("HTTP/1.1 502"), "{}", answer.text());
            assert!(answer.text().contains("did not answer to the end"), "{}", answer.text());
        }
        let orders = seen.lock().unwrap().iter().filter(|asked| asked.head.starts_with("POST")).count();
        assert_eq!(orders, 2, "each once");
    });
}

#[test]
fn an_answer_that_breaks_off_does_not_look_whole() {
    while_trading(|outside| {
        let (server, _) = server(outside, |stream, asked| {
            let text = if asked.head.starts_with("GET /length") {
                "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"
            } else {
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"
            };
            stream.write_all(text.as_bytes()).unwrap();
            false
        });
        for path in ["/length", "/chunks"] {
            let mut stream = to_gate();
            write!(stream, "GET http://{server}{path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
            let answer = String::from_utf8(rest(&mut stream)).unwrap();
            assert!(answer.contains("half") && !answer.contains("\r\n0\r\n"), "{answer}");
            assert!(!answer.to_ascii_lowercase().contains("content-length: 4\r\n"), "{answer}");
        }
    });
}

#[test]
fn requests_that_are_for_no_proxy_are_refused_with_a_sentence() {
    while_trading(|_| {
        for line in ["GET / HTTP/1.1", "GET https://10.99.0.1/ HTTP/1.1", "OPTIONS * HTTP/1.1", "GET ftp://x/ HTTP/1.1"]
        {
            let mut stream = to_gate();
            write!(stream, "{line}\r\nHost: 10.99.0.1\r\n\r\n").unwrap();
            let answer = Message::read(&mut stream).unwrap();
            assert!(answer.head.starts_with("HTTP/1.1 400"), "{line}: {}", answer.text());
            assert!(
                answer.text().contains("it takes CONNECT, and requests for http:// addresses"),
                "{}",
                answer.text()
            );
            assert!(answer.text().contains("error=http_request_error"), "{}", answer.text());
        }
    });
}
