//! An API server that says what a test tells it to, request by request.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use http::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

/// One request that reached the scripted server.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    pub method: Method,
    pub path: String,
    pub body: Value,
}

/// What it answers.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Status 200 with this object.
    Object(Value),
    /// Status 200 with the object that was sent, at this resource version.
    Accepted(&'static str),
    /// A failure with this status code and message.
    Refused(u16, &'static str),
    /// Never an answer.
    Silence,
}

/// The requests so far, in order.
#[derive(Clone, Default)]
pub struct Tape(Arc<Mutex<Vec<Seen>>>);

impl Tape {
    pub fn requests(&self) -> Vec<Seen> {
        self.0.lock().unwrap().clone()
    }

    /// `METHOD path` of every request.
    pub fn lines(&self) -> Vec<String> {
        self.requests().iter().map(|r| format!("{} {}", r.method, r.path)).collect()
    }
}

/// A client whose requests are answered from `answers`, one after the other. A request beyond them fails the test,
/// because it gets a status that no caller takes for success.
pub fn client(answers: impl IntoIterator<Item = Answer>) -> (Client, Tape) {
    let tape = Tape::default();
    let answers = Arc::new(Mutex::new(answers.into_iter().collect::<VecDeque<_>>()));
    let seen = tape.clone();
    let service = tower::service_fn(move |request: Request<Body>| {
        let (answers, seen) = (answers.clone(), seen.clone());
        async move {
            let (parts, body) = request.into_parts();
            let bytes = body.collect_bytes().await?;
            let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
            seen.0.lock().unwrap().push(Seen {
                method: parts.method,
                path: parts.uri.path().to_owned(),
                body: body.clone(),
            });
            let answer = answers.lock().unwrap().pop_front();
            let (status, object) = match answer {
                Some(Answer::Object(object)) => (200, object),
                Some(Answer::Accepted(version)) => {
                    let mut object = body;
                    object["metadata"]["resourceVersion"] = json!(version);
                    (200, object)
                }
                Some(Answer::Refused(code, message)) => (code, failure(code, message)),
                Some(Answer::Silence) => std::future::pending().await,
                None => (418, failure(418, "the script has no more answers")),
            };
            let response = Response::builder().status(status).body(Body::from(object.to_string().into_bytes()));
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(response?)
        }
    });
    (Client::new(service, "default"), tape)
}

fn failure(code: u16, message: &str) -> Value {
    // By its reason and not by its code a client knows that an object is absent.
    let reason = if code == 404 { "NotFound" } else { "Scripted" };
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code, "message": message})
}
