//! An API server with one Lease: reads, watches and JSON Patches over TLS, and faults on request.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use futures::StreamExt;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::coordination::v1::Lease;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tradingbot::api::lease as lease_api;
use tradingbot::api::names::lease as key;
use tradingbot::core::lease::{LeaseRecord, Permit};

/// What the server does with requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Answers.
    Answer,
    /// Takes them and never answers.
    Hang,
    /// Refuses every patch with 422, without a reason in the object.
    RefusePatches,
    /// Carries patches out and never answers them.
    LoseAnswers,
}

/// A patch that was carried out.
#[derive(Clone, Debug)]
pub struct Stored {
    pub at: Instant,
    pub record: LeaseRecord,
    pub renew_time: String,
}

struct Inner {
    lease: Option<Value>,
    version: u64,
    /// Every change, for watches.
    changes: Vec<(u64, Value)>,
    stored: Vec<Stored>,
    mode: Mode,
    permits: bool,
    /// The Secret `keys`; `None`: it may not be read.
    keys: Option<Value>,
}

#[derive(Clone)]
pub struct Api {
    inner: Arc<Mutex<Inner>>,
    changed: watch::Sender<u64>,
    pub address: SocketAddr,
    pub ca: String,
}

impl Api {
    pub async fn start() -> Api {
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let inner = Inner {
            lease: None,
            version: 10,
            changes: Vec::new(),
            stored: Vec::new(),
            mode: Mode::Answer,
            permits: false,
            keys: None,
        };
        let api = Api {
            inner: Arc::new(Mutex::new(inner)),
            changed: watch::channel(0).0,
            address: listener.local_addr().unwrap(),
            ca: made.cert.pem(),
        };
        let serving = api.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, api) = (acceptor.clone(), serving.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = service_fn(move |request| api.clone().handle(request));
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        api
    }

    pub fn set_mode(&self, mode: Mode) {
        self.inner.lock().unwrap().mode = mode;
    }

    /// Whether the permit to trade follows as soon as a grant was taken up, as from an operator without reconciliation.
    pub fn set_permits(&self, permits: bool) {
        self.inner.lock().unwrap().permits = permits;
    }

