//! What a round makes of a restore, one condition after the other.

use std::time::Duration;

use super::restore_jobs::*;
use super::world::*;
use crate::core::failover::*;
use crate::core::lease::Permit;

/// A bot that trades, or is suspended, and whose status says that the restore by `r` is at `step`.
fn at(step: RestoreStep, suspend: bool) -> World {
    let mut world = World::trading(backed_up(spec()));
    world.spec.suspend = suspend;
    world.run(S(3));
    ask(&mut world, "r");
    world.record.restore = Some(Restore {
        operation: "r".into(),
        operation_uid: "r-uid".into(),
        step,
        id: Some(BACKUP.parse().unwrap()),
        slot: 0,
        target_changed: false,
        outcome: None,
    });
    world
}

fn apply_job(operation_uid: &str, suspended: bool) -> RestoreJob {
    let (run, state) = (RestoreRun::Apply, RestoreJobState::Running);
    RestoreJob { operation_uid: operation_uid.into(), run, suspended, state, ended: false }
}

fn look(world: &World) -> Decision {
    decide(&world.spec, &world.record, &world.memory, &world.observe(), world.now())
}

/// What an operation is told in this round.
fn told(world: &World, operation: &str) -> Option<OperationUpdate> {
    look(world).actions.into_iter().find_map(|action| match action {
        Action::UpdateOperation { name, update, .. } if name == operation => Some(update),
        _ => None,
    })
}

#[test]
fn a_job_that_is_still_suspended_has_all_of_its_time_before_it_unless_the_bot_is_deleted() {
    let since = |job: RestoreJob, deleting: bool| {
        let mut world = at(RestoreStep::Restoring, true);
        world.spec.deleting = deleting;
        let before = world.now().minus(S(100));
        world.memory.unfinished_restores.insert("r-uid".into(), (before, DEADLINE));
        world.restores.jobs.push(job);
        world.now().surely_elapsed_since(look(&world).memory.unfinished_restores["r-uid"].0)
    };
    assert_eq!(since(apply_job("r-uid", true), false), S(0));
    assert_eq!(since(apply_job("r-uid", true), true), S(100), "it is let run no more");
    assert_eq!(since(apply_job("another", true), false), S(100), "that is another one's");
    assert_eq!(since(apply_job("r-uid", false), false), S(100));
}

#[test]
fn what_is_asked_for_next_waits_until_the_restore_before_is_known_to_have_been_told() {
    let outcome = |step| match step {
        RestoreStep::Done => RestoreOutcome::Succeeded("It was put back.".into()),
        _ => RestoreOutcome::Failed("It is half changed.".into()),
    };
    for ended in [RestoreStep::Done, RestoreStep::Broken] {
        let mut world = at(ended, false);
        world.record.restore.as_mut().unwrap().outcome = Some(outcome(ended));
        ask(&mut world, "again");
        assert_eq!(told(&world, "again"), None, "{ended:?}");
        let ends = told(&world, "r").unwrap();
        assert!(!matches!(ends, OperationUpdate::Running { .. }), "{ends:?}");
        let kept = look(&world).record.restore.map(|restore| (restore.operation, restore.step));
        assert_eq!(kept, Some(("r".into(), ended)), "until it is seen to know");
    }
    let mut world = at(RestoreStep::Broken, false);
    world.ask("f", OperationKind::Failover, None);
    assert_eq!(told(&world, "f"), None);
    let mut world = at(RestoreStep::Done, false);
    world.operations.clear();
    ask(&mut world, "again");
    assert_eq!((told(&world, "again"), look(&world).record.restore), (None, None));
}

#[test]
fn a_job_that_somebody_else_let_run_is_being_put_back() {
    let found = |suspended: bool| {
        let mut world = at(RestoreStep::Stopping, false);
        world.restores.jobs.push(apply_job("r-uid", suspended));
        look(&world).record.restore.unwrap().step
    };
    assert_eq!((found(false), found(true)), (RestoreStep::Restoring, RestoreStep::Stopping));
}

#[test]
fn the_backup_that_the_job_names_is_the_one_that_was_put_back() {
    let other = "20261123T020000Z-daily-0001";
    let mut world = at(RestoreStep::Restoring, true);
    let state = RestoreJobState::Succeeded(other.parse().unwrap());
    world.restores.jobs.push(RestoreJob { state, ended: true, ..apply_job("r-uid", false) });
    assert_eq!(look(&world).record.restore.and_then(|restore| restore.id), other.parse().ok());
}

