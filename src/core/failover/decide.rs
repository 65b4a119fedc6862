//! One round: from what is wanted, written down, remembered and seen to what is done next.

use std::time::Duration;

use super::types::*;
use crate::core::ids::PodRef;
use crate::core::lease::{AgentState, LeaseRecord};
use crate::core::silence::{Sighting, Silence, judge};
use crate::core::time::Mono;

/// Decides one round. Pure: the same arguments give the same answer.
///
/// The order of its parts is the order of importance: what was seen is noted, evidence clears the ledger, then comes
/// whoever may be trading or, if nobody may, the way to the next one; pods and labels come last.
pub fn decide(spec: &Spec, record: &Record, memory: &Memory, seen: &Observation, now: Mono) -> Decision {
    let mut round = Round {
        spec,
        seen,
        now,
        record: record.clone(),
        memory: memory.clone(),
        first: Vec::new(),
        then: Vec::new(),
        last: Vec::new(),
        wake_after: None,
        active: None,
        candidate: None,
    };
    round.record.blocked = None;
    round.note_sighting();
    round.note_jobs();
    round.note_signs_of_life();
    round.clear_ledger();
    round.follow_operations();
    match round.record.trading.clone() {
        Some(ledger) => round.with_incumbent(&ledger),
        None => round.without_incumbent(),
    }
    round.end_operation_that_cannot_go_on();
    round.keep_slots();
    round.label_roles();
    round.finish(record)
}

/// The round in the making.
pub(super) struct Round<'a> {
    pub spec: &'a Spec,
    pub seen: &'a Observation,
    pub now: Mono,
    pub record: Record,
    pub memory: Memory,
    /// Writes that must be known to have happened before the status forgets why.
    pub first: Vec<Action>,
    /// The status and the Lease, in the order that the ledger needs.
    pub then: Vec<Action>,
    /// Everything that safety does not depend on.
    pub last: Vec<Action>,
    pub wake_after: Option<Duration>,
    /// The pod uid to be labelled active.
    pub active: Option<String>,
    /// The pod uid to be labelled candidate.
    pub candidate: Option<String>,
}

