//! The operator's own failures, between any two of its writes.

use std::time::Duration;

use super::world::*;
use crate::core::failover::*;

const S: fn(u64) -> Duration = Duration::from_secs;

const MISHAPS: [Mishap; 4] = [Mishap::CrashBefore, Mishap::CrashAfter, Mishap::AnswerLost, Mishap::RequestLost];

fn everywhere(name: &str, spec: &Spec, fault: impl Fn(&mut World), limit: Duration) {
    for mishap in MISHAPS {
        for nth in 0..14 {
            let mut world = World::trading(spec.clone());
            world.mishap = Some((nth, mishap));
            fault(&mut world);
            world.until_active(limit);
            world.run(S(20));
            assert_eq!(
                world.record.phase,
                Phase::Active,
                "{name}: {mishap:?} at write {nth}: {}",
                world.record.message
            );
            assert_eq!(world.record.total, 1, "{name}: one failover, counted once");
            world.assert_at_rest();
        }
    }
}

#[test]
fn a_failover_survives_a_mishap_at_every_write() {
    let exit = |w: &mut World| w.pod("doge-0").leaving = Some("ProcessExited: the bot ended.");
    everywhere("exit", &spec(), exit, S(30));
    everywhere("exit and reconciliation", &reconciled(OnFailure::Retry), exit, S(30));
}

#[test]
fn a_failover_by_expiry_survives_a_mishap_at_every_write() {
    everywhere("power cut", &spec(), |w| w.pod("doge-0").faults.dead = true, S(60));
}

#[test]
fn a_switchover_survives_a_mishap_at_every_write() {
    everywhere("switchover", &spec(), |w| w.ask("s", OperationKind::Switchover, None), S(30));
}

#[test]
fn a_first_start_survives_a_mishap_at_every_write() {
    for mishap in MISHAPS {
        for nth in 0..12 {
            let mut world = World::new(spec());
            world.mishap = Some((nth, mishap));
            world.run(S(30));
            assert_eq!(world.record.phase, Phase::Active, "{mishap:?} at write {nth}");
            world.assert_at_rest();
        }
    }
}

#[test]
fn an_operator_that_restarts_while_the_active_is_silent_waits_the_full_time_again() {
    let mut world = World::trading(spec());
    world.pod("doge-0").faults.dead = true;
    world.run(S(8));
    world.restart_operator();
    let restarted = world.millis;
    world.until_active(S(30));
    let waited = world.last_move().fenced.unwrap().0 - restarted;
    assert!(waited >= 10_500, "fenced {waited} ms after the restart");
}

#[test]
fn a_permit_whose_outcome_is_unknown_is_read_before_anything_else_is_decided() {
    for mishap in [Mishap::AnswerLost, Mishap::RequestLost] {
        let mut world = World::trading(spec());
        // Writes of the failover: status, grant, then status, permit.
        world.mishap = Some((3, mishap));
        world.pod("doge-0").leaving = Some("ProcessExited: the bot ended.");
        world.until_active(S(10));
        assert_eq!(world.record.epoch.0, 2, "the same epoch goes on");
    }
}
