//! The gate as an HTTP proxy (RFC 9110): CONNECT for everything that is encrypted, and requests for plain HTTP.

use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Uri, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tracing::debug;

use super::dial::{Dialer, NoRoute, Obstacle};
use super::relay;
use crate::core::gate::{Host, NoHost, Target};

/// For the head of a request, from its first byte.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// The longest head, in bytes.
const HEAD_SIZE: usize = 64 * 1024;

/// Meant for this connection only (RFC 9110, section 7.6.1, and what old clients send).
const HOP_BY_HOP: [&str; 8] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

type Answer = Response<BoxBody<Bytes, hyper::Error>>;

/// A connection to outside that the last plain request of this bot's connection used.
#[derive(Default)]
struct Kept(Mutex<Option<(Target, SendRequest<Incoming>)>>);

/// Serves one connection of a bot.
pub(super) async fn serve(bot: TcpStream, dialer: &Rc<Dialer>) -> Result<(), hyper::Error> {
    let kept = Rc::new(Kept::default());
    let service = service_fn(|request| {
        let (dialer, kept) = (Rc::clone(dialer), Rc::clone(&kept));
        async move { Ok::<_, Infallible>(answer(request, &dialer, &kept).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD_SIZE)
        .preserve_header_case(true)
        .half_close(true)
        .serve_connection(TokioIo::new(bot), service);
    connection.with_upgrades().await
}

async fn answer(request: Request<Incoming>, dialer: &Rc<Dialer>, kept: &Kept) -> Answer {
    let result = match *request.method() {
        Method::CONNECT => tunnel(request, dialer).await,
        _ => forward(request, dialer, kept).await,
    };
    result.unwrap_or_else(|why| why.answer())
}

/// Why a request is answered by the gate itself.
enum Refusal {
    /// It is none that a proxy can serve; a sentence.
    Bad(String),
    /// There is no connection.
    NoRoute(NoRoute),
    /// The other side broke off; a sentence.
    Broken(String),
}

impl From<NoRoute> for Refusal {
    fn from(why: NoRoute) -> Refusal {
        Refusal::NoRoute(why)
    }
}

impl Refusal {
    fn answer(self) -> Answer {
        let (status, error, text) = match self {
            Refusal::Bad(text) => (StatusCode::BAD_REQUEST, "http_request_error", text),
            Refusal::NoRoute(NoRoute::Refused(text)) => (StatusCode::FORBIDDEN, "http_request_denied", text),
            Refusal::NoRoute(NoRoute::Busy(text)) => {
                (StatusCode::SERVICE_UNAVAILABLE, "connection_limit_reached", text)
            }
            Refusal::NoRoute(NoRoute::Failed(obstacle, text)) => {
                let error = match obstacle {
                    Obstacle::Name => "dns_error",
                    Obstacle::Port => "connection_refused",
                    Obstacle::Network => "destination_ip_unroutable",
                    Obstacle::Host => "destination_unavailable",
                };
                (StatusCode::BAD_GATEWAY, error, text)
            }
            Refusal::NoRoute(NoRoute::TimedOut(text)) => (StatusCode::GATEWAY_TIMEOUT, "connection_timeout", text),
            Refusal::Broken(text) => (StatusCode::BAD_GATEWAY, "http_response_incomplete", text),
        };
        // A quoted string of RFC 8941: nothing in it needs escaping then.
        let quoted: String = text.chars().filter(|c| matches!(c, ' '..='~') && !matches!(c, '"' | '\\')).collect();
        let proxy_status = HeaderValue::from_str(&format!("tradingbot-gate; error={error}; details=\"{quoted}\""));
        let mut answer = Response::new(whole(format!("{text}\n")));
        *answer.status_mut() = status;
        let headers = answer.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        if let Ok(value) = proxy_status {
            headers.insert(HeaderName::from_static("proxy-status"), value);
        }
        answer
    }
}

fn whole(text: String) -> BoxBody<Bytes, hyper::Error> {
    Full::from(text).map_err(|never| match never {}).boxed()
}

/// CONNECT: a way for whatever the two ends say to each other.
async fn tunnel(request: Request<Incoming>, dialer: &Rc<Dialer>) -> Result<Answer, Refusal> {
    // Nothing but host and port: an address with a scheme is meant for something else.
    let asked = request.uri().to_string();
    let target: Target = asked
        .parse()
        .map_err(|error: NoHost| Refusal::Bad(format!("CONNECT needs a host and a port, and '{asked}' {error}.")))?;
    let outside = dialer.dial(&target).await?;
    let open = dialer.metrics.opened();
    tokio::task::spawn_local(async move {
        let upgraded = match hyper::upgrade::on(request).await {
            Ok(upgraded) => upgraded,
            Err(error) => return debug!("{target}: {error}"),
        };
        // What it was made from: the stream of this connection.
        if let Ok(parts) = upgraded.downcast::<TokioIo<TcpStream>>()
            && let Err(error) = relay::carry(parts.io.into_inner(), outside, &parts.read_buf).await
        {
            debug!("{target}: {error}");
        }
        drop(open);
    });
    Ok(Response::new(whole(String::new())))
}

/// Plain HTTP: the request is passed on as the client meant it.
async fn forward(mut request: Request<Incoming>, dialer: &Rc<Dialer>, kept: &Kept) -> Result<Answer, Refusal> {
    let target = target_of(request.uri())?;
    let host = request.uri().authority().map(|authority| authority.as_str().to_owned()).unwrap_or_default();
    let host = host.rsplit_once('@').map_or(host.as_str(), |(_, host)| host);
    let origin_form = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let uri = origin_form.parse().map_err(|_| Refusal::Bad(format!("'{origin_form}' is no path.")))?;
    let host = HeaderValue::from_str(host).map_err(|_| Refusal::Bad(format!("'{host}' is no host.")))?;
    let headers = request.headers_mut();
    strip(headers);
    headers.insert(header::HOST, host);
    headers.append(header::VIA, HeaderValue::from_static("1.1 tradingbot-gate"));
    *request.uri_mut() = uri;
    *request.version_mut() = Version::HTTP_11;

    let mut response = send(request, &target, dialer, kept).await?;
    strip(response.headers_mut());
    Ok(response.map(BodyExt::boxed))
}

fn target_of(uri: &Uri) -> Result<Target, Refusal> {
    if uri.scheme_str() != Some("http") {
        return Err(Refusal::Bad(
            "This is the order gate, an HTTP proxy: it takes CONNECT, and requests for http:// addresses.".into(),
        ));
    }
    let host = uri.host().unwrap_or_default();
    let host = Host::parse(host).map_err(|error| Refusal::Bad(format!("'{host}' {error}.")))?;
    Ok(Target { host, port: uri.port_u16().unwrap_or(80) })
}

async fn send(
    mut request: Request<Incoming>,
    target: &Target,
    dialer: &Rc<Dialer>,
    kept: &Kept,
) -> Result<Response<Incoming>, Refusal> {
    let broken = |error: hyper::Error| Refusal::Broken(format!("{target} did not answer to the end: {error}."));
    let mut kept = kept.0.lock().await;
    if let Some((known, mut sender)) = kept.take()
        && known == *target
        && sender.ready().await.is_ok()
    {
        match sender.try_send_request(request).await {
            Ok(response) => {
                *kept = Some((known, sender));
                return Ok(response);
            }
            // Not a byte of it was sent, so that it may be sent again. Any other is not: it may be an order.
            Err(mut error) => match error.take_message() {
                Some(unsent) => request = unsent,
                None => return Err(broken(error.into_error())),
            },
        }
    }
    let outside = dialer.dial(target).await?;
    let open = dialer.metrics.opened();
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .preserve_header_case(true)
        .handshake(TokioIo::new(outside))
        .await
        .map_err(broken)?;
    tokio::task::spawn_local(async move {
        if let Err(error) = connection.await {
            debug!("plain HTTP: {error}");
        }
        drop(open);
    });
    let response = sender.send_request(request).await.map_err(broken)?;
    *kept = Some((target.clone(), sender));
    Ok(response)
}

/// Removes what is meant for one connection only.
fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}
