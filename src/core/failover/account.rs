//! One account, one bot: no two bots of the cluster may trade on one account at once, whatever their namespaces.
//!
//! The ledger of who may is again the status: each bot writes into its own that it holds the account before it grants
//! anything, and lets nobody trade before it has looked, after that, at what all the others have written. So of two that
//! want it at once at least one sees the other, also when the account's Lease is deleted or changed by hand. The Lease
//! says which of them goes on, hands the fencing token from one bot to the next, and outlives bots that are removed by
//! force.

use std::time::Duration;

use super::decide::Round;
use super::types::*;
use crate::core::account::{AccountRecord, BotRef, Holder};
use crate::core::ids::{Epoch, FencingToken};
use crate::core::lease::{LeaseRecord, OnApiServerLoss, Permit, Terms};
use crate::core::silence::Sighting;

/// A bot that has nobody to grant to for so long gives its account up, so that another one can trade.
const KEEP_ACCOUNT: Duration = Duration::from_secs(10);

/// A bot that an account's Lease names has so long to write into its status that it holds the account. It lets nobody
/// trade before, so a shorter time costs at most a round.
const CLAIM_ACCOUNT: Duration = Duration::from_secs(10);

/// Whether a candidate may be permitted to trade on the account.
pub(super) enum AccountAnswer {
    /// No account is wanted, or it is ours and nobody else's.
    Yes,
    /// Another bot's status says that it holds the account; it will see that the Lease names us.
    Wait(BotRef),
    /// The account is not ours, or the Lease does not carry the token of this grant.
    No,
}

/// Whether this round needs to know what other bots say about the account: always, unless the bot trades in order.
pub fn needs_claims(
    record: &Record,
    me: &BotRef,
    account: Option<&AccountRecord>,
    lease: Option<&LeaseRecord>,
) -> bool {
    let permitting = lease.is_some_and(|l| l.permit == Some(Permit::Prepare));
    let held = record.account.as_ref().is_some_and(|view| view.state == AccountState::Held);
    permitting || !held || record.trading.is_none() || !is_in_order(account, me, record.token)
}

/// Whether the account's Lease is as it was left when `token` was handed out to `me`.
fn is_in_order(account: Option<&AccountRecord>, me: &BotRef, token: FencingToken) -> bool {
    account.is_some_and(|lease| lease.is_intact() && lease.is_held_by(me) && lease.token.is_some_and(|t| t >= token))
}

