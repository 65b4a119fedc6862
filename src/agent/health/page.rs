//! What is told of the checks to whoever asks over HTTP.

use std::sync::Arc;

use serde::Serialize;
use tokio::sync::watch;

use super::States;
use crate::agent::board::Board;
use crate::core::health::{Check, CheckState, Standing, fails, has_not_passed};
use crate::core::time::Mono;

/// The checks and how they stand.
#[derive(Clone)]
pub(in crate::agent) struct Checks {
    checks: Arc<[Check]>,
    states: watch::Receiver<States>,
}

/// Everything that is known.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::agent) struct Page {
    /// Whether nothing critical speaks against this pod.
    pub(in crate::agent) healthy: bool,
    role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    checks: Vec<Entry>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    name: String,
    state: &'static str,
    since: String,
    critical: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_milliseconds: Option<f64>,
}

impl Checks {
    pub(super) fn new(checks: Vec<Check>, states: watch::Receiver<States>) -> Checks {
        Checks { checks: checks.into(), states }
    }

    /// Why this pod is not healthy, a sentence: it cannot serve its role, or a critical check of that role does not pass.
    pub(in crate::agent) fn unhealthy(&self, board: &Board, now: Mono) -> Option<String> {
        if let Some(why) = board.unready_at(now) {
            return Some(why);
        }
        let states = self.states.borrow();
        let mut known = states.iter().filter_map(|(index, state)| Some((self.checks.get(usize::from(*index))?, state)));
        let (check, state) = known.find(|(check, state)| check.critical && state.standing != Standing::Passing)?;
        Some(match state.standing {
            Standing::Failing => fails(&check.name, state.since, &state.cause),
            Standing::Unknown | Standing::Passing => has_not_passed(&check.name),
        })
    }

    /// Everything that is known of the checks that run at present.
    pub(in crate::agent) fn page(&self, board: &Board, now: Mono) -> Page {
        let message = self.unhealthy(board, now);
        let states = self.states.borrow();
        let entries = states.iter().filter_map(|(index, state)| {
            let CheckState { standing, since, run: _, error, cause: _, latency } = state;
            let check = self.checks.get(usize::from(*index))?;
            Some(Entry {
                name: check.name.clone(),
                state: standing.as_str(),
                since: since.to_string(),
                critical: check.critical,
                error: error.clone(),
                latency_milliseconds: latency.map(|took| took.as_secs_f64() * 1_000.0),
            })
        });
        Page { healthy: message.is_none(), role: board.leadership.role.as_str(), message, checks: entries.collect() }
    }
}
