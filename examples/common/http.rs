//! A small HTTP/1.1 client on one kept-alive connection: no pool and no queue between a decision and the socket. It goes
//! through a proxy where the environment names one.

mod answers;
mod proxy;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

pub use answers::{Answer, Answers};
use answers::{Body, bad};

/// A server, and the connection to it, or to the proxy before it, once there is one.
pub struct Http {
    authority: String,
    proxy: Option<String>,
    connection: Option<Connection>,
    timeout: Duration,
}

/// Both sides of a connection, which different tasks may hold.
pub struct Connection {
    pub requests: OwnedWriteHalf,
    pub answers: Answers,
}

#[allow(dead_code, reason = "each program uses its part")]
impl Http {
    /// `url` is `http://host[:port]`; a path after it is not allowed. Every exchange of a request and its answer, with
    /// the connection where one is to be made, takes at most `timeout`.
    pub fn new(url: &str, timeout: Duration) -> Result<Self, String> {
        Ok(Self { authority: authority(url)?, proxy: None, connection: None, timeout })
    }

    /// Through the proxy that these variables of the environment name for this server, as ordinary clients do.
    pub fn proxied(mut self, get: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        self.proxy = proxy::proxy_for(&self.authority, get).as_deref().map(authority).transpose()?;
        Ok(self)
    }

    /// The bytes of a request, so that they can be made before it is decided whether to send them.
    pub fn encode(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
        let Self { authority, proxy, .. } = self;
        // A proxy is told the whole address, or it would not know where to go.
        let origin = if proxy.is_some() { format!("http://{authority}") } else { String::new() };
        let mut text = format!("{method} {origin}{path} HTTP/1.1\r\nhost: {authority}\r\n");
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() {
            text.push_str("content-type: application/json\r\n");
        }
        text.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
        text.into_bytes()
    }

    /// Connects unless there is a connection already.
    pub async fn connect(&mut self) -> io::Result<()> {
        if self.connection.is_none() {
            self.connection = Some(self.dial().await?);
        }
        Ok(())
    }

    /// A connection of the caller's own.
    pub async fn dial(&self) -> io::Result<Connection> {
        let dial = async {
            let next = self.proxy.as_ref().unwrap_or(&self.authority);
            let addresses: Vec<SocketAddr> = lookup_host(next.as_str()).await?.collect();
            let stream = TcpStream::connect(addresses.as_slice()).await?;
            stream.set_nodelay(true)?;
            let (answers, requests) = stream.into_split();
            Ok(Connection { requests, answers: Answers::new(answers) })
        };
        timeout(self.timeout, dial).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    /// Sends a request and reads its answer. A kept-alive connection that the server has closed meanwhile is replaced
    /// before sending; nothing is ever sent twice.
    pub async fn request(&mut self, method: &str, path: &str, body: &str) -> io::Result<Answer> {
        let bytes = self.encode(method, path, &[], body);
        self.exchange_if(&bytes, || true).await.map(|answer| answer.expect("nothing stands against sending"))
    }

    /// Sends `bytes` if `go` still says so when the socket is ready, with nothing between the question and the write;
    /// `None` when it does not.
    pub async fn exchange_if(&mut self, bytes: &[u8], go: impl Fn() -> bool) -> io::Result<Option<Answer>> {
        let limit = self.timeout;
        let result = match timeout(limit, self.exchange_inner(bytes, go)).await {
            Ok(result) => result,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        };
        if !matches!(&result, Ok(answer) if answer.as_ref().is_none_or(|answer| !answer.closes)) {
            self.connection = None;
        }
        result
    }

    async fn exchange_inner(&mut self, bytes: &[u8], go: impl Fn() -> bool) -> io::Result<Option<Answer>> {
        if self.connection.as_ref().is_some_and(|connection| connection.answers.is_closed()) {
            self.connection = None;
        }
        self.connect().await?;
        let connection = self.connection.as_mut().expect("there is a connection");
        if !connection.send_if(bytes, go).await? {
            return Ok(None);
        }
        connection.answers.next().await.map(Some)
    }

    /// Opens a stream of server-sent events, whose wait has no limit.
    pub async fn events(self, path: &str) -> io::Result<Events> {
        let mut connection = self.dial().await?;
        let bytes = self.encode("GET", path, &[("accept", "text/event-stream")], "");
        connection.requests.write_all(&bytes).await?;
        let head = timeout(self.timeout, connection.answers.head()).await??;
        if head.status != 200 {
            return Err(bad(format!("{} answered {} to GET {path}", self.authority, head.status)));
        }
        Ok(Events { body: Body::new(&head)?, connection, text: Vec::new() })
    }
}

/// `host:port` of an address without a path.
fn authority(url: &str) -> Result<String, String> {
    let authority = url.strip_prefix("http://").unwrap_or(url).trim_end_matches('/');
    if authority.is_empty() || authority.contains('/') {
        return Err(format!("'{url}' is not an address like http://exchange:8080"));
    }
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    Ok(if has_port { authority.to_owned() } else { format!("{authority}:80") })
}

impl Connection {
    /// Writes `bytes` if `go` still says so when the socket is ready, with nothing between the question and the write.
    pub async fn send_if(&mut self, bytes: &[u8], go: impl Fn() -> bool) -> io::Result<bool> {
        send_if(&mut self.requests, bytes, go).await
    }
}

/// As [`Connection::send_if`], where the answers are read elsewhere.
pub async fn send_if(requests: &mut OwnedWriteHalf, bytes: &[u8], go: impl Fn() -> bool) -> io::Result<bool> {
    requests.writable().await?;
    if !go() {
        return Ok(false);
    }
    let sent = match requests.try_write(bytes) {
        Ok(sent) => sent,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
        Err(error) => return Err(error),
    };
    if sent < bytes.len() {
        requests.write_all(&bytes[sent..]).await?;
    }
    Ok(true)
}

/// A stream of server-sent events.
pub struct Events {
    connection: Connection,
    body: Body,
    text: Vec<u8>,
}

#[allow(dead_code, reason = "each program uses its part")]
impl Events {
    /// The data of the next event; `None` when the server has ended the stream.
    pub async fn next(&mut self) -> io::Result<Option<String>> {
        loop {
            while let Some(end) = self.text.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.text.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line);
                if let Some(data) = line.trim_end().strip_prefix("data:") {
                    return Ok(Some(data.trim_start().to_owned()));
                }
            }
            match self.connection.answers.body_part(&mut self.body).await? {
                Some(part) => self.text.extend_from_slice(&part),
                None => return Ok(None),
            }
        }
    }
}
