//! A backup is put back while nobody trades, because a person asked for it.
//!
//! `Checking`: a Job reads the whole backup while the bot trades on. `Stopping`: the active stops, nobody is granted
//! anything any more, and the Job that shall put the backup back is made, suspended. `Restoring`: that Job was seen to be
//! there, the status says that it may run, and only then it is let run. So a Job that is made twice, or late, never ran
//! before the status knew of it; and one that is missing afterwards may run on somewhere and is waited out. Nobody is
//! granted or permitted before it was seen to have ended, or its deadline has passed (as for reconciliations: design,
//! rule 5). `Resuming`: the pod whose volumes were restored is elected, and reconciles. `Broken`: the target may be half
//! old and half new, and nobody trades before another restore succeeds or a person says so. `Done`: the operation is
//! being told; then all of it is forgotten.

use std::time::Duration;

use super::decide::{JOB_GRACE, Round, UNKNOWN_JOB_DEADLINE};
use super::operations::Verdict;
use super::slots::last_slot;
use super::types::*;
use crate::core::ids::PodRef;
use crate::core::lease::Permit;

/// So long the Job of a restore may be refused before the restore is given up.
const CREATE_TIME: Duration = Duration::from_secs(60);

const ADVICE: &str = "What it was to overwrite may be half old and half new, so nobody trades. Restore again (kubectl \
                      tradingbot restore), or, where you know that it is as it should be, run: kubectl tradingbot \
                      failover";

