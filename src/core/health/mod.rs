//! Health checks, as decisions: when a check is due, what its results come to, and what a Lease and a status say of them.
//!
//! The agent runs the checks (`agent::health`) and keeps a [`CheckState`] of each. What comes of them is told to the core
//! as [`Verdict`]s, on changes only.

mod decimal;
mod json_path;
mod moment;
mod note;
mod probe;
#[cfg(test)]
pub(crate) mod tests;

pub use decimal::Decimal;
pub use json_path::JsonPath;
pub use moment::{Age, age, moment};
pub use note::{LONGEST_NOTE, Noted, note, noted};
pub use probe::{CheckState, Standing, due_after, probed, verdicts};

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::time::Wall;

/// Why a check that fails speaks against a pod or its bot, a sentence. `since`: in UTC.
pub fn fails(check: &str, since: impl fmt::Display, why: &str) -> String {
    format!("Check {check} fails since {since}: {why}")
}

/// The same of one that is not known to pass.
pub fn has_not_passed(check: &str) -> String {
    format!("Check {check} has not passed yet.")
}

/// How many checks a bot may have, so that an index fits into a byte and a note of all of them into an annotation.
pub const MOST_CHECKS: usize = 16;

/// What the core has to know of a check; the target itself is the shell's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Check {
    /// Its name, unique within a bot.
    pub name: String,
    /// From the beginning of one run to the next, while it passes.
    pub period: Duration,
    /// How long one run may take, and the pause between two runs while it does not pass.
    pub timeout: Duration,
    /// So many failures in a row and it fails.
    pub failure_threshold: u32,
    /// So many successes in a row and it passes again.
    pub success_threshold: u32,
    /// Until it has passed once, failures do not count for so long after the bot was started or took its role.
    pub startup_grace: Duration,
    /// Whether the pod is healthy depends on it.
    pub critical: bool,
    /// In which role it runs.
    pub applies_to: AppliesTo,
    /// Whether every pod would see the same.
    pub scope: Scope,
    /// Trading pauses while it fails; only where every pod would see the same.
    pub pause_trading: bool,
}

/// In which roles a check runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum AppliesTo {
    /// Where the bot trades.
    #[default]
    Active,
    /// Where it waits to.
    Standby,
    /// In both.
    Both,
}

/// Who would see a check fail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Scope {
    /// This pod, so that another may do better.
    #[default]
    Pod,
    /// Every pod alike, as when the exchange is down: moving trading would help nobody.
    Shared,
}

/// What a pod does that checks are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Duty {
    /// It waits to take over; a `Hot` standby's process runs.
    Standby,
    /// Its bot trades.
    Active,
}

impl AppliesTo {
    /// Whether a check with this runs in that role.
    pub fn includes(self, duty: Duty) -> bool {
        matches!(
            (self, duty),
            (AppliesTo::Both, _) | (AppliesTo::Active, Duty::Active) | (AppliesTo::Standby, Duty::Standby)
        )
    }
}

/// What the runs of one check came to. A check without one is not known yet: it has not run often enough since the bot
/// was started or took its role.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Verdict {
    /// The check, by its index in [`crate::core::agent::Setup::checks`].
    pub check: u8,
    /// It fails; otherwise it passes.
    pub failing: bool,
    /// It passes, and its last run failed.
    pub doubted: bool,
    /// Since when, by the agent's wall clock.
    pub since: Wall,
    /// Why the run failed with which it began to fail, a sentence; empty where it passes.
    pub error: String,
}

/// What an agent remembers of its checks. Everything is as at the start where it has none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Health {
    /// What the checks are about at present; `None`: nothing that could be checked, as while a bot starts or stops.
    pub duty: Option<Duty>,
    /// Counts the changes of `duty`: verdicts of an earlier round are of a bot, or a role, that is no more.
    pub round: u64,
    /// What the checks of this round came to, by index.
    pub verdicts: Vec<Verdict>,
}

impl Health {
    /// What is known of a check.
    pub fn verdict(&self, check: u8) -> Option<&Verdict> {
        self.verdicts.iter().find(|verdict| verdict.check == check)
    }

    /// The checks that fail, with what is known of them.
    pub fn failing<'a>(&'a self, checks: &'a [Check]) -> impl Iterator<Item = (&'a Check, &'a Verdict)> {
        let failing = self.verdicts.iter().filter(|verdict| verdict.failing);
        failing.filter_map(|verdict| Some((checks.get(usize::from(verdict.check))?, verdict)))
    }

    /// The checks that run at present.
    pub fn running<'a>(&self, checks: &'a [Check]) -> impl Iterator<Item = (u8, &'a Check)> + use<'a> {
        let duty = self.duty;
        let numbered = checks.iter().take(MOST_CHECKS).enumerate();
        numbered
            .filter(move |(_, check)| duty.is_some_and(|duty| check.applies_to.includes(duty)))
            .filter_map(|(index, check)| Some((u8::try_from(index).ok()?, check)))
    }
}
