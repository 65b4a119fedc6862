//! Jobs of restores: what the API server says of them, what really runs, and how scenarios bring them about.

use std::time::Duration;

use super::world::{Mishap, World, spec};
use crate::core::failover::*;
use crate::core::lease::Permit;

/// How long a restore takes that ends by itself.
const TAKES: u64 = 3_000;
pub const DEADLINE: Duration = Duration::from_secs(120);
pub const BACKUP: &str = "20261124T020000Z-daily-3f9a";

/// What becomes of a check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CheckFate {
    #[default]
    Succeeds,
    Fails,
    Hangs,
}

/// What becomes of the Job that puts a backup back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ApplyFate {
    #[default]
    Succeeds,
    /// Before it has changed anything.
    FailsUnchanged,
    /// After it has.
    FailsChanged,
    /// Until the kubelet ends it.
    Hangs,
    /// It is deleted and runs on where nobody sees it.
    Vanishes,
    /// Its node is cut off: it runs on, and nobody reports its end.
    IsCutOff,
}

#[derive(Clone, Debug, Default)]
pub struct RestoreJobs {
    pub check: CheckFate,
    pub apply: ApplyFate,
    /// What the API server has.
    pub jobs: Vec<RestoreJob>,
    /// What runs, by operation, and until when at the latest.
    pub runs: Vec<(String, u64)>,
    /// How often a restore was let run that had not been let run before.
    pub begun: usize,
}

impl RestoreJobs {
    pub fn seen(&self) -> Vec<RestoreJob> {
        self.jobs.clone()
    }

    pub fn apply_job(&mut self) -> Option<&mut RestoreJob> {
        self.jobs.iter_mut().rev().find(|job| job.run == RestoreRun::Apply)
    }

    pub fn step(&mut self, millis: u64) {
        let deadline = u64::try_from(DEADLINE.as_millis()).unwrap();
        let (apply, jobs) = (self.apply, &mut self.jobs);
        self.runs.retain(|(uid, until)| {
            let ran = millis + deadline - until;
            let Some(at) = jobs.iter().position(|job| job.run == RestoreRun::Apply && job.operation_uid == *uid) else {
                return millis < *until;
            };
            let fails = |target_changed| RestoreJobState::Failed { message: "it failed.".into(), target_changed };
            let state = match apply {
                ApplyFate::Vanishes if ran >= TAKES / 2 => {
                    jobs.remove(at);
                    return true;
                }
                ApplyFate::IsCutOff => return millis < *until,
                ApplyFate::Succeeds if ran >= TAKES => RestoreJobState::Succeeded(BACKUP.parse().unwrap()),
                ApplyFate::FailsUnchanged if ran >= TAKES => fails(false),
                ApplyFate::FailsChanged if ran >= TAKES => fails(true),
                _ if millis >= *until => fails(true),
                _ => return true,
            };
            (jobs[at].state, jobs[at].ended) = (state, true);
            false
        });
    }
}

impl World {
    /// Creates or starts a Job of a restore.
    pub fn apply_restore(&mut self, action: &Action) -> bool {
        match action {
            Action::CreateRestoreJob { restore, run } => {
                let uid = &restore.operation_uid;
                let there = |job: &RestoreJob| job.run == *run && job.operation_uid == *uid;
                if self.creates_refused || self.restores.jobs.iter().any(there) {
                    return false;
                }
                let state = match (run, self.restores.check) {
                    (RestoreRun::Check, CheckFate::Succeeds) => RestoreJobState::Succeeded(BACKUP.parse().unwrap()),
                    (RestoreRun::Check, CheckFate::Fails) => {
                        RestoreJobState::Failed { message: "there is no such backup.".into(), target_changed: false }
                    }
                    _ => RestoreJobState::Running,
                };
                let ended = state != RestoreJobState::Running;
                let suspended = *run == RestoreRun::Apply;
                self.restores.jobs.push(RestoreJob { operation_uid: uid.clone(), run: *run, suspended, state, ended });
            }
            Action::StartRestoreJob { operation_uid } => {
                let written = self.record.restore.as_ref();
                assert!(written.is_some_and(|r| r.step == RestoreStep::Restoring && r.operation_uid == *operation_uid));
                let its = |job: &&mut RestoreJob| job.run == RestoreRun::Apply && job.operation_uid == *operation_uid;
                let Some(job) = self.restores.jobs.iter_mut().find(its) else { return false };
                if std::mem::take(&mut job.suspended) {
                    let until = self.millis + u64::try_from(DEADLINE.as_millis()).unwrap();
                    self.restores.runs.push((operation_uid.clone(), until));
                    self.restores.begun += 1;
                }
            }
            _ => unreachable!(),
        }
        true
    }

