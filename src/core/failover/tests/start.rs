use std::time::Duration;

use super::world::*;
use crate::core::failover::*;
use crate::core::ids::Epoch;
use crate::core::lease::Permit;

const S: fn(u64) -> Duration = Duration::from_secs;

#[test]
fn a_new_bot_gets_its_pods_and_the_first_ready_one_trades() {
    let mut world = World::new(spec());
    world.run_until("trading", S(10), |w| w.trader().is_some());
    world.run(S(1));
    assert_eq!((world.record.phase, world.record.epoch), (Phase::Active, Epoch(1)));
    assert_eq!(world.trader().as_deref(), Some("doge-0"));
    assert_eq!((world.last_move().trigger, world.last_move().kind()), (Trigger::FirstStart, MoveKind::FirstStart));
    assert_eq!(world.record.total, 0, "a first start is no failover");
    assert_eq!(world.pod("doge-0").pod.role, Some(Role::Active));
    assert_eq!(world.pod("doge-1").pod.role, Some(Role::Standby));
    world.assert_at_rest();
}

#[test]
fn a_steady_bot_costs_no_write_and_no_round() {
    let mut world = World::trading(spec());
    let rounds = world.rounds;
    world.run(S(600));
    assert_eq!(world.log, []);
    assert_eq!(world.rounds, rounds, "renewals woke the operator");
}

#[test]
fn while_no_pod_is_ready_the_phase_is_pending_and_says_what_is_wrong() {
    let mut world = World::new(spec());
    world.run(Duration::from_millis(500));
    for pod in &mut world.pods {
        pod.faults.dead = true;
        pod.pod.problem = Some("The image example/bot:1 cannot be pulled.".into());
    }
    world.run(S(60));
    assert_eq!(world.record.phase, Phase::Pending);
    assert!(world.record.message.contains("cannot be pulled"), "{}", world.record.message);
    world.assert_at_rest();
}

#[test]
fn a_refused_template_is_said_and_makes_no_pods() {
    let mut world = World::new(spec());
    world.template_error = Some("The API server refuses the template.".into());
    world.run(S(10));
    assert!(world.pods.is_empty());
    assert!(world.record.message.contains("refuses the template"));
    world.assert_at_rest();
}

/// The shortest way there is: every write more is time without trading.
#[test]
fn a_released_lease_leads_to_a_permit_in_two_rounds_of_two_writes() {
    let mut world = World::trading(spec());
    world.pod("doge-0").leaving = Some("ProcessExited: the bot ended with code 1.");
    let now = world.now();
    let lease = world.lease.clone();
    let mut released = world.pod("doge-0").step(lease.as_ref(), now).unwrap();
    released.version = world.next_version();
    world.lease = Some(released);

    let first = world.round();
    assert!(
        matches!(&first[..], [Action::WriteStatus, Action::PutLease { purpose: LeaseWrite::Grant, .. }]),
        "{first:?}"
    );
    let lease = world.lease.clone();
    let mut claimed = world.pod("doge-1").step(lease.as_ref(), now).unwrap();
    claimed.version = world.next_version();
    world.lease = Some(claimed);

    let second = world.round();
    assert!(
        matches!(&second[..], [Action::WriteStatus, Action::PutLease { purpose: LeaseWrite::Permit, .. }]),
        "{second:?}"
    );
    let lease = world.lease.as_ref().unwrap();
    assert_eq!((lease.permit, lease.transitions), (Some(Permit::Trade), 1));
    world.run(S(1));
    let done = world.last_move();
    assert_eq!((done.reason, done.evidence), (Reason::ProcessExited, Some(Evidence::Released)));
    assert_eq!(done.to.as_ref().unwrap().name, "doge-1");
    assert!(done.suspected <= done.fenced.unwrap() && done.fenced <= done.elected && done.elected <= done.reconciled);
    assert!(done.reconciled <= done.active);
    assert_eq!(world.record.total, 1);
}