#[test]
fn trading_is_resumed_when_the_active_has_stopped_or_was_told_to() {
    type Change = fn(&mut World);
    let resumed = |change: Change| {
        let mut world = at(RestoreStep::Resuming, false);
        world.lease.as_mut().unwrap().permit = Some(Permit::Revoke);
        change(&mut world);
        look(&world).record.current.is_some_and(|current| current.trigger == Trigger::Restore)
    };
    assert!(resumed(|_| {}), "it was told to");
    assert!(!resumed(|w| w.lease.as_mut().unwrap().permit = Some(Permit::Trade)));
    assert!(!resumed(|w| w.spec.suspend = true));
    assert!(!resumed(|w| w.spec.deleting = true));
    let mut idle = at(RestoreStep::Resuming, true);
    (idle.spec.suspend, idle.lease) = (false, None);
    assert_eq!(look(&idle).record.current.map(|current| current.trigger), Some(Trigger::Restore));
    // A move that is under way already goes on as it was begun.
    let begun = Move { trigger: Trigger::Failover, from: None, wanted: None, ..idle.last_move().clone() };
    idle.record.current = Some(begun);
    let current = look(&idle).record.current.unwrap();
    assert_eq!((current.trigger, current.from, current.wanted), (Trigger::Failover, None, None));
}

#[test]
fn a_restore_of_a_half_changed_target_that_cannot_begin_asks_nobody_to_trade() {
    let mut world = broken();
    until_stopped(&mut world, "again");
    world.run_until("it is given up", S(70), |w| step(w) == Some(RestoreStep::Broken));
    assert_eq!(world.record.current, None);
    world.run(S(5));
    assert_eq!((world.trader(), world.record.blocked), (None, Some(Block::RestoreFailed)));
}

#[test]
fn a_failover_that_is_forced_before_the_bot_trades_again_decides_who_does() {
    let mut world = World::trading(backed_up(spec()));
    ask(&mut world, "r");
    until_step(&mut world, RestoreStep::Restoring);
    world.pod("doge-0").ready_at = crate::core::time::Mono::both(u64::MAX);
    until_step(&mut world, RestoreStep::Resuming);
    world.run(S(1));
    assert_eq!(world.trader(), None, "the pod that was restored into is waited for");
    world.ask("f", OperationKind::Failover, None);
    world.until_active(S(5));
    world.run(S(1));
    assert_eq!((world.trader().as_deref(), &world.last_move().from), (Some("doge-1"), &None));
    assert_eq!(succeeded(&world, "r"), format!("Backup {BACKUP} was put back. f decides who trades."));
    assert!(succeeded(&world, "f").contains("doge-1 trades"));
}

#[test]
fn a_restore_is_over_when_the_bot_trades_and_not_when_it_is_permitted_to() {
    let mut world = World::trading(backed_up(spec()));
    ask(&mut world, "r");
    until_step(&mut world, RestoreStep::Restoring);
    world.pod("doge-0").faults.hangs_in_promotion = true;
    world.run_until("activating", S(10), |w| w.record.phase == Phase::Activating);
    world.run(S(2));
    assert!(matches!(world.last_told("r"), Some(OperationUpdate::Running { .. })), "{:?}", world.told);
    world.pod("doge-0").faults.hangs_in_promotion = false;
    world.until_active(S(5));
    world.run(S(1));
    assert!(succeeded(&world, "r").contains("doge-0 trades in epoch 2"));
}

#[test]
fn one_that_is_given_up_while_a_suspended_bot_still_stops_says_so_when_it_has_stopped() {
    let mut world = World::trading(backed_up(spec()));
    world.pod("doge-0").faults.ignores_graceful_stop = true;
    ask(&mut world, "r");
    until_step(&mut world, RestoreStep::Stopping);
    (world.spec.suspend, world.spec.restore) = (true, None);
    world.run(S(1));
    assert!(matches!(world.last_told("r"), Some(OperationUpdate::Running { .. })), "{:?}", world.told);
    world.pod("doge-0").faults.ignores_graceful_stop = false;
    world.run(S(1));
    let (reason, message) = failed(&world, "r");
    assert_eq!(reason, "RestoreFailed");
    assert!(message.contains("spec.backup was removed") && message.contains("spec.suspend is set"), "{message}");
}

#[test]
fn a_bot_that_is_deleted_before_it_trades_again_says_so_also_where_it_was_suspended() {
    for suspend in [false, true] {
        let mut world = at(RestoreStep::Resuming, true);
        (world.spec.suspend, world.spec.deleting) = (suspend, true);
        match told(&world, "r") {
            Some(OperationUpdate::Failed { message, .. }) => assert!(message.ends_with("The bot is being deleted.")),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_check_is_given_up_when_the_bot_is_deleted_or_has_no_backups_any_more() {
    type Change = fn(&mut World);
    let changes: [(Change, &str); 2] = [
        (|w| w.spec.deleting = true, "The bot is being deleted."),
        (|w| w.spec.restore = None, "spec.backup was removed, so nothing is known of where backups are."),
    ];
    for (change, why) in changes {
        let mut world = World::trading(backed_up(spec()));
        world.restores.check = CheckFate::Hangs;
        world.pod("doge-0").faults.ignores_graceful_stop = true;
        ask(&mut world, "r");
        world.run(S(1));
        change(&mut world);
        world.run(Duration::from_millis(200));
        assert_eq!(failed(&world, "r"), ("CheckFailed", why.to_owned()));
    }
}
