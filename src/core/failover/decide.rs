//! One round: from what is wanted, written down, remembered and seen to what is done next.

use std::time::Duration;

use super::types::*;
use crate::core::ids::{FencingToken, PodRef};
use crate::core::lease::{AgentState, LeaseRecord};
use crate::core::silence::{Sighting, Silence, judge};
use crate::core::time::Mono;
use crate::core::wrong::{self, Wrong};

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
        lease_write: None,
        create_job: None,
        last: Vec::new(),
        wake_after: None,
        silence_limit: None,
        begun: None,
        active: None,
        candidate: None,
        account_write: None,
        account_evidence: None,
        account_lost: None,
    };
    round.record.blocked = None;
    round.note_sighting();
    round.note_jobs();
    round.note_restores();
    round.note_signs_of_life();
    round.note_account();
    round.clear_ledger();
    round.follow_operations();
    round.follow_restore();
    match round.record.trading.clone() {
        Some(ledger) => {
            round.keep_account(&ledger);
            round.with_incumbent(&ledger);
        }
        None => round.without_incumbent(),
    }
    round.label_roles();
    round.keep_slots();
    round.conclude_operation();
    round.conclude_restore();
    round.finish(record)
}

/// The round in the making.
pub(super) struct Round<'a> {
    pub spec: &'a Spec,
    pub seen: &'a Observation,
    pub now: Mono,
    pub record: Record,
    pub memory: Memory,
    /// The one write to the Lease, always after the status: what is written ahead is known to be there by then. There
    /// cannot be a second one, because each names the version it replaces.
    pub lease_write: Option<Action>,
    /// The reconciliation Job, or the one that puts a backup back: after the status too.
    pub create_job: Option<Action>,
    /// Everything that safety does not depend on.
    pub last: Vec<Action>,
    pub wake_after: Option<Duration>,
    pub silence_limit: Option<Duration>,
    /// The operation that begins in this round, by uid.
    pub begun: Option<String>,
    /// The pod uid to be labelled active.
    pub active: Option<String>,
    /// The pod uid to be labelled candidate.
    pub candidate: Option<String>,
    /// The one write to the account's Lease: before everything else for a grant, else after the status.
    pub account_write: Option<Action>,
    /// Why the bot that held the account before is known not to trade.
    pub account_evidence: Option<(Evidence, Option<String>)>,
    /// Why the active must stop for the account's sake, the first half of a sentence.
    pub account_lost: Option<String>,
}

