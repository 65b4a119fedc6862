//! What one bot's Lease says: the only channel between operator and agents.
//!
//! Standard fields keep their standard meaning; the rest travels in annotations under `tradingbot.io/`. The operator
//! alone writes `holder` (to name one), `epoch`, `token`, `permit`, `revoke` and `terms`; the holding agent alone
//! writes `boot`, `renew`, `state`, `path`, `health`, `recovery`, `reason`, `shutdown`, `promotion`, and clears
//! `holder` to release.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ids::{BootId, Epoch, FencingToken, PodRef};
use super::shutdown::StepReport;

/// What the holder is allowed to do. Within an epoch it only advances (design, rule 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Permit {
    /// Take the Lease up and get ready; do not trade.
    Prepare,
    /// Trade while the Lease is renewed.
    Trade,
    /// Stop trading and release. Also what any value we do not know means.
    Revoke,
}

impl Permit {
    /// The annotation's text.
    pub fn as_str(self) -> &'static str {
        match self {
            Permit::Prepare => "Prepare",
            Permit::Trade => "Trade",
            Permit::Revoke => "Revoke",
        }
    }

    /// Reads the annotation; an absent or unknown value means `Revoke`.
    pub fn parse(text: Option<&str>) -> Permit {
        match text {
            Some("Prepare") => Permit::Prepare,
            Some("Trade") => Permit::Trade,
            _ => Permit::Revoke,
        }
    }
}

/// How a revoked holder shall stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Revoke {
    /// Demote hook, then SIGTERM, each with its time, then SIGKILL.
    #[default]
    Graceful,
    /// SIGKILL at once: a forced failover.
    Now,
}

impl Revoke {
    /// The annotation's text.
    pub fn as_str(self) -> &'static str {
        match self {
            Revoke::Graceful => "Graceful",
            Revoke::Now => "Now",
        }
    }

    /// Reads the annotation; anything but `Now` is graceful.
    pub fn parse(text: Option<&str>) -> Revoke {
        if text == Some("Now") { Revoke::Now } else { Revoke::Graceful }
    }
}

/// What the holding agent reports about itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AgentState {
    /// Nothing reported in this epoch yet.
    #[default]
    Unknown,
    /// The Lease is taken up, the bot does not trade.
    Claimed,
    /// The permit was seen; the promote hook or the process start is under way. The bot may already trade.
    Promoting,
    /// The bot trades.
    Active,
    /// The bot is being stopped; it may still trade.
    Demoting,
    /// This boot has stopped for good in this epoch: no process remains, no byte is unsent.
    Released,
    /// A later boot of the same pod found the Lease still held by an earlier one, which is thereby dead.
    Restarted,
}

impl AgentState {
    const ALL: [AgentState; 7] = [
        AgentState::Unknown,
        AgentState::Claimed,
        AgentState::Promoting,
        AgentState::Active,
        AgentState::Demoting,
        AgentState::Released,
        AgentState::Restarted,
    ];

    /// The annotation's text.
    pub fn as_str(self) -> &'static str {
        match self {
            AgentState::Unknown => "",
            AgentState::Claimed => "Claimed",
            AgentState::Promoting => "Promoting",
            AgentState::Active => "Active",
            AgentState::Demoting => "Demoting",
            AgentState::Released => "Released",
            AgentState::Restarted => "Restarted",
        }
    }

    /// Reads the annotation; a value we do not know is `Unknown`, which is evidence of nothing.
    pub fn parse(text: Option<&str>) -> AgentState {
        let text = text.unwrap_or_default();
        Self::ALL.into_iter().find(|s| s.as_str() == text).unwrap_or_default()
    }
}

/// What stands between a bot and the exchange when its time is over, as the holding agent reports it. Written as
/// `<Word>` or `<Word>: <text>` in the annotation `path`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum OrderPath {
    /// Nothing reported in this epoch yet, or by an agent that reports it in words we do not know.
    #[default]
    Unknown,
    /// Every connection goes through the gate, as far as is seen.
    Gated,
    /// There is a gate, and connections past it; to which peers.
    Bypassed(String),
    /// Processes are killed and their connections destroyed.
    SocketsDestroyed,
    /// Processes are killed; the kernel still delivers what it holds for them.
    Killed,
}

