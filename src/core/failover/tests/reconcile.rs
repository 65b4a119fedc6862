use std::time::Duration;

use super::world::*;
use crate::core::failover::*;
use crate::core::ids::FencingToken;
use crate::core::report::Report;

const S: fn(u64) -> Duration = Duration::from_secs;

fn exit(world: &mut World) {
    let active = world.trader().unwrap();
    world.pod(&active).leaving = Some("ProcessExited: the bot ended.");
}

fn jobs_made(world: &World) -> usize {
    world.log.iter().filter(|a| matches!(a, Action::CreateJob { .. })).count()
}

#[test]
fn a_reconciliation_runs_once_an_epoch_and_its_report_is_kept() {
    let mut world = World::trading(reconciled(OnFailure::Retry));
    let report = Report { open_orders_found: 3, orders_cancelled: 3, ..Report::default() };
    world.job_fate = JobFate::Succeeds(report.clone());
    exit(&mut world);
    let took = world.until_active(S(5));
    assert!(took <= 400, "{took} ms");
    assert_eq!(jobs_made(&world), 1);
    assert_eq!(world.last_move().report, Some(report));
    let Some(Action::CreateJob { token, context }) = world.log.iter().find(|a| matches!(a, Action::CreateJob { .. }))
    else {
        unreachable!()
    };
    assert_eq!((context.epoch.0, context.previous_epoch.0, context.reason), (2, 1, Reason::ProcessExited));
    assert_eq!((context.from.as_deref(), context.to.as_str()), (Some("doge-0"), "doge-1"));
    assert_eq!(*token, world.record.token);
    world.run(S(1));
    assert!(world.record.jobs.is_empty());
    world.assert_at_rest();
}

#[test]
fn nobody_trades_before_the_reconciliation_succeeded() {
    let mut world = World::trading(reconciled(OnFailure::Block));
    world.job_fate = JobFate::Hangs;
    exit(&mut world);
    world.run(S(60));
    assert_eq!((world.record.phase, world.trader()), (Phase::Preparing, None));
    world.run(S(60));
    assert_eq!(world.record.blocked, Some(Block::ReconciliationFailed), "it hangs past its deadline");
    world.assert_at_rest();
}

#[test]
fn a_failed_reconciliation_is_retried_under_new_epochs_and_then_blocks() {
    let mut world = World::trading(reconciled(OnFailure::Retry));
    world.job_fate = JobFate::Fails;
    exit(&mut world);
    world.run(S(60));
    assert_eq!(world.record.blocked, Some(Block::ReconciliationFailed));
    assert_eq!((jobs_made(&world), world.record.epoch.0), (3, 4));
    assert!(world.record.message.contains("exit code 1"), "{}", world.record.message);
    let writes = world.log.len();
    world.run(S(600));
    assert_eq!(world.log.len(), writes, "blocked is at rest");

    world.job_fate = JobFate::Succeeds(Report::default());
    world.ask("f", OperationKind::Failover, None);
    world.until_active(S(5));
    world.run(S(1));
    assert!(matches!(world.last_told("f"), Some(OperationUpdate::Succeeded { .. })));
    assert_eq!(world.record.operation, None);
}

#[test]
fn a_retry_that_succeeds_goes_on() {
    let mut world = World::trading(reconciled(OnFailure::Retry));
    world.job_fate = JobFate::Fails;
    exit(&mut world);
    world.run_until("a failed attempt", S(5), |w| w.record.current.as_ref().is_some_and(|m| m.attempts == 1));
    world.job_fate = JobFate::Succeeds(Report::default());
    world.until_active(S(5));
    assert_eq!((world.last_move().attempts, world.record.total), (1, 1));
}

#[test]
fn block_does_not_retry_and_proceed_does_not_block() {
    for (policy, phase) in [(OnFailure::Block, Phase::Blocked), (OnFailure::Proceed, Phase::Active)] {
        let mut world = World::trading(reconciled(policy));
        world.job_fate = JobFate::Fails;
        exit(&mut world);
        world.run(S(30));
        assert_eq!((world.record.phase, jobs_made(&world)), (phase, 1));
        world.assert_at_rest();
    }
}

