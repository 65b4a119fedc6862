//! When each bot's Lease was last seen to change: the expiry timers, kept by every replica, leading or not.
//!
//! Renewals end here. Only a change that a decision depends on is passed on, so renewals cause no reconciles.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;

use super::kept_timers;
use super::registry::BotKey;
use crate::api::lease;
use crate::core::lease::LeaseRecord;
use crate::core::silence::Sighting;
use crate::core::time::Mono;
use crate::core::wrong::{self, Wrong};

/// What the watch has seen of every bot's Lease.
#[derive(Debug, Default)]
pub struct Sightings(Mutex<BTreeMap<BotKey, Seen>>);

#[derive(Debug)]
struct Seen {
    sighting: Sighting,
    /// Everything but what a renewal changes; `None`: the Lease is absent.
    outline: Option<LeaseRecord>,
    /// For [`Wrong::DecisionFromCache`].
    #[cfg(feature = "wrong")]
    object: Option<Lease>,
}

impl Sightings {
    /// Notes a Lease as just seen (`None`: absent). Answers whether anything but a renewal has changed.
    pub fn note(&self, key: &BotKey, lease: Option<&Lease>, now: Mono) -> bool {
        let record = lease.map(lease::read);
        let version = record.as_ref().map(|r| r.version.clone());
        let outline = record.map(|r| LeaseRecord { version: String::new(), renew: String::new(), ..r });
        let mut all = self.lock();
        let before = all.remove(key);
        let changed = before.as_ref().is_none_or(|seen| seen.outline != outline);
        let before = match before {
            None if wrong::is(Wrong::TimerKeptOverRestart) => kept_timers::taken_up(key, version.as_deref()),
            before => before.map(|seen| seen.sighting),
        };
        let sighting = Sighting::updated(before, version.as_deref(), now);
        if wrong::is(Wrong::TimerKeptOverRestart) {
            kept_timers::keep(key, sighting.at);
        }
        all.insert(
            key.clone(),
            Seen {
                sighting,
                outline,
                #[cfg(feature = "wrong")]
                object: lease.cloned(),
            },
        );
        changed
    }

    /// The watch of a namespace (`None`: of all) was broken and has listed everything anew. A Lease that is absent may have come and gone meanwhile, so
    /// its absence counts from now; one that is there shows by its version whether it has changed.
    pub fn relisted(&self, within: Option<&str>, now: Mono) {
        for (key, seen) in self.lock().iter_mut() {
            if is_within(key, within) && seen.outline.is_none() {
                seen.sighting.at = now;
            }
        }
    }

    /// The bots of a namespace (`None`: of all) whose Leases are known and not among `present`: theirs were deleted while
    /// we were not watching.
    pub fn missing_from(&self, within: Option<&str>, present: &BTreeSet<BotKey>) -> Vec<BotKey> {
        let all = self.lock();
        all.iter()
            .filter(|(key, seen)| is_within(key, within) && seen.outline.is_some() && !present.contains(key))
            .map(|(k, _)| k.clone())
            .collect()
    }

    /// The last sighting of this bot's Lease.
    pub fn of(&self, key: &BotKey) -> Option<Sighting> {
        self.lock().get(key).map(|seen| seen.sighting.clone())
    }

    /// For [`Wrong::DecisionFromCache`]: the Lease as the watch has it (`None`: absent), where it knows it at all.
    #[cfg(feature = "wrong")]
    pub fn cached(&self, key: &BotKey) -> Option<Option<Lease>> {
        self.lock().get(key).map(|seen| seen.object.clone())
    }

    /// A product keeps no such copy.
    #[cfg(not(feature = "wrong"))]
    pub fn cached(&self, _: &BotKey) -> Option<Option<Lease>> {
        None
    }

    /// Forgets a bot that is gone.
    pub fn forget(&self, key: &BotKey) {
        self.lock().remove(key);
    }

