//! Made-up Leases and what they are made of: few names, so that they often meet, and numbers of all sizes.

use std::time::Duration;

use crate::product::core::ids::{BootId, Epoch, FencingToken, PodRef};
use crate::product::core::lease::{AgentState, LeaseRecord, OnApiServerLoss, OrderPath, Permit, Revoke, Terms};
use crate::product::core::shutdown::{StepReport, StepResult};
use crate::source::Source;

pub const STATES: [AgentState; 7] = [
    AgentState::Unknown,
    AgentState::Claimed,
    AgentState::Promoting,
    AgentState::Active,
    AgentState::Demoting,
    AgentState::Released,
    AgentState::Restarted,
];

pub fn pod(s: &mut Source<'_>) -> PodRef {
    let n = s.below(4);
    // Seldom one that was made again under its name.
    let again = if s.seldom(8) { "b" } else { "a" };
    PodRef { name: format!("doge-{n}"), uid: format!("u{n}{again}") }
}

pub fn boot(s: &mut Source<'_>) -> BootId {
    BootId { pod_uid: pod(s).uid, nonce: s.one_of(&["mine", "x", "y"]).into() }
}

pub fn permit(s: &mut Source<'_>) -> Permit {
    s.one_of(&[Permit::Prepare, Permit::Trade, Permit::Revoke])
}

pub fn loss(s: &mut Source<'_>) -> OnApiServerLoss {
    if s.seldom(4) { OnApiServerLoss::Continue } else { OnApiServerLoss::Stop }
}

/// Mostly such as can be kept.
pub fn terms(s: &mut Source<'_>) -> Terms {
    let seconds = Duration::from_secs;
    let on_api_server_loss = loss(s);
    if s.seldom(6) {
        // As an annotation and a field of 32 bits can have them.
        let lease_duration = s.duration().min(seconds(i32::MAX as u64));
        return Terms { lease_duration, renew_period: s.duration(), renew_deadline: s.duration(), on_api_server_loss };
    }
    Terms {
        lease_duration: seconds(s.one_of(&[10, 4, 3600])),
        renew_period: seconds(s.one_of(&[2, 1])),
        renew_deadline: seconds(s.one_of(&[3, 2])),
        on_api_server_loss,
    }
}

pub fn path(s: &mut Source<'_>) -> OrderPath {
    let bypassed = OrderPath::Bypassed("10.0.0.3:8080".into());
    s.one_of(&[OrderPath::Unknown, OrderPath::Gated, bypassed, OrderPath::SocketsDestroyed, OrderPath::Killed])
}

fn step(s: &mut Source<'_>) -> StepReport {
    let results = [StepResult::Succeeded, StepResult::Failed, StepResult::TimedOut, StepResult::Skipped];
    StepReport { name: s.text(), result: s.one_of(&results), milliseconds: s.number(), message: s.text() }
}

/// Anything that a Lease can say. Numbers are small ones most of the time.
pub fn lease(s: &mut Source<'_>) -> LeaseRecord {
    LeaseRecord {
        uid: s.one_of(&["lease-1", "lease-2", ""]).into(),
        version: s.between(0, 40).to_string(),
        holder: s.maybe(pod),
        epoch: s.maybe(|s| Epoch(s.number())),
        token: s.maybe(|s| FencingToken(s.number())),
        permit: s.maybe(permit),
        revoke: if s.flag() { Revoke::Now } else { Revoke::Graceful },
        boot: s.maybe(boot),
        renew: s.text(),
        state: s.one_of(&STATES),
        path: path(s),
        health: String::new(),
        recovery: String::new(),
        reason: s
            .one_of(&["Revoked: x.", "RestartWanted: x.", "RenewDeadline: x.", "PodStopping: x.", "Garbage"])
            .into(),
        shutdown: if s.seldom(4) { vec![step(s)] } else { Vec::new() },
        successor: s.maybe(boot),
        terms: s.maybe(terms),
        transitions: s.one_of(&[0, 1, i32::MAX as u32]),
        promotion: if s.seldom(4) { Some(step(s)) } else { None },
    }
}