/// Its Job is over by its deadline, and on a node that is cut off its program may still cancel orders.
#[test]
fn proceed_does_not_meet_a_program_that_failed_and_may_still_run() {
    for reported in [true, false] {
        let mut world = World::preparing(reconciled(OnFailure::Proceed));
        let made = world.millis;
        world.jobs.last_mut().unwrap().state =
            JobState::Failed("it ran longer than its deadline and was ended.".into());
        world.run(S(60));
        assert_eq!(world.trader(), None);
        world.jobs.last_mut().unwrap().ended = reported;
        world.until_active(S(60));
        assert!(reported || world.millis - made >= 104_900);
    }
}

#[test]
fn discrepancies_block_until_a_person_decides() {
    let mut world = World::trading(reconciled(OnFailure::Retry));
    let found = Report { discrepancies: vec!["The position is 5 DOGE off.".into()], ..Report::default() };
    world.job_fate = JobFate::Succeeds(found.clone());
    exit(&mut world);
    world.run(S(60));
    assert_eq!(world.record.blocked, Some(Block::DiscrepanciesFound));
    assert!(world.record.message.contains("5 DOGE off"));
    world.assert_at_rest();
    world.ask("f", OperationKind::Failover, None);
    world.until_active(S(5));
    assert_eq!(world.last_move().report, Some(found), "it ran again, for the new epoch");
    assert_eq!(jobs_made(&world), 2);
}

#[test]
fn discrepancies_may_be_lived_with() {
    let mut spec = reconciled(OnFailure::Retry);
    spec.reconciliation.as_mut().unwrap().proceed_on_discrepancy = true;
    let mut world = World::trading(spec);
    world.job_fate = JobFate::Succeeds(Report { discrepancies: vec!["off.".into()], ..Report::default() });
    exit(&mut world);
    world.until_active(S(5));
}

#[test]
fn a_job_that_cannot_be_created_is_a_failed_one_at_its_deadline() {
    let mut world = World::trading(reconciled(OnFailure::Block));
    world.creates_refused = true;
    exit(&mut world);
    world.run(S(200));
    assert_eq!(world.record.blocked, Some(Block::ReconciliationFailed));
    assert!(world.record.message.contains("could not be created"));
}

#[test]
fn a_job_that_hangs_or_is_never_made_has_failed_when_its_deadline_and_the_grace_are_over() {
    for refused in [false, true] {
        let mut world = World::trading(reconciled(OnFailure::Block));
        world.job_fate = JobFate::Hangs;
        world.creates_refused = refused;
        exit(&mut world);
        world.run_until("preparing", S(5), |w| w.record.phase == Phase::Preparing);
        let took = world.run_until("blocked", S(120), |w| w.record.blocked.is_some());
        assert!((104_900..=105_200).contains(&took), "{took} ms");
    }
}

#[test]
fn a_job_that_vanishes_is_made_again() {
    let mut world = World::trading(reconciled(OnFailure::Block));
    world.job_fate = JobFate::Hangs;
    exit(&mut world);
    world.run(S(5));
    world.jobs.clear();
    world.job_fate = JobFate::Succeeds(Report::default());
    world.until_active(S(5));
    assert_eq!(world.record.epoch.0, 2);
}

#[test]
fn a_reconciliation_of_an_earlier_epoch_that_nobody_reports_on_is_waited_out() {
    let mut world = World::preparing(reconciled(OnFailure::Retry));
    let made = world.millis;
    // Its node is cut off with the candidate's: the Job is never seen to end.
    world.job_fate = JobFate::Succeeds(Report::default());
    world.pod("doge-1").faults.dead = true;
    let until = world.until_active(S(200)) + made;
    assert!(until - made >= 105_000, "deadline and grace: {} ms", until - made);
    assert!(world.record.jobs.is_empty());
    world.run(S(60));
    world.assert_at_rest();
}

