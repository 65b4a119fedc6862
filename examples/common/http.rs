//! A small HTTP/1.1 client on one kept-alive connection: no pool and no queue between a decision and the socket.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

/// Answers are small; whatever is larger is not from a server of ours.
const MAX_HEAD: usize = 64 * 1024;

/// A server, and the connection to it once there is one.
pub struct Http {
    authority: String,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
    timeout: Duration,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: String,
}

#[allow(dead_code, reason = "each program uses its part")]
impl Answer {
    /// Whether the status is 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body as JSON.
    pub fn json(&self) -> io::Result<serde_json::Value> {
        serde_json::from_str(&self.body).map_err(|error| bad(format!("'{}' is not JSON: {error}", self.body)))
    }
}

fn bad(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

#[allow(dead_code, reason = "each program uses its part")]
impl Http {
    /// `url` is `http://host[:port]`; a path after it is not allowed. Every exchange of a request and its answer, with
    /// the connection where one is to be made, takes at most `timeout`.
    pub fn new(url: &str, timeout: Duration) -> Result<Self, String> {
        let authority = url.strip_prefix("http://").unwrap_or(url).trim_end_matches('/');
        if authority.is_empty() || authority.contains('/') {
            return Err(format!("'{url}' is not an address like http://exchange:8080"));
        }
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let authority = if has_port { authority.to_owned() } else { format!("{authority}:80") };
        Ok(Self { authority, stream: None, buffer: Vec::new(), timeout })
    }

    /// The bytes of a request, so that they can be made before it is decided whether to send them.
    pub fn encode(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
        let mut text = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n", self.authority);
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
        if self.stream.is_some() {
            return Ok(());
        }
        timeout(self.timeout, self.dial()).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    async fn dial(&mut self) -> io::Result<()> {
        let addresses: Vec<SocketAddr> = lookup_host(self.authority.as_str()).await?.collect();
        let stream = TcpStream::connect(addresses.as_slice()).await?;
        stream.set_nodelay(true)?;
        self.buffer.clear();
        self.stream = Some(stream);
        Ok(())
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
        if result.is_err() {
            self.stream = None;
        }
        result
    }

    async fn exchange_inner(&mut self, bytes: &[u8], go: impl Fn() -> bool) -> io::Result<Option<Answer>> {
        if self.stream.as_ref().is_some_and(is_closed) {
            self.stream = None;
        }
        if self.stream.is_none() {
            self.dial().await?;
        }
        let stream = self.stream.as_mut().expect("there is a connection");
        stream.writable().await?;
        if !go() {
            return Ok(None);
        }
        let sent = match stream.try_write(bytes) {
            Ok(sent) => sent,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        if sent < bytes.len() {
            stream.write_all(&bytes[sent..]).await?;
        }
        self.answer().await.map(Some)
    }

    async fn answer(&mut self) -> io::Result<Answer> {
        let head = self.head().await?;
        let mut body = Body::new(&head)?;
        let mut text = Vec::new();
        while let Some(part) = self.body_part(&mut body).await? {
            text.extend_from_slice(&part);
        }
        if head.closes {
            self.stream = None;
        }
        Ok(Answer { status: head.status, body: String::from_utf8_lossy(&text).into_owned() })
    }

    async fn fill(&mut self) -> io::Result<()> {
        let stream = self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        if stream.read_buf(&mut self.buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..end + 2).take(end).collect();
                return Ok(String::from_utf8_lossy(&line).into_owned());
            }
            if self.buffer.len() > MAX_HEAD {
                return Err(bad("a line of the answer has no end".to_owned()));
            }
            self.fill().await?;
        }
    }

    async fn head(&mut self) -> io::Result<Head> {
        let line = self.line().await?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let mut head = Head {
            status: status.ok_or_else(|| bad(format!("'{line}' is not the first line of an answer")))?,
            length: None,
            chunked: false,
            closes: false,
        };
        loop {
            let line = self.line().await?;
            let Some((name, value)) = line.split_once(':') else { return Ok(head) };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => head.length = value.trim().parse().ok(),
                "transfer-encoding" => head.chunked = value.trim().eq_ignore_ascii_case("chunked"),
                "connection" => head.closes = value.trim().eq_ignore_ascii_case("close"),
                _ => {}
            }
        }
    }

    /// The next piece of a body; `None` at its end.
    async fn body_part(&mut self, body: &mut Body) -> io::Result<Option<Vec<u8>>> {
        loop {
            match body {
                Body::Sized(0) => return Ok(None),
                Body::Sized(left) => return self.take(left).await.map(Some),
                Body::Chunked { left: 0, first } => {
                    if !std::mem::take(first) {
                        self.line().await?;
                    }
                    let line = self.line().await?;
                    let size = usize::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16)
                        .map_err(|_| bad(format!("'{line}' is not the length of a chunk")))?;
                    if size == 0 {
                        self.line().await?;
                        return Ok(None);
                    }
                    *body = Body::Chunked { left: size, first: false };
                }
                Body::Chunked { left, .. } => return self.take(left).await.map(Some),
            }
        }
    }

    async fn take(&mut self, left: &mut usize) -> io::Result<Vec<u8>> {
        if self.buffer.is_empty() {
            self.fill().await?;
        }
        let part: Vec<u8> = self.buffer.drain(..self.buffer.len().min(*left)).collect();
        *left -= part.len();
        Ok(part)
    }

    /// Opens a stream of server-sent events, whose wait has no limit.
    pub async fn events(mut self, path: &str) -> io::Result<Events> {
        self.connect().await?;
        let bytes = self.encode("GET", path, &[("accept", "text/event-stream")], "");
        self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?.write_all(&bytes).await?;
        let head = timeout(self.timeout, self.head()).await??;
        if head.status != 200 {
            return Err(bad(format!("{} answered {} to GET {path}", self.authority, head.status)));
        }
        let body = Body::new(&head)?;
        Ok(Events { http: self, body, text: Vec::new() })
    }
}

/// Whether the server has closed a connection that nothing was asked on.
fn is_closed(stream: &TcpStream) -> bool {
    let mut byte = [0];
    !matches!(stream.try_read(&mut byte), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

struct Head {
    status: u16,
    length: Option<usize>,
    chunked: bool,
    closes: bool,
}

enum Body {
    Sized(usize),
    Chunked { left: usize, first: bool },
}

impl Body {
    fn new(head: &Head) -> io::Result<Self> {
        match head {
            Head { chunked: true, .. } => Ok(Self::Chunked { left: 0, first: true }),
            Head { length: Some(length), .. } => Ok(Self::Sized(*length)),
            Head { status: 204, .. } => Ok(Self::Sized(0)),
            _ => Err(bad("the answer does not say how long it is".to_owned())),
        }
    }
}

/// A stream of server-sent events.
pub struct Events {
    http: Http,
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
            match self.http.body_part(&mut self.body).await? {
                Some(part) => self.text.extend_from_slice(&part),
                None => return Ok(None),
            }
        }
    }
}
