//! Restores: a backup is put back while nobody trades, and afterwards the bot trades again.

use super::restore_jobs::*;
use super::world::*;
use crate::core::failover::*;
use crate::core::lease::OnApiServerLoss;
use crate::core::report::Report;

#[test]
fn a_backup_is_put_back_while_nobody_trades_and_the_same_pod_goes_on() {
    let mut world = trading();
    ask(&mut world, "r");
    let took = world.until_active(S(10));
    assert!((3_000..3_700).contains(&took), "{took} ms");
    world.run(S(1));
    let text = succeeded(&world, "r");
    assert_eq!(text, format!("Backup {BACKUP} was put back. doge-0 trades in epoch 2."));
    let done = world.last_move().clone();
    assert_eq!((done.trigger, done.reason), (Trigger::Restore, Reason::Restored));
    assert_eq!((done.to.map(|p| p.name).as_deref(), world.record.restore.clone()), (Some("doge-0"), None));
    let said = world.told.iter().filter_map(|(_, update)| match update {
        OperationUpdate::Running { message } => Some(message.clone()),
        _ => None,
    });
    let steps = [
        "The backup is being found and read in full, while trading goes on.".to_owned(),
        format!("Backup {BACKUP} was found good and is put back as soon as nobody trades."),
        format!("Backup {BACKUP} is being put back."),
        format!("Backup {BACKUP} was put back; the bot is to trade again."),
    ];
    assert_eq!(said.collect::<Vec<_>>(), steps);
    assert_eq!(world.restores.begun, 1);
    world.assert_at_rest();
}

#[test]
fn the_bot_trades_on_and_fails_over_while_the_backup_is_checked() {
    let mut world = trading();
    world.restores.check = CheckFate::Hangs;
    ask(&mut world, "r");
    world.run(S(5));
    assert_eq!((step(&world), world.trader().as_deref()), (Some(RestoreStep::Checking), Some("doge-0")));
    world.pod("doge-0").leaving = Some("ProcessExited: the bot ended.");
    world.until_active(S(5));
    assert_eq!(world.trader().as_deref(), Some("doge-1"));
    world.ask("s", OperationKind::Switchover, Some("doge-0"));
    world.until_active(S(5));
    world.ask("s2", OperationKind::Switchover, Some("doge-1"));
    world.until_active(S(5));
    end_check(&mut world);
    world.until_active(S(10));
    assert_eq!(world.trader().as_deref(), Some("doge-1"), "it is put back where the last one traded");
    world.run(S(1));
    assert!(succeeded(&world, "r").contains("doge-1 trades in epoch 5"));
}

#[test]
fn a_check_that_fails_or_hangs_stops_nobody() {
    for (fate, limit) in [(CheckFate::Fails, S(2)), (CheckFate::Hangs, S(200))] {
        let mut world = trading();
        world.restores.check = fate;
        ask(&mut world, "r");
        let began = world.millis;
        until_over(&mut world, "r", limit);
        assert!(fate == CheckFate::Fails || world.millis - began >= 165_000, "its deadline and the grace");
        let (reason, message) = failed(&world, "r");
        assert!(
            reason == "CheckFailed" && message.contains(if fate == CheckFate::Fails { "no such" } else { "in time" })
        );
        world.run(S(2));
        assert_eq!((world.trader().as_deref(), world.record.epoch.0), (Some("doge-0"), 1));
        assert_eq!(world.record.restore, None);
        world.assert_at_rest();
    }
}

#[test]
fn a_restore_that_changed_nothing_is_followed_by_trading() {
    let mut world = trading();
    world.restores.apply = ApplyFate::FailsUnchanged;
    ask(&mut world, "r");
    world.until_active(S(10));
    world.run(S(1));
    let (reason, message) = failed(&world, "r");
    assert!(reason == "RestoreFailed" && message.contains("it failed."), "{message}");
    assert!(message.contains("doge-0 trades in epoch 2"), "{message}");
    assert_eq!((world.last_move().trigger, world.last_move().reason), (Trigger::Restore, Reason::Resumed));
    world.assert_at_rest();
}