#[test]
fn a_job_that_was_made_long_after_it_was_meant_to_be_gets_all_of_its_time() {
    let mut world = World::trading(reconciled(OnFailure::Retry));
    world.creates_refused = true;
    exit(&mut world);
    world.run(S(90));
    (world.creates_refused, world.job_fate) = (false, JobFate::Hangs);
    world.run_until("made", S(10), |w| w.jobs.iter().any(|job| !job.ended));
    world.job_fate = JobFate::Succeeds(Report::default());
    let took = world.until_active(S(200));
    assert!(took >= 104_000, "deadline and grace, from when it was made: {took} ms");
}

#[test]
fn a_running_job_that_the_status_does_not_know_is_waited_for() {
    let mut world = World::trading(reconciled(OnFailure::Retry));
    world.jobs.push(Job { token: crate::core::ids::FencingToken(7), state: JobState::Running, ended: false });
    exit(&mut world);
    world.run(S(20));
    assert_eq!(world.trader(), None);
    assert_eq!(jobs_made(&world), 0, "no two reconciliations act at the exchange at once");
    assert!(world.record.message.contains("begun earlier"), "{}", world.record.message);
    world.jobs.iter_mut().for_each(|j| j.ended = true);
    world.until_active(S(3));
    assert_eq!(jobs_made(&world), 1);
}

/// Another operator decided on the status before there was the Job, and its write is carried out late.
#[test]
fn a_running_job_that_a_late_status_has_forgotten_is_waited_for() {
    let mut world = World::trading(reconciled(OnFailure::Retry));
    let token = crate::core::ids::FencingToken(7);
    world.jobs.push(Job { token, state: JobState::Running, ended: false });
    exit(&mut world);
    world.run(S(20));
    world.record.jobs.clear();
    world.run(S(20));
    assert_eq!((world.trader(), jobs_made(&world)), (None, 0), "no two reconciliations act at the exchange at once");
    assert_eq!(world.record.jobs, [token]);
    world.jobs.iter_mut().for_each(|j| j.ended = true);
    world.until_active(S(3));
}

/// Pods of old Jobs are removed, and then nothing says any more that their programs have ended.
#[test]
fn a_job_that_was_seen_to_end_has_ended_whatever_is_left_of_it() {
    let mut world = World::trading(reconciled(OnFailure::Retry));
    exit(&mut world);
    world.until_active(S(10));
    world.run(S(2));
    world.jobs.iter_mut().for_each(|job| job.ended = false);
    world.run(S(2));
    assert!(world.record.jobs.is_empty());
    exit(&mut world);
    world.until_active(S(10));
}

/// A round of a bot whose status knows of no Job, and what it waits for and remembers afterwards.
fn waited_for(job: Job, since: Option<(Duration, Duration)>, deadline: Duration) -> (usize, usize) {
    let mut world = World::trading(reconciled(OnFailure::Block));
    world.spec.reconciliation.as_mut().unwrap().deadline = deadline;
    let known = since.map(|(ago, longest)| (job.token, (world.now().minus(ago), longest)));
    world.memory.unfinished_jobs = known.into_iter().collect();
    world.memory.jobs_seen = world.memory.unfinished_jobs.keys().copied().collect();
    world.jobs = vec![job];
    let decision = decide(&world.spec, &world.record, &world.memory, &world.observe(), world.now());
    (decision.record.jobs.len(), decision.memory.unfinished_jobs.len())
}

#[test]
fn a_job_is_waited_for_until_it_has_ended_or_has_had_its_time_and_then_no_more() {
    let job = |ended| Job { token: FencingToken(5), state: JobState::Running, ended };
    assert_eq!(waited_for(job(false), None, S(60)), (1, 1), "the status does not know it");
    assert_eq!(waited_for(job(true), None, S(60)), (0, 0));
    assert_eq!(waited_for(job(true), Some((S(10), S(60))), S(60)), (0, 0));
    // It was waited out, and is remembered, so that a longer deadline of later ones begins no other wait.
    assert_eq!(waited_for(job(false), Some((S(200), S(60))), S(600)), (0, 1));
}

