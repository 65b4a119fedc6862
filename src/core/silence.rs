//! The arithmetic of lease times: when a holder must have stopped, and when an observer may believe that it has.
//!
//! Why it is safe (design, section 3): the holder stops by `sent + D - guard`. The observer's wait starts no earlier
//! than the write it observed, so it ends no earlier than `sent + D * (1 + tolerance)`. No clock is compared with
//! another machine's; only their rates must agree within the tolerance.

use std::time::Duration;

use super::time::Mono;

/// The holder stops this long before its lease could end (design, rule 8).
pub const GUARD: Duration = Duration::from_secs(1);

/// By how much two machines' clock rates may differ, in percent (design, rule 12).
pub const TOLERANCE_PERCENT: u32 = 5;

/// The instant by which a holder must have stopped: counted from *before* the request of its last successful renewal
/// was sent.
pub fn holder_deadline(sent_at: Mono, lease_duration: Duration) -> Mono {
    sent_at.plus(lease_duration.saturating_sub(GUARD))
}

/// How long an observer has to see silence: the lease duration, and the tolerance on top.
pub fn required_silence(lease_duration: Duration) -> Duration {
    lease_duration + lease_duration * TOLERANCE_PERCENT / 100
}

/// The version of an object as the observer saw it, and when it saw it first.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sighting {
    /// `None`: the object was seen to be absent.
    pub version: Option<String>,
    /// When this observer saw it first, on its own clock.
    pub at: Mono,
}

impl Sighting {
    /// What is known after `version` was seen at `now`: the same version keeps its first sighting.
    pub fn updated(previous: Option<Sighting>, version: Option<&str>, now: Mono) -> Sighting {
        match previous {
            Some(seen) if seen.version.as_deref() == version => seen,
            _ => Sighting { version: version.map(str::to_owned), at: now },
        }
    }
}

/// The observer's own link to the API server: a chain of successful writes to a Lease of its own.
///
/// Silence counts only while this chain holds, or an outage of the API server would look like the death of every bot.
/// A single failed request does not break it, or it would never mend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Link {
    alive_since: Mono,
    last_proof: Mono,
    longest_gap: Duration,
}

impl Link {
    /// A chain that starts with a first write, sent at `sent_at`. `longest_gap`: two proofs further apart than this
    /// are not one chain.
    pub fn new(sent_at: Mono, longest_gap: Duration) -> Link {
        Link { alive_since: sent_at, last_proof: sent_at, longest_gap }
    }

    /// A write of ours was sent at `sent_at` and succeeded by `now`.
    ///
    /// After a gap the chain starts at `now`: what was committed between sending and the reply may not have reached
    /// our watches yet.
    pub fn proven(self, sent_at: Mono, now: Mono) -> Link {
        if self.is_broken(now) {
            return Link { alive_since: now, last_proof: now, ..self };
        }
        Link { last_proof: sent_at, ..self }
    }

    /// What [`Wrong::TimerKeptOverRestart`](super::wrong::Wrong::TimerKeptOverRestart) does: the chain goes on over a time
    /// in which nobody looked.
    pub fn taken_up(self, sent_at: Mono) -> Link {
        Link { last_proof: sent_at, ..self }
    }

    /// Whether more time has passed since the last proof than a living link would let pass.
    pub fn is_broken(&self, now: Mono) -> bool {
        now.possibly_elapsed_since(self.last_proof) > self.longest_gap
    }

    /// Since when the link has been alive without a break; `None` while it is broken.
    pub fn alive_since(&self, now: Mono) -> Option<Mono> {
        (!self.is_broken(now)).then_some(self.alive_since)
    }
}

/// What an observer may conclude from silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// The wait is over: the version has not changed for long enough, and our link was alive all the while.
    Expired,
    /// Not yet; look again after this long.
    Waiting(Duration),
    /// Our own link is broken, so silence says nothing: the wait starts when it is back.
    LinkDown,
}

/// Judges the silence since `sighting` for a lease of `lease_duration`.
pub fn judge(sighting: &Sighting, link: Option<&Link>, lease_duration: Duration, now: Mono) -> Silence {
    let Some(alive_since) = link.and_then(|l| l.alive_since(now)) else {
        return Silence::LinkDown;
    };
    let needed = required_silence(lease_duration);
    let silent = now.surely_elapsed_since(sighting.at).min(now.surely_elapsed_since(alive_since));
    match needed.checked_sub(silent) {
        None | Some(Duration::ZERO) => Silence::Expired,
        Some(left) => Silence::Waiting(left),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const D: Duration = Duration::from_secs(10);
    const GAP: Duration = Duration::from_millis(2_500);

    fn at(millis: u64) -> Mono {
        Mono::both(1_000_000_000 + millis * 1_000_000)
    }

    fn seen(millis: u64) -> Sighting {
        Sighting { version: Some("1".into()), at: at(millis) }
    }

    fn link_alive_until(millis: u64) -> Link {
        (0..=millis / 1_000).fold(Link::new(at(0), GAP), |l, s| l.proven(at(s * 1_000), at(s * 1_000 + 5)))
    }

    #[test]
    fn the_holder_has_stopped_before_an_observer_believes_it() {
        let sent = at(0);
        let stopped = holder_deadline(sent, D);
        let believed = sent.plus(required_silence(D));
        assert_eq!(believed.surely_elapsed_since(stopped), Duration::from_millis(1_500));
    }

    #[test]
    fn silence_expires_only_after_duration_and_tolerance() {
        let link = link_alive_until(10_400);
        assert_eq!(judge(&seen(0), Some(&link), D, at(10_400)), Silence::Waiting(Duration::from_millis(100)));
        assert_eq!(judge(&seen(0), Some(&link), D, at(10_500)), Silence::Expired);
    }

    #[test]
    fn silence_proves_nothing_while_our_own_link_is_down() {
        let link = link_alive_until(3_000);
        assert_eq!(judge(&seen(0), Some(&link), D, at(60_000)), Silence::LinkDown);
        assert_eq!(judge(&seen(0), None, D, at(60_000)), Silence::LinkDown);
    }

    #[test]
    fn after_an_outage_the_wait_starts_again() {
        let link = link_alive_until(3_000).proven(at(59_900), at(60_000));
        assert_eq!(judge(&seen(0), Some(&link), D, at(60_001)), Silence::Waiting(Duration::from_millis(10_499)));
    }

    #[test]
    fn one_lost_heartbeat_does_not_restart_the_wait() {
        let link = link_alive_until(4_000).proven(at(6_300), at(6_310));
        assert_eq!(link.alive_since(at(6_311)), Some(at(0)));
    }

    #[test]
    fn a_chain_of_proofs_breaks_only_after_its_longest_gap() {
        let link = Link::new(at(0), GAP);
        assert_eq!(link.alive_since(at(2_500)), Some(at(0)));
        assert_eq!(link.alive_since(at(2_501)), None);
        let mended = link.proven(at(9_000), at(9_100));
        assert_eq!((mended.alive_since(at(9_099)), mended.alive_since(at(11_600))), (Some(at(9_100)), Some(at(9_100))));
        assert_eq!(mended.alive_since(at(11_601)), None);
    }

    #[test]
    fn a_new_version_starts_the_wait_again_and_the_same_does_not() {
        let first = Sighting::updated(None, Some("1"), at(0));
        assert_eq!(Sighting::updated(Some(first.clone()), Some("1"), at(9_000)).at, at(0));
        assert_eq!(Sighting::updated(Some(first.clone()), Some("2"), at(9_000)).at, at(9_000));
        assert_eq!(Sighting::updated(Some(first), None, at(9_000)).version, None);
    }
}