#[test]
fn a_target_that_may_be_half_changed_is_traded_on_by_nobody() {
    let mut world = broken();
    assert_eq!(failed(&world, "r").0, "RestoreFailed");
    assert_eq!((step(&world), world.record.blocked), (Some(RestoreStep::Broken), Some(Block::RestoreFailed)));
    assert!(world.record.message.contains("kubectl tradingbot failover"), "{}", world.record.message);
    let writes = world.log.len();
    world.run(S(600));
    assert_eq!((world.trader(), world.log.len()), (None, writes));
    world.ask("s", OperationKind::Switchover, None);
    world.run(S(1));
    assert_eq!(failed(&world, "s").0, "NobodyTrades");
    world.assert_at_rest();
}

#[test]
fn a_person_who_forces_a_failover_takes_the_target_for_good() {
    let mut world = broken();
    world.ask("f", OperationKind::Failover, None);
    world.until_active(S(5));
    world.run(S(1));
    assert!(succeeded(&world, "f").contains("epoch 2"));
    assert_eq!(world.record.restore, None);
    world.assert_at_rest();
}

#[test]
fn another_restore_heals_a_target_and_one_that_fails_does_not() {
    let mut world = broken();
    world.restores.check = CheckFate::Fails;
    ask(&mut world, "again");
    world.run(S(5));
    assert_eq!(failed(&world, "again").0, "CheckFailed");
    assert_eq!((step(&world), world.trader()), (Some(RestoreStep::Broken), None));
    // One that is deleted while it is checked leaves things as they were; and nobody trades meanwhile.
    world.restores.check = CheckFate::Hangs;
    ask(&mut world, "third");
    world.run(S(5));
    assert_eq!((step(&world), world.trader()), (Some(RestoreStep::Checking), None));
    world.ask("f", OperationKind::Failover, None);
    world.run(S(1));
    assert_eq!(failed(&world, "f").0, "AnotherOperationRuns");
    world.operations.clear();
    world.run(S(1));
    assert_eq!((step(&world), world.record.blocked), (Some(RestoreStep::Broken), Some(Block::RestoreFailed)));
    world.restores.check = CheckFate::Succeeds;
    world.restores.apply = ApplyFate::FailsUnchanged;
    ask(&mut world, "fourth");
    world.run(S(10));
    assert_eq!((step(&world), world.trader()), (Some(RestoreStep::Broken), None), "it was changed before");
    world.restores.apply = ApplyFate::Succeeds;
    ask(&mut world, "fifth");
    world.until_active(S(10));
    world.run(S(1));
    assert!(succeeded(&world, "fifth").contains("was put back"));
    assert_eq!(world.record.restore, None);
    world.assert_at_rest();
}

#[test]
fn a_job_that_hangs_vanishes_or_is_cut_off_is_waited_out_before_anybody_may_force_anything() {
    for fate in [ApplyFate::Hangs, ApplyFate::Vanishes, ApplyFate::IsCutOff] {
        let mut world = trading();
        world.restores.apply = fate;
        ask(&mut world, "r");
        until_step(&mut world, RestoreStep::Restoring);
        let began = world.millis;
        world.run(S(2));
        world.ask("f", OperationKind::Failover, None);
        world.run(S(1));
        assert_eq!(failed(&world, "f").0, "AnotherOperationRuns", "{fate:?}");
        until_over(&mut world, "r", S(200));
        let waited = world.millis - began;
        let least = if fate == ApplyFate::Hangs { 119_000 } else { 164_900 };
        assert!((least..least + 3_000).contains(&waited), "{fate:?}: {waited} ms");
        assert_eq!(failed(&world, "r").0, "RestoreFailed");
        world.run(S(1));
        assert_eq!(step(&world), Some(RestoreStep::Broken));
        world.ask("g", OperationKind::Failover, None);
        world.until_active(S(5));
        world.run(S(1));
        assert_eq!(world.record.restore, None);
        world.assert_at_rest();
    }
}

#[test]
fn an_operator_that_restarts_waits_the_whole_time_again_for_a_job_that_is_gone() {
    let mut world = trading();
    world.restores.apply = ApplyFate::Vanishes;
    ask(&mut world, "r");
    until_step(&mut world, RestoreStep::Restoring);
    world.run(S(100));
    world.restart_operator();
    let restarted = world.millis;
    until_over(&mut world, "r", S(200));
    assert!(world.millis - restarted >= 165_000);
    assert_eq!(world.restores.begun, 1, "it is not made again");
}

