//! What only the simulated API server can do: lose, delay and refuse what a link says, lag, and be restored.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::{Stream, StreamExt};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, ListParams, PostParams, WatchEvent, WatchParams};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, Error, ResourceExt};
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};
use tradingbot_simulation::api_server::{ApiServer, Call, Direct, Fate, Link};

const NOW: Fate = Fate::Answered { before: Duration::ZERO, after: Duration::ZERO };
const SECOND: Duration = Duration::from_secs(1);

/// A link with a script.
#[derive(Default)]
struct Scripted {
    fates: Mutex<VecDeque<Fate>>,
    events: Mutex<VecDeque<Option<Duration>>>,
    lag: Mutex<Duration>,
    calls: Mutex<Vec<String>>,
}

impl Scripted {
    fn next(&self, fates: impl IntoIterator<Item = Fate>) {
        self.fates.lock().unwrap().extend(fates);
    }
}

impl Link for Scripted {
    fn fate(&self, call: &Call<'_>) -> Fate {
        let name = call.name.unwrap_or("-");
        let what = format!(
            "{} {} {name}{}{}",
            call.method,
            call.plural,
            if call.writes { " w" } else { "" },
            if call.watches { " watch" } else { "" }
        );
        self.calls.lock().unwrap().push(what);
        self.fates.lock().unwrap().pop_front().unwrap_or(NOW)
    }

    fn event(&self) -> Option<Duration> {
        self.events.lock().unwrap().pop_front().unwrap_or(Some(Duration::ZERO))
    }

    fn stale(&self) -> Duration {
        *self.lag.lock().unwrap()
    }
}

struct Setup {
    server: ApiServer,
    link: Arc<Scripted>,
    client: Client,
    leases: Api<Lease>,
}

fn setup() -> Setup {
    let server = ApiServer::new(1);
    let link = Arc::new(Scripted::default());
    let client = server.client(link.clone());
    Setup { leases: Api::namespaced(client.clone(), "default"), server, link, client }
}

fn lease(name: &str) -> Lease {
    serde_json::from_value(json!({"metadata": {"name": name}, "spec": {"leaseDurationSeconds": 15}})).unwrap()
}

fn put(server: &ApiServer, name: &str) {
    server.create("leases", json!({"metadata": {"name": name, "namespace": "default"}, "spec": {}}));
}

/// Writes to a Lease past the link.
fn touch(server: &ApiServer, name: &str, seconds: i32) {
    assert!(server.change("leases", "default", name, |lease| lease["spec"]["leaseDurationSeconds"] = json!(seconds)));
}

fn is_there(server: &ApiServer, name: &str) -> bool {
    server.get("leases", "default", name).is_some()
}

#[tokio::test(start_paused = true)]
async fn a_fate_decides_whether_a_write_is_done_and_whether_its_answer_comes() {
    let Setup { server, link, leases, .. } = setup();
    let create = async |name: &str| timeout(SECOND * 10, leases.create(&PostParams::default(), &lease(name))).await;
    link.next([Fate::Lost, Fate::ReplyLost { before: SECOND }, Fate::Broken]);
    assert!(create("lost").await.is_err() && !is_there(&server, "lost"));
    assert!(create("silent").await.is_err() && is_there(&server, "silent"));
    let began = Instant::now();
    assert!(matches!(create("broken").await, Ok(Err(Error::Service(_)))) && !is_there(&server, "broken"));
    assert_eq!(began.elapsed(), Duration::ZERO);
    for code in [409, 410, 429, 500, 503] {
        link.next([Fate::Status { code, after: SECOND }]);
        let Ok(Err(Error::Api(status))) = create("refused").await else { panic!("a status") };
        assert_eq!((status.code, is_there(&server, "refused")), (code, false));
    }
    assert_eq!(began.elapsed(), 5 * SECOND);
    link.next([Fate::Answered { before: SECOND, after: 2 * SECOND }]);
    assert!(create("done").await.unwrap().is_ok());
    assert_eq!(began.elapsed(), 8 * SECOND);
    assert_eq!(link.calls.lock().unwrap()[0], "POST leases - w");
}

