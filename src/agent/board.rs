//! What there is to tell about an agent: to the bot by the local API, to the kubelet by the probes.

use std::time::Duration;

use super::narrate;
use crate::core::agent::{Leadership, Role, Setup, State, deadline, leadership};
use crate::core::health::Duty;
use crate::core::lease::OnApiServerLoss;
use crate::core::time::Mono;

/// A standby that has not heard from the API server for this long is not ready to take over.
const STALE: Duration = Duration::from_secs(15);

/// What there is to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Board {
    /// For the bot.
    pub leadership: Leadership,
    /// For how long the bot holds its permit; it may trade unless trading pauses.
    pub validity: Validity,
    /// Why this pod is not ready, a sentence.
    pub unready: Option<String>,
    /// Since when the API server could not be reached.
    pub lost_since: Option<Mono>,
    /// What the checks are about.
    pub duty: Option<Duty>,
    /// Grows with every change of `duty`.
    pub round: u64,
}

/// For how long a bot holds its permit to trade if nothing more is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// It does not.
    None,
    /// Until then.
    Until(Mono),
    /// Until it is told otherwise (`onApiServerLoss: Continue`), which always leaves it at least this long.
    AtLeast(Duration),
}

impl Validity {
    /// For the bot of an agent in this state.
    pub(super) fn of(state: &State) -> Validity {
        let Some(hold) = state.hold.as_ref().filter(|_| leadership(state).role.is_permitted()) else {
            return Validity::None;
        };
        match deadline(state) {
            Some(end) => Validity::Until(end),
            None if hold.terms.on_api_server_loss == OnApiServerLoss::Continue => {
                Validity::AtLeast(hold.terms.lease_duration)
            }
            None => Validity::None,
        }
    }
}

impl Board {
    /// Of an agent in this state. `problem`: why the bot's process does not run.
    pub(super) fn of(setup: &Setup, state: &State, problem: Option<&str>, lost_since: Option<Mono>) -> Board {
        Board {
            leadership: leadership(state),
            validity: Validity::of(state),
            unready: narrate::unready(setup, state, problem),
            lost_since,
            duty: state.health.duty,
            round: state.health.round,
        }
    }

    /// For how long the bot may trade, from `now`.
    pub(super) fn validity_milliseconds(&self, now: Mono) -> u64 {
        if self.leadership.role == Role::Active { self.held_milliseconds(now) } else { 0 }
    }

    /// For how long the bot holds its permit, from `now`, whether trading pauses or not.
    pub(super) fn held_milliseconds(&self, now: Mono) -> u64 {
        let left = match self.validity {
            Validity::None => Duration::ZERO,
            Validity::AtLeast(time) => time,
            Validity::Until(end) => {
                Duration::from_nanos(end.first.saturating_sub(now.first).min(end.second.saturating_sub(now.second)))
            }
        };
        u64::try_from(left.as_millis()).unwrap_or(u64::MAX)
    }

    /// Why this pod is not ready at this time, a sentence.
    pub fn unready_at(&self, now: Mono) -> Option<String> {
        let waits = matches!(self.leadership.role, Role::Standby | Role::Candidate);
        let silent = self.lost_since.map(|since| now.possibly_elapsed_since(since));
        match silent.filter(|silent| waits && *silent > STALE) {
            Some(silent) => Some(format!("The API server was not reached for {} s.", silent.as_secs())),
            None => self.unready.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::ids::{Epoch, FencingToken};

    const NOW: Mono = Mono::both(1_000_000_000_000);

    fn board(role: Role, silent: Duration) -> Board {
        Board {
            leadership: Leadership { role, epoch: Epoch(1), token: FencingToken(1) },
            validity: Validity::Until(NOW.plus(Duration::from_secs(9))),
            unready: None,
            lost_since: Some(NOW.minus(silent)),
            duty: None,
            round: 0,
        }
    }

    #[test]
    fn only_a_standby_and_only_after_a_while_is_not_ready_because_the_api_server_is_away() {
        assert_eq!(board(Role::Standby, Duration::from_secs(14)).unready_at(NOW), None);
        let why = board(Role::Standby, Duration::from_secs(16)).unready_at(NOW);
        assert_eq!(why.as_deref(), Some("The API server was not reached for 16 s."));
        assert_eq!(board(Role::Active, Duration::from_secs(600)).unready_at(NOW), None);
    }

    #[test]
    fn validity_runs_out_and_never_below_zero() {
        let mut board = board(Role::Active, Duration::ZERO);
        assert_eq!(board.validity_milliseconds(NOW), 9_000);
        board.validity = Validity::Until(NOW.minus(Duration::from_secs(1)));
        assert_eq!(board.validity_milliseconds(NOW), 0);
        board.validity = Validity::AtLeast(Duration::from_secs(10));
        assert_eq!(board.validity_milliseconds(NOW), 10_000);
    }
}
