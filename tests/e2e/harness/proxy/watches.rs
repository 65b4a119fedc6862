//! Watches, handed on event by event.

use std::sync::Arc;
use std::time::Duration;

use futures::SinkExt;
use futures::StreamExt;
use futures::channel::mpsc;
use http::Response;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use serde_json::{Value, json};

use super::rule::{Call, EventFate};
use super::{Body, State, lock};

/// How often what is kept back looks whether it may go on.
const LOOK: Duration = Duration::from_millis(50);

/// Hands a watch on event by event.
pub fn watched(state: Arc<State>, call: Call, answer: Response<Incoming>) -> Response<Body> {
    let (parts, mut body) = answer.into_parts();
    let (mut to, from) = mpsc::channel::<Result<Frame<Bytes>, hyper::Error>>(16);
    tokio::spawn(async move {
        let mut rest = Vec::new();
        while let Some(Ok(frame)) = body.frame().await {
            let Ok(data) = frame.into_data() else { continue };
            rest.extend_from_slice(&data);
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                let Some(line) = let_through(&state, &call, line, &mut to).await else { return };
                if to.send(Ok(Frame::data(Bytes::from(line)))).await.is_err() {
                    return;
                }
            }
        }
    });
    Response::from_parts(parts, BodyExt::boxed(StreamBody::new(from.map(|item| item))))
}

/// The line as it goes on, empty when it is dropped; `None`: the watch ends here.
async fn let_through(
    state: &State,
    call: &Call,
    line: Vec<u8>,
    to: &mut mpsc::Sender<Result<Frame<Bytes>, hyper::Error>>,
) -> Option<Vec<u8>> {
    let event: Value = serde_json::from_slice(&line).unwrap_or_default();
    let object = &event["object"]["metadata"];
    let of_bot = object["labels"]["tradingbot.io/bot"].as_str().or(object["name"].as_str()).unwrap_or_default();
    let mut was_kept = false;
    loop {
        let rule = lock(&state.rule).clone();
        match rule.event(call, &event) {
            EventFate::Passed => return Some(line),
            EventFate::Dropped => {
                state.count(of_bot, None, "dropped");
                return Some(Vec::new());
            }
            EventFate::TooOld => {
                state.count_all("too old");
                let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                    "message": "too old resource version", "reason": "Expired", "code": 410});
                let line = format!("{}\n", json!({"type": "ERROR", "object": status}));
                let _ = to.send(Ok(Frame::data(Bytes::from(line)))).await;
                return None;
            }
            EventFate::Kept => {
                if !was_kept {
                    // All that come after it on this watch are kept, too, and every bot renews its Lease.
                    if call.path.ends_with("/leases") {
                        state.count_all("kept");
                    } else {
                        state.count(of_bot, None, "kept");
                    }
                    was_kept = true;
                }
                tokio::time::sleep(LOOK).await;
                if to.is_closed() {
                    return None;
                }
            }
        }
    }
}
