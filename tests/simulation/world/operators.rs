//! The replicas of the operator, each started again after it ended, as its kubelet would.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::{Instant, sleep_until};
use tradingbot::controller::metrics::Metrics;
use tradingbot::controller::replica::Replica;
use tradingbot::controller::run::Settings;
use tradingbot::controller::scope::Scope;
use tradingbot::runtime::client::{REQUEST_TIMEOUT, WATCH_SECONDS};
use tradingbot::runtime::telemetry::LogFormat;
use tradingbot_simulation::api_server::{Call, Fate};

use super::cluster::Site;
use super::freeze::Freeze;
use super::network::{Trouble, Watch, What, Wire};

/// Makes what a replica is watched by.
type Watches = Arc<dyn Fn() -> Watch + Send + Sync>;

/// The namespace of the operator.
pub const NAMESPACE: &str = "tradingbot-system";

/// The replicas. Clones share them.
#[derive(Clone)]
pub struct Operators {
    site: Site,
    replicas: Arc<Mutex<Vec<Process>>>,
    /// When a replica is to be started. What asks for it may run anywhere.
    starts: mpsc::UnboundedSender<(Instant, usize)>,
}

/// One of the next writes of a replica that concern bots.
#[derive(Clone, Copy, Debug)]
pub struct NextWrite {
    /// After so many others.
    pub after: u64,
    /// Only writes of bots' Leases count.
    pub of_lease: bool,
}

struct Process {
    name: String,
    wire: Option<Arc<Wire>>,
    task: Option<AbortHandle>,
    freeze: Freeze,
    starts: u64,
    watch: Option<Watches>,
}