impl Round<'_> {
    /// Notes what the account's Lease says, as far as it says anything.
    pub fn note_account(&mut self) {
        let seen = self.seen.account.as_ref();
        let vanished = seen.and_then(|s| s.holder.as_ref()).filter(|holder| !holder.exists);
        self.memory.holder_sighting = vanished.map(|holder| {
            let before = self.memory.holder_sighting.take().filter(|(bot, _)| *bot == holder.bot).map(|(_, seen)| seen);
            (holder.bot.clone(), Sighting::updated(before, holder.lease_version.as_deref(), self.now))
        });
        if self.holds_account() {
            return;
        }
        let Some(wanted) = self.spec.account.clone() else { return self.record.account = None };
        let known = self.record.account.take().filter(|view| view.name == wanted);
        let mut view = known.unwrap_or_else(|| AccountView::unknown(wanted));
        if let Some(lease) = seen.filter(|s| s.name == view.name).and_then(|s| s.lease.as_ref())
            && lease.is_intact()
        {
            view = AccountView::waiting(lease);
        }
        self.record.account = Some(view);
    }

    fn holds_account(&self) -> bool {
        self.record.account.as_ref().is_some_and(|view| view.state == AccountState::Held)
    }

    /// The account's Lease as read, if it names us.
    fn own_account_lease(&self) -> Option<&AccountRecord> {
        let seen = self.seen.account.as_ref()?;
        seen.lease.as_ref().filter(|lease| lease.is_held_by(&seen.me))
    }

    /// Whether the grant has to wait until the account is free; says so.
    pub fn waits_for_account(&mut self) -> bool {
        if self.record.account.as_ref().is_some_and(|held| self.spec.account.as_ref() != Some(&held.name)) {
            // The resource names another one by now, or none.
            let text = "spec.account was changed; the account that the bot holds is given back first.";
            self.say(Phase::Electing, text);
            return self.release_account();
        }
        let (Some(wanted), Some(view)) = (self.spec.account.clone(), self.record.account.clone()) else { return false };
        let Some(seen) = self.seen.account.as_ref().filter(|seen| seen.name == wanted) else {
            self.wake(Duration::from_millis(50));
            return true;
        };
        if view.state == AccountState::Held && is_in_order(seen.lease.as_ref(), &seen.me, self.record.token) {
            return false;
        }
        let Some(claims) = &seen.claims else {
            self.wake(Duration::from_millis(50));
            return true;
        };
        if let Some(claim) = claims.first() {
            let place = claim.bot.place();
            let text = format!("Account {wanted} is held by {place}; {}", advice(&place));
            return self.wait_for_another(text);
        }
        let Some(holder) = seen.holder.clone() else { return false };
        let text = view.sentence();
        if holder.exists {
            // It is neither granted nor permitted anything before it says so itself.
            if self.overdue(Step::ClaimAccount(view.epoch), CLAIM_ACCOUNT) {
                return false;
            }
            return self.wait_for_another(text);
        }
        self.waits_for_vanished(&holder, &view)
    }

    /// Whether the account was taken in a later epoch of its own than this.
    pub(super) fn account_is_beyond(&self, epoch: Epoch) -> bool {
        self.record.account.as_ref().is_some_and(|view| view.state == AccountState::Held && view.epoch > epoch)
    }

    pub(super) fn wait_for_another(&mut self, text: String) -> bool {
        self.block(Phase::Blocked, Block::AccountHeld, text);
        // A claim of our own that the Lease does not bear out would keep the other one waiting too.
        if self.own_account_lease().is_none() {
            self.release_account();
        }
        true
    }

    /// Gives the account back, as soon as nothing of this bot can act on it any more; answers whether there was anything
    /// to give back. First nobody holds the bot's own Lease, so that no permit that is still on its way can succeed; then
    /// the status says so, and then the account's Lease.
    pub fn release_account(&mut self) -> bool {
        let ours = self.own_account_lease().cloned();
        if !self.holds_account() && ours.is_none() {
            return false;
        }
        if self.record.trading.is_some() || self.lease_write.is_some() {
            return true;
        }
        if let Some(epoch) =
            self.seen.lease.as_ref().filter(|l| l.holder.is_some()).map(|l| l.epoch.unwrap_or_default())
        {
            self.record.fenced = self.record.fenced.max(self.record.epoch);
            self.put_lease(|l| (l.holder, l.permit) = (None, Some(Permit::Revoke)), LeaseWrite::Fence { epoch });
            return true;
        }
        if !self.record.jobs.is_empty() {
            // A reconciliation acts on the account too.
            self.wake(Duration::from_secs(1));
            return true;
        }
        if let Some(view) = &mut self.record.account {
            view.state = AccountState::Waiting;
            if ours.is_some() {
                (view.holder, view.since) = (None, None);
            }
        }
        if let Some(lease) = ours {
            let account = AccountRecord { holder: Holder::Nobody, since: None, ..lease };
            self.account_write = Some(Action::WriteAccount { account, purpose: AccountWrite::Release });
        }
        true
    }

    /// Nobody is there to grant to: after a while another bot shall not wait for this one.
    pub fn give_up_account(&mut self) {
        let holds = self.holds_account() || self.own_account_lease().is_some();
        if holds && self.overdue(Step::KeepAccount(self.record.epoch), KEEP_ACCOUNT) {
            self.release_account();
        }
    }

    /// The highest token that was handed out on the account.
    pub fn account_token(&self) -> FencingToken {
        let lease = self.seen.account.as_ref().and_then(|seen| seen.lease.as_ref());
        lease.and_then(|l| l.token).filter(|t| t.is_plausible()).unwrap_or_default()
    }

    /// Takes the account for a grant with `token`, or hands out the next token on it. This comes before all other
    /// writes of the round: what fails here is granted to nobody.
    pub fn take_account(&mut self, token: FencingToken, terms: Terms) {
        if self.spec.account.is_none() {
            return;
        }
        let held_before = self.own_account_lease().is_some();
        self.write_account(token, terms.lease_duration, terms.on_api_server_loss, AccountWrite::Take);
        if let Some(current) = &mut self.record.current {
            if !held_before && matches!(current.trigger, Trigger::FirstStart | Trigger::Resume | Trigger::Restore) {
                // The wait for another bot is not what this one's moves are judged by.
                current.suspected = self.seen.wall;
            }
            if let Some((evidence, by)) = self.account_evidence.take() {
                (current.evidence, current.confirmed_by) = (Some(evidence), by);
            }
        }
    }

    fn write_account(
        &mut self,
        token: FencingToken,
        lease_duration: Duration,
        loss: OnApiServerLoss,
        purpose: AccountWrite,
    ) {
        let (Some(name), Some(seen)) = (self.spec.account.clone(), self.seen.account.as_ref()) else { return };
        let (me, before) = (seen.me.clone(), seen.lease.clone().unwrap_or_default());
        let known = self.record.account.as_ref().map(|view| view.epoch).unwrap_or_default();
        let ours = before.is_held_by(&me);
        let account = AccountRecord {
            name: name.clone(),
            epoch: Some(Epoch::next(known, before.epoch)),
            token: before.token.filter(|t| t.is_plausible()).max(Some(token)),
            lease_duration,
            on_api_server_loss: loss,
            since: before.since.filter(|_| ours).or(Some(self.seen.wall)),
            transitions: before.transitions + u32::from(!ours && before.epoch.is_some()),
            holder: Holder::Bot(me.clone()),
            uid: before.uid,
            version: before.version,
        };
        self.record.account = Some(AccountView { state: AccountState::Held, ..AccountView::waiting(&account) });
        self.account_write = Some(Action::WriteAccount { account, purpose });
    }

    /// Whether the candidate may be permitted, as far as the account goes.
    pub(super) fn account_allows(&self) -> AccountAnswer {
        let held = self.record.account.as_ref().filter(|view| view.state == AccountState::Held);
        let (Some(wanted), Some(held)) = (&self.spec.account, held) else {
            let none = self.spec.account.is_none() && held.is_none();
            return if none { AccountAnswer::Yes } else { AccountAnswer::No };
        };
        let token = self.record.trading.as_ref().map_or(self.record.token, |ledger| ledger.token);
        let Some(seen) = self.seen.account.as_ref().filter(|s| s.name == *wanted && held.name == *wanted) else {
            return AccountAnswer::No;
        };
        if self.own_account_lease().is_none_or(|lease| !lease.is_intact() || lease.token != Some(token)) {
            return AccountAnswer::No;
        }
        match &seen.claims {
            None => AccountAnswer::No,
            Some(claims) => claims.first().map_or(AccountAnswer::Yes, |claim| AccountAnswer::Wait(claim.bot.clone())),
        }
    }

    /// Somebody may be trading for this bot. The account's Lease is written again where it does not say so; that lets
    /// nobody trade, because every other bot sees our claim. Only where another one says of itself that it may be trading
    /// on the account, the one that the Lease does not name stops.
    pub fn keep_account(&mut self, ledger: &Ledger) {
        let held = self.record.account.as_ref().filter(|view| view.state == AccountState::Held);
        if held.is_some_and(|view| self.spec.account.as_ref() != Some(&view.name)) {
            self.account_lost = Some("spec.account was changed while somebody may trade".into());
            return;
        }
        let Some(seen) = self.seen.account.as_ref().filter(|s| self.spec.account.as_ref() == Some(&s.name)) else {
            return;
        };
        let in_order = is_in_order(seen.lease.as_ref(), &seen.me, ledger.token);
        if in_order && held.is_some() {
            return;
        }
        let Some(claims) = &seen.claims else { return self.wake(Duration::from_millis(50)) };
        let named = seen.lease.as_ref().is_some_and(|lease| lease.is_held_by(&seen.me));
        if let Some(other) = claims.iter().find(|claim| claim.trading && !named) {
            let text = format!("{} says that it may be trading on account {} too", other.bot.place(), seen.name);
            self.account_lost = Some(text);
            return;
        }
        self.write_account(ledger.token, ledger.lease_duration, ledger.on_api_server_loss, AccountWrite::Restore);
    }
}

