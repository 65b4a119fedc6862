//! What an agent does about checks that fail: the remedies that it has itself, one at a time, with a pause after each in
//! which the checks show whether it helped; then it stops the bot in good order and gives the Lease back, for whatever the
//! operator has left. And trading pauses while a check says so whose cause every pod would see alike.
//!
//! Nothing here starts or permits anything: it only ends processes, calls hooks, and gives up.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::messages::*;
use super::state::*;
use super::step::Machine;
use crate::core::health::{Check, Scope, Verdict};
use crate::core::recovery::Complaint;
use crate::core::time::Mono;

/// A process that is restarted because a check fails has this long to end by itself: it may hang.
const PATIENCE: Duration = Duration::from_secs(5);

/// What an agent does about checks that fail. Checks are named by their place in the list of all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Plan {
    /// The first rule that has a check which fails counts.
    pub rules: Vec<Rule>,
    /// Between two remedies.
    pub pause: Duration,
    /// So long after its last remedy a rule begins anew.
    pub period: Duration,
}

/// One rule, as far as an agent carries it out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// Its checks.
    pub checks: Vec<u8>,
    /// What is done, in order.
    pub remedies: Vec<OwnRemedy>,
}

/// What an agent can do about a check that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum OwnRemedy {
    /// End the bot's process and start it again, within the epoch.
    RestartProcess,
    /// Call this one of the recovery hooks.
    Hook(u8),
}

/// A remedy that is taken, and why.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Taken {
    /// What is done.
    pub remedy: OwnRemedy,
    /// By which rule, for which check, and what is wrong with it.
    pub complaint: Complaint,
}

/// What was done about checks that failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Recovery {
    /// How many remedies each rule has taken, and when the last.
    pub taken: BTreeMap<u8, (u8, Mono)>,
    /// No remedy before this time.
    pub not_before: Option<Mono>,
    /// A hook is under way.
    pub calling: bool,
    /// Trading pauses.
    pub paused: bool,
}

impl Machine<'_> {
    pub(super) fn recover(&mut self) {
        self.begin_anew();
        self.s.recovery.not_before = self.s.recovery.not_before.filter(|at| !self.now.has_possibly_reached(*at));
        let trades = matches!(self.stage(), Some(Stage::Promoting | Stage::Active));
        self.s.recovery.paused = trades && self.is_to_pause();
        if !self.is_promoted() {
            // Whatever ended it has abandoned the hook as well.
            self.s.recovery.calling = false;
            return;
        }
        match self.shared() {
            // When it is over, whatever it was the cause of needs a moment to be well again.
            Some(false) => self.s.recovery.not_before = Some(self.now.plus(self.setup.plan.pause)),
            Some(true) if !self.s.recovery.calling && self.s.recovery.not_before.is_none() => self.take_remedy(),
            Some(true) | None => {}
        }
    }

    /// The next remedy of the first rule that has a check which fails.
    fn take_remedy(&mut self) {
        let setup = self.setup;
        let failing = |rule: &Rule| self.failing().find(|(_, verdict)| rule.checks.contains(&verdict.check));
        let mut rules = (0..).zip(&setup.plan.rules);
        let Some((n, rule, (check, verdict))) = rules.find_map(|(n, rule)| Some((n, rule, failing(rule)?))) else {
            return;
        };
        let taken = self.s.recovery.taken.get(&n).map_or(0, |(count, _)| *count);
        let (check, error) = (check.name.clone(), verdict.error.clone());
        let complaint = Complaint { rule: rule.name.clone(), check, error };
        let Some(&remedy) = rule.remedies.get(usize::from(taken)) else {
            return self.begin_stop(Why::HealthFailed(complaint));
        };
        self.s.recovery.taken.insert(n, (taken + 1, self.now));
        self.s.recovery.not_before = Some(self.now.plus(setup.plan.pause));
        self.effects.push(Effect::Tell(Taken { remedy, complaint }));
        match remedy {
            OwnRemedy::RestartProcess => self.restart_process(),
            OwnRemedy::Hook(hook) => {
                self.s.recovery.calling = true;
                self.effects.push(Effect::Recover(hook));
            }
        }
    }

    /// The recovery hook ended, well or not: the checks tell whether it helped.
    pub(super) fn recovered(&mut self) {
        self.s.recovery.calling = false;
    }

    fn failing(&self) -> impl Iterator<Item = (&Check, &Verdict)> {
        self.s.health.failing(&self.setup.checks)
    }

    /// Whether what every pod would see alike is well; `None`: not known yet. Where it fails, or may be about to, it may
    /// be the cause of whatever else does, and nothing that is done here helps against it.
    fn shared(&self) -> Option<bool> {
        let running = self.s.health.running(&self.setup.checks).filter(|(_, check)| check.scope == Scope::Shared);
        let known = running.map(|(index, _)| self.s.health.verdict(index));
        let passes = known.map(|verdict| verdict.map(|v| !v.failing && !v.doubted)).collect::<Vec<_>>();
        if passes.contains(&Some(false)) {
            return Some(false);
        }
        (!passes.contains(&None)).then_some(true)
    }

    /// Trading that pauses goes on when every check that says so passes: while the process starts again, none is known.
    fn is_to_pause(&self) -> bool {
        let pausing = |check: &Check| check.pause_trading;
        let passes = |index| self.s.health.verdict(index).is_some_and(|verdict| !verdict.failing);
        let all_pass =
            || self.s.health.running(&self.setup.checks).all(|(index, check)| !pausing(check) || passes(index));
        let known = self.s.health.duty.is_some();
        self.failing().any(|(check, _)| pausing(check)) || (self.s.recovery.paused && !(known && all_pass()))
    }

    fn begin_anew(&mut self) {
        let (now, period) = (self.now, self.setup.plan.period);
        self.s.recovery.taken.retain(|_, (_, last)| now.surely_elapsed_since(*last) < period);
    }

    /// The process ends, with patience, and what follows its end starts it again.
    fn restart_process(&mut self) {
        if let Some(hold) = &mut self.s.hold {
            hold.stage = Stage::Promoting;
        }
        self.s.process = Process::Terminating(self.now.plus(self.setup.stop.min(PATIENCE)));
        self.effects.push(Effect::Signal);
    }
}

impl State {
    /// When a remedy may be taken that had to wait.
    pub(super) fn remedy_at(&self) -> Option<Mono> {
        let fails = self.health.verdicts.iter().any(|verdict| verdict.failing);
        let steady = matches!(&self.hold, Some(hold) if hold.stage == Stage::Active);
        self.recovery.not_before.filter(|_| fails && steady && !self.recovery.calling)
    }
}
