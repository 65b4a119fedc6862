//! What the operator decides: who is granted the Lease, who may trade, and when an epoch is over.
//!
//! [`decide`] is the only entry: it takes the resource's spec, what was written down about it ([`Record`], which is
//! the status), what this operator remembers ([`Memory`], lost at a restart, which costs time and never safety), and
//! what was just read live ([`Observation`]). It answers with the next record, the writes to make in order, and when
//! to look again. Every write is a compare-and-swap; the first one that does not plainly succeed ends the round, and
//! the next round starts from a fresh observation.

mod account;
mod candidate;
mod decide;
mod elect;
mod evidence;
mod incumbent;
mod older_store;
mod operations;
mod recovery;
mod restore;
mod slots;
#[cfg(test)]
mod tests;
mod types;
mod vanished;

pub use account::needs_claims;
pub use decide::decide;
pub use slots::last_slot;
pub use types::*;
