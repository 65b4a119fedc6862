//! The world outside of the pod: another network namespace at the other end of a cable, with a server that writes down
//! what reaches it, and a name server.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use super::pod::until;

/// The server's end of the cable, and the pod's.
pub const OUTSIDE: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);
pub const POD: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 2);
pub const OUTSIDE_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x99, 0, 0, 0, 0, 0, 1);
const POD_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x99, 0, 0, 0, 0, 0, 2);

/// What one connection brought.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    pub bytes: Vec<u8>,
    /// When the last of them came.
    pub last: Option<Instant>,
    /// How it ended: `None` while it has not, else whether in good order.
    pub end: Option<bool>,
}

/// What a server does with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// Sends back what it gets, until there is no more.
    Echo,
    /// Reads until there is no more, then sends how many bytes that were.
    Count,
    /// Answers every HTTP request with its head, as a plain text.
    Http,
}

/// The other namespace. Gone with the last thread in it.
pub struct Outside {
    heard: Arc<Mutex<Vec<Heard>>>,
    orders: mpsc::Sender<Box<dyn FnOnce() + Send>>,
}

impl Outside {
    /// Lays the cable from the calling thread's namespace, which is the pod's.
    pub fn new() -> Outside {
        let (orders, todo) = mpsc::channel::<Box<dyn FnOnce() + Send>>();
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            // SAFETY: concerns this thread and those that it starts.
            assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNET) }, 0);
            // SAFETY: no memory is involved.
            tell.send(unsafe { libc::syscall(libc::SYS_gettid) }).unwrap();
            while let Ok(order) = todo.recv() {
                order();
            }
        });
        let thread = told.recv().unwrap().to_string();
        ip(&["link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", &thread]);
        ip(&["address", "add", &format!("{POD}/24"), "dev", "cable"]);
        ip(&["address", "add", &format!("{POD_V6}/64"), "dev", "cable", "nodad"]);
        ip(&["link", "set", "cable", "up"]);
        let outside = Outside { heard: Arc::default(), orders };
        outside.run(|| {
            ip(&["link", "set", "lo", "up"]);
            ip(&["address", "add", &format!("{OUTSIDE}/24"), "dev", "cable"]);
            ip(&["address", "add", &format!("{OUTSIDE_V6}/64"), "dev", "cable", "nodad"]);
            ip(&["link", "set", "cable", "up"]);
        });
        outside
    }

    /// Runs something in the other namespace and waits for it.
    pub fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (tell, told) = mpsc::channel();
        self.orders.send(Box::new(move || tell.send(work()).unwrap())).unwrap();
        told.recv().unwrap()
    }

    /// The cable's other end goes down or up; the pod sees no carrier then and keeps its address.
    pub fn set_cable(&self, up: bool) {
        self.run(move || ip(&["link", "set", "cable", if up { "up" } else { "down" }]));
    }

    /// Starts a server and returns its address.
    pub fn serve(&self, server: Server) -> SocketAddr {
        let heard = Arc::clone(&self.heard);
        self.run(move || {
            let listener = TcpListener::bind((OUTSIDE, 0)).unwrap();
            let address = listener.local_addr().unwrap();
            std::thread::spawn(move || {
                while let Ok((stream, _)) = listener.accept() {
                    let index = {
                        let mut all = heard.lock().unwrap();
                        all.push(Heard::default());
                        all.len() - 1
                    };
                    let heard = Arc::clone(&heard);
                    std::thread::spawn(move || talk(server, stream, &heard, index));
                }
            });
            address
        })
    }

    /// Starts a server that does as it is told with each connection, on the address of either kind.
    pub fn serve_with(&self, talk: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
        self.run(move || {
            let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).unwrap();
            let port = listener.local_addr().unwrap().port();
            let talk = Arc::new(talk);
            std::thread::spawn(move || {
                while let Ok((stream, _)) = listener.accept() {
                    let talk = Arc::clone(&talk);
                    std::thread::spawn(move || talk(stream));
                }
            });
            (OUTSIDE, port).into()
        })
    }

    /// Answers every question for an address with this one, on the port that name servers have.
    pub fn serve_names(&self, answer: Ipv4Addr) {
        self.run(move || {
            let socket = UdpSocket::bind((OUTSIDE, 53)).unwrap();
            std::thread::spawn(move || {
                let mut buffer = [0; 512];
                while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                    if let Some(reply) = reply(&buffer[..length], answer) {
                        let _ = socket.send_to(&reply, from);
                    }
                }
            });
        });
    }

    /// What every connection has brought so far, oldest first.
    pub fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    /// Waits for the last connection to be so.
    pub async fn last(&self, what: &str, condition: impl Fn(&Heard) -> bool) -> Heard {
        let found = until(|| self.heard().pop().filter(&condition)).await;
        found.unwrap_or_else(|| panic!("nothing outside ever {what}: {:?}", self.heard()))
    }
}

