//! Clients of the API server whose calls end: no hidden retries, no call without a time limit.
//!
//! kube's default client retries 429 and 5xx for up to minutes and has no read timeout. Whoever acts on a deadline
//! needs to know at once that a call failed, and decides for itself whether to ask again.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Method, Request};
use kube::client::{Body, ClientBuilder};
use kube::{Client, Config};
use tower::{Layer, Service};

/// The longest that one request may take.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

/// The API server ends a watch after this long, so that one that died silently is noticed soon after.
pub const WATCH_SECONDS: u32 = 15;

/// Called for every request that can change something, with its method and path.
pub type OnWrite = Arc<dyn Fn(&Method, &str) + Send + Sync>;

/// A client for requests that shall be answered within [`REQUEST_TIMEOUT`] or fail.
///
/// # Errors
/// When the configuration cannot be used, for example because of its certificates.
pub fn requests(mut config: Config, on_write: OnWrite) -> Result<Client, kube::Error> {
    config.default_retry = false;
    config.connect_timeout = Some(REQUEST_TIMEOUT);
    config.read_timeout = Some(REQUEST_TIMEOUT);
    config.write_timeout = Some(REQUEST_TIMEOUT);
    Ok(ClientBuilder::try_from(config)?.with_layer(&CountWrites(on_write)).build())
}

/// A client for watches, which are silent for as long as nothing changes.
///
/// # Errors
/// As for [`requests`].
pub fn watches(mut config: Config) -> Result<Client, kube::Error> {
    config.default_retry = false;
    config.connect_timeout = Some(REQUEST_TIMEOUT);
    config.read_timeout = Some(Duration::from_secs(u64::from(WATCH_SECONDS)) + 2 * REQUEST_TIMEOUT);
    Ok(ClientBuilder::try_from(config)?.build())
}

#[derive(Clone)]
struct CountWrites(OnWrite);

impl<S> Layer<S> for CountWrites {
    type Service = Counted<S>;
    fn layer(&self, inner: S) -> Counted<S> {
        Counted { inner, on_write: self.0.clone() }
    }
}

#[derive(Clone)]
struct Counted<S> {
    inner: S,
    on_write: OnWrite,
}

impl<S: Service<Request<Body>>> Service<Request<Body>> for Counted<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> S::Future {
        if !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
            (self.on_write)(request.method(), request.uri().path());
        }
        self.inner.call(request)
    }
}