impl AccountView {
    fn unknown(name: String) -> Self {
        Self {
            name,
            state: AccountState::Waiting,
            holder: None,
            epoch: Epoch(0),
            since: None,
            lease_duration: Duration::ZERO,
            on_api_server_loss: OnApiServerLoss::Stop,
        }
    }

    fn waiting(lease: &AccountRecord) -> Self {
        let holder = match &lease.holder {
            Holder::Bot(bot) => Some(bot.clone()),
            Holder::Nobody | Holder::Unreadable => None,
        };
        Self {
            since: lease.since.filter(|_| holder.is_some()),
            holder,
            epoch: lease.epoch.filter(|epoch| epoch.is_plausible()).unwrap_or_default(),
            // As the status has it: a wait may be too long, never too short.
            lease_duration: Duration::from_secs(
                lease.lease_duration.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX),
            ),
            on_api_server_loss: lease.on_api_server_loss,
            ..Self::unknown(lease.name.clone())
        }
    }

    /// Who holds the account, and what to do about it.
    pub fn sentence(&self) -> String {
        let name = &self.name;
        let since = self.since.map(|at| format!(" since {at}")).unwrap_or_default();
        match (&self.holder, self.state) {
            (_, AccountState::Held) => format!("This bot holds account {name}{since}."),
            (Some(bot), AccountState::Waiting) => {
                let place = bot.place();
                format!("Account {name} is held by {place}{since}; {}", advice(&place))
            }
            (None, AccountState::Waiting) => format!("Nobody holds account {name}."),
        }
    }
}

fn advice(place: &str) -> String {
    format!("this bot trades when it is given back: suspend or delete {place}.")
}