impl Operators {
    /// So many replicas, none of which runs yet.
    pub fn new(site: &Site, replicas: usize) -> Self {
        let process = |at: usize| Process {
            name: format!("operator-{at}"),
            wire: None,
            task: None,
            freeze: Freeze::default(),
            starts: 0,
            watch: None,
        };
        let replicas = Arc::new(Mutex::new((0..replicas).map(process).collect()));
        let (starts, wanted) = mpsc::unbounded_channel();
        let operators = Self { site: site.clone(), replicas, starts };
        spawn_local(operators.clone().keep(wanted));
        operators
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// Asks before every write of every replica, from its next start on, what shall become of it.
    pub fn watch(&self, watch: Watches) {
        for process in self.lock().iter_mut() {
            process.watch = Some(watch.clone());
        }
    }

    /// Starts a replica, unless it runs.
    pub fn start(&self, at: usize) {
        let Some((name, watch, freeze)) = self.prepare(at) else { return };
        let wire = self.site.network.wire(&name, &process_of(at), None);
        if let Some(watch) = watch {
            wire.watch(watch());
        }
        let wire = Arc::new(wire);
        let api = &self.site.api;
        let requests = api.client_with_limit(wire.clone(), REQUEST_TIMEOUT);
        let watching = api.client_with_limit(wire.clone(), watch_limit());
        let settings = settings(&name);
        let (operators, dead, trace) = (self.clone(), wire.clone(), self.site.trace.clone());
        trace.line(&name, "starts");
        let running = freeze.run(async move {
            let metrics = Metrics::new().expect("no two metrics have one name");
            match Replica::new(requests, watching, &settings, metrics) {
                Ok(mut replica) => replica.operate().await,
                Err(why) => why,
            }
        });
        let task = spawn_local(async move {
            let why = running.await;
            dead.end();
            trace.line(&name, format_args!("ended: {why}"));
            operators.forget(at);
            operators.start_after(at, Duration::from_secs(1));
        });
        let mut replicas = self.lock();
        replicas[at].task = Some(task.abort_handle());
        replicas[at].wire = Some(wire);
    }

    fn prepare(&self, at: usize) -> Option<(String, Option<Watches>, Freeze)> {
        let mut replicas = self.lock();
        let process = replicas.get_mut(at).filter(|process| process.task.is_none())?;
        process.starts += 1;
        process.freeze = Freeze::default();
        Some((format!("{}.{}", process.name, process.starts), process.watch.clone(), process.freeze.clone()))
    }

    fn forget(&self, at: usize) {
        let mut replicas = self.lock();
        replicas[at].task = None;
        replicas[at].wire = None;
    }

    /// Starts a replica after a while.
    pub fn start_after(&self, at: usize, time: Duration) {
        let _ = self.starts.send((Instant::now() + time, at));
    }

    /// Starts replicas when it is time, for as long as the world lasts.
    async fn keep(self, mut wanted: mpsc::UnboundedReceiver<(Instant, usize)>) {
        let mut due = BTreeSet::new();
        loop {
            let next = due.first().copied();
            let wait = async {
                match next {
                    Some((when, _)) => sleep_until(when).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                Some(start) = wanted.recv() => {
                    due.insert(start);
                }
                () = wait => {
                    if let Some((_, at)) = due.pop_first() {
                        self.start(at);
                    }
                }
            }
        }
    }

    /// Kills a replica; answers whether it ran. What it has sent is on its way.
    pub fn crash(&self, at: usize) -> bool {
        let mut replicas = self.lock();
        let Some(process) = replicas.get_mut(at) else { return false };
        let Some(task) = process.task.take() else { return false };
        task.abort();
        if let Some(wire) = process.wire.take() {
            wire.end();
        }
        self.site.trace.line(&process.name, "crashes");
        true
    }

    /// Kills a replica at one of its next writes; answers whether it came to that.
    /// `committed`: the write is carried out.
    pub fn crash_at_write(&self, at: usize, write: NextWrite, committed: bool) -> Arc<AtomicBool> {
        let operators = self.clone();
        self.at_write(at, write, move || {
            operators.crash(at);
            if committed { Fate::ReplyLost { before: Duration::from_millis(1) } } else { Fate::Lost }
        })
    }

    /// Stops a replica for so long at one of its next writes: the write arrives when it goes on. Answers whether it came to that.
    pub fn freeze_at_write(&self, at: usize, write: NextWrite, time: Duration) -> Arc<AtomicBool> {
        let operators = self.clone();
        self.at_write(at, write, move || {
            operators.freeze(at, time);
            Fate::Answered { before: time, after: Duration::from_millis(1) }
        })
    }

    fn at_write(&self, at: usize, write: NextWrite, what: impl Fn() -> Fate + Send + 'static) -> Arc<AtomicBool> {
        let done = Arc::new(AtomicBool::new(false));
        let wire = self.lock().get(at).and_then(|process| process.wire.clone());
        let (told, mut left) = (done.clone(), write.after);
        let watch: Watch = Box::new(move |call| {
            let concerns = !is_own(call) && (call.plural == "leases" || !write.of_lease);
            if told.load(Ordering::Relaxed) || !concerns {
                return None;
            }
            if left > 0 {
                left -= 1;
                return None;
            }
            told.store(true, Ordering::Relaxed);
            Some(what())
        });
        if let Some(wire) = wire {
            wire.watch(watch);
        }
        done
    }

    /// Stops a replica for so long, as SIGSTOP does; answers whether it ran.
    pub fn freeze(&self, at: usize, time: Duration) -> bool {
        let replicas = self.lock();
        let Some(process) = replicas.get(at).filter(|process| process.task.is_some()) else { return false };
        process.freeze.begin(time);
        self.site.trace.line(&process.name, format_args!("is stopped for {time:?}"));
        self.site.network.trouble(&process_of(at), Trouble::always(Instant::now() + time, What::Frozen));
        true
    }

    /// The replica that the election Lease names, if it is one of these.
    pub fn leader(&self) -> Option<usize> {
        let lease = self.site.api.get("leases", NAMESPACE, "tradingbot-operator")?;
        let holder = lease.pointer("/spec/holderIdentity")?.as_str()?.to_owned();
        self.lock().iter().position(|process| holder.starts_with(&format!("{}.", process.name)))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Process>> {
        self.replicas.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name by which the network knows a replica.
pub fn process_of(at: usize) -> String {
    format!("operator-{at}")
}

/// As [`tradingbot::runtime::client::watches`] has it.
fn watch_limit() -> Duration {
    Duration::from_secs(u64::from(WATCH_SECONDS)) + 2 * REQUEST_TIMEOUT
}

/// Whether a write is of the operator's own Leases: how many there are depends on time alone.
pub fn is_own(call: &Call<'_>) -> bool {
    call.plural == "leases" && call.namespace == Some(NAMESPACE)
}

fn settings(pod: &str) -> Settings {
    Settings {
        pod: pod.to_owned(),
        namespace: NAMESPACE.to_owned(),
        pod_uid: None,
        image: "example/operator:1".to_owned(),
        scope: Scope::default(),
        admin: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        log_format: LogFormat::Text,
        log_filter: String::new(),
    }
}
