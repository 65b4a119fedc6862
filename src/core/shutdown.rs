//! What the steps of an orderly stop came to, and the hook by which a bot is promoted.

use serde::{Deserialize, Serialize};

use super::ids::Epoch;
use super::time::Wall;

/// The most steps that a stop has: eight of `spec.lifecycle.shutdown`, and the demote hook.
pub const MOST_STEPS: usize = 9;
/// The name under which the demote hook is reported, after the steps.
pub const DEMOTE: &str = "demote";
/// The name under which the promote hook is reported.
pub const PROMOTE: &str = "promote";

/// One step of a stop, or the promote hook, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct StepReport {
    /// Its name in spec.lifecycle.shutdown; demote for the hook spec.hooks.demote, which follows them; promote for
    /// spec.hooks.promote.
    pub name: String,
    /// What became of it.
    pub result: StepResult,
    /// How long it took; 0 where it never began.
    pub milliseconds: u64,
    /// Why it did not succeed, a sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum StepResult {
    /// Exit code 0, or a 2xx answer.
    Succeeded,
    /// It did not do what it should, or everything was killed while it ran.
    Failed,
    /// It did not end in its time.
    TimedOut,
    /// It never began, because the bot had ended or had to be stopped at once.
    Skipped,
}

impl StepResult {
    /// The word in status and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            StepResult::Succeeded => "Succeeded",
            StepResult::Failed => "Failed",
            StepResult::TimedOut => "TimedOut",
            StepResult::Skipped => "Skipped",
        }
    }
}

/// The last stop of a bot that had steps, whatever it was for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Shutdown {
    /// When the operator learnt that the bot had stopped.
    pub at: Wall,
    /// The pod that stopped.
    pub pod: String,
    /// The epoch that ended.
    pub epoch: Epoch,
    /// Its steps, in order.
    pub steps: Vec<StepReport>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_shown_as_it_is_written() {
        for result in [StepResult::Succeeded, StepResult::Failed, StepResult::TimedOut, StepResult::Skipped] {
            assert_eq!(serde_json::to_value(result).unwrap(), result.as_str());
        }
    }
}
