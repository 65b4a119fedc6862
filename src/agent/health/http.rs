//! Requests, and what has to hold for their answers.

use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONNECTION, HOST, USER_AGENT};
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::stream::connect;
use super::{Tools, secret};
use crate::agent::http_client;
use crate::agent::lease_link::chain;
use crate::api::health_config::{Assertion, Comparison, Request, Scheme};
use crate::core::health::{Decimal, JsonPath};

/// The head of an answer, at most.
const LONGEST_HEAD: usize = 32 * 1024;

/// What has to hold for an answer.
pub(super) struct Wanted<'a> {
    pub(super) status: Option<u16>,
    pub(super) latency: Option<Duration>,
    pub(super) json: &'a [Assertion],
}

/// Asks once.
///
/// # Errors
/// A sentence: there was no answer, or not one as it has to be.
pub(super) async fn check(tools: &Tools, name: &str, request: &Request, wanted: &Wanted<'_>) -> Result<(), String> {
    let begun = Instant::now();
    // Nobody needs a body of which nothing has to hold.
    let (status, body) = ask(tools, name, request, !wanted.json.is_empty()).await?;
    let took = begun.elapsed();
    let as_wanted = wanted.status.map_or(status.is_success(), |code| status.as_u16() == code);
    if !as_wanted {
        return Err(format!("The answer was {status}."));
    }
    if let Some(most) = wanted.latency.filter(|most| took > *most) {
        return Err(format!("The answer took longer than {} ms.", most.as_millis()));
    }
    wanted.json.iter().try_for_each(|assertion| hold(assertion, &body))
}

/// The body of a good answer.
///
/// # Errors
/// A sentence.
pub(super) async fn body(tools: &Tools, name: &str, request: &Request) -> Result<String, String> {
    let (status, body) = ask(tools, name, request, true).await?;
    if status.is_success() { Ok(body) } else { Err(format!("The answer was {status}.")) }
}

async fn ask(tools: &Tools, name: &str, request: &Request, read: bool) -> Result<(StatusCode, String), String> {
    let asked = made(name, request)?;
    let stream = connect(&tools.resolver, &request.host, request.port).await?;
    match request.scheme {
        Scheme::Http => exchange(stream, asked, read).await,
        Scheme::Https => exchange(tools.tls.connect(&request.host, stream).await?, asked, read).await,
    }
}

async fn exchange<S>(stream: S, asked: hyper::Request<Empty<Bytes>>, read: bool) -> Result<(StatusCode, String), String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let failed = |cause: &dyn std::error::Error| format!("The request failed: {}.", chain(cause));
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(LONGEST_HEAD)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|cause| failed(&cause))?;
    let answer = async {
        let answer = sender.send_request(asked).await.map_err(|cause| failed(&cause))?;
        let status = answer.status();
        Ok((status, if read { text(answer).await? } else { String::new() }))
    };
    http_client::driven(connection, answer).await
}

async fn text(answer: Response<Incoming>) -> Result<String, String> {
    let body = answer.into_body().collect().await;
    let bytes = body.map_err(|cause| format!("The answer broke off: {}.", chain(&cause)))?.to_bytes();
    String::from_utf8(bytes.into()).map_err(|_| "The answer is not UTF-8.".into())
}

fn made(name: &str, request: &Request) -> Result<hyper::Request<Empty<Bytes>>, String> {
    let Request { scheme: _, host, port, path, headers, authenticate } = request;
    let has = |wanted: &str| headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(wanted));
    let mut builder = hyper::Request::get(path.as_str()).header(CONNECTION, "close");
    if !has(HOST.as_str()) {
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        builder = builder.header(HOST, format!("{host}:{port}"));
    }
    if !has(USER_AGENT.as_str()) {
        builder = builder.header(USER_AGENT, "tradingbot-agent");
    }
    for (name, value) in headers {
        builder = builder.header(name.as_str(), value.as_str());
    }
    if *authenticate {
        let value = http_client::basic_auth(&secret(name, "username")?, &secret(name, "password")?);
        let value = value.map_err(|cause| format!("The request cannot be made: {cause}."))?;
        builder = builder.header(AUTHORIZATION, value);
    }
    builder.body(Empty::new()).map_err(|cause| format!("The request cannot be made: {cause}."))
}