    /// What the Secret `keys` holds; `None`: this pod may not read it.
    pub fn set_keys(&self, keys: Option<&[(&str, &str)]>) {
        use base64::Engine;
        let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
        let secret = |keys: &[(&str, &str)]| {
            let data: serde_json::Map<String, Value> =
                keys.iter().map(|(key, value)| ((*key).to_owned(), json!(encode(value)))).collect();
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "data": data})
        };
        self.inner.lock().unwrap().keys = keys.map(secret);
    }

    /// Writes the Lease as an operator does.
    pub fn put(&self, record: &LeaseRecord) {
        let mut lease = Lease::default();
        lease.metadata.name = Some("doge".into());
        lease.metadata.namespace = Some("trading".into());
        lease_api::write(record, &mut lease, Some(jiff_now()));
        lease.metadata.uid = Some("lease-uid".into());
        let value = serde_json::to_value(&lease).unwrap();
        self.store(&mut self.inner.lock().unwrap(), value);
    }

    /// Changes the Lease as an operator does.
    pub fn change(&self, change: impl FnOnce(&mut LeaseRecord)) {
        let mut record = self.record().expect("there is a Lease");
        change(&mut record);
        self.put(&record);
    }

    pub fn record(&self) -> Option<LeaseRecord> {
        let inner = self.inner.lock().unwrap();
        inner.lease.as_ref().map(record_of)
    }

    /// All patches that were carried out.
    pub fn stored(&self) -> Vec<Stored> {
        self.inner.lock().unwrap().stored.clone()
    }

    fn store(&self, inner: &mut Inner, mut value: Value) -> Value {
        inner.version += 1;
        value["metadata"]["resourceVersion"] = json!(inner.version.to_string());
        inner.lease = Some(value.clone());
        inner.changes.push((inner.version, value.clone()));
        self.changed.send_replace(inner.version);
        value
    }

    async fn handle(self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let mode = self.inner.lock().unwrap().mode;
        if mode == Mode::Hang {
            Notify::new().notified().await;
        }
        let lease_path = "/apis/coordination.k8s.io/v1/namespaces/trading/leases";
        let path = request.uri().path().to_owned();
        let query = request.uri().query().unwrap_or_default().to_owned();
        let authorized = request.headers().get("authorization").is_some_and(|value| value == "Bearer secret-token");
        if !authorized {
            return Ok(status(StatusCode::UNAUTHORIZED, "who are you?"));
        }
        if path == "/api/v1/namespaces/trading/secrets/keys" && request.method() == Method::GET {
            return Ok(match &self.inner.lock().unwrap().keys {
                Some(secret) => answer(secret),
                None => status(StatusCode::FORBIDDEN, "secrets \"keys\" is forbidden: this pod may not get it"),
            });
        }
        match (request.method(), path.strip_prefix(lease_path)) {
            (&Method::GET, Some("/doge")) => Ok(match &self.inner.lock().unwrap().lease {
                Some(lease) => answer(lease),
                None => status(StatusCode::NOT_FOUND, "leases \"doge\" not found"),
            }),
            (&Method::GET, Some("")) if query.contains("fieldSelector=metadata.name%3Ddoge") => Ok(self.watch(&query)),
            (&Method::PATCH, Some("/doge")) => {
                let kind = request.headers().get("content-type").cloned();
                assert_eq!(kind.unwrap(), "application/json-patch+json");
                let body = request.into_body().collect().await.unwrap().to_bytes();
                let response = self.patch(&body, mode);
                if mode == Mode::LoseAnswers {
                    Notify::new().notified().await;
                }
                Ok(response)
            }
            // As RBAC with resourceNames would.
            _ => Ok(status(StatusCode::FORBIDDEN, "the agent may only get, watch and patch its own Lease")),
        }
    }

    fn patch(&self, body: &[u8], mode: Mode) -> Response<Body> {
        let patch: json_patch::Patch = serde_json::from_slice(body).unwrap();
        let mut inner = self.inner.lock().unwrap();
        let Some(mut lease) = inner.lease.clone() else {
            return status(StatusCode::NOT_FOUND, "leases \"doge\" not found");
        };
        if mode == Mode::RefusePatches {
            return status(StatusCode::UNPROCESSABLE_ENTITY, "an admission webhook said no");
        }
        if let Err(error) = json_patch::patch(&mut lease, &patch) {
            return status(StatusCode::UNPROCESSABLE_ENTITY, &error.to_string());
        }
        let renew_time = lease["spec"]["renewTime"].as_str().unwrap_or_default().to_owned();
        let lease = self.store(&mut inner, lease);
        let record = record_of(&lease);
        if inner.permits && record.permit == Some(Permit::Prepare) && record.boot.is_some() && record.holder.is_some() {
            let mut permitted = lease.clone();
            permitted["metadata"]["annotations"][key::PERMIT] = json!(Permit::Trade.as_str());
            self.store(&mut inner, permitted);
        }
        inner.stored.push(Stored { at: Instant::now(), record, renew_time });
        answer(&lease)
    }

    fn watch(&self, query: &str) -> Response<Body> {
        let from = query.split('&').find_map(|pair| pair.strip_prefix("resourceVersion=")).unwrap_or_default();
        let from: u64 = from.parse().unwrap_or(0);
        let ends = tokio::time::Instant::now() + Duration::from_secs(15);
        let events = futures::stream::unfold((self.clone(), self.changed.subscribe(), from), move |state| async move {
            let (api, mut changed, from) = state;
            loop {
                let next = api.inner.lock().unwrap().changes.iter().find(|(version, _)| *version > from).cloned();
                if let Some((version, lease)) = next {
                    let event = json!({"type": "MODIFIED", "object": lease}).to_string() + "\n";
                    return Some((Ok::<_, Infallible>(Bytes::from(event)), (api, changed, version)));
                }
                match tokio::time::timeout_at(ends, changed.changed()).await {
                    Ok(Ok(())) => {}
                    _ => return None,
                }
            }
        });
        Response::new(Body::from_stream(events.boxed()))
    }
}

fn jiff_now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

fn record_of(value: &Value) -> LeaseRecord {
    lease_api::read(&serde_json::from_value::<Lease>(value.clone()).unwrap())
}

fn answer(value: &Value) -> Response<Body> {
    Response::new(Body::from(value.to_string()))
}

fn status(code: StatusCode, message: &str) -> Response<Body> {
    let reason = code.canonical_reason().unwrap_or_default().replace(' ', "");
    let body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
        "reason": reason, "code": code.as_u16()});
    Response::builder().status(code).body(Body::from(body.to_string())).unwrap()
}
