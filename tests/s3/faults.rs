//! Failures on demand, in front of a server that works.

use std::convert::Infallible;
use std::future::poll_fn;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use hyper::body::{Body as _, Incoming};
use s3s::Body;
use s3s::service::S3Service;

/// The server, and the file that says how it fails.
pub struct Faults {
    service: S3Service,
    root: PathBuf,
    file: Option<PathBuf>,
    /// Bytes of all uploads since the start.
    taken: AtomicU64,
}

/// What the file asks for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked {
    refuse: bool,
    locked: bool,
    full: Option<u64>,
    delay: Option<Duration>,
}

impl Asked {
    fn parse(text: &str) -> Asked {
        let mut asked = Asked::default();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let word = words.next();
            let number = words.next().and_then(|n| n.parse().ok());
            match (word, number) {
                (Some("refuse"), _) => asked.refuse = true,
                (Some("locked"), _) => asked.locked = true,
                (Some("full"), Some(bytes)) => asked.full = Some(bytes),
                (Some("delay"), Some(milliseconds)) => asked.delay = Some(Duration::from_millis(milliseconds)),
                _ => eprintln!("s3-server: no such fault: {line}"),
            }
        }
        asked
    }
}

impl Faults {
    pub fn new(service: S3Service, root: PathBuf, file: Option<PathBuf>) -> Faults {
        Faults { service, root, file, taken: AtomicU64::new(0) }
    }

    pub async fn call(&self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let asked = self.file.as_ref().and_then(|file| std::fs::read_to_string(file).ok());
        let asked = Asked::parse(asked.as_deref().unwrap_or_default());
        if let Some(delay) = asked.delay {
            tokio::time::sleep(delay).await;
        }
        if asked.refuse || (asked.locked && deletes(&request)) {
            return Ok(refusal(StatusCode::FORBIDDEN, "AccessDenied", "Access Denied"));
        }
        // The server behind would make it on the way.
        let mut segments = request.uri().path().trim_start_matches('/').splitn(2, '/');
        if let (Some(bucket), Some(key)) = (segments.next(), segments.next())
            && !key.is_empty()
            && !self.root.join(bucket).is_dir()
        {
            return Ok(refusal(StatusCode::NOT_FOUND, "NoSuchBucket", "The specified bucket does not exist"));
        }
        if request.method() == Method::PUT {
            let length = request.headers().get(http::header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
            let length = length.and_then(|length| length.parse().ok()).unwrap_or(0);
            let taken = self.taken.fetch_add(length, Ordering::Relaxed).saturating_add(length);
            if asked.full.is_some_and(|full| taken > full) {
                drain(request.into_body()).await;
                return Ok(refusal(StatusCode::INSUFFICIENT_STORAGE, "InsufficientStorage", "The disk is full"));
            }
        }
        let answer = self.service.call(request.map(Body::from)).await;
        Ok(answer.unwrap_or_else(|error| {
            eprintln!("s3-server: {error:?}");
            refusal(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", "We encountered an internal error")
        }))
    }
}

/// Reads what is sent: who is still sending does not hear an answer.
async fn drain(mut body: Incoming) {
    while let Some(Ok(_)) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {}
}

/// An upload that is given up is no object that is deleted.
fn deletes(request: &Request<Incoming>) -> bool {
    let query = request.uri().query().unwrap_or_default();
    request.method() == Method::DELETE && !query.contains("uploadId=")
        || request.method() == Method::POST && query.split('&').any(|part| part == "delete" || part == "delete=")
}

fn refusal(status: StatusCode, code: &str, message: &str) -> Response<Body> {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    );
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let header = http::HeaderValue::from_static("application/xml");
    response.headers_mut().insert(http::header::CONTENT_TYPE, header);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_a_fault() {
        let asked = Asked::parse("full 100\ndelay 20\nlocked\n");
        let expected = Asked { refuse: false, locked: true, full: Some(100), delay: Some(Duration::from_millis(20)) };
        assert_eq!(asked, expected);
        assert_eq!(Asked::parse("what 1\n"), Asked::default());
    }
}
