//! From the grant to the permit: take-up, reconciliation, and the ledger before the permit.

use std::time::Duration;

use super::account::AccountAnswer;
use super::decide::{JOB_GRACE, Round};
use super::types::*;
use crate::core::ids::PodRef;
use crate::core::lease::{LeaseRecord, Permit};
use crate::core::silence::Silence;
use crate::core::wrong::{self, Wrong};

/// How long a candidate may take to take the Lease up.
const CLAIM_TIME: Duration = Duration::from_secs(10);

/// What stands between a candidate and its permit.
enum Reconciled {
    /// Nothing any more.
    Done,
    /// The Job runs.
    Waiting,
    /// A Job of an earlier epoch runs, which this one's must not meet.
    After,
    /// The Job failed or found something; what happens now was decided.
    Stopped,
}

impl Round<'_> {
    /// The candidate holds the Lease under `Prepare` and cannot trade; it can be replaced at once.
    pub fn with_candidate(&mut self, lease: &LeaseRecord, holder: &PodRef) {
        if !self.candidate_is_fit(lease, holder) {
            return self.abandon_candidate(holder);
        }
        self.candidate = Some(holder.uid.clone());
        let back = |pod: &Pod| self.record.current.as_ref().is_some_and(|current| self.is_back(current, pod));
        let ready = self.pod(&holder.uid).is_some_and(|pod| pod.ready || back(pod));
        let claimed = lease.boot.is_some() && ready;
        if !claimed && self.overdue(Step::Claim(self.record.epoch), CLAIM_TIME) {
            self.candidate = None;
            return self.abandon_candidate(holder);
        }
        match self.reconcile(holder) {
            Reconciled::Stopped => return,
            Reconciled::Waiting if !wrong::is(Wrong::PermitBeforeJob) => {
                return self.say(Phase::Preparing, format!("{} waits for the reconciliation.", holder.name));
            }
            Reconciled::After => return self.wait_for_earlier_job(holder),
            Reconciled::Done | Reconciled::Waiting => {}
        }
        if let Some(current) = &mut self.record.current
            && current.reconciled.is_none()
        {
            current.reconciled = Some(self.seen.wall);
        }
        if !claimed {
            return self.say(Phase::Electing, format!("{} has not taken the Lease up yet.", holder.name));
        }
        // Also this epoch's own one, where it failed and still runs, or where the policy that asked for it is gone.
        let token = self.record.token;
        if self.record.jobs.iter().any(|job| *job != token || !wrong::is(Wrong::PermitBeforeJob)) {
            return self.wait_for_earlier_job(holder);
        }
        match self.account_allows() {
            AccountAnswer::Yes => self.permit(lease, holder),
            AccountAnswer::Wait(other) => {
                self.wake(Duration::from_secs(1));
                let text = format!("{} waits until {} has given the account back.", holder.name, other.place());
                self.say(Phase::Preparing, text);
            }
            AccountAnswer::No => self.abandon_epoch(),
        }
    }

    fn wait_for_earlier_job(&mut self, holder: &PodRef) {
        self.wake(Duration::from_secs(1));
        let message = format!("{} waits until a reconciliation that was begun earlier has ended.", holder.name);
        self.say(Phase::Preparing, message);
    }

    /// The ledger is written before the permit (design, rule 1).
    fn permit(&mut self, lease: &LeaseRecord, holder: &PodRef) {
        let terms = lease.terms.unwrap_or(self.spec.terms);
        self.record.trading = Some(Ledger {
            epoch: self.record.epoch,
            token: self.record.token,
            pod: holder.clone(),
            boot: lease.boot.clone(),
            // Terms that somebody shortened after the grant would end the wait too early.
            lease_duration: terms.lease_duration.max(self.spec.terms.lease_duration),
            on_api_server_loss: terms.on_api_server_loss,
        });
        self.candidate = None;
        self.active = Some(holder.uid.clone());
        self.say(Phase::Activating, format!("{} may trade; its bot is starting or being promoted.", holder.name));
        self.put_lease(|l| l.permit = Some(Permit::Trade), LeaseWrite::Permit);
    }

    fn candidate_is_fit(&mut self, lease: &LeaseRecord, holder: &PodRef) -> bool {
        let Some(pod) = self.pod(&holder.uid) else { return false };
        let dead = lease.boot.as_ref().is_some_and(|boot| pod.terminated_boots.contains(boot));
        let back = self.record.current.as_ref().is_some_and(|current| self.is_back(current, pod));
        let gone = pod.terminating || pod.finished || pod.node_lost && !back;
        if dead || gone || lease.terms.is_none() {
            return false;
        }
        let duration = lease.terms.map_or(self.spec.terms.lease_duration, |t| t.lease_duration);
        match self.silence(duration) {
            Silence::Expired => false,
            Silence::Waiting(left) => {
                self.wake(left);
                true
            }
            Silence::LinkDown => true,
        }
    }

    /// Runs the reconciliation where the policy asks for one (design, rule 5).
    fn reconcile(&mut self, holder: &PodRef) -> Reconciled {
        let Some(policy) = self.spec.reconciliation.clone() else { return Reconciled::Done };
        let Some(current) = self.record.current.clone() else { return Reconciled::Done };
        // What was restored is older than what the exchange knows, whatever else the policy runs on.
        if !policy.run_on.contains(&current.kind()) && current.trigger != Trigger::Restore {
            return Reconciled::Done;
        }
        let token = self.record.token;
        let of_epoch = |job: &&Job| job.token == token || wrong::is(Wrong::JobNameWithoutEpoch);
        let job = self.seen.jobs.iter().find(of_epoch).map(|j| j.state.clone());
        match job {
            // Two that act at the exchange at once would undo each other's work, and the later token would come first.
            None if self.record.jobs.iter().any(|earlier| *earlier != token) => Reconciled::After,
            None => {
                // A Job whose creation is refused is a failed one.
                if self.overdue(Step::Reconcile(self.record.epoch), policy.deadline + JOB_GRACE) {
                    return self.reconciliation_failed(&policy, "the Job could not be created.");
                }
                if !self.record.jobs.contains(&token) {
                    self.record.jobs.push(token);
                }
                // The status changes before every request, also where the Job was waited out and is asked for again: one
                // that was decided on before this request, and is still on its way, must not be written after it,
                // because it may believe that no such Job can come to be.
                self.record.job_request = !self.record.job_request;
                // Its time begins with the last attempt, which may be carried out late.
                self.memory.unfinished_jobs.remove(&token);
                self.create_job = Some(Action::CreateJob { token, context: self.job_context(&current, holder) });
                Reconciled::Waiting
            }
            Some(JobState::Running) => {
                if self.overdue(Step::Reconcile(self.record.epoch), policy.deadline + JOB_GRACE) {
                    let text = format!("it did not end within {} s.", policy.deadline.as_secs());
                    return self.reconciliation_failed(&policy, &text);
                }
                Reconciled::Waiting
            }
            Some(JobState::Failed(why)) => self.reconciliation_failed(&policy, &why),
            Some(JobState::Succeeded(report)) => {
                let found = report.discrepancies.first().cloned();
                if let Some(current) = &mut self.record.current {
                    current.report = Some(report);
                }
                match found {
                    Some(found) if !policy.proceed_on_discrepancy && !current.approved => {
                        let message = format!(
                            "The reconciliation found a discrepancy: {found} Nobody trades. Settle it at the exchange, \
                             then run: kubectl tradingbot failover"
                        );
                        self.block(Phase::Blocked, Block::DiscrepanciesFound, message);
                        Reconciled::Stopped
                    }
                    _ => Reconciled::Done,
                }
            }
        }
    }

    fn reconciliation_failed(&mut self, policy: &Reconciliation, why: &str) -> Reconciled {
        if policy.on_failure == OnFailure::Proceed {
            return Reconciled::Done;
        }
        let Some(current) = &mut self.record.current else { return Reconciled::Stopped };
        if policy.on_failure == OnFailure::Retry && current.attempts < policy.retries {
            current.attempts += 1;
            let attempt = current.attempts;
            // The same candidate, under a new epoch: its Job has a name and a token of its own.
            self.record.fenced = self.record.epoch;
            self.candidate = None;
            self.elect();
            let message =
                format!("The reconciliation failed: {why} Attempt {} of {} follows.", attempt + 1, policy.retries + 1);
            self.record.message = message;
            return Reconciled::Stopped;
        }
        let message = format!(
            "The reconciliation failed: {why} Nobody trades. Look at the Job's log, then run: kubectl tradingbot failover"
        );
        self.block(Phase::Blocked, Block::ReconciliationFailed, message);
        Reconciled::Stopped
    }

    fn job_context(&self, current: &Move, holder: &PodRef) -> JobContext {
        JobContext {
            epoch: self.record.epoch,
            previous_epoch: self.record.history.first().map(|m| m.epoch).unwrap_or_default(),
            from: current.from.as_ref().map(|p| p.name.clone()),
            to: holder.name.clone(),
            reason: current.reason,
        }
    }
}
