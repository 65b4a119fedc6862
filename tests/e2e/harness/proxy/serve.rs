//! From a connection of a pod to one of the API server.

use std::convert::Infallible;
use std::sync::Arc;

use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::ServerName;

use super::rule::{Call, Fate};
use super::watches::watched;
use super::{Body, State, lock};

/// Serves for ever.
pub async fn serve(state: Arc<State>, listener: TcpListener, acceptor: TlsAcceptor) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (state, acceptor) = (state.clone(), acceptor.clone());
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            // Requests of one connection come one after the other, and so does what they are sent on over.
            let upstream = Arc::new(tokio::sync::Mutex::new(None));
            let service = service_fn(|request| {
                let (state, upstream) = (state.clone(), upstream.clone());
                async move { Ok::<_, Infallible>(answer(&state, &mut *upstream.lock().await, request).await) }
            });
            // One that breaks off is its client's affair.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(
    state: &Arc<State>,
    upstream: &mut Option<SendRequest<Incoming>>,
    request: Request<Incoming>,
) -> Response<Body> {
    let call = Call::read(&request);
    let list = (call.method == Method::GET && !call.watches).then(|| request.uri().to_string());
    let fate = lock(&state.rule).clone().request(&call);
    match fate {
        Fate::Refused(status) => {
            state.count(&call.path, Some(&call.account), "refused");
            return refused(status);
        }
        Fate::Stale => {
            let known = list.as_ref().and_then(|list| lock(&state.lists).answers.get(list).cloned());
            if let Some(known) = known {
                state.count_all("stale");
                return Response::builder()
                    .header(header::CONTENT_TYPE, "application/json")
                    .body(full(known))
                    .expect("an answer");
            }
        }
        Fate::Passed => {}
    }
    let answer = match passed_on(state, upstream, request).await {
        Ok(answer) => answer,
        Err(why) => return problem(502, &why),
    };
    if call.watches && answer.status() == StatusCode::OK {
        return watched(state.clone(), call, answer);
    }
    match list.filter(|_| answer.status() == StatusCode::OK && call.is_operators()) {
        Some(list) => remembered(state, list, answer).await,
        None => answer.map(BodyExt::boxed),
    }
}

async fn passed_on(
    state: &State,
    upstream: &mut Option<SendRequest<Incoming>>,
    request: Request<Incoming>,
) -> Result<Response<Incoming>, String> {
    let sender = match upstream {
        Some(sender) if !sender.is_closed() => sender,
        other => {
            let stream = TcpStream::connect(state.upstream).await.map_err(|error| error.to_string())?;
            let name = ServerName::try_from("kubernetes").expect("a name");
            let stream = state.connector.connect(name, stream).await.map_err(|error| error.to_string())?;
            let (sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
            tokio::spawn(connection);
            other.insert(sender)
        }
    };
    sender.ready().await.map_err(|error| error.to_string())?;
    sender.send_request(request).await.map_err(|error| error.to_string())
}

async fn remembered(state: &State, list: String, answer: Response<Incoming>) -> Response<Body> {
    let (parts, body) = answer.into_parts();
    let Ok(body) = body.collect().await else { return problem(502, "the answer broke off") };
    let body = body.to_bytes();
    let is_list = body.windows(12).take(400).any(|window| window.starts_with(b"List\""));
    if is_list {
        let mut lists = lock(&state.lists);
        if !lists.frozen {
            lists.answers.insert(list, body.clone());
        }
    }
    Response::from_parts(parts, full(body))
}

fn refused(status: u16) -> Response<Body> {
    let reason = match status {
        409 => "Conflict",
        429 => "TooManyRequests",
        _ => "InternalError",
    };
    let text = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": reason,
        "message": "refused on purpose", "code": status});
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/json")
        .body(full(Bytes::from(text.to_string())))
        .expect("an answer")
}

fn problem(status: u16, why: &str) -> Response<Body> {
    Response::builder().status(status).body(full(Bytes::from(why.to_owned()))).expect("an answer")
}

fn full(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed()
}