fn talk(server: Server, mut stream: TcpStream, heard: &Mutex<Vec<Heard>>, index: usize) {
    let mut buffer = [0; 65536];
    let mut head = Vec::new();
    let good = loop {
        match stream.read(&mut buffer) {
            Ok(0) => break true,
            Ok(length) => {
                {
                    let heard = &mut heard.lock().unwrap()[index];
                    heard.bytes.extend_from_slice(&buffer[..length]);
                    heard.last = Some(Instant::now());
                }
                let sent = match server {
                    Server::Echo => stream.write_all(&buffer[..length]),
                    Server::Count => Ok(()),
                    Server::Http => {
                        head.extend_from_slice(&buffer[..length]);
                        if head.windows(4).any(|end| end == b"\r\n\r\n") {
                            let body = std::mem::take(&mut head);
                            let length = body.len();
                            let answer = format!(
                                "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n"
                            );
                            stream.write_all(answer.as_bytes()).and_then(|()| stream.write_all(&body))
                        } else {
                            Ok(())
                        }
                    }
                };
                if sent.is_err() {
                    break false;
                }
            }
            Err(_) => break false,
        }
    };
    let total = {
        let heard = &mut heard.lock().unwrap()[index];
        heard.end = Some(good);
        heard.bytes.len()
    };
    if server == Server::Count && good {
        let _ = stream.write_all(total.to_string().as_bytes());
    }
}

/// One answer with one address; questions for anything but IPv4 are answered with nothing.
fn reply(question: &[u8], answer: Ipv4Addr) -> Option<Vec<u8>> {
    let name = question.get(12..)?;
    let end = 12 + name.iter().position(|byte| *byte == 0)? + 1;
    let is_address = question.get(end..end + 2)? == [0, 1];
    let mut reply = question.get(..2)?.to_vec();
    reply.extend([0x81, 0x80, 0, 1, 0, u8::from(is_address), 0, 0, 0, 0]);
    reply.extend(question.get(12..end + 4)?);
    if is_address {
        reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        reply.extend(answer.octets());
    }
    Some(reply)
}

fn ip(words: &[&str]) {
    let done = Command::new("ip").args(words).output().unwrap();
    assert!(done.status.success(), "ip {words:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// A client's connection to the gate.
pub fn to_gate() -> TcpStream {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        match TcpStream::connect((IpAddr::V4(Ipv4Addr::LOCALHOST), 9796)) {
            Ok(stream) => {
                stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                stream.set_nodelay(true).unwrap();
                return stream;
            }
            Err(error) if Instant::now() > end => panic!("the gate does not listen: {error}"),
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// Asks the gate for a way to `target`; the stream, and the gate's answer: its head and, where it is no way, its body.
pub fn connect(target: &str) -> (TcpStream, String) {
    let mut stream = to_gate();
    write!(stream, "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n").unwrap();
    let head = read_head(&mut stream);
    let length = head
        .to_ascii_lowercase()
        .split("content-length: ")
        .nth(1)
        .and_then(|rest| rest.split("\r\n").next().and_then(|number| number.trim().parse::<usize>().ok()));
    let mut body = vec![0; length.filter(|_| !head.starts_with("HTTP/1.1 200")).unwrap_or(0)];
    stream.read_exact(&mut body).unwrap();
    (stream, head + &String::from_utf8_lossy(&body))
}

/// Reads the head of an answer, byte by byte so that nothing after it is taken.
pub fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap_or_else(|e| panic!("{e} after {:?}", String::from_utf8_lossy(&head)));
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}