impl Round<'_> {
    /// A live read counts as a sighting: another version than the remembered one starts the wait again.
    fn note_sighting(&mut self) {
        let version = self.seen.lease.as_ref().map(|l| l.version.as_str());
        self.memory.sighting = Some(Sighting::updated(self.memory.sighting.take(), version, self.now));
    }

    /// What silence says about a lease of `duration`, as of this round's read.
    pub fn silence(&self, duration: Duration) -> Silence {
        match &self.memory.sighting {
            Some(sighting) => judge(sighting, self.seen.link.as_ref(), duration, self.now),
            None => Silence::LinkDown,
        }
    }

    /// For how long the Lease has surely not changed while our own link was alive.
    pub fn silent_for(&self) -> Duration {
        let alive = self.seen.link.as_ref().and_then(|l| l.alive_since(self.now));
        match (&self.memory.sighting, alive) {
            (Some(s), Some(alive)) => self.now.surely_elapsed_since(s.at).min(self.now.surely_elapsed_since(alive)),
            _ => Duration::ZERO,
        }
    }

    /// Jobs that ended need not be waited for any more (design, rule 5). One that is missing without having been seen
    /// to end may still run on a node that is cut off: its deadline and grace are waited out.
    fn note_jobs(&mut self) {
        let deadline = self.spec.reconciliation.as_ref().map_or(Duration::from_secs(3600), |r| r.deadline);
        let (seen, now) = (self.seen, self.now);
        let missing = &mut self.memory.missing_jobs;
        self.record.jobs.retain(|token| match seen.jobs.iter().find(|j| j.token == *token) {
            Some(job) => {
                missing.remove(token);
                !job.ended
            }
            None => {
                let since = *missing.entry(*token).or_insert(now);
                now.surely_elapsed_since(since) < deadline + JOB_GRACE
            }
        });
        let unfinished = &self.record.jobs;
        missing.retain(|token, _| unfinished.contains(token));
    }

    /// A lost pod is eligible again when another container runs in it, or when its agent gave its epoch back after all.
    fn note_signs_of_life(&mut self) {
        let seen = self.seen;
        let released = |l: &&LeaseRecord| l.holder.is_none() && l.state == AgentState::Released;
        let spoke = seen.lease.as_ref().filter(released).and_then(|l| l.boot.as_ref()).map(|b| &b.pod_uid);
        self.record.lost.retain(|lost| {
            let Some(pod) = seen.pods.iter().find(|p| p.uid == lost.pod_uid) else { return false };
            let restarted = pod.container_id.is_some() && pod.container_id != lost.container_id;
            spoke != Some(&lost.pod_uid) && !restarted
        });
    }

    /// For how long `step` has been waited for, starting now if it is new.
    pub fn waited(&mut self, step: Step) -> Duration {
        match self.memory.step {
            Some((known, since)) if known == step => self.now.surely_elapsed_since(since),
            _ => {
                self.memory.step = Some((step, self.now));
                Duration::ZERO
            }
        }
    }

    /// Whether `step` has taken longer than `limit`; if not, the round is repeated when it has.
    pub fn overdue(&mut self, step: Step, limit: Duration) -> bool {
        let waited = self.waited(step);
        if waited < limit {
            self.wake(limit - waited);
        }
        waited >= limit
    }

    pub fn wake(&mut self, after: Duration) {
        let after = after.max(Duration::from_millis(10));
        self.wake_after = Some(self.wake_after.map_or(after, |w| w.min(after)));
    }

    pub fn pod(&self, uid: &str) -> Option<&Pod> {
        self.seen.pods.iter().find(|p| p.uid == uid)
    }

    pub fn say(&mut self, phase: Phase, message: impl Into<String>) {
        self.record.phase = phase;
        self.record.message = message.into();
    }

    pub fn block(&mut self, phase: Phase, why: Block, message: impl Into<String>) {
        self.record.blocked = Some(why);
        self.say(phase, message);
    }

    /// Begins a move, unless one is under way already.
    pub fn begin_move(&mut self, trigger: Trigger, reason: Reason, message: impl Into<String>) {
        if self.record.current.is_some() {
            return;
        }
        self.record.current = Some(Move {
            epoch: Default::default(),
            trigger,
            reason,
            message: message.into(),
            evidence: None,
            confirmed_by: None,
            from: self.record.trading.as_ref().map(|l| l.pod.clone()),
            to: None,
            wanted: None,
            approved: false,
            attempts: 0,
            tried: Vec::new(),
            suspected: self.seen.wall,
            fenced: None,
            elected: None,
            reconciled: None,
            active: None,
            report: None,
        });
    }

    /// The status before the Lease: what is written ahead is known to be there before the write that needs it.
    pub fn write_ahead(&mut self, lease_write: Action) {
        self.then.push(Action::WriteStatus);
        self.then.push(lease_write);
    }

    /// A write to the Lease as it was seen, or its creation where it is absent.
    pub fn put_lease(&self, change: impl FnOnce(&mut LeaseRecord), purpose: LeaseWrite) -> Action {
        let mut lease = self.seen.lease.clone().unwrap_or_default();
        change(&mut lease);
        match &self.seen.lease {
            Some(_) => Action::PutLease { lease, purpose },
            None => Action::CreateLease { lease, purpose },
        }
    }

    fn label_roles(&mut self) {
        for pod in &self.seen.pods {
            let role = if self.active.as_deref() == Some(&pod.uid) {
                Some(Role::Active)
            } else if self.candidate.as_deref() == Some(&pod.uid) {
                Some(Role::Candidate)
            } else if pod.terminating || self.is_in_doubt(pod) {
                None
            } else {
                Some(Role::Standby)
            };
            if pod.role != role {
                let pod = PodRef { name: pod.name.clone(), uid: pod.uid.clone() };
                self.last.push(Action::SetRole { pod, role });
            }
        }
    }

    fn is_in_doubt(&self, pod: &Pod) -> bool {
        let in_ledger = self.record.trading.as_ref().is_some_and(|l| l.pod.uid == pod.uid);
        in_ledger || self.record.lost.iter().any(|l| l.pod_uid == pod.uid)
    }

    fn finish(self, before: &Record) -> Decision {
        let mut actions = self.first;
        let written_ahead = self.then.contains(&Action::WriteStatus);
        if !written_ahead && self.record != *before {
            actions.push(Action::WriteStatus);
        }
        actions.extend(self.then);
        actions.extend(self.last);
        Decision { record: self.record, memory: self.memory, actions, wake_after: self.wake_after }
    }
}

/// On top of a Job's own deadline: the time to stop a container, and for clocks that differ.
pub(super) const JOB_GRACE: Duration = Duration::from_secs(45);
