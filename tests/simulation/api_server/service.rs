//! The way of requests and answers, and of the events of watches, as the link has it.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, StreamExt};
use http::{Response, header};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use kube::client::Body;
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tower::{BoxError, Service};

use super::Shared;
use super::failure::Failure;
use super::link::{Fate, Link};
use super::request::Request;
use super::serve::Answer;
use super::watch::{Next, Watch};

/// One client's way to the API server.
#[derive(Clone)]
pub(super) struct Way {
    pub(super) server: Arc<Shared>,
    pub(super) link: Arc<dyn Link>,
    /// After so long without a byte the client gives a connection up.
    pub(super) limit: Option<Duration>,
}

type Sent = UnsyncBoxBody<Bytes, io::Error>;
type Reply = Result<Response<Sent>, BoxError>;

impl Service<http::Request<Body>> for Way {
    type Response = Response<Sent>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Reply>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let (parts, body) = request.into_parts();
        let request = Request::new(&parts.method, &parts.uri, &parts.headers);
        let fate = self.link.fate(&request.call());
        let (way, (reply, replied)) = (self.clone(), oneshot::channel());
        // What was sent is on its way, whether or not the client still waits for the answer.
        tokio::spawn(async move {
            let answer = way.travel(request, body, fate).await;
            let _ = reply.send(answer);
        });
        let limit = self.limit;
        Box::pin(async move {
            let replied = async { replied.await.unwrap_or_else(|_| Err(broken().into())) };
            match limit {
                None => replied.await,
                Some(limit) => timeout(limit, replied).await.unwrap_or_else(|_| Err(timed_out().into())),
            }
        })
    }
}

impl Way {
    async fn travel(self, mut request: Request, body: Body, fate: Fate) -> Reply {
        let (before, after) = match fate {
            Fate::Answered { before, after } => (before, Some(after)),
            Fate::ReplyLost { before } => (before, None),
            Fate::Lost => return std::future::pending().await,
            Fate::Broken => return Err(broken().into()),
            Fate::Status { code, after } => {
                pause(after).await;
                return Ok(of_object(code, &Failure::of_code(code).to_status()));
            }
        };
        request.body = body.collect().await.map_err(BoxError::from)?.to_bytes();
        pause(before).await;
        let answer = self.server.with(|state| state.serve(&request, self.link.stale()));
        let Some(after) = after else { return std::future::pending().await };
        pause(after).await;
        Ok(match answer {
            Ok(Answer::Object(code, object)) => of_object(code, &object),
            Ok(Answer::Watch(watch)) => of_events(self.events(*watch)),
            Err(failure) => of_object(failure.code, &failure.to_status()),
        })
    }

    /// The lines of a watch, each when it arrives.
    fn events(self, watch: Watch) -> BoxStream<'static, io::Result<Bytes>> {
        let limit = self.limit;
        let travelling = stream::unfold((self, watch, Instant::now()), |(way, mut watch, last)| async move {
            let (came_to_be, line) = way.next(&mut watch).await;
            let Some(delay) = way.link.event() else { return std::future::pending().await };
            // One connection: nothing overtakes.
            let arrives = last.max(came_to_be + delay);
            if arrives > Instant::now() {
                sleep_until(arrives).await;
            }
            Some((line?, (way, watch, arrives)))
        });
        match limit {
            None => travelling.boxed(),
            Some(limit) => stream::unfold(travelling.boxed(), move |mut lines| async move {
                let line = timeout(limit, lines.next()).await.unwrap_or_else(|_| Some(Err(timed_out())))?;
                Some((line, lines))
            })
            .boxed(),
        }
    }

    /// The next line, and when it came to be; `None`: the end.
    async fn next(&self, watch: &mut Watch) -> (Instant, Option<io::Result<Bytes>>) {
        loop {
            let mut news = self.server.news.subscribe();
            let until = match self.server.look(|state| watch.next(state)) {
                Next::Event(at, event) => return (at, Some(Ok(format!("{event}\n").into()))),
                Next::End(at) => return (at, None),
                Next::Broken => return (Instant::now(), Some(Err(broken()))),
                Next::Wait(until) => until,
            };
            tokio::select! {
                // Without a server there is nobody who could change anything.
                _ = news.changed() => {}
                () = sleep_until(until) => {}
            }
        }
    }
}

async fn pause(time: Duration) {
    if !time.is_zero() {
        sleep(time).await;
    }
}

fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "the connection was reset")
}

fn timed_out() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "deadline has elapsed")
}

fn response(code: u16, body: Sent) -> Response<Sent> {
    let mut response = Response::new(body);
    *response.status_mut() = http::StatusCode::from_u16(code).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

fn of_object(code: u16, object: &Value) -> Response<Sent> {
    response(code, Full::new(Bytes::from(object.to_string())).map_err(|never| match never {}).boxed_unsync())
}

fn of_events(lines: BoxStream<'static, io::Result<Bytes>>) -> Response<Sent> {
    response(200, StreamBody::new(lines.map(|line| line.map(Frame::data))).boxed_unsync())
}
