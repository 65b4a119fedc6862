//! A proxy between the API server and all pods, which answers in its stead, keeps things back, or tells what was.
//!
//! It has the API server's own certificate, so nothing in a pod has to be told of it; who asks is in the token that each
//! request carries. It runs on a thread of its own: the scripts that scenarios wait for would hold it up.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::BufReader;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::StreamExt;
use futures::channel::mpsc;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::faults::{Faults, Lasting};
use super::shell::cluster_env;

type Body = BoxBody<Bytes, hyper::Error>;

/// How often what is kept back looks whether it may go on.
const LOOK: Duration = Duration::from_millis(50);

/// A request of a pod.
#[derive(Clone, Debug)]
pub struct Call {
    /// The service account, `namespace:name`.
    pub account: String,
    /// The pod whose token it is.
    pub pod: String,
    pub method: Method,
    pub path: String,
    pub watches: bool,
}

impl Call {
    pub fn writes(&self) -> bool {
        !matches!(self.method, Method::GET | Method::HEAD | Method::OPTIONS)
    }

    pub fn is_operators(&self) -> bool {
        self.account == "tradingbot-system:tradingbot-operator"
    }
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Passed,
    /// Not carried out, and refused with this status.
    Refused(u16),
    /// A list as it was when [`Proxy::remember_lists`] was called; what else there is passes.
    Stale,
}

/// What becomes of an event of a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventFate {
    Passed,
    /// Kept back until the rule says otherwise, with all that come after it.
    Kept,
    /// It never comes.
    Dropped,
    /// The watch ends with the error that its version is too old.
    TooOld,
}

/// What the proxy does, until told otherwise.
pub trait Rule: Send + Sync {
    fn request(&self, _: &Call) -> Fate {
        Fate::Passed
    }
    fn event(&self, _: &Call, _: &Value) -> EventFate {
        EventFate::Passed
    }
}

/// Lets everything through.
pub struct Passes;
impl Rule for Passes {}

/// What was done, by the names that it concerned.
#[derive(Clone, Debug, Default)]
pub struct Deeds(BTreeMap<(String, &'static str), usize>);

impl Deeds {
    /// How often this was done to what concerns a bot: its own accounts, and the operator's requests and events about it.
    pub fn of(&self, bot: &str, what: &'static str) -> usize {
        self.0.get(&(bot.to_owned(), what)).copied().unwrap_or(0)
    }
}

struct State {
    rule: Mutex<Arc<dyn Rule>>,
    deeds: Mutex<Deeds>,
    /// The names that deeds are counted by.
    names: Mutex<Vec<String>>,
    lists: Mutex<Lists>,
    connector: TlsConnector,
    upstream: SocketAddr,
}

/// The answers to lists, and whether they are still renewed.
#[derive(Default)]
struct Lists {
    frozen: bool,
    answers: BTreeMap<String, Bytes>,
}

/// The proxy with all pods behind it, until it is dropped.
pub struct Proxy {
    state: Arc<State>,
    diverted: Option<Lasting>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Proxy {
    /// Puts it between. Every pod makes its connections anew.
    pub fn start(faults: &Faults, names: Vec<String>) -> Proxy {
        let env =
            |name: &str| cluster_env().get(name).unwrap_or_else(|| panic!("the cluster's {name} is known")).clone();
        let (keys, index) = (Path::new(&env("STATE")).join("pki"), env("CLUSTER_INDEX").parse().expect("an index"));
        let address = move |end: u8| Ipv4Addr::new(198, 18, index, end);
        let mut roots = RootCertStore::empty();
        for authority in certificates(&keys.join("ca.crt")) {
            roots.add(authority).expect("the cluster's authority");
        }
        let trusting = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let key = PrivateKeyDer::from_pem_file(keys.join("apiserver.key")).expect("the API server's key");
        let serving = ServerConfig::builder().with_no_client_auth();
        let serving = serving.with_single_cert(certificates(&keys.join("apiserver.crt")), key).expect("a pair");
        let state = Arc::new(State {
            rule: Mutex::new(Arc::new(Passes)),
            deeds: Mutex::default(),
            names: Mutex::new(names),
            lists: Mutex::default(),
            connector: TlsConnector::from(Arc::new(trusting)),
            upstream: (address(2), 6443).into(),
        });
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let (served, acceptor) = (state.clone(), TlsAcceptor::from(Arc::new(serving)));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listener = TcpListener::bind((address(1), 0)).await.expect("the machine's end of the link");
                ready.send(listener.local_addr().expect("an address").port()).expect("somebody waits for the port");
                tokio::select! {
                    () = serve(served, listener, acceptor) => {}
                    _ = stopped => {}
                }
            });
        });
        let port = is_ready.recv().expect("the proxy listens");
        Proxy { state, diverted: Some(faults.divert_api(port)), stop: Some(stop), thread: Some(thread) }
    }

    /// What it does from now on, also with requests and watches that are under way. Counting begins anew.
    pub fn obey(&self, rule: impl Rule + 'static) {
        *lock(&self.state.deeds) = Deeds::default();
        *lock(&self.state.rule) = Arc::new(rule);
    }

    /// What was done since it obeys this rule.
    pub fn deeds(&self) -> Deeds {
        lock(&self.state.deeds).clone()
    }

    /// Answers to lists are no longer renewed, or are again.
    pub fn remember_lists(&self, remember: bool) {
        lock(&self.state.lists).frozen = remember;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.diverted.take());
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn certificates(path: &Path) -> Vec<CertificateDer<'static>> {
    let file = std::fs::File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    CertificateDer::pem_reader_iter(BufReader::new(file)).map(|one| one.expect("a certificate")).collect()
}

async fn serve(state: Arc<State>, listener: TcpListener, acceptor: TlsAcceptor) {
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

impl Call {
    fn read(request: &Request<Incoming>) -> Call {
        let token =
            request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let claims = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
        let claims: Value = claims.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        let subject = claims["sub"].as_str().unwrap_or_default();
        Call {
            account: subject.trim_start_matches("system:serviceaccount:").to_owned(),
            pod: claims["kubernetes.io"]["pod"]["name"].as_str().unwrap_or_default().to_owned(),
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            watches: request.uri().query().is_some_and(|query| query.contains("watch=")),
        }
    }
}

impl State {
    /// By the bot whose account it is, or whose name is in the path.
    fn count(&self, path: &str, account: Option<&str>, what: &'static str) {
        let name = account.and_then(|account| account.split(':').nth(1)).unwrap_or_default();
        let concerns = |bot: &str| {
            name.starts_with(&format!("{bot}-agent"))
                || path.split('/').any(|part| part == bot || part.starts_with(&format!("{bot}-")))
        };
        self.add(what, concerns);
    }

    fn count_all(&self, what: &'static str) {
        self.add(what, |_| true);
    }

    fn add(&self, what: &'static str, concerns: impl Fn(&str) -> bool) {
        let names = lock(&self.names);
        let mut deeds = lock(&self.deeds);
        for bot in names.iter().filter(|bot| concerns(bot)) {
            *deeds.0.entry((bot.clone(), what)).or_default() += 1;
        }
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

/// Hands a watch on event by event.
fn watched(state: Arc<State>, call: Call, answer: Response<Incoming>) -> Response<Body> {
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
                if futures::SinkExt::send(&mut to, Ok(Frame::data(Bytes::from(line)))).await.is_err() {
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
                let _ = futures::SinkExt::send(to, Ok(Frame::data(Bytes::from(line)))).await;
                return None;
            }
            EventFate::Kept => {
                if !was_kept {
                    state.count(of_bot, None, "kept");
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