#[test]
fn a_restore_job_that_the_status_does_not_know_lets_nobody_be_granted() {
    let mut world = trading();
    world.restores.apply = ApplyFate::IsCutOff;
    ask(&mut world, "r");
    until_step(&mut world, RestoreStep::Restoring);
    let began = world.millis;
    // The store was put back to a state before the restore.
    world.record.restore = None;
    world.operations.clear();
    world.until_active(S(300));
    assert!(world.millis - began >= 165_000);
}

#[test]
fn a_restore_waits_for_a_reconciliation_and_takes_the_lease_from_a_candidate() {
    let mut world = World::preparing(backed_up(reconciled(OnFailure::Block)));
    ask(&mut world, "r");
    world.run(S(20));
    assert_eq!(step(&world), Some(RestoreStep::Stopping));
    assert_eq!((world.lease.as_ref().unwrap().holder.clone(), world.restores.apply_job()), (None, None));
    world.jobs.iter_mut().for_each(|j| j.ended = true);
    world.job_fate = JobFate::Succeeds(Report::default());
    world.until_active(S(10));
    world.run(S(1));
    assert!(succeeded(&world, "r").contains("trades in epoch 3"));
}

#[test]
fn what_was_put_back_is_reconciled_whatever_the_policy_runs_on() {
    let mut spec = backed_up(reconciled(OnFailure::Block));
    spec.reconciliation.as_mut().unwrap().run_on = vec![];
    let mut world = World::trading(spec);
    ask(&mut world, "r");
    world.until_active(S(10));
    assert!(world.log.iter().any(|a| matches!(a, Action::CreateJob { .. })));
    // Where that fails the operation says so, and a forced failover goes on.
    world.job_fate = JobFate::Fails;
    ask(&mut world, "second");
    until_over(&mut world, "second", S(20));
    let (reason, message) = failed(&world, "second");
    assert!(reason == "Blocked" && message.contains("was put back") && message.contains("reconciliation failed"));
    world.run(S(1));
    assert_eq!((world.record.restore.clone(), world.record.phase), (None, Phase::Blocked));
    world.job_fate = JobFate::Succeeds(Report::default());
    world.ask("f", OperationKind::Failover, None);
    world.until_active(S(5));
    assert!(world.last_move().report.is_some());
}

#[test]
fn limits_that_people_set_do_not_hold_the_resume_up() {
    let spec = Spec { manual: true, max_failovers: 1, cooldown: S(600), ..backed_up(spec()) };
    let mut world = World::trading(spec);
    ask(&mut world, "r");
    world.until_active(S(10));
    // Nor the way back from a restore that is given up when the active has stopped already.
    until_stopped(&mut world, "second");
    world.creates_refused = false;
    world.operations.clear();
    world.until_active(S(10));
    world.run(S(1));
    assert_eq!(world.record.restore, None);
    world.assert_at_rest();
}

#[test]
fn a_suspended_bot_is_restored_and_stays_suspended() {
    let mut world = trading();
    world.spec.suspend = true;
    world.run(S(5));
    ask(&mut world, "r");
    until_over(&mut world, "r", S(10));
    assert!(succeeded(&world, "r").contains("was put back") && succeeded(&world, "r").contains("spec.suspend"));
    world.run(S(1));
    assert_eq!((world.record.phase, world.record.restore.clone()), (Phase::Suspended, None));
    world.assert_at_rest();
}

#[test]
fn suspend_during_a_restore_lets_it_end() {
    let mut world = trading();
    ask(&mut world, "r");
    until_step(&mut world, RestoreStep::Restoring);
    world.spec.suspend = true;
    until_over(&mut world, "r", S(10));
    assert!(succeeded(&world, "r").contains("was put back"));
    world.run(S(1));
    assert_eq!((world.record.phase, world.trader()), (Phase::Suspended, None));
    world.spec.suspend = false;
    world.until_active(S(5));
}

#[test]
fn an_operation_that_is_deleted_is_dropped_before_it_restores_and_followed_afterwards() {
    for wanted in [RestoreStep::Checking, RestoreStep::Stopping, RestoreStep::Restoring] {
        let mut world = trading();
        match wanted {
            RestoreStep::Checking => world.restores.check = CheckFate::Hangs,
            RestoreStep::Stopping => world.pod("doge-0").faults.ignores_graceful_stop = true,
            _ => {}
        }
        ask(&mut world, "r");
        until_step(&mut world, wanted);
        world.operations.clear();
        world.run(S(1));
        world.pod("doge-0").faults.ignores_graceful_stop = false;
        world.run(S(10));
        assert_eq!((world.record.phase, world.record.restore.clone()), (Phase::Active, None), "{wanted:?}");
        assert_eq!(world.restores.begun, usize::from(wanted == RestoreStep::Restoring));
        assert_eq!(world.trader().as_deref(), Some("doge-0"));
        world.assert_at_rest();
    }
}

