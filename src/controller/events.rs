//! Events on transitions. One that cannot be published is lost and fails nothing.

use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder};
use tokio::task::JoinSet;
use tracing::debug;

use crate::core::account::BotRef;
use crate::core::failover::{AccountState, Phase, Record, RestoreOutcome, RestoreStep};
use crate::core::shutdown::{Shutdown, StepResult};

/// What is worth telling about the step from one record to the next, oldest first.
pub fn between(before: &Record, after: &Record) -> Vec<Event> {
    let mut events = Vec::new();
    let mut tell = |type_, reason: &str, note: String| {
        events.push(Event {
            type_,
            reason: reason.to_owned(),
            // The recorder folds events that differ in their note alone; the epoch keeps one move apart from the next.
            action: format!("Epoch{}", after.epoch),
            note: Some(note),
            secondary: None,
        });
    };
    // What was a mere doubt at first may turn out to have had a reason.
    let why = |record: &Record| record.current.as_ref().map(|m| (m.suspected, m.reason));
    if let Some(current) = &after.current
        && why(before) != why(after)
    {
        let kind =
            if after.trading.is_some() || current.from.is_some() { EventType::Warning } else { EventType::Normal };
        tell(kind, &format!("{:?}", current.reason), current.message.clone());
    }
    if let (Some(ledger), Some(current)) = (&before.trading, &after.current)
        && after.trading.is_none()
        && let Some(evidence) = current.evidence
    {
        let note = format!("{} is known not to trade any more; the evidence is {evidence:?}.", ledger.pod.name);
        tell(EventType::Normal, "Fenced", note);
    }
    shutdown(before, after, &mut tell);
    if after.epoch > before.epoch
        && let Some(to) = after.current.as_ref().and_then(|m| m.to.as_ref())
    {
        tell(EventType::Normal, "Elected", format!("{} is granted the Lease in epoch {}.", to.name, after.epoch));
    }
    if let Some(done) = after.history.first()
        && before.history.first().map(|m| m.epoch) != Some(done.epoch)
        && let (Some(to), Some(active)) = (&done.to, done.active)
    {
        let took = active.millis_since(done.suspected);
        tell(EventType::Normal, "Trading", format!("{} trades in epoch {}, after {took} ms.", to.name, done.epoch));
    }
    if after.blocked.is_some() && before.blocked != after.blocked {
        tell(EventType::Warning, &format!("{:?}", after.phase), after.message.clone());
    }
    account(before, after, &mut tell);
    restore(before, after, &mut tell);
    if after.phase == Phase::Suspended && before.phase != Phase::Suspended {
        tell(EventType::Normal, "Suspended", after.message.clone());
    }
    events
}

/// That not all steps of a stop succeeded.
fn shutdown(before: &Record, after: &Record, tell: &mut impl FnMut(EventType, &str, String)) {
    let Some(Shutdown { at: _, pod, epoch, steps }) = &after.last_shutdown else { return };
    if before.last_shutdown.as_ref().is_some_and(|earlier| earlier.epoch == *epoch) {
        return;
    }
    let unfinished = steps.iter().filter(|step| step.result != StepResult::Succeeded);
    let unfinished: Vec<_> = unfinished.map(|step| format!("{} {}", step.name, step.result.as_str())).collect();
    if !unfinished.is_empty() {
        let note = format!(
            "{pod} has stopped in epoch {epoch}, but not all of its steps succeeded: {}. See status.lastShutdown.",
            unfinished.join(", ")
        );
        tell(EventType::Warning, "ShutdownIncomplete", note);
    }
}

/// How far a restore has come.
fn restore(before: &Record, after: &Record, tell: &mut impl FnMut(EventType, &str, String)) {
    let Some(now) = &after.restore else { return };
    let old = before.restore.as_ref().filter(|old| old.operation_uid == now.operation_uid);
    if old.is_none() {
        let note = format!("{} asks for a restore; the backup is read in full first.", now.operation);
        tell(EventType::Normal, "RestoreStarted", note);
    }
    if let (Some(RestoreOutcome::Failed(why)), None) = (&now.outcome, old.and_then(|old| old.outcome.as_ref())) {
        tell(EventType::Warning, "RestoreFailed", why.clone());
    }
    let was_put_back = now.step == RestoreStep::Resuming && now.outcome.is_none();
    if was_put_back && old.is_some_and(|old| old.step != RestoreStep::Resuming) {
        let id = now.id.as_ref().map(ToString::to_string).unwrap_or_default();
        tell(EventType::Normal, "Restored", format!("Backup {id} was put back; the bot is to trade again."));
    }
}

/// What became of the bot's account.
fn account(before: &Record, after: &Record, tell: &mut impl FnMut(EventType, &str, String)) {
    let held = |record: &Record| record.account.clone().filter(|view| view.state == AccountState::Held);
    match (held(before), held(after)) {
        (None, Some(now)) => {
            let from = before.account.as_ref().and_then(|view| view.holder.as_ref()).map(BotRef::place);
            let before_us = from.map(|place| format!(" after {place}")).unwrap_or_default();
            tell(EventType::Normal, "AccountTaken", format!("This bot holds account {}{before_us}.", now.name));
        }
        (Some(old), None) => {
            let note = format!("Account {} is given back; another bot may take it.", old.name);
            tell(EventType::Normal, "AccountReleased", note);
        }
        (Some(old), Some(now)) if old.epoch != now.epoch && before.trading.is_some() && before.epoch == after.epoch => {
            let note = format!(
                "The Lease of account {} did not say that this bot holds it, although somebody may trade; it was \
                 written again. No other bot was permitted to trade.",
                now.name
            );
            tell(EventType::Warning, "AccountRestored", note);
        }
        _ => {}
    }
}