#[tokio::test(start_paused = true)]
async fn what_is_on_its_way_arrives_although_nobody_waits_for_it() {
    let Setup { server, link, leases, .. } = setup();
    link.next([Fate::Answered { before: 5 * SECOND, after: Duration::ZERO }]);
    assert!(timeout(SECOND, leases.create(&PostParams::default(), &lease("late"))).await.is_err());
    assert!(!is_there(&server, "late"));
    sleep(5 * SECOND).await;
    assert!(is_there(&server, "late"));
}

#[tokio::test(start_paused = true)]
async fn a_client_with_a_limit_gives_up_by_itself() {
    let Setup { server, link, .. } = setup();
    let leases = Api::<Lease>::namespaced(server.client_with_limit(link.clone(), 19 * SECOND), "default");
    let began = Instant::now();
    link.next([Fate::Lost]);
    assert!(leases.get("x").await.is_err());
    assert_eq!(began.elapsed(), 19 * SECOND);
    put(&server, "doge");
    link.events.lock().unwrap().extend([Some(Duration::ZERO), None]);
    let mut watch = leases.watch(&WatchParams::default(), "0").await.unwrap().boxed();
    assert!(watch.next().await.unwrap().is_ok());
    assert!(watch.next().await.is_none_or(|end| end.is_err()));
    assert_eq!(began.elapsed(), 2 * 19 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn events_are_late_in_order_and_then_none_come() {
    let Setup { server, link, leases, .. } = setup();
    put(&server, "doge");
    link.events.lock().unwrap().extend([Some(Duration::ZERO), Some(3 * SECOND), Some(SECOND), None]);
    let mut watch = leases.watch(&WatchParams::default(), "0").await.unwrap().boxed();
    watch.next().await.unwrap().unwrap();
    let began = Instant::now();
    touch(&server, "doge", 1);
    sleep(SECOND).await;
    touch(&server, "doge", 2);
    let mut next = async || match watch.next().await.unwrap().unwrap() {
        WatchEvent::Modified(lease) => (lease.spec.unwrap().lease_duration_seconds, began.elapsed()),
        other => panic!("{other:?}"),
    };
    assert_eq!(next().await, (Some(1), 3 * SECOND));
    assert_eq!(next().await, (Some(2), 3 * SECOND), "nothing overtakes");
    touch(&server, "doge", 3);
    assert!(timeout(3600 * SECOND, watch.next()).await.is_err(), "not even its end");
}

#[tokio::test(start_paused = true)]
async fn a_stale_server_answers_from_the_past() {
    let Setup { server, link, leases, .. } = setup();
    put(&server, "doge");
    let first = server.get("leases", "default", "doge").unwrap();
    sleep(10 * SECOND).await;
    touch(&server, "doge", 9);
    put(&server, "btc");
    *link.lag.lock().unwrap() = 5 * SECOND;
    assert_eq!(
        leases.get("doge").await.unwrap().resource_version().as_deref(),
        first["metadata"]["resourceVersion"].as_str()
    );
    let list = leases.list(&ListParams::default()).await.unwrap();
    assert_eq!(
        (list.items.len(), list.metadata.resource_version.as_deref()),
        (1, first["metadata"]["resourceVersion"].as_str())
    );
    assert!(leases.get_opt("btc").await.unwrap().is_none());
    sleep(5 * SECOND).await;
    assert_eq!(leases.list(&ListParams::default()).await.unwrap().items.len(), 2);
    *link.lag.lock().unwrap() = 3600 * SECOND;
    assert!(leases.get_opt("doge").await.unwrap().is_none(), "before all that is remembered");
}

fn names(of: impl IntoIterator<Item = Lease>) -> Vec<String> {
    of.into_iter().map(|lease| lease.name_any()).collect()
}

/// The next step of a watcher, in words.
async fn step(events: &mut (impl Stream<Item = watcher::Result<Event<Lease>>> + Unpin)) -> String {
    match timeout(60 * SECOND, events.next()).await.expect("a step in time").expect("watchers never end") {
        Ok(Event::Init) => "init".into(),
        Ok(Event::InitApply(lease)) => format!("listed {}", lease.name_any()),
        Ok(Event::InitDone) => "listed all".into(),
        Ok(Event::Apply(lease)) => format!("applied {}", lease.name_any()),
        Ok(Event::Delete(lease)) => format!("deleted {}", lease.name_any()),
        Err(error) => format!("error {}", error.to_string().split(':').next().unwrap_or_default()),
    }
}

async fn steps<const N: usize>(
    events: &mut (impl Stream<Item = watcher::Result<Event<Lease>>> + Unpin),
) -> [String; N] {
    let mut all = [const { String::new() }; N];
    for one in &mut all {
        *one = step(events).await;
    }
    all
}

#[tokio::test(start_paused = true)]
async fn the_watcher_lists_again_after_its_version_was_forgotten() {
    let Setup { server, leases, .. } = setup();
    put(&server, "doge");
    put(&server, "gone");
    let mut events = Box::pin(watcher(leases, watcher::Config::default().timeout(15)));
    let begun: [String; 4] = steps(&mut events).await;
    assert_eq!(begun, ["init", "listed doge", "listed gone", "listed all"]);
    put(&server, "btc");
    assert_eq!(step(&mut events).await, "applied btc");
    server.delete("leases", "default", "gone");
    put(&server, "eth");
    server.compact();
    let again: Vec<String> = {
        let mut all = Vec::new();
        while all.last().is_none_or(|last: &String| last != "listed all") {
            all.push(step(&mut events).await);
        }
        all
    };
    let listed: Vec<_> = again.iter().filter(|step| !step.starts_with("error")).collect();
    assert_eq!(listed, ["init", "listed btc", "listed doge", "listed eth", "listed all"]);
    assert!(again.iter().any(|step| step.starts_with("error")), "410 is told: {again:?}");
    touch(&server, "doge", 1);
    assert_eq!(step(&mut events).await, "applied doge");
}

#[tokio::test(start_paused = true)]
async fn the_watcher_goes_on_after_a_broken_watch_without_a_new_list() {
    let Setup { server, leases, .. } = setup();
    put(&server, "doge");
    let mut events = Box::pin(watcher(leases, watcher::Config::default().timeout(15)));
    let _: [String; 3] = steps(&mut events).await;
    server.end_watches();
    put(&server, "btc");
    let mut told = step(&mut events).await;
    if told.starts_with("error") {
        told = step(&mut events).await;
    }
    assert_eq!(told, "applied btc");
    // And after many that end in time.
    sleep(300 * SECOND).await;
    put(&server, "eth");
    assert_eq!(step(&mut events).await, "applied eth");
}

#[tokio::test(start_paused = true)]
async fn a_restored_store_has_its_old_versions_and_forgot_what_came_after() {
    let Setup { server, leases, .. } = setup();
    put(&server, "doge");
    let earlier = server.snapshot();
    let version =
        |server: &ApiServer| server.get("leases", "default", "doge").unwrap()["metadata"]["resourceVersion"].clone();
    let before = version(&server);
    touch(&server, "doge", 9);
    put(&server, "btc");
    let list = leases.list(&ListParams::default()).await.unwrap();
    let mut open = leases.watch(&WatchParams::default(), "0").await.unwrap().boxed();
    open.next().await.unwrap().unwrap();
    open.next().await.unwrap().unwrap();
    server.restore(&earlier);
    assert!(open.next().await.is_none_or(|end| end.is_err()), "every watch breaks");
    assert_eq!(version(&server), before);
    let restored = leases.list(&ListParams::default()).await.unwrap();
    let number =
        |list: &kube::core::ObjectList<Lease>| list.metadata.resource_version.clone().unwrap().parse::<u64>().unwrap();
    assert!(number(&restored) < number(&list));
    assert_eq!(names(restored), ["doge"]);
    // A watch from a version that is yet to come hears nothing of what has a smaller one.
    let mut watch = leases.watch(&WatchParams::default(), &number(&list).to_string()).await.unwrap().boxed();
    let first_again = {
        put(&server, "eth");
        server.get("leases", "default", "eth").unwrap()["metadata"]["uid"].clone()
    };
    touch(&server, "eth", 1);
    put(&server, "sol");
    match watch.next().await.unwrap().unwrap() {
        WatchEvent::Added(lease) => assert_eq!(lease.name_any(), "sol"),
        other => panic!("{other:?}"),
    }
    assert!(first_again.is_string());
}

#[tokio::test(start_paused = true)]
async fn a_page_of_a_forgotten_version_is_gone() {
    let Setup { server, leases, .. } = setup();
    for name in ["a", "b", "c"] {
        put(&server, name);
    }
    let page = leases.list(&ListParams::default().limit(2)).await.unwrap();
    let token = page.metadata.continue_.clone().unwrap();
    touch(&server, "a", 1);
    server.compact();
    let rest = leases.list(&ListParams::default().limit(2).continue_token(&token)).await;
    assert!(matches!(&rest, Err(Error::Api(status)) if status.code == 410), "{rest:?}");
}

#[tokio::test(start_paused = true)]
async fn the_past_is_remembered_for_five_minutes() {
    let Setup { server, leases, .. } = setup();
    put(&server, "doge");
    let version =
        server.get("leases", "default", "doge").unwrap()["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    let from = async |version: &str| {
        leases.watch(&WatchParams::default(), version).await.unwrap().boxed().next().await.unwrap().unwrap()
    };
    touch(&server, "doge", 1);
    sleep(250 * SECOND).await;
    touch(&server, "doge", 2);
    assert!(matches!(from(&version).await, WatchEvent::Modified(_)));
    sleep(100 * SECOND).await;
    touch(&server, "doge", 3);
    assert!(matches!(from(&version).await, WatchEvent::Error(status) if status.code == 410));
}

#[tokio::test(start_paused = true)]
async fn the_world_changes_objects_directly_and_clients_hear_of_it() {
    let Setup { server, client, .. } = setup();
    server.create("serviceaccounts", json!({"metadata": {"name": "doge", "namespace": "default"}}));
    let spec = json!({"containers": [{"name": "bot", "image": "i"}], "serviceAccountName": "doge", "nodeName": "n1"});
    server.create("pods", json!({"metadata": {"name": "doge-0", "namespace": "default"}, "spec": spec}));
    let pods = Api::<k8s_openapi::api::core::v1::Pod>::namespaced(client, "default");
    let mut watch = pods.watch(&WatchParams::default(), "0").await.unwrap().boxed();
    watch.next().await.unwrap().unwrap();
    let news = tokio::spawn({
        let server = server.clone();
        async move { server.changed().await }
    });
    sleep(SECOND).await;
    assert!(!news.is_finished());
    let running = |pod: &mut serde_json::Value| pod["status"]["phase"] = json!("Running");
    assert!(server.change("pods", "default", "doge-0", running));
    news.await.unwrap();
    assert!(
        matches!(watch.next().await.unwrap().unwrap(), WatchEvent::Modified(pod) if pod.status.clone().unwrap().phase.as_deref() == Some("Running"))
    );
    assert!(server.delete("pods", "default", "doge-0"));
    assert!(
        matches!(watch.next().await.unwrap().unwrap(), WatchEvent::Modified(pod) if pod.metadata.deletion_timestamp.is_some())
    );
    assert!(server.remove("pods", "default", "doge-0"));
    assert!(matches!(watch.next().await.unwrap().unwrap(), WatchEvent::Deleted(_)));
    assert!(!server.remove("pods", "default", "doge-0") && !server.change("pods", "default", "doge-0", running));
    assert!(server.all("pods").is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_objects() {
    async fn run(seed: u64) -> Vec<serde_json::Value> {
        let server = ApiServer::new(seed);
        let leases = Api::<Lease>::namespaced(server.client(Arc::new(Direct)), "default");
        for name in ["doge", "btc"] {
            leases.create(&PostParams::default(), &lease(name)).await.unwrap();
            sleep(SECOND).await;
        }
        server.all("leases")
    }
    let first = run(1).await;
    assert_eq!(first[0]["metadata"]["creationTimestamp"], "2026-01-01T00:00:01Z");
    assert_eq!(first, run(1).await);
    assert_ne!(first, run(2).await);
}
