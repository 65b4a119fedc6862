//! Whether the cluster enforces the NetworkPolicy of standbys: tried out, because no API says so.
//!
//! Agents listen on a port that the policy lets nobody reach. If a connection to it is accepted, policies are not
//! enforced; if not, while one to the neighbouring port is, they are.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, interval};

use super::observe::Observed;
use super::registry::{BotKey, Trigger};
use super::watches::World;
use crate::api::names::{CANARY_PORT, PROBE_PORT};
use crate::core::failover::Role;
use crate::runtime::reach;

/// A plugin needs a while to carry out what is new.
const SETTLED: Duration = Duration::from_secs(10);
/// From one measurement to the next.
const PERIOD: Duration = Duration::from_secs(300);
/// After one that told nothing.
const RETRY: Duration = Duration::from_secs(30);
/// Between two looks at who is due.
const TICK: Duration = Duration::from_secs(1);
/// For one connection.
const CONNECT: Duration = Duration::from_secs(1);

/// What is known of a bot's policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Enforcement {
    /// Nothing yet: by this process.
    #[default]
    NotMeasured,
    /// It cannot be told; why, a sentence.
    Unknown(&'static str, String),
    /// What it forbids does not happen; the pod where that was tried.
    Enforced(String),
    /// What it forbids does happen; the pod where that was tried.
    NotEnforced(String),
}

impl Enforcement {
    fn is_measured(&self) -> bool {
        matches!(self, Enforcement::Enforced(_) | Enforcement::NotEnforced(_))
    }
}

/// Where a policy can be tried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The pod's uid.
    pub uid: String,
    /// Its name.
    pub pod: String,
    /// Its address.
    pub ip: IpAddr,
}

/// The bots with a policy, and what is known of each.
#[derive(Debug, Default)]
pub struct Policies(Mutex<BTreeMap<BotKey, Policy>>);

#[derive(Debug)]
struct Policy {
    target: Option<(Target, Instant)>,
    due: Instant,
    known: Enforcement,
}

impl Policies {
    /// Notes where a bot's policy, which is there, can be tried out now, and answers what is known.
    pub fn note(&self, key: &BotKey, target: Option<Target>) -> Enforcement {
        let now = Instant::now();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let policy = all.entry(key.clone()).or_insert(Policy {
            target: None,
            due: now + SETTLED,
            known: Enforcement::default(),
        });
        if policy.target.as_ref().map(|(there, _)| there) != target.as_ref() {
            policy.target = target.map(|target| (target, now));
            if !policy.known.is_measured() {
                policy.due = now;
            }
        }
        policy.known.clone()
    }

    /// Forgets a bot that asks for no policy, or is gone.
    pub fn forget(&self, key: &BotKey) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    /// Forgets all: another replica leads.
    pub fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Who is due now; each is so once.
    fn due(&self, now: Instant) -> Vec<(BotKey, Option<Target>)> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = Vec::new();
        for (key, policy) in all.iter_mut().filter(|(_, policy)| now >= policy.due) {
            match &policy.target {
                Some((_, since)) if now.duration_since(*since) < SETTLED => {}
                Some((target, _)) => {
                    policy.due = now + RETRY;
                    found.push((key.clone(), Some(target.clone())));
                }
                None => {
                    policy.due = now + RETRY;
                    // What was measured holds while there is nobody to try it out at again.
                    if !policy.known.is_measured() {
                        found.push((key.clone(), None));
                    }
                }
            }
        }
        found
    }

    /// Writes a result down. Answers whether it is news.
    fn learn(&self, key: &BotKey, result: Enforcement, now: Instant) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(policy) = all.get_mut(key) else { return false };
        policy.due = now + if matches!(result, Enforcement::Unknown(..)) { RETRY } else { PERIOD };
        let news = std::mem::discriminant(&policy.known) != std::mem::discriminant(&result);
        if news {
            policy.known = result;
        }
        news
    }
}

/// Where a bot's policy can be tried out: a ready standby of the present template, whose agent listens.
pub fn target(observed: &Observed, revision: &str) -> Option<Target> {
    let fit = |pod: &&crate::core::failover::Pod| {
        pod.role == Some(Role::Standby) && pod.ready && !pod.terminating && !pod.node_lost && pod.revision == revision
    };
    let mut fit: Vec<_> = observed.facts.pods.iter().filter(fit).collect();
    fit.sort_by_key(|pod| pod.slot);
    fit.into_iter().find_map(|pod| {
        let object = observed.pods.iter().find(|object| object.metadata.uid.as_deref() == Some(&pod.uid))?;
        let in_host = object.spec.as_ref().is_some_and(|spec| spec.host_network == Some(true));
        let ip = object.status.as_ref()?.pod_ip.as_deref()?.parse().ok()?;
        (!in_host).then(|| Target { uid: pod.uid.clone(), pod: pod.name.clone(), ip })
    })
}

