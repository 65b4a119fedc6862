//! The network between the parts of the world and the API server, and all that goes wrong on it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tradingbot_simulation::api_server::{Call, Fate, Link};

use super::random::Random;
use super::trace::Trace;

/// The network. Clones share it.
#[derive(Clone)]
pub struct Network {
    ways: Arc<Mutex<Ways>>,
    random: Random,
    trace: Trace,
}

#[derive(Default)]
struct Ways {
    away: Option<(Instant, Away)>,
    /// By node, until when what is cut.
    cuts: BTreeMap<String, (Instant, Cut)>,
    /// By process, such as `operator-0` or a pod's uid.
    trouble: BTreeMap<String, Vec<Trouble>>,
    /// Pods whose tokens are not taken any more from then on.
    revoked: BTreeMap<String, Instant>,
}

/// How the API server is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Away {
    /// Stopped: what is sent to it is carried out when it goes on.
    Paused,
    /// Gone: connections are refused.
    Refused,
    /// Nothing comes back.
    Silent,
}

/// What of a node's network is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Everything.
    All,
    /// The way to the API server.
    Api,
    /// The way back from the API server.
    Replies,
    /// The way to the exchange.
    Exchange,
}

/// What happens to the requests of one process for a while.
#[derive(Clone, Debug)]
pub struct Trouble {
    /// Until then.
    pub until: Instant,
    /// How often, of a hundred requests.
    pub percent: u64,
    /// What.
    pub what: What,
    /// How many it has hit.
    pub hits: Arc<AtomicU32>,
    /// After so many hits it is over.
    pub most: u32,
}

/// What happens to a request or to a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// It never arrives.
    Lost,
    /// It arrives up to so much later.
    Late(Duration),
    /// The answer comes so much later.
    AnswerLate(Duration),
    /// The answer never comes.
    ReplyLost,
    /// It is answered with this status.
    Status(u16),
    /// The connection breaks.
    Broken,
    /// The process is stopped: what it sent is delivered when it goes on.
    Frozen,
    /// Watches tell nothing more.
    Stalled,
    /// The events of watches come up to so much later.
    EventsLate(Duration),
    /// Reads are answered from so far back.
    Stale(Duration),
}

impl Trouble {
    /// Trouble that hits every request until then.
    pub fn always(until: Instant, what: What) -> Self {
        Self { until, percent: 100, what, hits: Arc::default(), most: u32::MAX }
    }
}

impl What {
    fn is_of_watches(self) -> bool {
        matches!(self, What::Stalled | What::EventsLate(_))
    }
}

impl Network {
    /// A network on which all is well.
    pub fn new(random: Random, trace: Trace) -> Self {
        Self { ways: Arc::default(), random, trace }
    }

    /// The way of a process to the API server; `node`: where it runs, if that may be cut off.
    pub fn wire(&self, who: &str, process: &str, node: Option<&str>) -> Wire {
        Wire {
            who: who.to_owned(),
            process: process.to_owned(),
            node: node.map(ToOwned::to_owned),
            network: self.clone(),
            ended: Arc::default(),
            watch: Mutex::new(None),
        }
    }

    /// The API server is away for so long.
    pub fn away(&self, time: Duration, how: Away) {
        self.lock().away = Some((Instant::now() + time, how));
    }

    /// Whether kubelets and controllers reach the API server.
    pub fn api_answers(&self) -> bool {
        self.lock().away.is_none_or(|(until, _)| Instant::now() >= until)
    }

    /// Cuts a node off for so long.
    pub fn cut(&self, node: &str, time: Duration, what: Cut) {
        self.lock().cuts.insert(node.to_owned(), (Instant::now() + time, what));
    }

    /// Whether the kubelet of a node reaches the API server and hears its answers.
    pub fn node_reaches_api(&self, node: &str) -> bool {
        self.api_answers() && !matches!(self.cut_of(node), Some((_, Cut::All | Cut::Api | Cut::Replies)))
    }

    /// Whether what runs on a node reaches the exchange.
    pub fn node_reaches_exchange(&self, node: &str) -> bool {
        !matches!(self.cut_of(node), Some((_, Cut::All | Cut::Exchange)))
    }

    /// Makes trouble for a process.
    pub fn trouble(&self, process: &str, trouble: Trouble) {
        self.lock().trouble.entry(process.to_owned()).or_default().push(trouble);
    }

    /// The pod's object is gone: from then on its token is refused.
    pub fn revoke_token(&self, pod_uid: &str, from: Instant) {
        self.lock().revoked.entry(pod_uid.to_owned()).or_insert(from);
    }

    /// The pod's object is back, as after etcd was restored.
    pub fn renew_token(&self, pod_uid: &str) {
        self.lock().revoked.remove(pod_uid);
    }

    /// All is well from now on.
    pub fn heal(&self) {
        let mut ways = self.lock();
        ways.away = None;
        ways.cuts.clear();
        ways.trouble.clear();
    }

    fn cut_of(&self, node: &str) -> Option<(Instant, Cut)> {
        self.lock().cuts.get(node).copied().filter(|(until, _)| Instant::now() < *until)
    }