impl OrderPath {
    /// Reads the annotation.
    pub fn parse(text: Option<&str>) -> OrderPath {
        match text.unwrap_or_default() {
            "Gated" => OrderPath::Gated,
            "SocketsDestroyed" => OrderPath::SocketsDestroyed,
            "Killed" => OrderPath::Killed,
            other => other.strip_prefix("Bypassed: ").map_or(OrderPath::Unknown, |p| OrderPath::Bypassed(p.to_owned())),
        }
    }
}

impl fmt::Display for OrderPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OrderPath::Unknown => Ok(()),
            OrderPath::Gated => f.write_str("Gated"),
            OrderPath::Bypassed(peers) => write!(f, "Bypassed: {peers}"),
            OrderPath::SocketsDestroyed => f.write_str("SocketsDestroyed"),
            OrderPath::Killed => f.write_str("Killed"),
        }
    }
}

/// Why an agent gave the Lease back: what the operator chooses the next candidate by. Written as
/// `<Word>: <sentence>` in the annotation `reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ReleaseReason {
    /// The operator revoked the permit.
    Revoked,
    /// The bot's process ended and its in-place restarts are used up.
    ProcessExited,
    /// The bot's process ended, and the resource asks that every restart is reconciled first.
    RestartWanted,
    /// The promote hook failed or the process could not be started.
    PromotionFailed,
    /// The API server was not reachable until the renew deadline.
    RenewDeadline,
    /// The pod is being stopped (SIGTERM).
    PodStopping,
    /// The agent of an earlier boot died; a later one of the same pod says so.
    AgentRestarted,
    /// A check failed, and the rule about it asks for what only the operator can do.
    HealthFailed,
}

impl ReleaseReason {
    const ALL: [ReleaseReason; 8] = [
        ReleaseReason::Revoked,
        ReleaseReason::ProcessExited,
        ReleaseReason::RestartWanted,
        ReleaseReason::PromotionFailed,
        ReleaseReason::RenewDeadline,
        ReleaseReason::PodStopping,
        ReleaseReason::AgentRestarted,
        ReleaseReason::HealthFailed,
    ];

    /// The word in the annotation, in Events and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            ReleaseReason::Revoked => "Revoked",
            ReleaseReason::ProcessExited => "ProcessExited",
            ReleaseReason::RestartWanted => "RestartWanted",
            ReleaseReason::PromotionFailed => "PromotionFailed",
            ReleaseReason::RenewDeadline => "RenewDeadline",
            ReleaseReason::PodStopping => "PodStopping",
            ReleaseReason::AgentRestarted => "AgentRestarted",
            ReleaseReason::HealthFailed => "HealthFailed",
        }
    }

    /// Reads `<Word>: <sentence>`.
    pub fn parse(text: &str) -> Option<ReleaseReason> {
        let word = text.split(':').next().unwrap_or_default();
        Self::ALL.into_iter().find(|r| r.as_str() == word)
    }
}

/// What an agent does when the API server cannot be reached (design, rule 10).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum OnApiServerLoss {
    /// Stop trading before the Lease can be taken away.
    #[default]
    Stop,
    /// Trade on; silence is then never evidence, a person decides.
    Continue,
}

impl OnApiServerLoss {
    /// The text of the field in spec, status and terms.
    pub fn as_str(self) -> &'static str {
        match self {
            OnApiServerLoss::Stop => "Stop",
            OnApiServerLoss::Continue => "Continue",
        }
    }
}

/// What was agreed at the grant and holds for the whole epoch, whatever happens to the spec meanwhile. The lease
/// duration itself is the standard field; the rest is the annotation `terms`, as JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Terms {
    /// After this long without a renewal nobody holds the Lease.
    pub lease_duration: Duration,
    /// Between two renewals.
    pub renew_period: Duration,
    /// After this long without a successful renewal the agent begins to demote.
    pub renew_deadline: Duration,
    /// What the agent does then.
    pub on_api_server_loss: OnApiServerLoss,
}

