//! What the steps of a stop came to, until it is written down with the release.

use tracing::{info, warn};

use super::hooks::HookFailure;
use crate::api::agent_config::AgentConfig;
use crate::core::ids::Epoch;
use crate::core::shutdown::{StepReport, StepResult};
use crate::core::time::Mono;

/// The steps of this pod's stops. Only those of the last epoch that ended are known.
pub(super) struct Shutdown {
    names: Vec<String>,
    epoch: Epoch,
    ended: Vec<StepReport>,
    /// Since when the next one runs.
    running: Option<Mono>,
}

impl Shutdown {
    /// Of an agent with this configuration.
    pub(super) fn new(config: &AgentConfig) -> Shutdown {
        let names = config.stop_steps().map(|(name, _)| name.to_owned()).collect();
        Shutdown { names, epoch: Epoch(0), ended: Vec::new(), running: None }
    }

    /// A step of the stop that ends this epoch begins.
    pub(super) fn begin(&mut self, epoch: Epoch, now: Mono) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.ended.clear();
        }
        self.running = Some(now);
    }

    /// The step that runs has ended.
    pub(super) fn end(&mut self, result: Result<(), HookFailure>, now: Mono) {
        let (Some(since), Some(name)) = (self.running.take(), self.names.get(self.ended.len())) else { return };
        let report = HookFailure::report(name, result, now.surely_elapsed_since(since));
        match report.result {
            StepResult::Succeeded => {
                info!("Stopping: the step {name} succeeded within {} ms.", report.milliseconds);
            }
            _ => warn!("Stopping all the same: {}", report.message),
        }
        self.ended.push(report);
    }

    /// Everything is killed, also the step that runs, if one does.
    pub(super) fn abandon(&mut self, now: Mono) {
        if let (Some(_), Some(name)) = (self.running, self.names.get(self.ended.len())) {
            let sentence = format!(
                "the {name} hook was ended, because the bot's process had ended or everything had to be stopped at once."
            );
            self.end(Err(HookFailure { timed_out: false, sentence }), now);
        }
    }

    /// What all steps of the stop that ended this epoch came to; those that never began were skipped.
    pub(super) fn report(&self, epoch: Epoch) -> Vec<StepReport> {
        let ended = if self.epoch == epoch { self.ended.as_slice() } else { &[] };
        let skipped = self.names.iter().skip(ended.len()).map(|name| StepReport {
            name: name.clone(),
            result: StepResult::Skipped,
            milliseconds: 0,
            message: String::new(),
        });
        ended.iter().cloned().chain(skipped).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn three() -> Shutdown {
        let names = ["pause", "cancel", "demote"].map(str::to_owned).to_vec();
        Shutdown { names, epoch: Epoch(0), ended: Vec::new(), running: None }
    }

    fn at(millis: u64) -> Mono {
        Mono::both(0).plus(Duration::from_millis(millis))
    }

    fn results(of: &Shutdown, epoch: u64) -> Vec<(String, StepResult, u64)> {
        of.report(Epoch(epoch)).into_iter().map(|step| (step.name, step.result, step.milliseconds)).collect()
    }

    fn failure(timed_out: bool) -> Result<(), HookFailure> {
        Err(HookFailure { timed_out, sentence: "the hook said no.".into() })
    }

    #[test]
    fn every_step_is_reported_by_name_with_what_it_came_to() {
        let mut steps = three();
        steps.begin(Epoch(3), at(0));
        steps.end(failure(false), at(5));
        steps.begin(Epoch(3), at(5));
        steps.end(failure(true), at(1_005));
        steps.begin(Epoch(3), at(1_005));
        steps.end(Ok(()), at(1_025));
        assert_eq!(
            results(&steps, 3),
            [
                ("pause".into(), StepResult::Failed, 5),
                ("cancel".into(), StepResult::TimedOut, 1_000),
                ("demote".into(), StepResult::Succeeded, 20),
            ]
        );
        assert_eq!(steps.report(Epoch(3))[0].message, "the hook said no.");
    }

    #[test]
    fn a_step_that_is_killed_has_failed_and_those_after_it_are_skipped() {
        let mut steps = three();
        steps.begin(Epoch(3), at(0));
        steps.end(Ok(()), at(1));
        steps.begin(Epoch(3), at(1));
        steps.abandon(at(7));
        steps.abandon(at(9));
        assert_eq!(
            results(&steps, 3),
            [
                ("pause".into(), StepResult::Succeeded, 1),
                ("cancel".into(), StepResult::Failed, 6),
                ("demote".into(), StepResult::Skipped, 0),
            ]
        );
    }

    #[test]
    fn a_stop_without_its_steps_says_so_and_nothing_of_the_one_before() {
        let mut steps = three();
        steps.begin(Epoch(3), at(0));
        steps.end(Ok(()), at(1));
        assert!(steps.report(Epoch(4)).iter().all(|step| step.result == StepResult::Skipped));
        steps.begin(Epoch(4), at(2));
        assert_eq!(results(&steps, 4)[0].1, StepResult::Skipped, "it has not ended yet");
        // An answer that nobody waits for any more.
        steps.abandon(at(3));
        steps.end(Ok(()), at(4));
        assert_eq!(results(&steps, 4)[1].1, StepResult::Skipped);
    }
}
