//! From single runs of a check to a verdict.

use std::time::Duration;

use super::{Check, Verdict};
use crate::core::time::Wall;

/// A check that does not pass is not run more often than this, however short its timeout.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);

/// What the runs of a check come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Standing {
    /// Not enough runs yet.
    #[default]
    Unknown,
    /// It passes.
    Passing,
    /// It fails.
    Failing,
}

impl Standing {
    /// As the endpoints and the status spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Standing::Unknown => "Unknown",
            Standing::Passing => "Passing",
            Standing::Failing => "Failing",
        }
    }
}

/// How one check stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct CheckState {
    /// What its runs come to.
    pub standing: Standing,
    /// Since when.
    pub since: Wall,
    /// So many runs in a row speak against `standing`: failures, or where it fails successes.
    pub run: u32,
    /// Why the last run failed, a sentence; `None` where it succeeded or there was none.
    pub error: Option<String>,
    /// Why the run failed with which it began to fail: told, because the next one often has the same reason in other
    /// words, such as an age in seconds.
    pub cause: String,
    /// How long the last run took that succeeded.
    pub latency: Option<Duration>,
}

impl CheckState {
    /// Of a check that begins to run at this time.
    pub fn new(at: Wall) -> CheckState {
        CheckState { since: at, ..CheckState::default() }
    }
}

/// The state after one more run. `result`: how long it took, or why it failed, a sentence. `in_grace`: the bot was started,
/// or took its role, less than the check's grace ago.
pub fn probed(
    check: &Check,
    before: CheckState,
    result: Result<Duration, String>,
    in_grace: bool,
    at: Wall,
) -> CheckState {
    let mut state = before;
    let succeeded = result.is_ok();
    match result {
        Ok(took) => (state.error, state.latency) = (None, Some(took)),
        Err(sentence) => state.error = Some(sentence),
    }
    let (threshold, next) = match (state.standing, succeeded) {
        // What the bot has to show first is that it came up at all, and one success shows that.
        (Standing::Unknown, true) => (1, Standing::Passing),
        (Standing::Unknown, false) if in_grace => {
            state.run = 0;
            return state;
        }
        (Standing::Unknown | Standing::Passing, false) => (check.failure_threshold, Standing::Failing),
        (Standing::Failing, true) => (check.success_threshold, Standing::Passing),
        (Standing::Passing, true) | (Standing::Failing, false) => {
            state.run = 0;
            return state;
        }
    };
    state.run = state.run.saturating_add(1);
    if state.run >= threshold {
        (state.standing, state.since, state.run) = (next, at, 0);
        state.cause = state.error.clone().unwrap_or_default();
    }
    state
}

/// How long after the beginning of a run the next one begins. A check that passes waits for its period; where that is in
/// doubt only for its timeout, so that a fault, and its end, are known soon.
pub fn due_after(check: &Check, state: &CheckState) -> Duration {
    if state.standing == Standing::Passing && state.run == 0 {
        check.period
    } else {
        check.timeout.max(SHORTEST_PAUSE).min(check.period)
    }
}

/// The verdicts of all checks that have one.
pub fn verdicts<'a>(states: impl IntoIterator<Item = (u8, &'a CheckState)>) -> Vec<Verdict> {
    let known = states.into_iter().filter(|(_, state)| state.standing != Standing::Unknown);
    known
        .map(|(check, state)| {
            let failing = state.standing == Standing::Failing;
            let doubted = !failing && state.run > 0;
            Verdict { check, failing, doubted, since: state.since, error: state.cause.clone() }
        })
        .collect()
}
