//! One API server and a namespace in it, and requests whose whole answers can be looked at.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use http::{Method, Request};
use http_body_util::BodyExt;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::client::Body;
use kube::{Client, Config, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};
use tradingbot::api::crds;
use tradingbot_simulation::api_server::{ApiServer, Direct};

/// The paths of the kinds that cases use, without their namespace.
pub const LEASES: &str = "/apis/coordination.k8s.io/v1";
pub const CORE: &str = "/api/v1";
pub const BATCH: &str = "/apis/batch/v1";
pub const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
pub const OURS: &str = "/apis/tradingbot.io/v1alpha1";

pub const MERGE: &str = "application/merge-patch+json";
pub const JSON_PATCH: &str = "application/json-patch+json";
pub const APPLY: &str = "application/apply-patch+yaml";
const JSON: &str = "application/json";

/// For one event or one condition to come.
const PATIENCE: Duration = Duration::from_secs(60);

/// An API server, with a namespace for one case.
pub struct World {
    pub client: Client,
    pub namespace: String,
}

/// An answer: its status code and its body.
#[derive(Clone, Debug)]
pub struct Answer {
    pub code: u16,
    pub body: Value,
}

impl Answer {
    /// The object, where it was done.
    #[track_caller]
    pub fn done(self) -> Value {
        assert!((200..300).contains(&self.code), "{}: {}", self.code, self.body);
        self.body
    }

    /// That it was refused so; answers the message.
    #[track_caller]
    pub fn refused(&self, code: u16, reason: &str) -> String {
        let said = (self.code, self.body["reason"].as_str().unwrap_or_default());
        assert_eq!(said, (code, reason), "{}", self.body);
        assert_eq!(
            (&self.body["kind"], &self.body["status"], &self.body["code"]),
            (&json!("Status"), &json!("Failure"), &json!(code))
        );
        self.body["message"].as_str().unwrap_or_default().to_owned()
    }
}

impl World {
    pub async fn simulated() -> World {
        let server = ApiServer::new(7);
        let client = server.client(std::sync::Arc::new(Direct));
        World::with_namespace(client).await
    }

    pub async fn real() -> World {
        let file = kube::config::Kubeconfig::read_from(kubeconfig()).expect("the kubeconfig can be read");
        let config = Config::from_custom_kubeconfig(file, &Default::default()).await.expect("the kubeconfig is valid");
        let client = Client::try_from(config).expect("a client");
        install(&client).await;
        World::with_namespace(client).await
    }