impl Round<'_> {
    /// A live read counts as a sighting: another version than the remembered one starts the wait again.
    fn note_sighting(&mut self) {
        let version = self.seen.lease.as_ref().map(|l| l.version.as_str());
        if wrong::is(Wrong::ExpiryGrantWithFreshVersion)
            && let Some(ledger) = &self.record.trading
            && self.silence(ledger.lease_duration) == Silence::Expired
        {
            return;
        }
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

    /// Jobs that ended need not be waited for any more (design, rule 5). One that is missing, or whose end nobody
    /// reports, may still run on a node that is cut off: its deadline and grace are waited out.
    fn note_jobs(&mut self) {
        let deadline = self.spec.reconciliation.as_ref().map(|r| r.deadline);
        let (seen, now) = (self.seen, self.now);
        let Memory { unfinished_jobs: since, jobs_seen, jobs_over, .. } = &mut self.memory;
        jobs_over.extend(seen.jobs.iter().filter(|job| job.ended).map(|job| job.token));
        jobs_over.retain(|token| seen.jobs.iter().any(|job| job.token == *token));
        let ended = |token: &FencingToken| jobs_over.contains(token);
        let running = |token: &FencingToken| seen.jobs.iter().any(|j| j.token == *token) && !ended(token);
        // One may be made long after the status said so, and has all of its time before it then.
        for job in seen.jobs.iter().filter(|job| running(&job.token)) {
            if jobs_seen.insert(job.token) {
                since.remove(&job.token);
            }
        }
        // One that the status does not know: its creation outran what we knew of it, or a status was written late that was
        // decided on before there was the Job. Only one that was waited out need not be there any more.
        let waited_out = |token: &FencingToken| {
            since.get(token).is_some_and(|(at, longest)| now.surely_elapsed_since(*at) >= *longest + JOB_GRACE)
        };
        let unknown = seen.jobs.iter().map(|j| j.token).filter(|t| running(t) && !waited_out(t));
        let unknown: Vec<_> = unknown.filter(|t| !self.record.jobs.contains(t)).collect();
        self.record.jobs.extend(unknown);
        self.record.jobs.retain(|token| {
            let (known_since, longest) = since.entry(*token).or_insert((now, deadline.unwrap_or(UNKNOWN_JOB_DEADLINE)));
            // A deadline that was lowered since does not end a Job that was made before.
            *longest = deadline.map_or(*longest, |deadline| deadline.max(*longest));
            !ended(token) && now.surely_elapsed_since(*known_since) < *longest + JOB_GRACE
        });
        let unfinished = &self.record.jobs;
        since.retain(|token, _| unfinished.contains(token) || running(token));
        jobs_seen.retain(|token| since.contains_key(token));
    }

    /// A lost pod is eligible again when another container runs in it, when its agent gave its epoch back after all,
    /// when it was reported ready after it had been reported not to be, or when it has been reported ready for longer
    /// than a dead node would go unnoticed.
    fn note_signs_of_life(&mut self) {
        let (seen, now) = (self.seen, self.now);
        let released = |l: &&LeaseRecord| l.holder.is_none() && l.state == AgentState::Released;
        let spoke = seen.lease.as_ref().filter(released).and_then(|l| l.boot.as_ref()).map(|b| &b.pod_uid);
        let (since, unready) = (&mut self.memory.seen_alive, &mut self.memory.seen_unready);
        let mut next_look = None;
        self.record.lost.retain(|lost| {
            let Some(pod) = seen.pods.iter().find(|p| p.uid == lost.pod_uid) else { return false };
            let restarted = pod.container_id.is_some() && pod.container_id != lost.container_id;
            if spoke == Some(&lost.pod_uid) || restarted {
                return false;
            }
            if !pod.ready || pod.node_lost {
                since.remove(&lost.pod_uid);
                unready.insert(lost.pod_uid.clone());
                return true;
            }
            // Only its kubelet says that, and only of an agent that answers.
            if unready.contains(&lost.pod_uid) {
                return false;
            }
            let known_since = *since.entry(lost.pod_uid.clone()).or_insert(now);
            let left = DEAD_NODE_UNNOTICED.checked_sub(now.surely_elapsed_since(known_since)).filter(|l| !l.is_zero());
            next_look = next_look.max(left);
            left.is_some()
        });
        let lost = &self.record.lost;
        since.retain(|uid, _| lost.iter().any(|l| l.pod_uid == *uid));
        unready.retain(|uid| lost.iter().any(|l| l.pod_uid == *uid));
        if let Some(left) = next_look {
            self.wake(left);
        }
    }

    /// Whether `step` has taken longer than `limit`; if not, the round is repeated when it has. Only time counts in
    /// which our own link to the API server was alive: nobody is blamed for what an outage kept from being said.
    pub fn overdue(&mut self, step: Step, limit: Duration) -> bool {
        let since = *self.memory.steps.entry(step).or_insert(self.now);
        let alive = self.seen.link.as_ref().and_then(|l| l.alive_since(self.now));
        let waited = alive.map_or(Duration::ZERO, |alive| {
            self.now.surely_elapsed_since(since).min(self.now.surely_elapsed_since(alive))
        });
        if waited < limit {
            self.wake(limit - waited);
        }
        waited >= limit
    }

    /// Looks again as soon as silence can have lasted for `limit`, if it goes on.
    pub fn wake_when_silent_for(&mut self, limit: Duration) {
        self.note_silence_limit(limit);
        match limit.checked_sub(self.silent_for()).filter(|left| !left.is_zero()) {
            Some(left) if self.is_linked() => self.wake(left),
            Some(_) => self.wake(LINK_RETRY),
            None => {}
        }
    }

    /// Asks to be woken by a silence that is still to come; one that is there already would wake again and again.
    pub fn note_silence_limit(&mut self, limit: Duration) {
        let age = self.memory.sighting.as_ref().map(|s| self.now.surely_elapsed_since(s.at)).unwrap_or_default();
        self.silence_limit = (age < limit).then_some(limit);
    }

    pub fn is_linked(&self) -> bool {
        self.seen.link.as_ref().is_some_and(|l| l.alive_since(self.now).is_some())
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
            shutdown: Vec::new(),
            promote_hook: None,
            report: None,
            recovery: None,
        });
    }

    /// A write to the Lease as it was seen, or its creation where it is absent.
    pub fn put_lease(&mut self, change: impl FnOnce(&mut LeaseRecord), purpose: LeaseWrite) {
        let mut lease = self.seen.lease.clone().unwrap_or_default();
        change(&mut lease);
        self.lease_write = Some(match &self.seen.lease {
            Some(_) => Action::PutLease { lease, purpose },
            None => Action::CreateLease { lease, purpose },
        });
    }

    /// Strips labels before it sets any, so that no two pods are labelled active.
    fn label_roles(&mut self) {
        let mut labels: Vec<(Option<Role>, PodRef)> = Vec::new();
        for pod in &self.seen.pods {
            let role = if self.active.as_deref() == Some(&pod.uid) {
                Some(Role::Active)
            } else if self.candidate.as_deref() == Some(&pod.uid) {
                Some(Role::Candidate)
            } else if self.spec.deleting || pod.terminating || pod.finished || self.is_in_doubt(pod) {
                None
            } else {
                Some(Role::Standby)
            };
            if pod.role != role {
                labels.push((role, PodRef { name: pod.name.clone(), uid: pod.uid.clone() }));
            }
        }
        labels.sort_by_key(|(role, _)| match role {
            None => 0,
            Some(Role::Standby) => 1,
            Some(Role::Candidate | Role::Active) => 2,
        });
        self.last.extend(labels.into_iter().map(|(role, pod)| Action::SetRole { pod, role }));
    }

    fn is_in_doubt(&self, pod: &Pod) -> bool {
        let in_ledger = self.record.trading.as_ref().is_some_and(|l| l.pod.uid == pod.uid);
        in_ledger || self.record.lost.iter().any(|l| l.pod_uid == pod.uid)
    }

    /// The status first, so that what later writes need is known to be there. On the way of trading from one pod to
    /// the next nothing else is written in the same round: every write before the next step is time without trading.
    fn finish(mut self, before: &Record) -> Decision {
        let urgent = matches!(
            &self.lease_write,
            Some(
                Action::PutLease { purpose: LeaseWrite::Grant | LeaseWrite::Permit, .. }
                    | Action::CreateLease { purpose: LeaseWrite::Grant | LeaseWrite::Permit, .. }
            )
        );
        if self.create_job.is_some() || self.lease_write.is_some() || self.account_write.is_some() {
            self.wake(Duration::from_millis(50));
        }
        let is_take = |action: &Action| matches!(action, Action::WriteAccount { purpose: AccountWrite::Take, .. });
        let mut actions = Vec::new();
        actions.extend(self.account_write.take_if(|action| is_take(action)));
        if self.record != *before {
            actions.push(Action::WriteStatus);
        }
        actions.extend(self.lease_write);
        actions.extend(self.account_write);
        actions.extend(self.create_job);
        if urgent {
            self.last.retain(|action| matches!(action, Action::UpdateOperation { .. }));
        }
        // What can be refused for long, by a quota or a namespace that is being deleted, comes last.
        self.last.sort_by_key(|action| match action {
            Action::SetRole { .. } | Action::RemoveLeaseOf { .. } => 0,
            Action::DeletePod(_) => 1,
            Action::Finalize => 2,
            Action::CreatePod { .. } => 4,
            Action::CreateRestoreJob { .. } => 5,
            _ => 3,
        });
        actions.extend(self.last);
        Decision {
            record: self.record,
            memory: self.memory,
            actions,
            wake_after: self.wake_after,
            silence_limit: self.silence_limit,
        }
    }
}

/// On top of a Job's own deadline: the time to stop a container, and for clocks that differ.
pub(super) const JOB_GRACE: Duration = Duration::from_secs(45);

/// A Job of a policy that is no longer in the spec is given this long.
pub(super) const UNKNOWN_JOB_DEADLINE: Duration = Duration::from_secs(3600);

/// After this long Kubernetes reports the pods of a silent node as not ready (40 s by default, 50 s since 1.29), so a
/// pod that is still ready by then is alive.
const DEAD_NODE_UNNOTICED: Duration = Duration::from_secs(60);

/// How soon to look again while our own link to the API server is broken.
const LINK_RETRY: Duration = Duration::from_millis(500);
