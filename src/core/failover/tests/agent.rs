//! A pod with an agent that keeps the rules, and its kubelet.

use std::time::Duration;

use crate::core::failover::*;
use crate::core::ids::{BootId, Epoch, PodRef};
use crate::core::lease::{AgentState, LeaseRecord, Permit};
use crate::core::shutdown::{StepReport, StepResult};
use crate::core::silence::holder_deadline;
use crate::core::time::Mono;

/// What is wrong with a pod, or nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Its node cannot reach the API server.
    pub cut: bool,
    /// Its agent does not run, and neither does its container: a power cut that nobody reports.
    pub dead: bool,
    /// The bot never comes to trade.
    pub hangs_in_promotion: bool,
    /// The bot does not stop gracefully.
    pub ignores_graceful_stop: bool,
    /// The agent never takes a grant up.
    pub deaf: bool,
}

/// One pod of the world.
#[derive(Clone, Debug)]
pub struct SimPod {
    pub pod: Pod,
    pub faults: Faults,
    pub boot: BootId,
    pub trading: Option<Epoch>,
    /// Reason to give with the next release.
    pub leaving: Option<&'static str>,
    /// What the steps of its stop come to.
    pub steps: Vec<StepReport>,
    /// What its promote hook comes to, where it has one.
    pub promote_hook: Option<StepReport>,
    /// `onApiServerLoss: Continue`.
    pub trades_on: bool,
    claimed: Option<Epoch>,
    latched: Epoch,
    deadline: Mono,
    renewed: Mono,
    counter: u64,
    pub ready_at: Mono,
    pub gone_at: Option<Mono>,
}

impl SimPod {
    pub fn new(name: &str, uid: &str, slot: u32, revision: &str, ready_at: Mono) -> Self {
        Self {
            pod: Pod {
                name: name.into(),
                uid: uid.into(),
                slot,
                revision: revision.into(),
                container_id: Some(format!("{uid}-c0")),
                ..Pod::default()
            },
            faults: Faults::default(),
            boot: BootId { pod_uid: uid.into(), nonce: "b0".into() },
            trading: None,
            leaving: None,
            steps: Vec::new(),
            promote_hook: None,
            trades_on: false,
            claimed: None,
            latched: Epoch(0),
            deadline: Mono::default(),
            renewed: Mono::default(),
            counter: 0,
            ready_at,
            gone_at: None,
        }
    }

    pub fn reference(&self) -> PodRef {
        PodRef { name: self.pod.name.clone(), uid: self.pod.uid.clone() }
    }

    /// The container ends, the kubelet reports it, and starts another one.
    pub fn container_dies(&mut self, reported: bool) {
        if reported {
            self.pod.terminated_boots = vec![self.boot.clone()];
        }
        let starts: u32 = self.boot.nonce[1..].parse().unwrap();
        self.boot.nonce = format!("b{}", starts + 1);
        self.pod.container_id = Some(format!("{}-c{}", self.pod.uid, starts + 1));
        (self.trading, self.claimed, self.leaving) = (None, None, None);
    }

    /// One look of kubelet and agent at the world. Answers the Lease that the agent wants to write, if any.
    pub fn step(&mut self, lease: Option<&LeaseRecord>, now: Mono) -> Option<LeaseRecord> {
        if self.faults.dead {
            self.trading = None;
            return None;
        }
        if !self.faults.cut {
            self.pod.ready = now.first >= self.ready_at.first;
        }
        if self.trading.is_some() && !self.trades_on && now.has_possibly_reached(self.deadline) {
            self.stop("RenewDeadline: the API server was not reachable.");
        }
        if self.faults.cut {
            return None;
        }
        let lease = lease?;
        let epoch = lease.epoch?;
        if !lease.is_held_by(&self.pod.uid) {
            if self.claimed.is_some() {
                self.stop("");
                (self.claimed, self.leaving) = (None, None);
            }
            return None;
        }
        match &lease.boot {
            None if lease.permit == Some(Permit::Prepare) && epoch > self.latched && self.may_claim() => {
                self.claimed = Some(epoch);
                Some(self.renewal(lease, AgentState::Claimed, now))
            }
            None => None,
            Some(boot) if *boot != self.boot => {
                let mut next = lease.clone();
                (next.holder, next.state, next.successor) = (None, AgentState::Restarted, Some(self.boot.clone()));
                next.reason = "AgentRestarted: an earlier agent of this pod died.".into();
                Some(next)
            }
            Some(_) => self.hold(lease, epoch, now),
        }
    }

    fn may_claim(&self) -> bool {
        !self.faults.deaf && !self.pod.terminating
    }

    fn hold(&mut self, lease: &LeaseRecord, epoch: Epoch, now: Mono) -> Option<LeaseRecord> {
        if self.claimed != Some(epoch) {
            return None;
        }
        let told = match lease.effective_permit() {
            Permit::Revoke if !self.faults.ignores_graceful_stop || lease.revoke == crate::core::lease::Revoke::Now => {
                Some("Revoked: the operator asked.")
            }
            _ if self.pod.terminating => Some("PodStopping: the pod is being deleted."),
            _ => None,
        };
        if let Some(reason) = self.leaving.or(told) {
            self.stop(reason);
            let mut next = lease.clone();
            (next.holder, next.state, next.reason) = (None, AgentState::Released, reason.into());
            next.shutdown.clone_from(&self.steps);
            (self.claimed, self.leaving) = (None, None);
            return Some(next);
        }
        if lease.permit == Some(Permit::Trade) && epoch > self.latched && self.trading.is_none() {
            if let Some(report) = self.promote_hook.clone() {
                let failed = report.result != StepResult::Succeeded;
                self.trading = Some(epoch);
                let state = if failed { AgentState::Demoting } else { AgentState::Active };
                let next = LeaseRecord { promotion: Some(report), ..self.renewal(lease, state, now) };
                if failed {
                    self.stop("PromotionFailed: the promote hook said no.");
                }
                return Some(next);
            }
            if !self.faults.hangs_in_promotion {
                self.trading = Some(epoch);
            }
            let state = if self.faults.hangs_in_promotion { AgentState::Promoting } else { AgentState::Active };
            if lease.state != state {
                return Some(self.renewal(lease, state, now));
            }
        }
        let due = now.surely_elapsed_since(self.renewed) >= Duration::from_secs(2);
        due.then(|| self.renewal(lease, lease.state, now))
    }

    fn renewal(&mut self, lease: &LeaseRecord, state: AgentState, now: Mono) -> LeaseRecord {
        self.counter += 1;
        self.renewed = now;
        self.deadline = holder_deadline(now, lease.terms.unwrap().lease_duration);
        let mut next = lease.clone();
        (next.boot, next.state) = (Some(self.boot.clone()), state);
        next.renew = format!("{}/{}", self.boot, self.counter);
        next
    }

    fn stop(&mut self, reason: &'static str) {
        self.trading = None;
        self.latched = self.claimed.unwrap_or(self.latched);
        self.leaving = Some(reason);
    }
}
