//! Deliberate mistakes, each of which some test has to catch: what shows that the model, the simulation and the faults
//! on the real cluster can find anything at all.
//!
//! Without the feature `wrong`, which no product is built with, [`is`] is a constant and nothing of this is left in the
//! program.

use std::fmt;
use std::str::FromStr;

/// A mistake that was made somewhere in this field, or nearly by us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Wrong {
    /// The operator believes the `renewTime` that the Lease carries, by its own wall clock (rule 12).
    ExpiryByWallClock = 1,
    /// The agent's deadline counts from when the answer came, not from when the request was sent (rule 8).
    DeadlineFromReply,
    /// A grant overwrites whatever the Lease has become (rule 3).
    GrantWithoutVersion,
    /// The next epoch is `leaseTransitions` + 1, which starts anew with a Lease that was deleted (rule 2).
    EpochFromTransitions,
    /// A candidate may trade before its reconciliation succeeded (rule 5).
    PermitBeforeJob,
    /// Renewals do not pin holder, boot and epoch, but write them (rule 7).
    RenewalWithoutTest,
    /// A pod object that is gone counts as evidence (rule 11).
    PodGoneAsEvidence,
    /// Only the bot's own process group is killed at the deadline (rule 8).
    GuardOnProcessGroup,
    /// A restarted operator takes up the expiry timer where it was (rule 12).
    TimerKeptOverRestart,
    /// The Lease that is decided on comes from the watch, not from a live read (rule 12).
    DecisionFromCache,
    /// Jobs are named by bot alone, so that one of an older epoch counts (rule 5).
    JobNameWithoutEpoch,
    /// A write that timed out is sent again over whatever is there, without a read (rule 3).
    UnknownWriteRetried,
    /// Renewals write the same value again (rule 7).
    RenewalRepeatsValue,
    /// A grant on expiry uses the version just read, not the one whose sighting started the timer (rule 3).
    ExpiryGrantWithFreshVersion,
    /// Any end of a pod's container counts as the end of the boot that trades (rule 11).
    TerminatedWithoutBoot,
    /// An agent that began to stop starts again when it sees the permit once more (rule 4).
    PermitReplayed,
}

impl Wrong {
    /// All of them.
    pub const ALL: [Wrong; 16] = [
        Wrong::ExpiryByWallClock,
        Wrong::DeadlineFromReply,
        Wrong::GrantWithoutVersion,
        Wrong::EpochFromTransitions,
        Wrong::PermitBeforeJob,
        Wrong::RenewalWithoutTest,
        Wrong::PodGoneAsEvidence,
        Wrong::GuardOnProcessGroup,
        Wrong::TimerKeptOverRestart,
        Wrong::DecisionFromCache,
        Wrong::JobNameWithoutEpoch,
        Wrong::UnknownWriteRetried,
        Wrong::RenewalRepeatsValue,
        Wrong::ExpiryGrantWithFreshVersion,
        Wrong::TerminatedWithoutBoot,
        Wrong::PermitReplayed,
    ];

    /// Its name where it is asked for and where it is told of.
    pub fn as_str(self) -> &'static str {
        match self {
            Wrong::ExpiryByWallClock => "expiry-by-wall-clock",
            Wrong::DeadlineFromReply => "deadline-from-reply",
            Wrong::GrantWithoutVersion => "grant-without-version",
            Wrong::EpochFromTransitions => "epoch-from-transitions",
            Wrong::PermitBeforeJob => "permit-before-job",
            Wrong::RenewalWithoutTest => "renewal-without-test",
            Wrong::PodGoneAsEvidence => "pod-gone-as-evidence",
            Wrong::GuardOnProcessGroup => "guard-on-process-group",
            Wrong::TimerKeptOverRestart => "timer-kept-over-restart",
            Wrong::DecisionFromCache => "decision-from-cache",
            Wrong::JobNameWithoutEpoch => "job-name-without-epoch",
            Wrong::UnknownWriteRetried => "unknown-write-retried",
            Wrong::RenewalRepeatsValue => "renewal-repeats-value",
            Wrong::ExpiryGrantWithFreshVersion => "expiry-grant-with-fresh-version",
            Wrong::TerminatedWithoutBoot => "terminated-without-boot",
            Wrong::PermitReplayed => "permit-replayed",
        }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Wrong {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Wrong::ALL.into_iter().find(|wrong| wrong.as_str() == name).ok_or_else(|| {
            let names = Wrong::ALL.map(Wrong::as_str).join(", ");
            format!("There is no deliberate mistake '{name}'; there are: {names}.")
        })
    }
}

/// Whether this build makes the mistake.
#[cfg(not(feature = "wrong"))]
pub const fn is(_: Wrong) -> bool {
    false
}

#[cfg(feature = "wrong")]
pub use chosen::{choose, choose_named, is};

#[cfg(feature = "wrong")]
mod chosen {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::Wrong;

    static CHOSEN: AtomicU8 = AtomicU8::new(0);

    /// Makes this mistake from now on, everywhere in the process, or none.
    pub fn choose(wrong: Option<Wrong>) {
        CHOSEN.store(wrong.map_or(0, |wrong| wrong as u8), Ordering::Relaxed);
    }

    /// The same by name, for programs: the value of `TRADINGBOT_WRONG`, where it is set.
    ///
    /// # Panics
    /// Where there is no mistake of this name: what was to be caught would not be made.
    pub fn choose_named(name: Option<String>) {
        choose(name.map(|name| name.parse().unwrap_or_else(|unknown: String| panic!("TRADINGBOT_WRONG: {unknown}"))));
    }

    /// Whether this process makes the mistake.
    pub fn is(wrong: Wrong) -> bool {
        CHOSEN.load(Ordering::Relaxed) == wrong as u8
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_mistake_has_a_name_of_its_own_and_is_found_by_it() {
        let names: BTreeSet<_> = Wrong::ALL.iter().map(|wrong| wrong.as_str()).collect();
        assert_eq!(names.len(), Wrong::ALL.len());
        for wrong in Wrong::ALL {
            assert_eq!(wrong.to_string().parse(), Ok(wrong));
        }
        assert!("two-bots".parse::<Wrong>().unwrap_err().contains("permit-replayed"));
    }

    #[cfg(not(feature = "wrong"))]
    #[test]
    fn a_product_makes_none() {
        assert!(Wrong::ALL.into_iter().all(|wrong| !is(wrong)));
    }
}
