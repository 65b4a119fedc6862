//! A server that answers every request as it is told.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use super::until;

/// What is answered.
#[derive(Clone)]
pub struct Answer {
    pub status: &'static str,
    pub body: String,
    pub after: Duration,
}

impl Answer {
    pub fn json(body: &str) -> Answer {
        Answer { status: "200 OK", body: body.into(), after: Duration::ZERO }
    }
}

/// Serves until it is dropped.
pub struct Http {
    pub port: u16,
    answer: Arc<Mutex<Answer>>,
    heads: Arc<Mutex<Vec<String>>>,
    task: AbortHandle,
}

impl Http {
    pub async fn start(answer: Answer) -> Http {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (answer, heads) = (Arc::new(Mutex::new(answer)), Arc::new(Mutex::new(Vec::new())));
        let (said, noted) = (answer.clone(), heads.clone());
        let task = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let (answer, heads) = (said.clone(), noted.clone());
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        match stream.read_u8().await {
                            Ok(byte) => head.push(byte),
                            Err(_) => return,
                        }
                    }
                    heads.lock().unwrap().push(String::from_utf8(head).unwrap().to_lowercase());
                    let Answer { status, body, after } = answer.lock().unwrap().clone();
                    tokio::time::sleep(after).await;
                    let length = body.len();
                    let text =
                        format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
                    let _ = stream.write_all(text.as_bytes()).await;
                });
            }
        });
        Http { port, answer, heads, task: task.abort_handle() }
    }

    pub fn set(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    /// Waits for a request with this in its head, in lower case, and returns the head.
    pub async fn heard(&self, text: &str) -> String {
        let find = || self.heads.lock().unwrap().iter().find(|head| head.contains(text)).cloned();
        until(find).await.unwrap_or_else(|| panic!("'{text}' was never heard"))
    }
}

impl Drop for Http {
    fn drop(&mut self) {
        self.task.abort();
    }
}
