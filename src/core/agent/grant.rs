//! What a sight of the Lease means for the grant that this boot holds, or might take up.

use super::messages::*;
use super::state::*;
use super::step::Machine;
use crate::core::ids::Epoch;
use crate::core::lease::{AgentState, LeaseRecord, Permit, Revoke, Terms};
use crate::core::silence::GUARD;
use crate::core::wrong::{self, Wrong};

/// Whether terms can be kept at all. A grant with others is not taken up.
pub fn can_be_kept(terms: &Terms) -> bool {
    !terms.renew_period.is_zero()
        && terms.renew_period < terms.renew_deadline
        && terms.renew_deadline < terms.lease_duration
        && terms.lease_duration > GUARD
}

impl Machine<'_> {
    /// `fresh`: read after everything that this agent has written, so that it cannot be older than our own writes.
    pub(super) fn seen(&mut self, record: Option<LeaseRecord>, fresh: bool) {
        self.s.seen = true;
        let Some(record) = record else { return self.absent() };
        if self.s.hold.is_some() {
            self.compare(&record, fresh);
        }
        if self.s.hold.is_none() {
            self.offered(record);
        }
    }

    pub(super) fn wrote(&mut self, number: u64, outcome: Outcome) {
        if self.s.in_flight != Some(number) {
            return;
        }
        self.s.in_flight = None;
        match outcome {
            Outcome::Answered(record) => self.seen(Some(record), true),
            Outcome::Refused(record) => self.seen(record, true),
            Outcome::Unknown => {}
        }
        let now = self.now;
        if let Some(hold) = &mut self.s.hold
            && hold.sent.is_some_and(|(sent, _)| sent == number)
        {
            hold.next_write = now.plus(hold.retry());
        }
    }

    /// There is no Lease. Writes will fail until there is one again; a holder goes by its deadlines.
    fn absent(&mut self) {
        match self.stage() {
            Some(Stage::Claiming | Stage::Clearing(_)) => self.forget(),
            Some(Stage::Stopping(_)) if self.s.process.is_gone() => self.forget(),
            _ => {}
        }
    }

    fn compare(&mut self, record: &LeaseRecord, fresh: bool) {
        let Some(hold) = &mut self.s.hold else { return };
        if !fresh && record.epoch.is_none_or(|epoch| epoch < hold.epoch) {
            return;
        }
        if record.holder.as_ref() != Some(&self.setup.pod) || record.epoch != Some(hold.epoch) {
            return self.taken();
        }
        match (&record.boot, &hold.stage) {
            (Some(boot), Stage::Clearing(earlier)) if boot == earlier => {}
            (Some(boot), Stage::Claiming | Stage::Claimed | Stage::Promoting | Stage::Active | Stage::Stopping(_))
                if *boot == self.setup.boot =>
            {
                self.ours(record);
            }
            // The operator permits a boot that it knows: somebody else wrote this, and may take it back.
            (None, Stage::Claiming) if record.effective_permit() == Permit::Trade => self.taken(),
            (None, Stage::Claiming) => heed(hold, record),
            // Read before our claim was stored.
            (None, _) if !fresh => {}
            // The claim of an earlier boot was stored before ours.
            (Some(boot), Stage::Claiming) if boot.pod_uid == self.setup.pod.uid => {
                hold.stage = Stage::Clearing(boot.clone());
                hold.sent = None;
            }
            _ => self.taken(),
        }
    }

    /// The Lease names this boot in this epoch.
    fn ours(&mut self, record: &LeaseRecord) {
        let Some(hold) = &mut self.s.hold else { return };
        heed(hold, record);
        if wrong::is(Wrong::PermitReplayed) && record.permit == Some(Permit::Trade) {
            self.start_again();
        }
        let Some(hold) = &mut self.s.hold else { return };
        let value = |number: u64| format!("{}/{number}", self.setup.boot);
        let proven = hold.sent.filter(|(number, _)| record.renew == value(*number));
        if let Some((_, sent_at)) = proven {
            hold.renewed = Some(if wrong::is(Wrong::DeadlineFromReply) { self.now } else { sent_at });
            hold.sent = None;
            if matches!(hold.stage, Stage::Claiming) {
                hold.stage = Stage::Claimed;
            }
        } else if matches!(hold.stage, Stage::Claiming) {
            // An earlier claim of ours was stored; when it was sent is no longer known, so renew at once.
            hold.stage = Stage::Claimed;
            hold.sent = None;
            hold.next_write = self.now;
        }
    }

    /// What [`Wrong::PermitReplayed`] does.
    fn start_again(&mut self) {
        let Some(hold) = self.s.hold.as_mut().filter(|hold| matches!(hold.stage, Stage::Stopping(_))) else { return };
        (hold.stage, hold.permit) = (Stage::Claimed, Permit::Trade);
        if self.s.process.is_gone() {
            self.s.process = Process::Gone;
        }
    }

    /// The Lease is not this boot's any more, if it ever was.
    fn taken(&mut self) {
        let Some(hold) = &mut self.s.hold else { return };
        match hold.stage {
            // A candidate was never told to trade; its standby may stay.
            Stage::Claiming | Stage::Claimed | Stage::Clearing(_) => self.forget(),
            _ if self.s.process.is_gone() => self.forget(),
            _ => {
                hold.stage = Stage::Lost;
                self.s.in_flight = None;
                self.sweep(Next::Rest);
            }
        }
    }

    /// The epoch is over for this boot.
    pub(super) fn forget(&mut self) {
        let Some(hold) = self.s.hold.take() else { return };
        self.s.over = self.s.over.max(Some(hold.epoch));
        self.s.in_flight = None;
        match self.s.process {
            Process::Draining | Process::Drained => self.s.process = Process::Gone,
            Process::Sweeping(Next::Drain) => self.s.process = Process::Sweeping(Next::Rest),
            _ => {}
        }
    }

    /// Nothing is held: is this a grant to take up, or one to clear?
    fn offered(&mut self, record: LeaseRecord) {
        let permit = record.effective_permit();
        let (Some(epoch), Some(token), Some(terms)) = (record.epoch, record.token, record.terms) else { return };
        if self.s.leaving || self.s.over.is_some_and(|over| epoch <= over) || epoch == Epoch(0) {
            return;
        }
        if record.holder.as_ref() != Some(&self.setup.pod) {
            return;
        }
        let stage = match record.boot {
            // The permit to trade is given to a known boot alone: without one, somebody else wrote this Lease.
            None if permit == Permit::Prepare && can_be_kept(&terms) => Stage::Claiming,
            Some(boot) if boot.pod_uid == self.setup.pod.uid && boot != self.setup.boot => Stage::Clearing(boot),
            _ => return,
        };
        self.s.hold = Some(Hold {
            epoch,
            token,
            terms,
            permit,
            revoke: Revoke::Graceful,
            stage,
            renewed: None,
            sent: None,
            told: AgentState::Unknown,
            next_write: self.now,
            restarts: 0,
            traded: false,
        });
    }
}

/// Permits only advance, and `Now` is not taken back.
fn heed(hold: &mut Hold, record: &LeaseRecord) {
    let permit = record.effective_permit();
    hold.permit = hold.permit.max(permit);
    if permit == Permit::Revoke && record.revoke == Revoke::Now {
        hold.revoke = Revoke::Now;
    }
}