impl Round<'_> {
    /// Since when Jobs that put a backup back are known that may still run: those that were seen not to have ended, and
    /// the one that the status says may run, also where it is missing or nobody reports its end.
    pub fn note_restores(&mut self) {
        let deadline = self.spec.restore.as_ref().map(|policy| policy.deadline);
        let (seen, now) = (self.seen, self.now);
        let applies = || seen.restores.iter().filter(|job| job.run == RestoreRun::Apply);
        let ended = |uid: &String| applies().any(|job| job.operation_uid == *uid && job.ended);
        let written = self.record.restore.as_ref().filter(|r| r.step == RestoreStep::Restoring);
        let mut unfinished: Vec<_> =
            written.map(|r| r.operation_uid.clone()).filter(|uid| !ended(uid)).into_iter().collect();
        unfinished.extend(applies().filter(|job| !job.ended && !job.suspended).map(|job| job.operation_uid.clone()));
        let since = &mut self.memory.unfinished_restores;
        since.retain(|uid, _| unfinished.contains(uid));
        for uid in unfinished {
            // One that is still suspended has its whole time before it, whenever it is let run. While the bot is being
            // deleted it is let run no more.
            let suspended = applies().any(|job| job.operation_uid == uid && job.suspended);
            let entry = since.entry(uid).or_insert((now, deadline.unwrap_or(UNKNOWN_JOB_DEADLINE)));
            if suspended && !self.spec.deleting {
                entry.0 = now;
            }
            // A deadline that was lowered since does not end a Job that was made before.
            entry.1 = deadline.map_or(entry.1, |deadline| deadline.max(entry.1));
        }
    }

    /// Whether a Job that puts a backup back may be running.
    pub fn restore_may_run(&self) -> bool {
        self.longest_restore().is_some()
    }

    /// How long one may still run, of those that may.
    fn longest_restore(&self) -> Option<Duration> {
        self.memory.unfinished_restores.keys().filter_map(|uid| self.time_left_of(uid)).max()
    }

    fn time_left_of(&self, operation_uid: &str) -> Option<Duration> {
        let (since, longest) = self.memory.unfinished_restores.get(operation_uid)?;
        let left = (*longest + JOB_GRACE).checked_sub(self.now.surely_elapsed_since(*since));
        left.filter(|left| !left.is_zero())
    }

    /// Whether nobody shall trade for the sake of a restore.
    pub fn restore_halts(&self) -> bool {
        self.record.restore.as_ref().is_some_and(|restore| match restore.step {
            RestoreStep::Checking => restore.target_changed,
            RestoreStep::Stopping | RestoreStep::Restoring | RestoreStep::Broken => true,
            RestoreStep::Resuming | RestoreStep::Done => false,
        })
    }

    /// Whether a restore that was asked for can begin.
    pub(super) fn judge_restore(&self, operation: &Operation) -> Verdict {
        if self.spec.deleting {
            return Verdict::Refuse("Deleting", "The bot is being deleted, so nothing is restored into it.".into());
        }
        let busy = || {
            let text = "Another operation on this bot is under way. Wait until it has ended, then ask again.";
            Verdict::Refuse("AnotherOperationRuns", text.into())
        };
        if self.record.operation.is_some() {
            return if self.operation_is_over() { Verdict::Wait } else { busy() };
        }
        let broken = match &self.record.restore {
            None => false,
            Some(restore) => match restore.step {
                RestoreStep::Broken | RestoreStep::Done if self.is_asked(restore) => return Verdict::Wait,
                RestoreStep::Broken => true,
                RestoreStep::Done => return Verdict::Wait,
                _ => return busy(),
            },
        };
        if self.spec.restore.is_none() {
            let text = "The bot has no spec.backup, which says where its backups are: set it, then ask again.";
            return Verdict::Refuse("NoBackup", text.into());
        }
        Verdict::Restore(Restore {
            operation: operation.name.clone(),
            operation_uid: operation.uid.clone(),
            step: RestoreStep::Checking,
            id: None,
            slot: last_slot(&self.record, &self.seen.pods),
            target_changed: broken,
            outcome: None,
        })
    }

    /// Why another operation cannot begin beside the restore; `None`: it can.
    pub(super) fn restore_forbids(&self) -> Option<Verdict> {
        let restore = self.record.restore.as_ref()?;
        match restore.step {
            RestoreStep::Broken if self.is_asked(restore) => Some(Verdict::Wait),
            RestoreStep::Resuming | RestoreStep::Broken | RestoreStep::Done => None,
            RestoreStep::Checking if !restore.target_changed => None,
            RestoreStep::Checking | RestoreStep::Stopping | RestoreStep::Restoring => {
                let text = format!(
                    "The restore by {} is under way. Wait until it has ended, then ask again.",
                    restore.operation
                );
                Some(Verdict::Refuse("AnotherOperationRuns", text))
            }
        }
    }

    /// A person forced a failover: what the restore still asked for does not count any more.
    pub(super) fn lift_restore(&mut self, by: &Operation) {
        let Some(restore) = &mut self.record.restore else { return };
        match restore.step {
            RestoreStep::Broken => self.record.restore = None,
            RestoreStep::Resuming => {
                let text = format!("{} {} decides who trades.", put_back(restore), by.name);
                restore.step = RestoreStep::Done;
                restore.outcome.get_or_insert(RestoreOutcome::Succeeded(text));
                if let Some(current) = self.record.current.as_mut().filter(|m| m.trigger == Trigger::Restore) {
                    current.from = None;
                }
            }
            _ => {}
        }
    }

    fn is_asked(&self, restore: &Restore) -> bool {
        self.seen.operations.iter().any(|o| o.uid == restore.operation_uid)
    }

    fn restore_job(&self, restore: &Restore, run: RestoreRun) -> Option<&RestoreJob> {
        self.seen.restores.iter().find(|job| job.run == run && job.operation_uid == restore.operation_uid)
    }

    /// What can be said of the restore whoever may be trading.
    pub fn follow_restore(&mut self) {
        let Some(restore) = self.record.restore.clone() else { return };
        let asked = self.is_asked(&restore);
        match restore.step {
            RestoreStep::Checking => self.follow_check(restore, asked),
            RestoreStep::Stopping => self.follow_stop(restore, asked),
            RestoreStep::Restoring => self.follow_apply(restore),
            RestoreStep::Resuming => self.resume_trading(&restore),
            RestoreStep::Broken | RestoreStep::Done => {}
        }
    }

    fn follow_check(&mut self, restore: Restore, asked: bool) {
        let why = match self.restore_job(&restore, RestoreRun::Check).map(|job| &job.state) {
            _ if self.spec.deleting => "The bot is being deleted.".to_owned(),
            _ if !asked => format!("{} was deleted before anything was restored.", restore.operation),
            Some(RestoreJobState::Succeeded(id)) => {
                if self.record.operation.is_none() {
                    let (id, slot) = (Some(id.clone()), last_slot(&self.record, &self.seen.pods));
                    self.record.restore = Some(Restore { step: RestoreStep::Stopping, id, slot, ..restore });
                    self.memory.restore_check = None;
                }
                return;
            }
            Some(RestoreJobState::Failed { message, .. }) => message.clone(),
            _ if self.spec.restore.is_none() => NO_BACKUP.to_owned(),
            other => {
                let there = other.is_some();
                let Some(limit) = self.check_time_left(&restore) else {
                    let text = if there { "did not end in time" } else { "could not be made" };
                    return self
                        .give_up(restore, format!("The Job that checks the backup {text}. See its log and Events."));
                };
                self.wake(limit);
                if !there {
                    self.last.push(Action::CreateRestoreJob { restore, run: RestoreRun::Check });
                }
                return;
            }
        };
        self.give_up(restore, why);
    }

    /// How long the check may still take; `None`: it has had its time.
    fn check_time_left(&mut self, restore: &Restore) -> Option<Duration> {
        let deadline = self.spec.restore.as_ref().map_or(UNKNOWN_JOB_DEADLINE, |policy| policy.deadline);
        let known = self.memory.restore_check.take().filter(|(uid, _)| *uid == restore.operation_uid);
        let (uid, since) = known.unwrap_or((restore.operation_uid.clone(), self.now));
        self.memory.restore_check = Some((uid, since));
        let left = (deadline + JOB_GRACE).checked_sub(self.now.surely_elapsed_since(since));
        left.filter(|left| !left.is_zero())
    }

    /// Nothing was changed by this restore, and nobody was stopped for it.
    fn give_up(&mut self, restore: Restore, why: String) {
        let step = if restore.target_changed { RestoreStep::Broken } else { RestoreStep::Done };
        self.record.restore = Some(Restore { step, outcome: Some(RestoreOutcome::Failed(why)), ..restore });
        self.memory.restore_check = None;
    }

    fn follow_stop(&mut self, restore: Restore, asked: bool) {
        if self.restore_job(&restore, RestoreRun::Apply).is_some_and(|job| !job.suspended) {
            // Somebody else let it run.
            self.record.restore = Some(Restore { step: RestoreStep::Restoring, ..restore });
        } else if self.spec.deleting {
            self.give_up(restore, "The bot is being deleted.".into());
        } else if !asked {
            let why = format!("{} was deleted before anything was restored.", restore.operation);
            self.back_to_trading(restore, Some(why));
        } else if self.spec.restore.is_none() {
            self.back_to_trading(restore, Some(NO_BACKUP.into()));
        }
    }

    /// The Job that puts the backup back may be running. Nothing is concluded before it is known not to.
    fn follow_apply(&mut self, restore: Restore) {
        if let Some(left) = self.time_left_of(&restore.operation_uid) {
            return self.wake(left);
        }
        let id = restore.id.as_ref().map(ToString::to_string).unwrap_or_default();
        let job = self.restore_job(&restore, RestoreRun::Apply).cloned();
        let ended = job.as_ref().is_some_and(|job| job.ended);
        match job.map(|job| job.state) {
            Some(RestoreJobState::Succeeded(id)) => {
                let id = Some(id);
                self.back_to_trading(Restore { id, target_changed: false, ..restore }, None);
            }
            Some(RestoreJobState::Failed { message, target_changed }) => {
                let why = format!("Backup {id} could not be put back: {message}");
                let target_changed = target_changed || restore.target_changed || !ended;
                self.back_to_trading(Restore { target_changed, ..restore }, Some(why));
            }
            Some(RestoreJobState::Running) => {
                let why = format!("The Job that puts backup {id} back did not end within its deadline.");
                self.back_to_trading(Restore { target_changed: true, ..restore }, Some(why));
            }
            None => {
                let why = format!("The Job that puts backup {id} back is gone, and nobody knows how far it came.");
                self.back_to_trading(Restore { target_changed: true, ..restore }, Some(why));
            }
        }
    }

    /// The restore is over, one way or the other: the bot trades again, unless what it needs may be half changed.
    fn back_to_trading(&mut self, restore: Restore, failure: Option<String>) {
        let step = if restore.target_changed { RestoreStep::Broken } else { RestoreStep::Resuming };
        let restore = Restore { step, outcome: failure.map(RestoreOutcome::Failed), ..restore };
        self.resume_trading(&restore);
        self.record.restore = Some(restore);
    }

    /// The pod of the slot that was restored into is to trade, as long as it can at all.
    fn resume_trading(&mut self, restore: &Restore) {
        let idle = self.record.trading.is_none();
        let revoked = self.seen.lease.as_ref().is_some_and(|l| l.effective_permit() == Permit::Revoke);
        let wanted = restore.step == RestoreStep::Resuming && !self.spec.suspend && !self.spec.deleting;
        if !wanted || self.record.current.is_some() || !(idle || revoked) {
            return;
        }
        let reason = if restore.outcome.is_none() { Reason::Restored } else { Reason::Resumed };
        self.begin_move(Trigger::Restore, reason, put_back(restore));
        let pod = self.seen.pods.iter().find(|p| p.slot == restore.slot && !p.terminating && !p.finished);
        let pod = pod.map(|p| PodRef { name: p.name.clone(), uid: p.uid.clone() });
        if let Some(current) = &mut self.record.current {
            current.wanted = pod.as_ref().map(|p| p.name.clone());
            current.from = pod;
        }
    }

    /// Nobody trades and nobody shall: brings the restore on. Everything that another round might still have granted was
    /// taken back before.
    pub(super) fn go_on_restoring(&mut self) {
        let Some(restore) = self.record.restore.clone() else { return };
        match restore.step {
            RestoreStep::Stopping => self.begin_restoring(restore),
            RestoreStep::Restoring => {
                if let Some(job) = self.restore_job(&restore, RestoreRun::Apply).filter(|job| job.suspended) {
                    // The write that let it run was lost.
                    let operation_uid = job.operation_uid.clone();
                    self.wake(Duration::from_secs(1));
                    self.create_job = Some(Action::StartRestoreJob { operation_uid });
                }
                self.say(Phase::Switching, format!("Nobody trades; {}", progress(&restore)));
            }
            RestoreStep::Broken => {
                let why = match &restore.outcome {
                    Some(RestoreOutcome::Failed(why) | RestoreOutcome::Succeeded(why)) => why.as_str(),
                    None => "",
                };
                self.block(Phase::Blocked, Block::RestoreFailed, format!("{why} {ADVICE}"));
            }
            _ => {
                let text = format!("A restore failed half-way, so nobody trades; {}", progress(&restore));
                self.block(Phase::Blocked, Block::RestoreFailed, text);
            }
        }
    }

    fn begin_restoring(&mut self, restore: Restore) {
        let held = self.seen.lease.as_ref().is_some_and(|lease| lease.holder.is_some());
        if held || self.lease_write.is_some() || self.record.trading.is_some() {
            return self.say(Phase::Switching, "The Lease is taken from its holder before a backup is put back.");
        }
        if !self.record.jobs.is_empty() || self.restore_may_run() {
            // Neither can be known to have ended later than this.
            self.wake(self.longest_restore().unwrap_or_default().clamp(Duration::from_secs(1), JOB_GRACE));
            let text = "Nobody trades; the restore waits until a Job that was begun earlier has ended.";
            return self.say(Phase::Switching, text);
        }
        let phrase = format!("Nobody trades; {}", progress(&restore));
        match self.restore_job(&restore, RestoreRun::Apply).map(|job| job.operation_uid.clone()) {
            None if self.overdue(Step::MakeRestore(self.record.epoch), CREATE_TIME) => {
                let why = "The Job that puts the backup back could not be made. See the bot's conditions.";
                self.back_to_trading(restore, Some(why.into()));
                self.wake(Duration::from_millis(50));
            }
            None => {
                self.create_job = Some(Action::CreateRestoreJob { restore, run: RestoreRun::Apply });
            }
            Some(operation_uid) => {
                self.record.restore = Some(Restore { step: RestoreStep::Restoring, ..restore });
                self.create_job = Some(Action::StartRestoreJob { operation_uid });
            }
        }
        self.say(Phase::Switching, phrase);
    }

    /// Nobody is granted or permitted anything while a Job may run that puts a backup back, whether the status knows of
    /// it or not.
    pub(super) fn waits_for_restore(&mut self) -> bool {
        let Some(left) = self.longest_restore() else { return false };
        self.wake(left);
        let text = "A Job that puts a backup back may still be running, so nobody is permitted to trade.";
        self.say(Phase::Switching, text);
        true
    }

    /// Sees whether the bot is back where it was, and tells the operation how far the restore is. The status goes on
    /// naming the restore until its operation is seen to know the end of it.
    pub fn conclude_restore(&mut self) {
        let Some(mut restore) = self.record.restore.take() else { return };
        if restore.step == RestoreStep::Resuming
            && let Some(outcome) = self.restore_outcome(&restore)
        {
            (restore.step, restore.outcome) = (RestoreStep::Done, Some(outcome));
        }
        self.tell_of(&restore);
        // Where nobody is there to be told, it is over with this.
        self.record.restore = (restore.step != RestoreStep::Done || self.is_asked(&restore)).then_some(restore);
    }

    fn restore_outcome(&self, restore: &Restore) -> Option<RestoreOutcome> {
        let text = put_back(restore);
        let trades = self.record.trading.as_ref().filter(|_| {
            self.record.phase == Phase::Active && self.record.current.is_none() && self.lease_write.is_none()
        });
        let stopped = self.spec.suspend && self.record.trading.is_none() && self.record.phase == Phase::Suspended;
        let (well, text) = if let Some(ledger) = trades {
            (true, format!("{text} {} trades in epoch {}.", ledger.pod.name, ledger.epoch))
        } else if stopped {
            (true, format!("{text} {}", self.record.message))
        } else if self.record.blocked.is_some() {
            // It does not wait for what only people can change.
            (false, format!("{text} {}", self.record.message))
        } else if self.spec.deleting {
            (false, format!("{text} The bot is being deleted."))
        } else {
            return None;
        };
        let well = well && restore.outcome.is_none();
        Some(if well { RestoreOutcome::Succeeded(text) } else { RestoreOutcome::Failed(text) })
    }

    fn tell_of(&mut self, restore: &Restore) {
        if self.begun.as_ref() == Some(&restore.operation_uid) || !self.is_asked(restore) {
            return;
        }
        let over = matches!(restore.step, RestoreStep::Broken | RestoreStep::Done);
        let told = Some((restore.operation_uid.clone(), restore.step));
        let update = match restore.outcome.clone().filter(|_| over) {
            Some(RestoreOutcome::Succeeded(message)) => OperationUpdate::Succeeded { message },
            Some(RestoreOutcome::Failed(message)) => {
                let blocked = restore.step == RestoreStep::Done && self.record.blocked.is_some();
                let reason = match restore.id {
                    None => "CheckFailed",
                    Some(_) if blocked => "Blocked",
                    Some(_) => "RestoreFailed",
                };
                OperationUpdate::Failed { reason, message }
            }
            None if self.memory.told_restore == told => return,
            None => OperationUpdate::Running { message: capitalised(&progress(restore)) },
        };
        self.memory.told_restore = told;
        let (name, uid) = (restore.operation.clone(), restore.operation_uid.clone());
        self.last.push(Action::UpdateOperation { name, uid, update });
    }
}

const NO_BACKUP: &str = "spec.backup was removed, so nothing is known of where backups are.";

/// How far a restore is, a clause that ends a sentence.
pub(super) fn progress(restore: &Restore) -> String {
    let id = restore.id.as_ref().map_or("the backup".to_owned(), |id| format!("backup {id}"));
    match restore.step {
        RestoreStep::Checking => "the backup is being found and read in full.".to_owned(),
        RestoreStep::Stopping => format!("{id} was found good and is put back as soon as nobody trades."),
        RestoreStep::Restoring => format!("{id} is being put back."),
        RestoreStep::Resuming => format!("{id} was put back; the bot is to trade again."),
        RestoreStep::Broken | RestoreStep::Done => "the restore is over.".to_owned(),
    }
}

/// What became of the backup, a sentence.
fn put_back(restore: &Restore) -> String {
    match (&restore.outcome, &restore.id) {
        (Some(RestoreOutcome::Failed(why)), _) => why.clone(),
        (_, Some(id)) => format!("Backup {id} was put back."),
        (_, None) => "The backup was put back.".to_owned(),
    }
}

fn capitalised(clause: &str) -> String {
    let mut letters = clause.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
