//! What a person reads about an agent: its steps as log lines, and why a pod is not ready.

use tracing::{error, info, warn};

use crate::core::agent::{Hold, Process, Setup, Stage, State};
use crate::core::health::{Scope, fails, has_not_passed};

/// Says what a step changed. Renewals are not worth a word.
pub(super) fn changes(before: &State, after: &State) {
    pauses(before, after);
    let stage = |state: &State| state.hold.as_ref().map(|hold| (hold.epoch, hold.stage.clone()));
    if stage(before) == stage(after) {
        return;
    }
    match (&before.hold, &after.hold) {
        (_, Some(hold)) => entered(before.hold.as_ref(), hold),
        (Some(Hold { epoch, stage: Stage::Stopping(_), .. }), None) => {
            info!("Epoch {epoch} is over, the Lease is released.")
        }
        (Some(Hold { epoch, .. }), None) => info!("Epoch {epoch} is over for this pod."),
        (None, None) => {}
    }
}

fn pauses(before: &State, after: &State) {
    match (before.recovery.paused, after.recovery.paused) {
        (false, true) => warn!("Trading pauses until a cause that every pod would see alike is gone."),
        (true, false) => info!("Trading does not pause any more."),
        _ => {}
    }
}

fn entered(before: Option<&Hold>, hold: &Hold) {
    let Hold { epoch, token, terms, .. } = hold;
    match &hold.stage {
        Stage::Claiming => info!("Granted epoch {epoch}, fencing token {token}; taking the Lease up."),
        Stage::Claimed => info!("Holding the Lease in epoch {epoch}; waiting for the permit to trade."),
        Stage::Promoting if before.is_some_and(|before| before.restarts < hold.restarts) => {
            warn!("The bot's process ended; restart {} in place.", hold.restarts);
        }
        Stage::Promoting if before.is_some_and(|before| before.stage == Stage::Active) => {}
        Stage::Promoting => info!("Permitted to trade in epoch {epoch}; starting."),
        Stage::Active => info!("Trading in epoch {epoch}."),
        Stage::Stopping(why) => warn!("Stopping for good in epoch {epoch}. {why}"),
        Stage::Lost => error!("The Lease of epoch {epoch} is another's; killing every process at once."),
        Stage::Clearing(boot) => {
            let seconds = terms.lease_duration.as_secs();
            info!(
                "The boot {boot} of this pod still holds epoch {epoch} and is dead; releasing for it ({seconds} s lease)."
            );
        }
    }
}

/// Why this pod is not ready, as far as its own state tells. `problem`: why the process does not run.
pub(super) fn unready(setup: &Setup, state: &State, problem: Option<&str>) -> Option<String> {
    if state.leaving {
        return Some("The pod is being stopped.".into());
    }
    let runs = matches!(state.process, Process::Running { .. });
    match state.hold.as_ref().map(|hold| &hold.stage) {
        Some(Stage::Active) => failing(setup, state),
        Some(Stage::Promoting) => Some("The bot is being started and promoted.".into()),
        Some(Stage::Stopping(why)) => Some(format!("The bot is being stopped. {why}")),
        Some(Stage::Lost) => Some("The Lease is another's; the bot is being killed.".into()),
        Some(Stage::Clearing(_)) => Some("The Lease of an earlier container is being released.".into()),
        _ if !state.seen => Some("The Lease was not read yet.".into()),
        _ if setup.hot && !runs => Some(match problem {
            Some(problem) => format!("The standby's process does not run: {problem}"),
            None => "The standby's process does not run yet.".into(),
        }),
        None | Some(Stage::Claiming | Stage::Claimed) => failing(setup, state).or_else(|| not_known(setup, state)),
    }
}

/// A check of this pod that keeps it from being ready. What every pod would see alike does not: no other is better.
fn failing(setup: &Setup, state: &State) -> Option<String> {
    let mut failing = state.health.failing(&setup.checks);
    let (check, verdict) = failing.find(|(check, _)| check.critical && check.scope == Scope::Pod)?;
    Some(fails(&check.name, verdict.since, &verdict.error))
}

/// A standby is ready to take over when its checks have passed.
fn not_known(setup: &Setup, state: &State) -> Option<String> {
    let unknown = |index| state.health.verdict(index).is_none();
    let mut running = state.health.running(&setup.checks);
    let (_, check) = running.find(|(index, check)| check.critical && check.scope == Scope::Pod && unknown(*index))?;
    Some(has_not_passed(&check.name))
}
