//! What the operator does when an agent gave its Lease back because a check failed: the next remedy of the rule, counted
//! in the history of moves, so that neither a restart of the operator nor a new active begins anew.

use super::decide::Round;
use super::types::*;
use crate::core::ids::PodRef;
use crate::core::recovery::{Complaint, Remedy};

impl Round<'_> {
    /// What is to be done about what the Lease complains of; `None` where it names no rule.
    pub(super) fn next_remedy(&self) -> Option<RecoveryStep> {
        let (_, sentence) = self.seen.lease.as_ref()?.reason.split_once(": ")?;
        let Complaint { rule, check, .. } = Complaint::parse(sentence)?;
        // A rule that is no longer there is dealt with like the last one that had one remedy left.
        let remedies = self.rule(&rule).map_or(&[Remedy::Failover][..], |known| &known.remedies);
        let remedy = remedies.get(self.remedies_taken(&rule)).copied().unwrap_or(Remedy::Escalate);
        Some(RecoveryStep { rule, check, remedy, all_failed: false })
    }

    fn rule(&self, name: &str) -> Option<&RecoveryRule> {
        self.spec.recovery.rules.iter().find(|rule| rule.name == name)
    }

    /// How many remedies of this rule were taken lately. A person who lets trading go on lets the rule begin anew.
    fn remedies_taken(&self, rule: &str) -> usize {
        let lately = |at| u128::from(self.seen.wall.millis_since(at)) < self.spec.recovery.period.as_millis();
        let since_person = self.record.history.iter().take_while(|step| !step.approved);
        since_person
            .filter(|step| step.recovery.as_ref().is_some_and(|taken| taken.rule == rule))
            .filter(|step| step.active.is_some_and(lately))
            .count()
    }

    /// Where remedies are used up nobody trades until a person says so; or, where standbys run the check as well, until
    /// it failed on all of them and passes again on one.
    pub(super) fn is_held_for_people(&mut self, current: &Move) -> bool {
        let Some(step) = current.recovery.as_ref().filter(|step| step.remedy >= Remedy::Suspend) else { return false };
        let returns = step.remedy == Remedy::Escalate && self.rule(&step.rule).is_some_and(|rule| rule.on_standbys);
        let one_passes = self.seen.pods.iter().any(|pod| self.is_eligible(pod));
        if returns && step.all_failed && one_passes {
            return false;
        }
        if returns
            && !one_passes
            && let Some(step) = self.record.current.as_mut().and_then(|m| m.recovery.as_mut())
        {
            step.all_failed = true;
        }
        let message = &current.message;
        let why = match step.remedy {
            Remedy::Suspend => format!("its rule {} says that trading stops then", step.rule),
            _ => format!(
                "what its rule {} allows within {} s is used up",
                step.rule,
                self.spec.recovery.period.as_secs()
            ),
        };
        let how = if returns {
            "Trading goes on when the check has failed on the standbys, too, and passes again on one, or when you have \
             found the cause and run: kubectl tradingbot failover"
        } else {
            "Look for the cause, then run: kubectl tradingbot failover"
        };
        let text = format!("{message} Nobody trades, because {why}. {how}");
        self.block(Phase::Maintenance, Block::RecoveryUsedUp, text);
        true
    }

    /// The pod that failed and is to be made again: by the move under way, or by the one that has just ended.
    pub(super) fn pod_to_restart(&self) -> Option<&Pod> {
        let last = self.record.current.as_ref().or(self.record.history.first())?;
        self.pod(&last.pod_to_restart()?.uid)
    }
}

impl Move {
    /// The old active's pod, where what is done about it is `RestartPod`. It is no candidate.
    pub(super) fn pod_to_restart(&self) -> Option<&PodRef> {
        let wanted = self.recovery.as_ref().is_some_and(|step| step.remedy == Remedy::RestartPod);
        self.from.as_ref().filter(|_| wanted)
    }
}
