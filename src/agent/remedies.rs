//! What was done about checks that failed in this epoch, and whether it helped: for the Lease, and so for the status.

use tracing::{info, warn};

use super::hooks::HookFailure;
use crate::core::agent::{OwnRemedy, Setup, Stage, State, Taken, Why};
use crate::core::ids::Epoch;
use crate::core::recovery::{Complaint, MOST_REMEDIES, Remedy, RemedyReport, RemedyResult, told};
use crate::core::time::Wall;

/// The last remedies of the epoch that is held.
#[derive(Default)]
pub(super) struct Remedies {
    epoch: Epoch,
    /// Oldest first.
    taken: Vec<RemedyReport>,
}

impl Remedies {
    /// One is taken. The one before it of the same rule has not helped.
    pub(super) fn take(&mut self, taken: Taken, now: Wall) {
        let (remedy, what) = match taken.remedy {
            OwnRemedy::RestartProcess => (Remedy::RestartProcess, "the bot's process is ended and started again"),
            OwnRemedy::Hook(_) => (Remedy::Hook, "a recovery hook is called"),
        };
        let Complaint { rule, check, error } = taken.complaint;
        warn!("The check {check} of the rule {rule} fails, and {what}: {error}");
        self.settle(&rule, RemedyResult::DidNotHelp);
        if self.taken.len() == MOST_REMEDIES {
            self.taken.remove(0);
        }
        let (time, result) = (now.to_string(), RemedyResult::Unknown);
        self.taken.push(RemedyReport { time, rule, remedy, check, result, message: error });
    }

    /// The hook ended that was called last. Whether it helped the checks tell; why it failed people want to know.
    pub(super) fn called(&mut self, result: Result<(), HookFailure>) {
        let Err(HookFailure { sentence, .. }) = result else { return };
        warn!("{sentence}");
        if let Some(last) = self.taken.last_mut().filter(|last| last.remedy == Remedy::Hook) {
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
        if !self.taken.iter().any(is_undecided) {
            return;
        }
        let passes = |check: &u8| state.health.verdict(*check).is_some_and(|verdict| !verdict.failing);
        for rule in &setup.plan.rules {
            match &hold.stage {
                Stage::Active if rule.checks.iter().all(passes) => self.settle(&rule.name, RemedyResult::Helped),
                Stage::Stopping(Why::HealthFailed(complaint)) if complaint.rule == rule.name => {
                    self.settle(&rule.name, RemedyResult::DidNotHelp);
                }
                _ => {}
            }
        }
    }

    /// What the Lease says of them.
    pub(super) fn text(&self) -> String {
        told(&self.taken)
    }

    fn settle(&mut self, rule: &str, result: RemedyResult) {
        for report in self.taken.iter_mut().filter(|report| report.rule == rule && is_undecided(report)) {
            report.result = result;
            if result == RemedyResult::Helped {
                info!("What was done by the rule {rule} has helped.");
            }
        }
    }
}

fn is_undecided(report: &RemedyReport) -> bool {
    report.result == RemedyResult::Unknown
}
