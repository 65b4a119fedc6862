//! When the active is asked to stop, and what follows where it does not.

use std::time::Duration;

use super::world::*;
use crate::core::failover::*;
use crate::core::lease::{AgentState, Permit, Revoke};

const S: fn(u64) -> Duration = Duration::from_secs;

fn drained(world: &mut World) {
    world.pod("doge-0").pod.draining = true;
}

/// The standby is of the new template already.
fn outdated(world: &mut World) {
    world.spec.revision = "r2".into();
    world.pod("doge-1").pod.revision = "r2".into();
}

#[test]
fn a_steady_active_leaves_a_drained_node_and_an_old_template_when_somebody_else_is_fit() {
    type Change = fn(&mut World);
    let reasons: [(&str, Change); 2] = [("drained", drained), ("outdated", outdated)];
    let obstacles: [(&str, Change); 7] = [
        ("only people move it", |w| w.spec.manual = true),
        ("it goes anyway", |w| w.pod("doge-0").pod.terminating = true),
        ("it does not trade yet", |w| w.lease.as_mut().unwrap().state = AgentState::Promoting),
        ("nobody else is ready", |w| w.pod("doge-1").pod.ready = false),
        ("the other one is going", |w| w.pod("doge-1").pod.terminating = true),
        ("the other one was lost", |w| {
            let container_id = w.pod("doge-1").pod.container_id.clone();
            w.record.lost.push(Lost { pod_uid: "u2".into(), container_id });
        }),
        ("there is no other one", |w| w.pods.retain(|pod| pod.pod.name == "doge-0")),
    ];
    let asked = |changes: &[Change]| {
        let mut world = World::trading(spec());
        changes.iter().for_each(|change| change(&mut world));
        world.round();
        world.lease.unwrap().permit == Some(Permit::Revoke)
    };
    for (what, reason) in reasons {
        assert!(asked(&[reason]), "{what}");
        for (why, obstacle) in obstacles {
            assert!(!asked(&[reason, obstacle]), "{what}, but {why}");
        }
    }
    assert!(!asked(&[drained, |w| w.pod("doge-1").pod.draining = true]), "the other node is drained too");
    assert!(!asked(&[outdated, |w| w.template_error = Some("The template is refused.".into())]));
    assert!(!asked(&[outdated, |w| w.pod("doge-1").pod.revision = "r1".into()]), "the other one is outdated too");
    // Standbys first, all of them that count.
    let third: Change = |w| {
        let mut pod = w.pod("doge-1").clone();
        (pod.pod.name, pod.pod.uid, pod.pod.slot) = ("doge-2".into(), "u3".into(), 2);
        pod.pod.revision = "r1".into();
        w.spec.replicas = 3;
        w.pods.push(pod);
    };
    assert!(!asked(&[outdated, third]));
    assert!(asked(&[outdated, third, |w| w.pod("doge-2").pod.node_lost = true]));
}

#[test]
fn one_that_began_to_stop_by_itself_and_hangs_is_stopped_at_once_in_the_end() {
    let mut world = World::trading(spec());
    world.tamper(|lease| lease.state = AgentState::Demoting);
    let took = world.until_active(S(60));
    assert!((30_000..31_000).contains(&took), "stop time and slack: {took} ms");
    let done = world.last_move();
    assert_eq!((done.epoch.0, done.evidence, done.reason), (2, Some(Evidence::Released), Reason::LeaseNotRenewed));
}

#[test]
fn one_that_renews_and_does_not_even_stop_at_once_has_its_pod_deleted() {
    let mut world = World::trading(spec());
    world.pod("doge-0").faults.cut = true;
    world.ask("f", OperationKind::Failover, None);
    let mut deleted = Vec::new();
    for second in 0..25 {
        world.tamper(|lease| lease.renew = format!("u1/b0/{}", 1_000 + second));
        world.run(S(1));
        assert_eq!(world.lease.as_ref().map(|lease| lease.revoke), Some(Revoke::Now));
        deleted.push(world.log.iter().filter(|a| matches!(a, Action::DeletePod(pod) if pod.uid == "u1")).count());
    }
    assert_eq!((deleted[8], deleted[11], deleted[24]), (0, 1, 1), "{deleted:?}");
}

#[test]
fn a_bot_that_does_not_come_to_trade_is_given_its_promotion_time_and_the_slack() {
    let mut world = World::trading(spec());
    world.pod("doge-1").faults.hangs_in_promotion = true;
    world.pod("doge-0").leaving = Some("ProcessExited: the bot ended.");
    world.run_until("activating", S(5), |w| w.record.phase == Phase::Activating);
    let took = world.until_active(S(60));
    assert!((30_000..30_500).contains(&took), "{took} ms");
    assert_eq!((world.trader().as_deref(), world.last_move().reason), (Some("doge-0"), Reason::ProcessExited));
}