#[test]
fn a_bot_that_is_deleted_does_not_go_before_its_restore_has_ended() {
    for (fate, least) in [(ApplyFate::Succeeds, 2_000), (ApplyFate::Vanishes, 164_000), (ApplyFate::IsCutOff, 164_000)]
    {
        let mut world = trading();
        world.restores.apply = fate;
        ask(&mut world, "r");
        until_step(&mut world, RestoreStep::Restoring);
        world.spec.deleting = true;
        let took = world.run_until("finalized", S(300), |w| w.finalized);
        assert!(took >= least, "{fate:?}: {took} ms");
    }
    let mut world = broken();
    world.spec.deleting = true;
    world.run_until("finalized", S(5), |w| w.finalized);
}

#[test]
fn what_cannot_be_restored_is_refused_with_a_sentence() {
    let mut world = World::trading(spec());
    ask(&mut world, "r");
    world.run(S(1));
    assert_eq!(failed(&world, "r").0, "NoBackup");
    let mut world = trading();
    world.restores.check = CheckFate::Hangs;
    ask(&mut world, "a");
    ask(&mut world, "b");
    world.run(S(1));
    assert_eq!(failed(&world, "b").0, "AnotherOperationRuns");
    assert!(matches!(world.last_told("a"), Some(OperationUpdate::Running { .. })));
    let mut world = trading();
    world.pod("doge-0").faults.ignores_graceful_stop = true;
    world.ask("s", OperationKind::Switchover, None);
    world.run(S(1));
    ask(&mut world, "r");
    world.run(S(1));
    assert_eq!(failed(&world, "r").0, "AnotherOperationRuns");
}

#[test]
fn a_job_that_cannot_be_made_costs_a_minute_without_trading_and_no_more() {
    let mut world = trading();
    until_stopped(&mut world, "r");
    let took = world.until_active(S(70));
    assert!(took > 55_000, "{took} ms");
    world.run(S(1));
    assert!(failed(&world, "r").1.contains("could not be made"));
}

#[test]
fn an_active_that_does_not_stop_is_stopped_and_a_silent_one_waited_for() {
    let mut world = trading();
    world.pod("doge-0").faults.ignores_graceful_stop = true;
    ask(&mut world, "r");
    let took = world.until_active(S(60));
    assert!((33_000..34_000).contains(&took), "{took} ms");
    let mut spec = backed_up(spec());
    spec.terms.on_api_server_loss = OnApiServerLoss::Continue;
    let mut silent = World::trading(spec);
    silent.restores.check = CheckFate::Hangs;
    ask(&mut silent, "r");
    silent.run(S(1));
    silent.pod("doge-0").faults.dead = true;
    silent.run(S(15));
    end_check(&mut silent);
    silent.run(S(60));
    assert_eq!(silent.record.blocked, Some(Block::SilentUnderContinue));
    assert_eq!(silent.restores.begun, 0, "nothing is put back below an active that may trade");
    silent.ask("c", OperationKind::Confirm { epoch: silent.record.epoch, by: "Ada".into() }, None);
    silent.until_active(S(30));
    silent.run(S(1));
    assert!(succeeded(&silent, "r").contains("was put back"));
}

#[test]
fn a_restore_survives_a_mishap_at_every_write() {
    for mishap in MISHAPS {
        for nth in 0..20 {
            let mut world = World::trading(backed_up(reconciled(OnFailure::Retry)));
            world.mishap = Some((nth, mishap));
            ask(&mut world, "r");
            world.until_active(S(60));
            world.run(S(5));
            let text = succeeded(&world, "r");
            assert!(text.contains("was put back"), "{mishap:?} at write {nth}: {text}");
            assert_eq!((world.restores.begun, world.record.total), (1, 1), "{mishap:?} at write {nth}");
            assert_eq!(world.record.restore, None);
            world.assert_at_rest();
        }
    }
}