/// A Lease as read, with everything that a decision needs and nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct LeaseRecord {
    /// The object's uid: a Lease deleted and made again is another one.
    pub uid: String,
    /// The resource version it was read at; opaque, compared for equality only.
    pub version: String,
    /// Who was granted the Lease; `None` when released or never granted.
    pub holder: Option<PodRef>,
    /// The epoch of the last grant.
    pub epoch: Option<Epoch>,
    /// Its fencing token.
    pub token: Option<FencingToken>,
    /// What the holder may do. `None` only where the annotation is absent (read as `Revoke`).
    pub permit: Option<Permit>,
    /// How to stop, once revoked.
    pub revoke: Revoke,
    /// The boot that took the grant up, or that released it.
    pub boot: Option<BootId>,
    /// The last renewal, `<boot>/<counter>`: a value that was never used before.
    pub renew: String,
    /// What the agent reports.
    pub state: AgentState,
    /// How it says that orders are fenced.
    pub path: OrderPath,
    /// Which of its checks do not pass, as [`super::health::note`] writes it.
    pub health: String,
    /// What it did about those that failed, as [`super::recovery::told`] writes it.
    pub recovery: String,
    /// Why it released, `<Word>: <sentence>`.
    pub reason: String,
    /// What the steps came to by which its bot was stopped; written with the release.
    pub shutdown: Vec<StepReport>,
    /// What the promote hook came to when it was last called in this epoch.
    pub promotion: Option<StepReport>,
    /// For `Restarted`: the later boot that says so.
    pub successor: Option<BootId>,
    /// The terms of this grant; `None` where they are absent or cannot be read.
    pub terms: Option<Terms>,
    /// The standard field `leaseTransitions`.
    pub transitions: u32,
}

impl LeaseRecord {
    /// The permit as it counts: absent or unknown means `Revoke`.
    pub fn effective_permit(&self) -> Permit {
        self.permit.unwrap_or(Permit::Revoke)
    }

    /// Whether this pod holds the Lease now.
    pub fn is_held_by(&self, pod_uid: &str) -> bool {
        self.holder.as_ref().is_some_and(|h| h.uid == pod_uid)
    }
}

impl fmt::Display for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for OnApiServerLoss {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "Stop" => Ok(OnApiServerLoss::Stop),
            "Continue" => Ok(OnApiServerLoss::Continue),
            _ => Err(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_we_do_not_know_stops_and_proves_nothing() {
        assert_eq!(Permit::parse(Some("trade")), Permit::Revoke);
        assert_eq!(Permit::parse(None), Permit::Revoke);
        assert_eq!(AgentState::parse(Some("released")), AgentState::Unknown);
        assert_eq!(LeaseRecord::default().effective_permit(), Permit::Revoke);
    }

    #[test]
    fn words_survive_the_round_trip() {
        for state in AgentState::ALL {
            assert_eq!(AgentState::parse(Some(state.as_str())), state);
        }
        for permit in [Permit::Prepare, Permit::Trade, Permit::Revoke] {
            assert_eq!(Permit::parse(Some(&permit.to_string())), permit);
        }
        assert_eq!(["Graceful", "Now"].map(|text| Revoke::parse(Some(text)).as_str()), ["Graceful", "Now"]);
        for loss in [OnApiServerLoss::Stop, OnApiServerLoss::Continue] {
            assert_eq!(loss.as_str().parse(), Ok(loss));
        }
        assert_eq!("stop".parse::<OnApiServerLoss>(), Err(()));
        for reason in ReleaseReason::ALL {
            assert_eq!(ReleaseReason::parse(&format!("{}: because.", reason.as_str())), Some(reason));
        }
        let paths = ["Gated", "Bypassed: 10.0.0.3:8080", "SocketsDestroyed", "Killed", ""];
        for text in paths {
            assert_eq!(OrderPath::parse(Some(text)).to_string(), text);
        }
        assert_eq!(OrderPath::parse(Some("Closed")), OrderPath::Unknown);
        assert!(Permit::Prepare < Permit::Trade && Permit::Trade < Permit::Revoke);
    }
}
