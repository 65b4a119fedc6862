//! While the ledger names someone: keep that one trading, or have it stop.

use std::time::Duration;

use super::account::AccountAnswer;
use super::decide::Round;
use super::evidence::{agrees, doubt_after};
use super::types::*;
use crate::core::lease::{AgentState, LeaseRecord, OnApiServerLoss, Permit, Revoke};
use crate::core::silence::required_silence;

/// On top of the times that the spec gives a step, for the ways in between.
const SLACK: Duration = Duration::from_secs(10);

/// What the phase's message adds when only a person may move trading to a pod of the new template.
const MANUAL_HINT: &str = " It is of an older template and spec.failover.mode is Manual, so trading moves to a pod of the \
                           new one when somebody runs: kubectl tradingbot switchover";

/// A planned end of an epoch: a move, or none when the resource is suspended or deleted.
struct Stop {
    planned: Option<(Trigger, Reason)>,
    how: Revoke,
    message: String,
}

impl Round<'_> {
    pub fn with_incumbent(&mut self, ledger: &Ledger) {
        let name = ledger.pod.name.clone();
        let lease = match self.seen.lease.clone() {
            Some(lease) if agrees(ledger, &lease) => lease,
            other => return self.disturbed(ledger, other),
        };
        if let Some(trading) = &mut self.record.trading {
            trading.boot = lease.boot.clone();
        }
        if self.lease_write.is_some() {
            let message = format!("{name} is not heard of any more; the Lease is taken away from it.");
            self.begin_move_unless_stopping(Trigger::Automatic, Reason::LeaseNotRenewed, message.clone());
            return self.say(Phase::Fencing, message);
        }
        match lease.effective_permit() {
            Permit::Prepare => self.complete_permit(ledger),
            Permit::Trade => self.watch_over(ledger, &lease),
            Permit::Revoke => self.await_release(ledger, &lease),
        }
    }

    /// The Lease is absent or does not say what the ledger says. That is evidence of nothing: whoever it names by now
    /// loses it, and the whole wait runs from there.
    fn disturbed(&mut self, ledger: &Ledger, lease: Option<LeaseRecord>) {
        let name = &ledger.pod.name;
        let what = if lease.is_none() { "was deleted" } else { "was changed by someone else" };
        let message = format!("The Lease {what}; whether {name} has stopped is not known yet.");
        self.begin_move_unless_stopping(Trigger::Automatic, Reason::LeaseDisturbed, message.clone());
        if self.lease_write.is_some() {
            return self.say(Phase::Fencing, message);
        }
        let names_somebody = |l: &LeaseRecord| l.holder.is_some() || l.effective_permit() != Permit::Revoke;
        let Some(lease) = lease.filter(names_somebody) else { return self.await_silence(ledger, message) };
        // Whoever was named here may have begun to trade on these terms.
        let terms = lease.terms.unwrap_or(self.spec.terms);
        if let Some(trading) = &mut self.record.trading {
            trading.lease_duration = trading.lease_duration.max(terms.lease_duration);
            if terms.on_api_server_loss == OnApiServerLoss::Continue {
                trading.on_api_server_loss = OnApiServerLoss::Continue;
            }
        }
        let epoch = lease.epoch.filter(|e| e.is_plausible()).unwrap_or_default();
        let token = lease.token.filter(|t| t.is_plausible()).unwrap_or_default();
        self.record.epoch = self.record.epoch.max(epoch);
        self.record.token = self.record.token.max(token);
        self.put_lease(
            |l| (l.holder, l.permit, l.revoke) = (None, Some(Permit::Revoke), Revoke::Now),
            LeaseWrite::Permit,
        );
        self.say(Phase::Fencing, message);
    }

    /// The ledger was written and the permit was not, or its outcome is unknown.
    fn complete_permit(&mut self, ledger: &Ledger) {
        if self.waits_after_restore() {
            return;
        }
        let fit = self.pod(&ledger.pod.uid).is_some_and(|p| !p.terminating && !p.finished);
        let allowed = match self.account_allows() {
            AccountAnswer::Yes => true,
            AccountAnswer::No => false,
            AccountAnswer::Wait(other) => {
                self.wake(Duration::from_secs(1));
                let text = format!("{} waits until {} has given the account back.", ledger.pod.name, other.place());
                return self.say(Phase::Activating, text);
            }
        };
        // A ledger that was written because the Lease was found to name somebody says nothing of a reconciliation.
        let current = self.record.current.as_ref().filter(|current| current.epoch == ledger.epoch);
        let prepared = ledger.boot.is_some() && current.is_some_and(|current| current.reconciled.is_some());
        let wanted = prepared && fit && allowed && !self.wants_nobody() && !self.restore_may_run();
        let permit = if wanted { Permit::Trade } else { Permit::Revoke };
        self.put_lease(|l| l.permit = Some(permit), LeaseWrite::Permit);
        let phase = if wanted { Phase::Activating } else { Phase::Switching };
        self.say(phase, format!("{} is told what it may do.", ledger.pod.name));
        self.active = wanted.then(|| ledger.pod.uid.clone());
    }

    fn watch_over(&mut self, ledger: &Ledger, lease: &LeaseRecord) {
        let name = &ledger.pod.name;
        // A holder that is silent does not read either: a write to its Lease would only start the wait again.
        let heard_of = self.is_heard_of(ledger);
        if heard_of && let Some(stop) = self.stop_wanted(ledger, lease) {
            if let Some((trigger, reason)) = stop.planned {
                self.begin_move(trigger, reason, stop.message.clone());
            }
            self.put_lease(|l| (l.permit, l.revoke) = (Some(Permit::Revoke), stop.how), LeaseWrite::Permit);
            return self.say(Phase::Switching, stop.message);
        }
        if let Some((trigger, reason, message)) = self.in_doubt(ledger, lease) {
            self.begin_move_unless_stopping(trigger, reason, message.clone());
            return self.await_silence(ledger, message);
        }
        self.active = Some(ledger.pod.uid.clone());
        if lease.state == AgentState::Active {
            self.memory.steps.clear();
            self.finish_move(ledger);
            let outdated =
                self.spec.manual && self.pod(&ledger.pod.uid).is_some_and(|p| p.revision != self.spec.revision);
            let hint = if outdated { MANUAL_HINT } else { "" };
            self.say(Phase::Active, format!("{name} trades.{hint}"));
            self.watch_silence(doubt_after(ledger, lease));
        } else {
            self.say(Phase::Activating, format!("{name} may trade; its bot is starting or being promoted."));
            self.wake_when_silent_for(doubt_after(ledger, lease));
        }
    }

    /// A steady active costs no rounds: only a silence that our own link was too young to vouch for is looked at again.
    fn watch_silence(&mut self, limit: Duration) {
        self.note_silence_limit(limit);
        if self.silence_limit.is_none() || !self.is_linked() {
            self.wake_when_silent_for(limit);
        }
    }

    /// Why the active should stop although it is well.
    fn stop_wanted(&mut self, ledger: &Ledger, lease: &LeaseRecord) -> Option<Stop> {
        let name = &ledger.pod.name;
        let stop = |planned, how, message: String| Some(Stop { planned, how, message });
        if self.spec.deleting {
            return stop(None, Revoke::Graceful, format!("The resource is being deleted; {name} is stopping."));
        }
        if self.spec.suspend {
            return stop(None, Revoke::Graceful, format!("spec.suspend is set; {name} is stopping."));
        }
        if self.restore_halts() {
            return stop(None, Revoke::Graceful, format!("A backup is to be put back; {name} is stopping."));
        }
        if let Some(why) = self.account_lost.take() {
            let planned = Some((Trigger::Automatic, Reason::AccountLost));
            return stop(planned, Revoke::Graceful, format!("{why}, so {name} is stopping."));
        }
        if self.record.operation.as_ref().is_some_and(|o| o.since == ledger.epoch) {
            let forced = self.record.current.as_ref().is_some_and(|m| m.trigger == Trigger::Failover);
            let how = if forced { Revoke::Now } else { Revoke::Graceful };
            return stop(None, how, format!("A move away from {name} was asked for; it is stopping."));
        }
        let Some(pod) = self.pod(&ledger.pod.uid).cloned() else {
            let message = format!("The pod {name} was deleted by force; its agent is told to stop.");
            return stop(Some((Trigger::Automatic, Reason::PodGone)), Revoke::Graceful, message);
        };
        let steady = lease.state == AgentState::Active;
        if lease.state == AgentState::Demoting && self.overdue(Step::Stop(ledger.epoch), self.spec.stop_time + SLACK) {
            let message = format!("{name} did not stop in time; it is stopped at once.");
            return stop(Some((Trigger::Automatic, Reason::LeaseNotRenewed)), Revoke::Now, message);
        }
        if steady && !pod.terminating && !self.spec.manual && pod.draining && self.has_other(&pod, |p| !p.draining) {
            let message = format!("The node of {name} is cordoned; trading moves to another one.");
            return stop(Some((Trigger::Eviction, Reason::NodeDrained)), Revoke::Graceful, message);
        }
        let outdated = pod.revision != self.spec.revision && self.seen.template_error.is_none();
        if steady && !pod.terminating && !self.spec.manual && outdated && self.others_are_current(&pod) {
            let message = format!("The template changed; trading moves from {name} to a pod of the new one.");
            return stop(Some((Trigger::RollingUpdate, Reason::RollingUpdate)), Revoke::Graceful, message);
        }
        let promoting = !steady && lease.state != AgentState::Demoting;
        if promoting && self.overdue(Step::Promote(ledger.epoch), self.spec.promotion_time + SLACK) {
            let message = format!("{name} did not come to trade in time; it is stopped.");
            return stop(Some((Trigger::Automatic, Reason::PromotionTimedOut)), Revoke::Now, message);
        }
        None
    }

    /// Signs that the active will not last, none of which is evidence.
    fn in_doubt(&mut self, ledger: &Ledger, lease: &LeaseRecord) -> Option<(Trigger, Reason, String)> {
        let name = &ledger.pod.name;
        if self.pod(&ledger.pod.uid).is_some_and(|p| p.terminating) {
            let message = format!("The pod {name} is being deleted; its agent stops the bot and releases.");
            return Some((Trigger::Eviction, Reason::PodDeleted, message));
        }
        if lease.state == AgentState::Demoting {
            return Some((
                Trigger::Automatic,
                Reason::LeaseNotRenewed,
                format!("The agent of {name} is stopping the bot."),
            ));
        }
        if !self.is_heard_of(ledger) {
            let limit = doubt_after(ledger, lease).as_secs();
            let message = format!("{name} has not renewed its Lease for {limit} s.");
            return Some((Trigger::Automatic, Reason::LeaseNotRenewed, message));
        }
        None
    }

    fn begin_move_unless_stopping(&mut self, trigger: Trigger, reason: Reason, message: String) {
        if !self.wants_nobody() {
            self.begin_move(trigger, reason, message);
        }
    }

    /// Nothing can be done but wait for evidence, which silence will be at the latest.
    fn await_silence(&mut self, ledger: &Ledger, message: String) {
        let needed = required_silence(ledger.lease_duration);
        let proves_nothing = ledger.on_api_server_loss == OnApiServerLoss::Continue;
        if proves_nothing && self.silent_for() >= needed {
            let (name, epoch) = (&ledger.pod.name, ledger.epoch);
            let advice = format!(
                "{message} It was allowed to trade on without the API server, so silence proves nothing. Make sure \
                 that {name} has stopped, then say so with a TradingBotOperation of the type ConfirmStopped for epoch \
                 {epoch}."
            );
            return self.block(Phase::Blocked, Block::SilentUnderContinue, advice);
        }
        self.wake_when_silent_for(needed);
        self.say(Phase::Suspect, message);
    }

    /// The permit is revoked: the agent stops the bot and releases. If it does not, it is told to stop at once; then
    /// its pod is deleted, so that the kubelet ends the container.
    fn await_release(&mut self, ledger: &Ledger, lease: &LeaseRecord) {
        let name = &ledger.pod.name;
        if !self.is_heard_of(ledger) {
            return self.await_silence(ledger, format!("{name} was asked to stop and does not answer."));
        }
        self.wake_when_silent_for(doubt_after(ledger, lease));
        match lease.revoke {
            Revoke::Graceful if self.overdue(Step::Stop(ledger.epoch), self.spec.stop_time + SLACK) => {
                self.put_lease(|l| l.revoke = Revoke::Now, LeaseWrite::Permit);
            }
            Revoke::Now
                if self.overdue(Step::StopNow(ledger.epoch), SLACK)
                    && self.pod(&ledger.pod.uid).is_some_and(|p| !p.terminating) =>
            {
                self.last.push(Action::DeletePod(ledger.pod.clone()));
            }
            _ => {}
        }
        self.say(Phase::Switching, format!("{name} was asked to stop and is stopping."));
    }

    /// The permitted pod trades: the move that led here is over, and a mere suspicion is forgotten.
    fn finish_move(&mut self, ledger: &Ledger) {
        if self.record.active_since.is_none() {
            self.record.active_since = Some(self.seen.wall);
        }
        let Some(mut done) = self.record.current.take() else { return };
        if done.epoch != ledger.epoch {
            if self.record.operation.is_some() {
                self.record.current = Some(done);
            }
            return;
        }
        // Nothing more is asked for in this epoch.
        self.record.job_request = false;
        done.active = Some(self.seen.wall);
        if done.trigger != Trigger::FirstStart {
            self.record.total += 1;
        }
        self.record.history.insert(0, done);
        self.record.history.truncate(HISTORY_LENGTH);
    }

    fn has_other(&self, active: &Pod, fit: impl Fn(&Pod) -> bool) -> bool {
        self.seen.pods.iter().any(|p| p.uid != active.uid && self.is_eligible(p) && fit(p))
    }

    /// Standbys first: the active of an old template moves when all the others are of the new one and one is ready.
    fn others_are_current(&self, active: &Pod) -> bool {
        let current = |p: &Pod| p.revision == self.spec.revision;
        let others = || self.seen.pods.iter().filter(|p| p.uid != active.uid && self.is_usable(p));
        others().all(current) && self.has_other(active, current)
    }
}