/// Publishes Events in the background, for as long as it or a clone of it is there.
#[derive(Clone)]
pub struct Publisher {
    recorder: Recorder,
    tasks: Arc<Mutex<JoinSet<()>>>,
}

impl Publisher {
    /// With this recorder.
    pub fn new(recorder: Recorder) -> Self {
        Self { recorder, tasks: Arc::default() }
    }

    /// Publishes these about an object, one after the other.
    pub fn publish(&self, about: &ObjectReference, events: Vec<Event>) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        // What ended is forgotten.
        while tasks.try_join_next().is_some() {}
        if events.is_empty() {
            return;
        }
        let (recorder, about) = (self.recorder.clone(), about.clone());
        tasks.spawn(async move {
            for mut event in events {
                // The API refuses notes above 1 kB.
                event.note = event.note.map(|note| note.chars().take(900).collect());
                if let Err(error) = recorder.publish(&event, &about).await {
                    debug!(%error, reason = event.reason, "an Event was not published");
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::failover::{Block, Move, Reason, Restore, Trigger};
    use crate::core::ids::{Epoch, PodRef};
    use crate::core::shutdown::StepReport;
    use crate::core::time::Wall;

    fn reasons(before: &Record, after: &Record) -> Vec<String> {
        between(before, after).into_iter().map(|e| e.reason).collect()
    }

    /// A move from doge-0 to doge-1 that is under way.
    fn started() -> Move {
        let pod = |n: u32| PodRef { name: format!("doge-{n}"), uid: format!("u{n}") };
        Move {
            epoch: Epoch(2),
            trigger: Trigger::Automatic,
            reason: Reason::ProcessExited,
            message: "The process ended.".into(),
            evidence: None,
            confirmed_by: None,
            from: Some(pod(0)),
            to: Some(pod(1)),
            wanted: None,
            approved: false,
            attempts: 0,
            tried: vec![],
            suspected: Wall(5),
            fenced: None,
            elected: None,
            reconciled: None,
            active: None,
            shutdown: Vec::new(),
            promote_hook: None,
            report: None,
            recovery: None,
        }
    }

    #[test]
    fn a_stop_whose_steps_did_not_all_succeed_is_told_once() {
        let stopped = |epoch, result| {
            let step =
                |name: &str, result| StepReport { name: name.into(), result, milliseconds: 7, message: String::new() };
            let steps = vec![step("cancel-orders", StepResult::Succeeded), step("flush", result)];
            let stop = Shutdown { at: Wall(3), pod: "doge-0".into(), epoch: Epoch(epoch), steps };
            Record { last_shutdown: Some(stop), ..Record::default() }
        };
        let (well, badly) = (stopped(1, StepResult::Succeeded), stopped(2, StepResult::TimedOut));
        assert!(reasons(&Record::default(), &well).is_empty());
        assert_eq!(reasons(&well, &badly), ["ShutdownIncomplete"]);
        let note = between(&well, &badly)[0].note.clone().unwrap();
        assert!(
            note.contains("doge-0 has stopped in epoch 2, but not all") && note.contains(": flush TimedOut."),
            "{note}"
        );
        assert!(reasons(&badly, &badly).is_empty());
    }

    #[test]
    fn why_it_ended_is_told_also_where_it_was_noticed_before_the_agent_said_so() {
        let current = |reason, message: &str| Move { reason, message: message.into(), ..started() };
        let record = |current| Record { current: Some(current), ..Record::default() };
        let noticed = record(current(Reason::LeaseNotRenewed, "The agent of doge-0 is stopping the bot."));
        let said = record(current(Reason::HealthFailed, "the check price of the rule blind fails: No answer."));
        let events = between(&noticed, &said);
        assert_eq!(events.iter().map(|event| &*event.reason).collect::<Vec<_>>(), ["HealthFailed"]);
        assert_eq!(events[0].note.as_deref(), Some("the check price of the rule blind fails: No answer."));
        assert!(reasons(&said, &said).is_empty());
    }

    #[test]
    fn a_failover_is_told_step_by_step_and_nothing_twice() {
        let current = started();
        let before = Record { epoch: Epoch(1), ..Record::default() };
        let moving = Record { epoch: Epoch(2), current: Some(current.clone()), ..before.clone() };
        assert_eq!(reasons(&before, &moving), ["ProcessExited", "Elected"]);
        assert!(reasons(&moving, &moving).is_empty());
        let done = Move { active: Some(Wall(9)), ..current };
        let trading = Record { current: None, history: vec![done], ..moving.clone() };
        assert_eq!(reasons(&moving, &trading), ["Trading"]);
        let restore = |step, outcome| Restore {
            operation: "r".into(),
            operation_uid: "u".into(),
            step,
            id: None,
            slot: 0,
            target_changed: false,
            outcome,
        };
        let at = |step, outcome| Record { restore: Some(restore(step, outcome)), ..moving.clone() };
        let (checking, restoring) = (at(RestoreStep::Checking, None), at(RestoreStep::Restoring, None));
        assert_eq!(reasons(&moving, &checking), ["RestoreStarted"]);
        assert!(reasons(&checking, &restoring).is_empty());
        assert_eq!(reasons(&restoring, &at(RestoreStep::Resuming, None)), ["Restored"]);
        let failed = at(RestoreStep::Broken, Some(RestoreOutcome::Failed("No.".into())));
        assert_eq!(reasons(&restoring, &failed), ["RestoreFailed"]);
        assert!(reasons(&failed, &failed).is_empty());
        let blocked = Record { blocked: Some(Block::RateLimited), phase: Phase::Maintenance, ..moving.clone() };
        assert_eq!(reasons(&moving, &blocked), ["Maintenance"]);
    }
}