/// Measures whoever is due, until dropped. Bots are woken by news alone.
pub async fn run(policies: Arc<Policies>, world: World) {
    let mut ticks = interval(TICK);
    let mut measuring = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            _ = ticks.tick() => {
                for (key, target) in policies.due(Instant::now()) {
                    measuring.spawn(async move { (key, measure(target).await) });
                }
            }
            Some(Ok((key, result))) = measuring.join_next() => {
                if policies.learn(&key, result, Instant::now()) {
                    world.registry.wake(&key, Trigger::Child);
                }
            }
        }
    }
}

async fn measure(target: Option<Target>) -> Enforcement {
    let Some(Target { uid: _, pod, ip }) = target else {
        let why = "No standby of the present template is ready, at which the NetworkPolicy could be tried out.";
        return Enforcement::Unknown("NoStandby", why.into());
    };
    let is_reached = |port| reach::accepts(SocketAddr::new(ip, port), CONNECT);
    let (canary, control) = tokio::join!(is_reached(CANARY_PORT), is_reached(PROBE_PORT));
    judge(canary, control, pod)
}

fn judge(canary: bool, control: bool, pod: String) -> Enforcement {
    match (canary, control) {
        (true, _) => Enforcement::NotEnforced(pod),
        (false, true) => Enforcement::Enforced(pod),
        (false, false) => Enforcement::Unknown(
            "NotReachable",
            format!(
                "The operator reaches neither port {PROBE_PORT} of {pod}, which is open, nor port {CANARY_PORT}: \
                 whether the NetworkPolicy is enforced cannot be told."
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> BotKey {
        BotKey::new("money", "doge")
    }

    fn at(uid: &str) -> Target {
        Target { uid: uid.into(), pod: "doge-1".into(), ip: "127.0.0.1".parse().unwrap() }
    }

    #[test]
    fn a_canary_that_answers_is_proof_and_silence_only_beside_a_control_that_answers() {
        let pod = || "doge-1".to_owned();
        assert_eq!(judge(true, true, pod()), Enforcement::NotEnforced(pod()));
        assert_eq!(judge(true, false, pod()), Enforcement::NotEnforced(pod()));
        assert_eq!(judge(false, true, pod()), Enforcement::Enforced(pod()));
        assert!(matches!(judge(false, false, pod()), Enforcement::Unknown("NotReachable", _)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_policy_is_measured_when_it_has_settled_and_then_every_five_minutes() {
        let policies = Policies::default();
        assert_eq!(policies.note(&key(), Some(at("u1"))), Enforcement::NotMeasured);
        assert!(policies.due(Instant::now()).is_empty());
        tokio::time::advance(SETTLED).await;
        assert_eq!(policies.due(Instant::now()), [(key(), Some(at("u1")))]);
        assert!(policies.due(Instant::now()).is_empty(), "it is being measured");
        assert!(policies.learn(&key(), Enforcement::Enforced("doge-1".into()), Instant::now()));
        assert_eq!(policies.note(&key(), Some(at("u1"))), Enforcement::Enforced("doge-1".into()));
        tokio::time::advance(PERIOD - TICK).await;
        assert!(policies.due(Instant::now()).is_empty());
        tokio::time::advance(TICK).await;
        assert_eq!(policies.due(Instant::now()).len(), 1);
        assert!(!policies.learn(&key(), Enforcement::Enforced("doge-0".into()), Instant::now()), "no news");
        assert!(policies.learn(&key(), Enforcement::NotEnforced("doge-1".into()), Instant::now()));
    }

    #[tokio::test(start_paused = true)]
    async fn another_pod_is_given_time_too_and_who_asks_no_more_is_forgotten() {
        let policies = Policies::default();
        policies.note(&key(), Some(at("u1")));
        tokio::time::advance(SETTLED).await;
        policies.note(&key(), Some(at("u2")));
        assert!(policies.due(Instant::now()).is_empty());
        tokio::time::advance(SETTLED).await;
        assert_eq!(policies.due(Instant::now()), [(key(), Some(at("u2")))]);
        policies.forget(&key());
        assert!(!policies.learn(&key(), Enforcement::Enforced("doge-1".into()), Instant::now()));
    }
}