#[test]
fn a_policy_taken_out_of_the_spec_does_not_let_its_job_run_beside_the_next_active() {
    let mut world = World::preparing(reconciled(OnFailure::Retry));
    let running = world.record.token;
    world.spec.reconciliation = None;
    world.run(S(2));
    // The present epoch's own Job was made for the old policy; it must not meet the bot either.
    assert_eq!(world.trader(), None, "Job {running} still runs");
    world.jobs.iter_mut().for_each(|j| j.ended = true);
    world.until_active(S(5));
}

#[test]
fn a_restart_that_is_to_be_reconciled_is_a_new_epoch_on_the_same_pod_until_restarts_are_used_up() {
    let mut spec = reconciled(OnFailure::Retry);
    spec.reconciliation.as_mut().unwrap().run_on.push(MoveKind::Restart);
    let mut world = World::trading(spec);
    world.pod("doge-0").leaving = Some("RestartWanted: the bot ended.");
    world.until_active(S(5));
    assert_eq!((world.trader().as_deref(), jobs_made(&world)), (Some("doge-0"), 1));
    assert_eq!(world.last_move().kind(), MoveKind::Restart);
    world.pod("doge-0").leaving = Some("RestartWanted: the bot ended.");
    world.until_active(S(5));
    assert_eq!(world.trader().as_deref(), Some("doge-1"), "one restart was allowed");
    assert_eq!(world.last_move().reason, Reason::ProcessExited);
}

#[test]
fn a_deadline_lowered_since_does_not_end_a_job_that_was_made_before() {
    for policy_stays in [true, false] {
        let mut world = World::preparing(Spec { replicas: 3, ..reconciled(OnFailure::Retry) });
        world.run(S(1));
        let made = world.millis;
        // The candidate dies, its Job is deleted, and its node reports nothing: it may run for its 60 s.
        world.pod("doge-1").container_dies(true);
        world.jobs.clear();
        world.job_fate = JobFate::Succeeds(Report::default());
        match &mut world.spec.reconciliation {
            Some(policy) if policy_stays => policy.deadline = S(1),
            policy => *policy = None,
        }
        world.until_active(S(150));
        let waited = world.millis - made;
        assert!((103_000..108_000).contains(&waited), "{waited} ms, policy stays: {policy_stays}");
    }
}

/// A status that was decided on before the request, and believes that there can be no such Job any more, must not be stored
/// after it: the model found that, with two crashes and a lost reply.
#[test]
fn every_request_for_a_job_is_preceded_by_a_status_that_no_earlier_one_can_follow() {
    let mut world = World::trading(reconciled(OnFailure::Retry));
    world.job_fate = JobFate::Hangs;
    exit(&mut world);
    for _ in 0..50 {
        world.run(Duration::from_millis(100));
        if jobs_made(&world) > 0 {
            break;
        }
    }
    assert_eq!(jobs_made(&world), 1);
    // It was lost on its way, and nobody knows.
    world.jobs.clear();
    for _ in 0..3 {
        let decision = decide(&world.spec, &world.record, &world.memory, &world.observe(), world.now());
        let at = |wanted: fn(&Action) -> bool| decision.actions.iter().position(wanted);
        let status = at(|action| matches!(action, Action::WriteStatus)).expect("a status");
        let job = at(|action| matches!(action, Action::CreateJob { .. })).expect("a Job");
        assert!(status < job, "{:?}", decision.actions);
        (world.record, world.memory) = (decision.record, decision.memory);
        // Also by one who knows that it was waited out, and not for how long this epoch has been reconciled.
        world.memory.steps.clear();
        let long_ago = world.now().minus(S(3600));
        world.memory.unfinished_jobs = [(world.record.token, (long_ago, S(60)))].into();
    }
}