    /// While a backup is being put back nobody trades, nobody may, nobody is about to, and no other one is put back.
    pub fn check_restores(&self) {
        if self.restores.runs.is_empty() {
            return;
        }
        assert!(self.restores.runs.len() == 1, "two restores run at once");
        assert_eq!(self.trader(), None, "somebody trades while a backup is put back");
        let held = self.lease.as_ref().filter(|lease| lease.holder.is_some());
        assert_eq!(held.map(|lease| lease.effective_permit()).filter(|permit| *permit != Permit::Revoke), None);
        assert!(self.record.trading.is_none() && !self.finalized);
    }

    pub fn check_restore_decision(&self, decision: &Decision) {
        let grants = |purpose: &LeaseWrite, permit| *purpose == LeaseWrite::Grant || permit == Some(Permit::Trade);
        for action in &decision.actions {
            match action {
                Action::PutLease { lease, purpose } | Action::CreateLease { lease, purpose }
                    if grants(purpose, lease.permit) =>
                {
                    assert!(self.restores.runs.is_empty(), "a grant while a backup is put back: {action:?}");
                    let may = |r: &Restore| r.step == RestoreStep::Restoring;
                    assert!(!decision.record.restore.as_ref().is_some_and(may), "a grant while one may be put back");
                }
                Action::StartRestoreJob { .. } => {
                    assert!(decision.record.trading.is_none() && decision.record.jobs.is_empty());
                    assert!(self.lease.as_ref().is_none_or(|lease| lease.holder.is_none()));
                }
                _ => {}
            }
        }
    }
}

pub const S: fn(u64) -> Duration = Duration::from_secs;

pub const MISHAPS: [Mishap; 4] = [Mishap::CrashBefore, Mishap::CrashAfter, Mishap::AnswerLost, Mishap::RequestLost];

pub fn backed_up(spec: Spec) -> Spec {
    Spec { restore: Some(RestorePolicy { deadline: DEADLINE }), ..spec }
}

pub fn trading() -> World {
    World::trading(backed_up(spec()))
}

pub fn ask(world: &mut World, name: &str) {
    world.ask(name, OperationKind::Restore, None);
}

pub fn step(world: &World) -> Option<RestoreStep> {
    world.record.restore.as_ref().map(|r| r.step)
}

pub fn until_over(world: &mut World, name: &str, limit: Duration) {
    world.run_until("the operation has ended", limit, |w| {
        matches!(w.last_told(name), Some(OperationUpdate::Succeeded { .. } | OperationUpdate::Failed { .. }))
    });
}

pub fn until_step(world: &mut World, wanted: RestoreStep) {
    world.run_until("the step", S(400), |w| step(w) == Some(wanted));
}

/// The active has stopped, and the Job that puts the backup back cannot be made.
pub fn until_stopped(world: &mut World, name: &str) {
    world.restores.check = CheckFate::Hangs;
    ask(world, name);
    world.run(S(1));
    world.creates_refused = true;
    end_check(world);
    world.run(S(1));
    assert_eq!((step(world), world.trader()), (Some(RestoreStep::Stopping), None));
}

pub fn end_check(world: &mut World) {
    let check = world.restores.jobs.iter_mut().rev().find(|j| j.run == RestoreRun::Check).unwrap();
    (check.state, check.ended) = (RestoreJobState::Succeeded(BACKUP.parse().unwrap()), true);
}

pub fn succeeded(world: &World, name: &str) -> String {
    match world.last_told(name) {
        Some(OperationUpdate::Succeeded { message }) => message.clone(),
        other => panic!("{other:?}"),
    }
}

pub fn failed(world: &World, name: &str) -> (&'static str, String) {
    match world.last_told(name) {
        Some(OperationUpdate::Failed { reason, message }) => (reason, message.clone()),
        other => panic!("{other:?}"),
    }
}

pub fn broken() -> World {
    let mut world = trading();
    world.restores.apply = ApplyFate::FailsChanged;
    ask(&mut world, "r");
    until_over(&mut world, "r", S(10));
    world.run(S(1));
    world
}
