//! The bot that holds our account was removed by force: its agent may still trade, and nobody looks after it any more.

use std::time::Duration;

use super::decide::Round;
use super::types::*;
use crate::core::ids::Epoch;
use crate::core::lease::OnApiServerLoss;
use crate::core::silence::{Silence, judge};

impl Round<'_> {
    /// The TradingBot that holds the account is gone without having given it back, so its agent may trade still.
    pub(super) fn waits_for_vanished(&mut self, holder: &HolderSeen, view: &AccountView) -> bool {
        let (place, epoch) = (holder.bot.place(), view.epoch);
        let gone =
            format!("Account {} is held by {place}, which was removed by force: its agent may still trade.", view.name);
        match self.evidence_of_end(holder, view) {
            Ok(evidence) => {
                self.account_evidence = Some(evidence);
                false
            }
            Err(Silence::Waiting(left)) => {
                self.wake(left);
                let seconds = view.lease_duration.as_secs();
                let text =
                    format!("{gone} This bot trades when its Lease was silent for {seconds} s and the tolerance.");
                self.wait_for_another(text)
            }
            Err(Silence::LinkDown) => {
                self.wake(Duration::from_millis(500));
                self.wait_for_another(gone)
            }
            Err(Silence::Expired) => {
                let text = format!(
                    "{gone} It was allowed to trade on without the API server, so silence proves nothing. Make sure \
                     that it has stopped, then say so with a TradingBotOperation of the type ConfirmStopped on this bot \
                     for epoch {epoch}, which is the account's."
                );
                self.wait_for_another(text)
            }
        }
    }

    /// Why a holder that vanished is known not to trade. Its Lease is removed first, at the version whose silence was
    /// waited out, so that nothing that is still on its way can revive it.
    fn evidence_of_end(
        &mut self,
        holder: &HolderSeen,
        view: &AccountView,
    ) -> Result<(Evidence, Option<String>), Silence> {
        let confirmed = self.seen.operations.iter().find_map(|operation| match &operation.kind {
            OperationKind::Confirm { epoch, by } if *epoch == view.epoch && !by.trim().is_empty() => Some(by.clone()),
            _ => None,
        });
        let removed = self.memory.holder_removed.as_ref() == Some(&holder.bot) && holder.lease_version.is_none();
        if !removed {
            match self.silence_of_holder(view.lease_duration) {
                Silence::Expired => {}
                other => return Err(other),
            }
        }
        let evidence = match confirmed {
            Some(by) => (Evidence::Confirmed, Some(by)),
            None if view.on_api_server_loss == OnApiServerLoss::Continue => return Err(Silence::Expired),
            None => (Evidence::LeaseExpired, None),
        };
        match &holder.lease_version {
            Some(version) if !holder.name_taken => {
                self.last.push(Action::RemoveLeaseOf { bot: holder.bot.clone(), version: version.clone() });
                Err(Silence::Waiting(Duration::from_millis(50)))
            }
            _ => Ok(evidence),
        }
    }

    fn silence_of_holder(&self, duration: Duration) -> Silence {
        match &self.memory.holder_sighting {
            Some((_, sighting)) => judge(sighting, self.seen.link.as_ref(), duration, self.now),
            None => Silence::LinkDown,
        }
    }

    /// Whether a person's word about this epoch of the account is waited for, and whether it can be believed by now.
    pub(super) fn expects_word_on_account(&self, epoch: Epoch) -> Option<bool> {
        let view =
            self.record.account.as_ref().filter(|view| view.state == AccountState::Waiting && view.epoch == epoch)?;
        let holder = self.seen.account.as_ref()?.holder.as_ref().filter(|holder| !holder.exists)?;
        let removed = self.memory.holder_removed.as_ref() == Some(&holder.bot);
        Some(removed || self.silence_of_holder(view.lease_duration) == Silence::Expired)
    }
}
