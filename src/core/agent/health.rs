//! What the checks are about, and what they came to.

use super::state::*;
use super::step::Machine;
use crate::core::health::{Duty, Verdict};

impl Machine<'_> {
    /// What the checks are about at present. A bot that starts or stops is not checked: hooks and the time to stop say
    /// how it fares. A `Warm` standby has no process; its checks are about what it will need.
    fn duty(&self) -> Option<Duty> {
        let runs = matches!(self.s.process, Process::Running { .. });
        match self.stage() {
            Some(Stage::Active) => runs.then_some(Duty::Active),
            None | Some(Stage::Claiming | Stage::Claimed) if !self.s.leaving => {
                (runs || !self.setup.hot).then_some(Duty::Standby)
            }
            _ => None,
        }
    }

    /// Begins a new round where the checks are about something else now.
    pub(super) fn check(&mut self) {
        if self.setup.checks.is_empty() {
            return;
        }
        let duty = self.duty();
        if duty != self.s.health.duty {
            self.s.health.duty = duty;
            self.s.health.round += 1;
            self.s.health.verdicts.clear();
        }
    }

    /// Verdicts of an earlier round are about a bot, or a role, that is no more.
    pub(super) fn checked(&mut self, round: u64, verdicts: Vec<Verdict>) {
        if round == self.s.health.round && self.s.health.duty.is_some() {
            self.s.health.verdicts = verdicts;
        }
    }
}