    /// The longest time since a Lease that is held was last renewed; zero when none is held.
    pub fn longest_renewal_age(&self, now: Mono) -> Duration {
        let all = self.lock();
        let held = all.values().filter(|seen| seen.outline.as_ref().is_some_and(|o| o.holder.is_some()));
        held.map(|seen| now.surely_elapsed_since(seen.sighting.at)).max().unwrap_or_default()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<BotKey, Seen>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_within(key: &BotKey, namespace: Option<&str>) -> bool {
    namespace.is_none_or(|namespace| key.namespace == namespace)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::lease::{AgentState, Permit};

    fn held(version: &str, renew: &str, state: AgentState) -> Lease {
        let record = LeaseRecord {
            uid: "l".into(),
            version: version.into(),
            holder: Some("doge-0/u0".parse().unwrap()),
            permit: Some(Permit::Trade),
            renew: renew.into(),
            state,
            ..LeaseRecord::default()
        };
        let mut object = Lease::default();
        lease::write(&record, &mut object, None);
        object
    }

    #[test]
    fn a_renewal_moves_the_timer_and_wakes_nobody() {
        let (all, key) = (Sightings::default(), BotKey::new("ns", "doge"));
        assert!(all.note(&key, Some(&held("1", "b/1", AgentState::Active)), Mono::both(1)));
        assert!(!all.note(&key, Some(&held("2", "b/2", AgentState::Active)), Mono::both(2)));
        assert_eq!(all.of(&key).unwrap().at, Mono::both(2));
        assert!(all.note(&key, Some(&held("3", "b/3", AgentState::Demoting)), Mono::both(3)));
    }

    #[test]
    fn the_same_version_seen_again_does_not_move_the_timer() {
        let (all, key) = (Sightings::default(), BotKey::new("ns", "doge"));
        all.note(&key, Some(&held("1", "b/1", AgentState::Active)), Mono::both(1));
        assert!(!all.note(&key, Some(&held("1", "b/1", AgentState::Active)), Mono::both(9)));
        assert_eq!(all.of(&key).unwrap().at, Mono::both(1));
    }

    #[test]
    fn a_lease_deleted_while_nobody_watched_is_found_and_reported_once() {
        let (all, key) = (Sightings::default(), BotKey::new("ns", "doge"));
        all.note(&key, Some(&held("1", "b/1", AgentState::Active)), Mono::both(1));
        assert_eq!(all.missing_from(None, &BTreeSet::new()), std::slice::from_ref(&key));
        assert!(all.note(&key, None, Mono::both(5)));
        assert!(all.missing_from(None, &BTreeSet::new()).is_empty());
        assert_eq!(all.of(&key).unwrap(), Sighting { version: None, at: Mono::both(5) });
    }

    #[test]
    fn what_one_namespace_lists_says_nothing_of_another() {
        let (all, here, there) = (Sightings::default(), BotKey::new("a", "doge"), BotKey::new("b", "doge"));
        all.note(&here, Some(&held("1", "b/1", AgentState::Active)), Mono::both(1));
        all.note(&there, None, Mono::both(1));
        all.relisted(Some("a"), Mono::both(7));
        assert_eq!(all.of(&there).unwrap().at, Mono::both(1));
        assert!(all.missing_from(Some("b"), &BTreeSet::new()).is_empty());
        assert_eq!(all.missing_from(Some("a"), &BTreeSet::new()), [here]);
    }

    #[test]
    fn an_absence_that_was_not_watched_counts_anew_and_an_unchanged_version_does_not() {
        let (all, gone, held_key) = (Sightings::default(), BotKey::new("ns", "gone"), BotKey::new("ns", "held"));
        all.note(&gone, None, Mono::both(1));
        all.note(&held_key, Some(&held("1", "b/1", AgentState::Active)), Mono::both(1));
        all.relisted(None, Mono::both(7));
        assert_eq!(all.of(&gone).unwrap().at, Mono::both(7));
        assert_eq!(all.of(&held_key).unwrap().at, Mono::both(1));
    }
}
