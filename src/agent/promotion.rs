//! What the promote hook came to, until the epoch ends.

use tracing::info;

use super::hooks::HookFailure;
use crate::core::ids::Epoch;
use crate::core::shutdown::{PROMOTE, StepReport};
use crate::core::time::Mono;

/// The promote hook of this pod. Only what it came to in the last epoch is known.
#[derive(Default)]
pub(super) struct Promotion {
    epoch: Epoch,
    ended: Option<StepReport>,
    /// Since when it runs.
    running: Option<Mono>,
}

impl Promotion {
    /// The hook is called in this epoch, again where the process was started again.
    pub(super) fn begin(&mut self, epoch: Epoch, now: Mono) {
        if self.epoch != epoch {
            self.ended = None;
        }
        (self.epoch, self.running) = (epoch, Some(now));
    }

    /// The hook that runs has ended.
    pub(super) fn end(&mut self, result: Result<(), HookFailure>, now: Mono) {
        let Some(since) = self.running.take() else { return };
        let report = HookFailure::report(PROMOTE, result, now.surely_elapsed_since(since));
        if report.message.is_empty() {
            info!("The promote hook succeeded within {} ms.", report.milliseconds);
        }
        self.ended = Some(report);
    }

    /// Everything is stopped or killed, also the hook, if it runs.
    pub(super) fn abandon(&mut self, now: Mono) {
        let sentence =
            "the promote hook was ended, because the bot's process had ended or had to be stopped.".to_owned();
        self.end(Err(HookFailure { timed_out: false, sentence }), now);
    }

    /// What it came to when it last ended in this epoch.
    pub(super) fn report(&self, epoch: Epoch) -> Option<StepReport> {
        self.ended.clone().filter(|_| self.epoch == epoch)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::core::shutdown::StepResult;

    fn at(millis: u64) -> Mono {
        Mono::both(0).plus(Duration::from_millis(millis))
    }

    fn told(of: &Promotion, epoch: u64) -> Option<(StepResult, u64)> {
        of.report(Epoch(epoch)).map(|report| (report.result, report.milliseconds))
    }

    #[test]
    fn nothing_is_said_before_the_hook_has_ended_nor_of_another_epoch() {
        let mut promotion = Promotion::default();
        promotion.begin(Epoch(3), at(0));
        assert_eq!(told(&promotion, 3), None);
        promotion.end(Ok(()), at(20));
        assert_eq!((told(&promotion, 3), told(&promotion, 4)), (Some((StepResult::Succeeded, 20)), None));
        promotion.begin(Epoch(4), at(30));
        assert_eq!((told(&promotion, 3), told(&promotion, 4)), (None, None));
    }

    #[test]
    fn a_hook_that_is_ended_with_its_bot_has_failed_and_may_succeed_when_it_is_called_again() {
        let mut promotion = Promotion::default();
        promotion.begin(Epoch(3), at(0));
        promotion.abandon(at(7));
        promotion.abandon(at(9));
        assert_eq!(told(&promotion, 3), Some((StepResult::Failed, 7)));
        assert_eq!(promotion.report(Epoch(3)).unwrap().name, "promote");
        promotion.begin(Epoch(3), at(10));
        assert_eq!(told(&promotion, 3), Some((StepResult::Failed, 7)), "it has not ended yet");
        promotion.end(Ok(()), at(11));
        assert_eq!(told(&promotion, 3), Some((StepResult::Succeeded, 1)));
    }

    #[test]
    fn a_hook_that_does_not_end_in_its_time_says_so() {
        let mut promotion = Promotion::default();
        promotion.begin(Epoch(3), at(0));
        let failure = HookFailure { timed_out: true, sentence: "the promote hook did not end.".into() };
        promotion.end(Err(failure), at(5_001));
        let report = promotion.report(Epoch(3)).unwrap();
        assert_eq!((report.result, report.milliseconds), (StepResult::TimedOut, 5_001));
        assert_eq!(report.message, "the promote hook did not end.");
    }
}
