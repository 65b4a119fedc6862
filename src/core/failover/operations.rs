//! One-shot actions that a person asked for, one at a time.

use super::decide::Round;
use super::types::*;
use crate::core::lease::{AgentState, Permit};

impl Round<'_> {
    /// Starts, refuses and follows operations.
    pub fn follow_operations(&mut self) {
        let still_there = |o: &RunningOperation| self.seen.operations.iter().any(|s| s.uid == o.uid);
        if !self.record.operation.as_ref().is_some_and(still_there) {
            self.record.operation = None;
        }
        for operation in &self.seen.operations {
            let restores = self.record.restore.as_ref().is_some_and(|r| r.operation_uid == operation.uid);
            if restores || self.record.operation.as_ref().is_some_and(|r| r.uid == operation.uid) {
                continue;
            }
            let update = match self.judge(operation) {
                Verdict::Begin(message) => {
                    if operation.kind == OperationKind::Failover {
                        self.lift_restore(operation);
                    }
                    self.record.operation = Some(RunningOperation {
                        name: operation.name.clone(),
                        uid: operation.uid.clone(),
                        since: self.record.trading.as_ref().map_or(self.record.epoch, |l| l.epoch),
                        to: operation.to.clone(),
                    });
                    self.begun = Some(operation.uid.clone());
                    OperationUpdate::Running { message }
                }
                Verdict::Restore(restore) => {
                    self.begun = Some(operation.uid.clone());
                    self.memory.told_restore = Some((operation.uid.clone(), restore.step));
                    self.record.restore = Some(restore);
                    let message = "The backup is being found and read in full, while trading goes on.".into();
                    OperationUpdate::Running { message }
                }
                Verdict::Done(message) => OperationUpdate::Succeeded { message },
                Verdict::Refuse(reason, message) => OperationUpdate::Failed { reason, message },
                Verdict::Wait => continue,
            };
            let (name, uid) = (operation.name.clone(), operation.uid.clone());
            self.last.push(Action::UpdateOperation { name, uid, update });
        }
    }

    fn judge(&mut self, operation: &Operation) -> Verdict {
        if let OperationKind::Confirm { epoch, by } = &operation.kind {
            return self.judge_confirmation(*epoch, by);
        }
        if operation.kind == OperationKind::Restore {
            return self.judge_restore(operation);
        }
        if self.record.operation.is_some() {
            // One that is over is forgotten as soon as it is known to have been told so.
            if self.outcome().is_some() {
                return Verdict::Wait;
            }
            let text = "Another operation on this bot is under way. Wait until it has ended, then ask again.";
            return Verdict::Refuse("AnotherOperationRuns", text.into());
        }
        if self.spec.deleting || self.spec.suspend {
            let text = "The bot is suspended or being deleted, so nobody shall trade. Set spec.suspend to false first.";
            return Verdict::Refuse("Suspended", text.into());
        }
        if let Some(refusal) = self.restore_forbids() {
            return refusal;
        }
        let forced = operation.kind == OperationKind::Failover;
        let Some(ledger) = self.record.trading.clone() else { return self.judge_without_active(operation, forced) };
        let well = self.is_heard_of(&ledger)
            && self.seen.lease.as_ref().is_some_and(|l| {
                l.is_held_by(&ledger.pod.uid) && l.permit == Some(Permit::Trade) && l.state == AgentState::Active
            });
        if !forced && !well {
            let text = format!("{} is not trading steadily. Wait, or use a forced failover.", ledger.pod.name);
            return Verdict::Refuse("ActiveNotSteady", text);
        }
        if well && operation.to.as_ref() == Some(&ledger.pod.name) {
            return Verdict::Done(format!("{} trades already.", ledger.pod.name));
        }
        if well && let Err(refusal) = self.check_target(operation, &ledger.pod.uid) {
            return refusal;
        }
        let trigger = if forced { Trigger::Failover } else { Trigger::Switchover };
        self.begin_move(trigger, Reason::Requested, format!("{} was asked for.", operation.name));
        self.approve(operation);
        if let Some(current) = &mut self.record.current {
            current.trigger = trigger;
            // Where the one before has not come to trade either, this is the one that shall not go on.
            current.from = Some(ledger.pod.clone());
        }
        Verdict::Begin(format!("Trading moves away from {}.", ledger.pod.name))
    }

    fn judge_without_active(&mut self, operation: &Operation, forced: bool) -> Verdict {
        if !forced {
            let text =
                "Nobody trades at the moment, so there is nothing to switch over. Wait, or use a forced failover.";
            return Verdict::Refuse("NobodyTrades", text.into());
        }
        if let Some(to) = &operation.to
            && !self.seen.pods.iter().any(|p| p.name == *to)
        {
            return Verdict::Refuse("TargetNotReady", format!("There is no pod {to} of this bot."));
        }
        self.begin_move(Trigger::Failover, Reason::Requested, format!("{} was asked for.", operation.name));
        self.approve(operation);
        // A candidate that is blocked starts anew, under a new epoch.
        self.record.fenced = self.record.epoch;
        Verdict::Begin("Limits are lifted for this move; a standby is elected.".into())
    }

    fn approve(&mut self, operation: &Operation) {
        if let Some(current) = &mut self.record.current {
            current.approved = true;
            current.wanted = operation.to.clone();
            current.attempts = 0;
            current.tried.clear();
        }
    }

    fn check_target(&self, operation: &Operation, active_uid: &str) -> Result<(), Verdict> {
        let fit = |p: &&Pod| p.uid != active_uid && self.is_eligible(p);
        let found = match &operation.to {
            Some(to) => self.seen.pods.iter().filter(fit).any(|p| p.name == *to),
            None => self.seen.pods.iter().any(|p| fit(&p)),
        };
        if found {
            return Ok(());
        }
        let who = operation.to.as_deref().map_or("No standby is".into(), |to| format!("{to} is not"));
        Err(Verdict::Refuse("TargetNotReady", format!("{who} ready to take over, so the active goes on trading.")))
    }

    fn judge_confirmation(&mut self, epoch: crate::core::ids::Epoch, by: &str) -> Verdict {
        let on_account = self.expects_word_on_account(epoch).filter(|_| self.record.trading.is_none());
        match &self.record.trading {
            None if self.account_is_beyond(epoch) => {
                Verdict::Done(format!("Epoch {epoch} of the account is known to be over."))
            }
            _ if by.trim().is_empty() => {
                Verdict::Refuse("NameMissing", "Say who confirms it: set spec.confirm.by to a person's name.".into())
            }
            None if on_account == Some(true) => Verdict::Wait,
            None if on_account == Some(false) => Verdict::Refuse(
                "StillRenewing",
                "The Lease of the bot that holds the account changed a moment ago, or this operator has just started \
                 and cannot tell. Ask again when nothing was heard of it for its lease duration."
                    .into(),
            ),
            Some(ledger) if ledger.epoch == epoch && self.is_heard_of(ledger) => Verdict::Refuse(
                "StillRenewing",
                format!(
                    "{} renewed its Lease a moment ago, or this operator has just started and cannot tell. Ask again \
                     when the bot's status says that it is silent.",
                    ledger.pod.name
                ),
            ),
            Some(ledger) if ledger.epoch == epoch => Verdict::Wait,
            _ if epoch <= self.record.fenced => Verdict::Done(format!("Epoch {epoch} is known to be over.")),
            Some(ledger) => Verdict::Refuse(
                "OtherEpoch",
                format!("Epoch {epoch} is not the one that may be trading; that is epoch {}.", ledger.epoch),
            ),
            None => Verdict::Refuse("NobodyTrades", format!("Nobody trades in epoch {epoch}.")),
        }
    }

    /// Whether the running operation has ended and only needs to be told so.
    pub(super) fn operation_is_over(&self) -> bool {
        self.outcome().is_some()
    }

    /// How the running operation ended, as of what the record says; `None` while it goes on.
    fn outcome(&self) -> Option<OperationUpdate> {
        let running = self.record.operation.as_ref()?;
        let later = self.record.trading.as_ref().filter(|l| l.epoch > running.since);
        if let Some(ledger) = later.filter(|_| self.record.phase == Phase::Active) {
            let to = &ledger.pod.name;
            return Some(match &running.to {
                Some(wanted) if wanted != to => OperationUpdate::Failed {
                    reason: "TradesElsewhere",
                    message: format!("{wanted} could not take over; {to} trades instead."),
                },
                _ => OperationUpdate::Succeeded { message: format!("{to} trades in epoch {}.", ledger.epoch) },
            });
        }
        // It does not wait for what only people can change.
        let stuck = self.record.blocked.is_some() || self.spec.suspend || self.spec.deleting;
        stuck.then(|| OperationUpdate::Failed { reason: "Blocked", message: self.record.message.clone() })
    }

    /// Tells the running operation how it ended. The status goes on naming it until it is seen to know, so that it can
    /// neither run twice nor be left without an answer.
    pub fn conclude_operation(&mut self) {
        let Some(running) = self.record.operation.clone() else { return };
        if self.begun.as_ref() == Some(&running.uid) {
            return;
        }
        if let Some(update) = self.outcome() {
            self.last.push(Action::UpdateOperation { name: running.name, uid: running.uid, update });
        }
    }
}

pub(super) enum Verdict {
    Begin(String),
    Restore(Restore),
    Done(String),
    Refuse(&'static str, String),
    Wait,
}
