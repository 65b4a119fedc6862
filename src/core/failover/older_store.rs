//! The cluster's store was put back to an older state: what it says of tokens and holders may be long past (design,
//! rule 2).

use super::decide::Round;
use super::types::*;
use crate::core::ids::FencingToken;
use crate::core::lease::LeaseRecord;
use crate::core::silence::required_silence;
use crate::core::time::Wall;

impl Round<'_> {
    /// After a restore every bot counts as possibly trading and gets the full wait (design, rule 2).
    pub fn waits_after_restore(&mut self) -> bool {
        let agreed = self.record.trading.as_ref().map(|l| l.lease_duration).unwrap_or_default();
        let before = self.record.account.as_ref().map(|view| view.lease_duration).unwrap_or_default();
        let needed = required_silence(self.spec.terms.lease_duration.max(agreed).max(before));
        let since = self.seen.restored_at.map(|at| self.now.surely_elapsed_since(at));
        let Some(left) = since.and_then(|since| needed.checked_sub(since)).filter(|left| !left.is_zero()) else {
            return false;
        };
        self.wake(left);
        self.say(
            Phase::Fencing,
            "The cluster's store was restored from an older state, so somebody may trade whom it does not know. The full \
             wait is running.",
        );
        true
    }

    /// Whether this was granted before the store was restored: somebody may have traded meanwhile with a later token, of
    /// which nothing is known any more. The next one is of now, and so later than all of them (design, rule 2).
    pub fn is_from_before_restore(&self, lease: &LeaseRecord) -> bool {
        let Some(at) = self.seen.restored_at else { return false };
        let since = u64::try_from(self.now.surely_elapsed_since(at).as_millis()).unwrap_or(u64::MAX);
        let restored = Wall(self.seen.wall.0.saturating_sub(since));
        lease.token.unwrap_or_default() < FencingToken::next(FencingToken::default(), restored)
    }

    /// Whether whoever has taken this grant up may have been permitted to trade since, which the store has forgotten: its
    /// renewals go on being stored. Where nobody has taken it up, whoever did so later cannot renew any more.
    pub fn is_claim_from_before_restore(&self, lease: &LeaseRecord) -> bool {
        lease.boot.is_some() && self.is_from_before_restore(lease)
    }
}
