//! What was done about checks that failed in this epoch, and whether it helped: for the Lease, and so for the status.

use std::collections::VecDeque;

use tracing::{info, warn};

use super::hooks::HookFailure;
use crate::core::agent::{OwnRemedy, Setup, Stage, State, Taken, Why};
use crate::core::ids::Epoch;
use crate::core::recovery::{MOST_REMEDIES, Remedy, RemedyReport, RemedyResult, told};
use crate::core::time::Wall;

/// The last remedies of the epoch that is held.
#[derive(Default)]
pub(super) struct Remedies {
    epoch: Epoch,
    /// Oldest first, with the rule's place in the plan.
    taken: VecDeque<(u8, RemedyReport)>,
}

impl Remedies {
    /// One is taken. The one before it of the same rule has not helped.
    pub(super) fn take(&mut self, setup: &Setup, taken: Taken, now: Wall) {
        let rule = setup.plan.rules.get(usize::from(taken.rule)).map(|rule| rule.name.clone()).unwrap_or_default();
        let (remedy, what) = match taken.remedy {
            OwnRemedy::RestartProcess => (Remedy::RestartProcess, "the bot's process is ended and started again"),
            OwnRemedy::Hook(_) => (Remedy::Hook, "a recovery hook is called"),
        };
        warn!("The check {} of the rule {rule} fails, and {what}: {}", taken.check, taken.error);
        self.settle(taken.rule, RemedyResult::DidNotHelp);
        if self.taken.len() == MOST_REMEDIES {
            self.taken.pop_front();
        }
        let report = RemedyReport {
            time: now.to_string(),
            rule,
            remedy,
            check: taken.check,
            result: RemedyResult::Unknown,
            message: taken.error,
        };
        self.taken.push_back((taken.rule, report));
    }

    /// The hook ended that was called last. Whether it helped the checks tell; why it failed people want to know.
    pub(super) fn called(&mut self, result: Result<(), HookFailure>) {
        let Err(HookFailure { sentence, .. }) = result else { return };
        warn!("{sentence}");
        if let Some((_, last)) = self.taken.back_mut().filter(|(_, last)| last.remedy == Remedy::Hook) {
            last.message = format!("{} Then {sentence}", last.message);
        }
    }

    /// Looks at what the checks say after a step of the agent.
    pub(super) fn look(&mut self, setup: &Setup, state: &State) {
        let Some(hold) = &state.hold else { return };
        if hold.epoch != self.epoch {
            self.epoch = hold.epoch;
            self.taken.clear();
        }
        let undecided = self.taken.iter().filter(|(_, report)| report.result == RemedyResult::Unknown);
        let rules: Vec<u8> = undecided.map(|(rule, _)| *rule).collect();
        for index in rules {
            let Some(rule) = setup.plan.rules.get(usize::from(index)) else { continue };
            let passes = |check: &u8| state.health.verdict(*check).is_some_and(|verdict| !verdict.failing);
            match &hold.stage {
                Stage::Active if rule.checks.iter().all(passes) => {
                    info!("What was done by the rule {} has helped.", rule.name);
                    self.settle(index, RemedyResult::Helped);
                }
                Stage::Stopping(Why::HealthFailed(complaint)) if complaint.rule == rule.name => {
                    self.settle(index, RemedyResult::DidNotHelp);
                }
                _ => {}
            }
        }
    }

    /// What the Lease says of them.
    pub(super) fn text(&self) -> String {
        told(&self.taken.iter().map(|(_, report)| report.clone()).collect::<Vec<_>>())
    }

    fn settle(&mut self, rule: u8, result: RemedyResult) {
        let undecided = |report: &RemedyReport| report.result == RemedyResult::Unknown;
        for (_, report) in self.taken.iter_mut().filter(|(of, report)| *of == rule && undecided(report)) {
            report.result = result;
        }
    }
}
