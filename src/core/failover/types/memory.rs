//! What one operator process remembers of a bot. Losing it only makes waits start again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::record::RestoreStep;
use crate::core::account::BotRef;
use crate::core::ids::{Epoch, FencingToken};
use crate::core::silence::Sighting;
use crate::core::time::Mono;

/// What this operator process remembers of one bot. Losing it only makes waits start again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Memory {
    /// The Lease's version as last seen, and since when. Kept up by watch and live reads alike.
    pub sighting: Option<Sighting>,
    /// The version that our own fencing write left behind, after the wait for this epoch was over.
    pub fenced_version: Option<(Epoch, String)>,
    /// Since when the present steps have been waited for.
    pub steps: BTreeMap<Step, Mono>,
    /// When a candidate was last granted the Lease.
    pub last_grant: Option<Mono>,
    /// Since when Jobs have been known that were not seen to have ended, and the longest deadline that they may have
    /// been given.
    pub unfinished_jobs: BTreeMap<FencingToken, (Mono, Duration)>,
    /// Which of them were seen to be there.
    pub jobs_seen: BTreeSet<FencingToken>,
    /// Jobs that are there and were seen to have ended: that stays so when nothing is left to tell it.
    pub jobs_over: BTreeSet<FencingToken>,
    /// Since when lost pods, by uid, have been reported ready on a living node.
    pub seen_alive: BTreeMap<String, Mono>,
    /// Lost pods, by uid, that were reported not ready, or on a node that was, after they were lost.
    pub seen_unready: BTreeSet<String>,
    /// Since when the check of the restore by this operation is waited for.
    pub restore_check: Option<(String, Mono)>,
    /// Since when Jobs that put a backup back, by the uids of their operations, have been known that were not seen to
    /// have ended, and the longest deadline that they may have been given.
    pub unfinished_restores: BTreeMap<String, (Mono, Duration)>,
    /// The step that the operation of a restore was last told.
    pub told_restore: Option<(String, RestoreStep)>,
    /// The own Lease of the bot that is said to hold our account, as last seen, and since when.
    pub holder_sighting: Option<(BotRef, Sighting)>,
    /// A vanished holder of our account whose Lease was removed at the version whose silence was waited out.
    pub holder_removed: Option<BotRef>,
}

/// A step with a deadline of its own, by epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// The candidate shall take the Lease up.
    Claim(Epoch),
    /// The reconciliation shall end.
    Reconcile(Epoch),
    /// The bot shall trade.
    Promote(Epoch),
    /// The active shall release.
    Stop(Epoch),
    /// The active shall release, it was told to stop at once.
    StopNow(Epoch),
    /// The pod that gave this epoch back shall be ready to take the next one.
    Return(Epoch),
    /// Somebody shall be there to grant to, or the account is given up.
    KeepAccount(Epoch),
    /// The Job of a restore shall be there.
    MakeRestore(Epoch),
    /// The bot that the account's Lease names shall say in its status that it holds the account.
    ClaimAccount(Epoch),
}