    fn lock(&self) -> MutexGuard<'_, Ways> {
        self.ways.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long a request or an answer takes when all is well.
    fn hop(&self) -> Duration {
        Duration::from_micros(500 + self.random.below(2_500))
    }
}

/// The way of one process to the API server.
pub struct Wire {
    who: String,
    process: String,
    node: Option<String>,
    network: Network,
    ended: Arc<std::sync::atomic::AtomicBool>,
    watch: Mutex<Option<Watch>>,
}

/// Who is asked before every write: the crash sweep.
pub type Watch = Box<dyn FnMut(&Call<'_>) -> Option<Fate> + Send>;

impl Wire {
    /// The process is dead: nothing it sends from now on gets anywhere.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    /// Asks before every write of this process what shall become of it.
    pub fn watch(&self, watch: Watch) {
        *self.watch.lock().unwrap_or_else(PoisonError::into_inner) = Some(watch);
    }

    fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// The trouble of these kinds that hits this process now, the first that does.
    fn hit(&self, concerns: impl Fn(What) -> bool) -> Option<(What, Instant)> {
        let now = Instant::now();
        let mut ways = self.network.lock();
        let troubles = ways.trouble.get_mut(&self.process)?;
        troubles.retain(|trouble| now < trouble.until && trouble.hits.load(Ordering::Relaxed) < trouble.most);
        let mut all = troubles.iter().filter(|trouble| concerns(trouble.what));
        let hit = all.find(|trouble| self.network.random.percent(trouble.percent))?;
        hit.hits.fetch_add(1, Ordering::Relaxed);
        Some((hit.what, hit.until))
    }

    fn decide(&self, call: &Call<'_>) -> Fate {
        let now = Instant::now();
        let (hop, back) = (self.network.hop(), self.network.hop());
        let later = |until: Instant| Fate::Answered { before: until.saturating_duration_since(now) + hop, after: back };
        if self.is_ended() {
            return Fate::Lost;
        }
        if call.writes
            && let Some(watch) = &mut *self.watch.lock().unwrap_or_else(PoisonError::into_inner)
            && let Some(fate) = watch(call)
        {
            return fate;
        }
        match self.node.as_deref().and_then(|node| self.network.cut_of(node)) {
            Some((_, Cut::All | Cut::Api)) => return Fate::Lost,
            Some((_, Cut::Replies)) => return Fate::ReplyLost { before: hop },
            Some((_, Cut::Exchange)) | None => {}
        }
        let away = self.network.lock().away.filter(|(until, _)| now < *until);
        match away {
            Some((until, Away::Paused)) => return later(until),
            Some((_, Away::Refused)) => return Fate::Broken,
            Some((_, Away::Silent)) => return Fate::Lost,
            None => {}
        }
        if self.network.lock().revoked.get(&self.process).is_some_and(|from| now >= *from) {
            return Fate::Status { code: 401, after: hop };
        }
        match self.hit(|what| !what.is_of_watches() && !matches!(what, What::Stale(_))) {
            Some((What::Lost, _)) => Fate::Lost,
            Some((What::Late(most), _)) => Fate::Answered { before: self.up_to(most), after: back },
            Some((What::AnswerLate(time), _)) => Fate::Answered { before: hop, after: time },
            Some((What::ReplyLost, _)) => Fate::ReplyLost { before: hop },
            Some((What::Status(code), _)) => Fate::Status { code, after: hop },
            Some((What::Broken, _)) => Fate::Broken,
            Some((What::Frozen, until)) => later(until),
            Some((What::Stalled | What::EventsLate(_) | What::Stale(_), _)) | None => {
                Fate::Answered { before: hop, after: back }
            }
        }
    }

    fn up_to(&self, most: Duration) -> Duration {
        self.network.random.millis(1, u64::try_from(most.as_millis()).unwrap_or(u64::MAX))
    }
}

impl Link for Wire {
    fn fate(&self, call: &Call<'_>) -> Fate {
        let fate = self.decide(call);
        if call.writes {
            let (method, path) = (call.method, call.path);
            self.network.trace.line(&self.who, format_args!("{method} {path} {fate:?}"));
        }
        fate
    }

    fn event(&self) -> Option<Duration> {
        if self.is_ended() || self.node.as_deref().is_some_and(|node| !self.hears(node)) {
            return None;
        }
        let now = Instant::now();
        let away = self.network.lock().away.filter(|(until, _)| now < *until);
        let delay = match away {
            Some((until, Away::Paused)) => until.saturating_duration_since(now),
            Some(_) => return None,
            None => Duration::ZERO,
        };
        let trouble = match self.hit(|what| what.is_of_watches() || what == What::Frozen) {
            Some((What::Stalled, _)) => return None,
            Some((What::EventsLate(most), _)) => self.up_to(most),
            Some((What::Frozen, until)) => until.saturating_duration_since(now),
            _ => Duration::ZERO,
        };
        Some(delay + trouble + self.network.hop())
    }

    fn stale(&self) -> Duration {
        match self.hit(|what| matches!(what, What::Stale(_))) {
            Some((What::Stale(by), _)) => by,
            _ => Duration::ZERO,
        }
    }
}

impl Wire {
    fn hears(&self, node: &str) -> bool {
        !matches!(self.network.cut_of(node), Some((_, Cut::All | Cut::Api | Cut::Replies)))
    }
}
