//! What a worker does between two rounds: it waits for a reason to look, and meanwhile follows the backups.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, warn};

use super::Worker;
use crate::controller::call::CallError;
use crate::controller::registry::Trigger;
use crate::runtime::clock;

/// After a round that did not get through, the first pause; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// After a write for a backup that did not get through.
const BACKUP_PAUSE: Duration = Duration::from_secs(5);
/// Between two looks at one silence.
const SILENCE_PAUSE: Duration = Duration::from_millis(100);

/// When to look again if nothing is reported.
#[derive(Clone, Copy, Debug, Default)]
pub struct Schedule {
    /// A time, and why.
    pub at: Option<(Instant, Trigger)>,
    /// Look when the Lease has not been renewed for this long.
    pub silence: Option<Duration>,
}

/// How a round ended.
pub enum Next {
    /// Nothing is to be done before a reason comes, or this.
    Wait(Schedule),
    /// Look again at once.
    Again,
    /// The bot is gone.
    Gone,
}

impl Next {
    /// With a timer that rings no later.
    pub fn no_later_than(self, after: Option<Duration>) -> Next {
        let Next::Wait(Schedule { at, silence }) = self else { return self };
        let timer = after.map(|after| (Instant::now() + after, Trigger::Timer));
        Next::Wait(Schedule { at: at.into_iter().chain(timer).min_by_key(|(at, _)| *at), silence })
    }
}

impl Worker {
    pub fn retry_after(&mut self, error: &CallError) {
        let pause = (FIRST_PAUSE * 2u32.saturating_pow(self.failures.min(10))).min(LONGEST_PAUSE);
        self.failures += 1;
        match error {
            // Somebody else wrote in between: nothing out of the ordinary.
            CallError::Conflict(_) if self.failures < 3 => debug!(%error, "looking again"),
            CallError::Unknown(_) => debug!(%error, ?pause, "looking again"),
            _ => warn!(%error, ?pause, "a round did not get through, trying again"),
        }
        self.schedule = Schedule { at: Some((Instant::now() + pause, Trigger::Retry)), silence: None };
    }

    /// Follows the backups while it waits: whatever it is doing for them, a reason to look ends it.
    pub async fn follow_and_wait(&mut self) -> BTreeSet<Trigger> {
        let Some((observed, record)) = self.follow.take() else { return self.wait().await };
        let mut backups = std::mem::take(&mut self.backups);
        let mut reasons = BTreeSet::new();
        let outcome = {
            let mut following = std::pin::pin!(backups.follow(&self.operator, &observed, &record));
            loop {
                tokio::select! {
                    biased;
                    more = self.wait() => reasons.extend(more),
                    outcome = &mut following => break Some(outcome),
                }
                // Its own writes to CronJobs are seen as children that changed, and can wait.
                if reasons.iter().any(|reason| *reason != Trigger::Child) {
                    break None;
                }
            }
        };
        self.backups = backups;
        let pause = match outcome {
            Some(Ok(true)) => Some(Duration::ZERO),
            Some(Err(error)) => {
                warn!(%error, "what the backups need did not get through, trying again");
                Some(BACKUP_PAUSE)
            }
            Some(Ok(false)) | None => None,
        };
        if !reasons.is_empty() {
            return reasons;
        }
        let again = pause.map(|pause| (Instant::now() + pause, Trigger::Retry));
        self.schedule.at = self.schedule.at.into_iter().chain(again).min_by_key(|(at, _)| *at);
        self.wait().await
    }

    /// Waits for a reason to look. Renewals move the silence alarm and are none.
    async fn wait(&self) -> BTreeSet<Trigger> {
        let at = async {
            match self.schedule.at {
                Some((at, trigger)) => {
                    tokio::time::sleep_until(at).await;
                    trigger
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            reasons = self.wake.reasons() => reasons,
            trigger = at => BTreeSet::from([trigger]),
            () = self.silence() => BTreeSet::from([Trigger::Silence]),
        }
    }

    /// Ends when the Lease has not changed for as long as the last decision named.
    async fn silence(&self) {
        let Some(limit) = self.schedule.silence else { return std::future::pending().await };
        // A silence that was looked at already is looked at again, but not in a circle.
        tokio::time::sleep(SILENCE_PAUSE).await;
        while let Some(left) = limit.checked_sub(self.silent_for()).filter(|left| !left.is_zero()) {
            tokio::time::sleep(left).await;
        }
    }

    /// Since the last change of the Lease that the watch or a round has seen.
    fn silent_for(&self) -> Duration {
        let now = clock::mono();
        let watched = self.operator.world.sightings.of(&self.key);
        let seen = watched.iter().chain(&self.memory.sighting);
        seen.map(|s| now.surely_elapsed_since(s.at)).min().unwrap_or_default()
    }
}
