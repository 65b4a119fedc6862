//! Reading answers from a connection: HTTP/1.1 with a length, in chunks, or without a body.

use std::io;

use tokio::io::AsyncReadExt;
use tokio::net::tcp::OwnedReadHalf;

/// Answers are small; whatever is larger is not from a server of ours.
const MAX_HEAD: usize = 64 * 1024;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: String,
    /// The server ends the connection after it.
    pub closes: bool,
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

/// An answer that cannot be read.
pub fn bad(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// The reading side of a connection.
pub struct Answers {
    half: OwnedReadHalf,
    buffer: Vec<u8>,
}

impl Answers {
    pub fn new(half: OwnedReadHalf) -> Self {
        Self { half, buffer: Vec::new() }
    }

    /// Whether the server has ended the connection, or says something that it was not asked.
    pub fn is_closed(&self) -> bool {
        let mut byte = [0];
        !matches!(self.half.try_read(&mut byte), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// The next answer, in the order of the requests.
    pub async fn next(&mut self) -> io::Result<Answer> {
        let head = self.head().await?;
        let mut body = Body::new(&head)?;
        let mut text = Vec::new();
        while let Some(part) = self.body_part(&mut body).await? {
            text.extend_from_slice(&part);
        }
        Ok(Answer { status: head.status, body: String::from_utf8_lossy(&text).into_owned(), closes: head.closes })
    }

    async fn fill(&mut self) -> io::Result<()> {
        if self.half.read_buf(&mut self.buffer).await? == 0 {
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

    /// The lines before a body.
    pub async fn head(&mut self) -> io::Result<Head> {
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
    pub async fn body_part(&mut self, body: &mut Body) -> io::Result<Option<Vec<u8>>> {
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
}

/// What is said before a body.
pub struct Head {
    pub status: u16,
    length: Option<usize>,
    chunked: bool,
    pub closes: bool,
}

/// What is left of a body.
pub enum Body {
    Sized(usize),
    Chunked { left: usize, first: bool },
}

impl Body {
    pub fn new(head: &Head) -> io::Result<Self> {
        match head {
            Head { chunked: true, .. } => Ok(Self::Chunked { left: 0, first: true }),
            Head { length: Some(length), .. } => Ok(Self::Sized(*length)),
            Head { status: 204, .. } => Ok(Self::Sized(0)),
            _ => Err(bad("the answer does not say how long it is".to_owned())),
        }
    }
}