/// Whether an assertion holds for this document; a sentence where it does not.
fn hold(assertion: &Assertion, document: &str) -> Result<(), String> {
    let Assertion { path, operator, value } = assertion;
    let parsed = JsonPath::parse(path).map_err(|why| format!("The path {path} {why}."))?;
    let found = parsed.find(document).map_err(|cause| format!("The answer is no JSON: {cause}."))?;
    let Some(found) = found.filter(|found| *found != "null") else {
        return Err(format!("The answer has no {path}."));
    };
    let plain = plain(found);
    let number = || Decimal::parse(&plain).ok_or_else(|| format!("{path} is {}, which is no number.", short(found)));
    let wanted =
        || Decimal::parse(value).ok_or_else(|| format!("The value {value} to compare {path} with is no number."));
    let holds = match operator {
        Comparison::Exists => true,
        Comparison::GreaterThan => number()? > wanted()?,
        Comparison::LessThan => number()? < wanted()?,
        Comparison::Equals => match (Decimal::parse(&plain), Decimal::parse(value)) {
            (Some(number), Some(wanted)) => number == wanted,
            _ => plain == *value,
        },
    };
    let should = match operator {
        Comparison::Exists | Comparison::Equals => "",
        Comparison::GreaterThan => "more than ",
        Comparison::LessThan => "less than ",
    };
    if holds { Ok(()) } else { Err(format!("{path} is {} and not {should}{value}.", short(found))) }
}

/// What a JSON text says: exchanges write numbers as strings as often as not.
pub(super) fn plain(json: &str) -> String {
    serde_json::from_str::<String>(json).unwrap_or_else(|_| json.to_owned())
}

/// A value in a sentence.
pub(super) fn short(json: &str) -> String {
    const LONGEST: usize = 60;
    match json.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &json[..at]),
        None => json.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(path: &str, operator: Comparison, value: &str) -> Result<(), String> {
        let document = r#"{"price": "0.1", "best": {"bid": 12.5}, "state": "open", "none": null, "on": true}"#;
        hold(&Assertion { path: path.into(), operator, value: value.into() }, document)
    }

    #[test]
    fn numbers_are_compared_as_decimals_also_where_they_are_strings() {
        use Comparison::{Equals, Exists, GreaterThan, LessThan};
        assert_eq!(holds("$.price", GreaterThan, "0"), Ok(()));
        assert_eq!(holds("$.price", Equals, "0.10"), Ok(()));
        assert_eq!(holds("$.best.bid", LessThan, "12.50001"), Ok(()));
        assert_eq!(holds("$.state", Equals, "open"), Ok(()));
        assert_eq!(holds("$.on", Equals, "true"), Ok(()));
        assert_eq!(holds("$.best", Exists, ""), Ok(()));
        let refused = |path, operator, value| holds(path, operator, value).unwrap_err();
        assert_eq!(refused("$.price", GreaterThan, "0.1"), "$.price is \"0.1\" and not more than 0.1.");
        assert_eq!(refused("$.state", Equals, "closed"), "$.state is \"open\" and not closed.");
        assert_eq!(refused("$.state", LessThan, "1"), "$.state is \"open\", which is no number.");
        assert_eq!(refused("$.current_price", Exists, ""), "The answer has no $.current_price.");
        assert_eq!(refused("$.none", Exists, ""), "The answer has no $.none.");
        let no_json = hold(&Assertion { path: "$.a".into(), operator: Exists, value: String::new() }, "<html>");
        assert!(no_json.unwrap_err().starts_with("The answer is no JSON: "));
    }
}