    async fn with_namespace(client: Client) -> World {
        let object = serde_json::from_value(json!({"metadata": {"generateName": "conformance-"}})).unwrap();
        let made =
            Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &object).await.expect("a namespace");
        let world = World { client, namespace: made.name_any() };
        let accounts = Api::<ServiceAccount>::namespaced(world.client.clone(), &world.namespace);
        world
            .soon("the account of pods", async || accounts.get_opt("default").await.expect("an answer").is_some())
            .await;
        world
    }

    /// Removes the namespace.
    pub async fn end(self) {
        let namespaces = Api::<Namespace>::all(self.client.clone());
        let _ = namespaces.delete(&self.namespace, &DeleteParams::default()).await;
    }

    /// The path of a kind's objects in our namespace, or of one of them: `rest` is `leases/doge` or `pods`.
    pub fn path(&self, group: &str, rest: &str) -> String {
        format!("{group}/namespaces/{}/{rest}", self.namespace)
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        accept: &str,
        body: Vec<u8>,
    ) -> http::Response<Body> {
        let request = Request::builder().method(method).uri(path);
        let request =
            request.header("Content-Type", content_type).header("Accept", accept).header("User-Agent", "conformance/1");
        self.client.send(request.body(Body::from(body)).expect("a request")).await.expect("an answer")
    }

    /// Any request with any body.
    pub async fn ask(&self, method: Method, path: &str, content_type: &str, accept: &str, body: Vec<u8>) -> Answer {
        let response = self.send(method, path, content_type, accept, body).await;
        let code = response.status().as_u16();
        let bytes = response.into_body().collect().await.expect("a body").to_bytes();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Answer { code, body: serde_json::from_str(&text).unwrap_or(Value::String(text)) }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, JSON, JSON, Vec::new()).await
    }

    pub async fn post(&self, path: &str, object: &Value) -> Answer {
        self.ask(Method::POST, path, JSON, JSON, object.to_string().into()).await
    }

    pub async fn put(&self, path: &str, object: &Value) -> Answer {
        self.ask(Method::PUT, path, JSON, JSON, object.to_string().into()).await
    }

    pub async fn patch(&self, path: &str, content_type: &str, patch: &Value) -> Answer {
        self.ask(Method::PATCH, path, content_type, JSON, patch.to_string().into()).await
    }

    pub async fn delete(&self, path: &str, options: &Value) -> Answer {
        self.ask(Method::DELETE, path, JSON, JSON, options.to_string().into()).await
    }

    /// A Lease as the product makes them, stored.
    pub async fn lease(&self, name: &str) -> Value {
        self.post(&self.path(LEASES, "leases"), &lease(name)).await.done()
    }

    /// A ConfigMap, stored.
    pub async fn config_map(&self, name: &str, metadata: Value) -> Value {
        let mut object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "1"}});
        object["metadata"]["name"] = json!(name);
        self.post(&self.path(CORE, "configmaps"), &object).await.done()
    }

    /// Opens a watch; `path` has its query.
    pub async fn watch(&self, path: &str) -> Watch {
        self.watch_as(path, JSON).await
    }

    pub async fn watch_as(&self, path: &str, accept: &str) -> Watch {
        let response = self.send(Method::GET, path, JSON, accept, Vec::new()).await;
        assert_eq!(response.status().as_u16(), 200, "a watch of {path}");
        let chunks = response.into_body().into_data_stream().map_err(std::io::Error::other);
        let lines = futures::AsyncBufReadExt::lines(chunks.into_async_read());
        Watch { lines: lines.boxed() }
    }

    /// Waits for something that is to come true.
    pub async fn soon(&self, what: &str, mut is_so: impl AsyncFnMut() -> bool) {
        let end = Instant::now() + PATIENCE;
        while !is_so().await {
            assert!(Instant::now() < end, "still not so: {what}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until an object is gone.
    pub async fn gone(&self, path: &str) {
        self.soon(path, async || self.get(path).await.code == 404).await;
    }
}

/// An open watch.
pub struct Watch {
    lines: BoxStream<'static, std::io::Result<String>>,
}

impl Watch {
    /// The next event; `None`: it has ended.
    pub async fn next(&mut self) -> Option<Value> {
        let line = timeout(PATIENCE, self.lines.next()).await.expect("an event or the end of the watch")?;
        Some(serde_json::from_str(&line.expect("a line")).expect("an event in JSON"))
    }

    /// The next event that is no bookmark, as its kind and its object.
    pub async fn event(&mut self) -> (String, Value) {
        loop {
            let mut event = self.next().await.expect("another event");
            if event["type"] != "BOOKMARK" {
                return (event["type"].as_str().unwrap_or_default().to_owned(), event["object"].take());
            }
        }
    }
}

pub fn lease(name: &str) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name, "labels": {"app": "conformance"}},
        "spec": {"holderIdentity": "doge-0/u0", "leaseDurationSeconds": 15, "renewTime": "2026-01-01T00:00:00.000001Z"},
    })
}

/// The smallest bot.
pub fn bot(name: &str) -> Value {
    let container = json!({"name": "bot", "image": "registry.example/bot:1", "command": ["/bot"]});
    json!({
        "apiVersion": "tradingbot.io/v1alpha1", "kind": "TradingBot", "metadata": {"name": name},
        "spec": {"template": {"spec": {"containers": [container]}}},
    })
}

/// A pod that no scheduler looks at, so that nobody changes it.
pub fn pod(name: &str) -> Value {
    let container = json!({"name": "bot", "image": "registry.example/bot:1"});
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": "conformance"}},
        "spec": {"containers": [container], "schedulerName": "nobody"},
    })
}

#[track_caller]
pub fn version(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"].as_str().expect("a version").parse().expect("a number")
}

#[track_caller]
pub fn uid(object: &Value) -> String {
    object["metadata"]["uid"].as_str().expect("a uid").to_owned()
}

fn kubeconfig() -> PathBuf {
    let given = std::env::var_os("KUBECONFIG").map(PathBuf::from);
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/cluster/kubeconfig");
    let path = given.unwrap_or(ours);
    assert!(path.exists(), "There is no {}. Run `make cluster` first, or set KUBECONFIG.", path.display());
    path
}

/// Whether the kinds are installed: once is enough for all cases, and costs a slow server most of its time.
static INSTALLED: Mutex<bool> = Mutex::const_new(false);

async fn install(client: &Client) {
    let mut installed = INSTALLED.lock().await;
    if *installed {
        return;
    }
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for crd in crds::all() {
        let name = crd.name_any();
        api.patch(&name, &PatchParams::apply("tests").force(), &Patch::Apply(&crd))
            .await
            .expect("the kind is accepted");
        let established = kube::runtime::conditions::is_crd_established();
        let established = kube::runtime::wait::await_condition(api.clone(), &name, established);
        timeout(PATIENCE, established).await.expect("the kind is established in time").expect("an answer");
    }
    *installed = true;
}
