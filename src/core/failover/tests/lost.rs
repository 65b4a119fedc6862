//! Pods that fell silent: when they count again.

use std::time::Duration;

use super::world::*;
use crate::core::ids::BootId;
use crate::core::lease::{AgentState, Permit};
use crate::core::time::Mono;

const S: fn(u64) -> Duration = Duration::from_secs;

/// `doge-0` was cut off, `doge-1` trades, and a third pod is there.
fn with_a_lost_pod() -> World {
    let mut world = World::trading(spec());
    world.pod("doge-0").faults.cut = true;
    world.until_active(S(20));
    world.run(S(5));
    assert_eq!(world.record.lost.iter().map(|l| l.pod_uid.as_str()).collect::<Vec<_>>(), ["u1"]);
    assert_eq!(world.pods.len(), 3);
    world
}

#[test]
fn another_container_in_it_is_a_sign_of_life() {
    let mut world = with_a_lost_pod();
    world.pod("doge-0").container_dies(false);
    world.run(Duration::from_millis(300));
    assert!(world.record.lost.is_empty());
}

#[test]
fn a_release_by_its_agent_is_a_sign_of_life_and_one_by_another_is_none() {
    for (pod_uid, state, counts) in
        [("u1", AgentState::Released, true), ("u2", AgentState::Released, false), ("u1", AgentState::Demoting, false)]
    {
        let mut world = with_a_lost_pod();
        world.spec.suspend = true;
        world.run(S(3));
        world.tamper(|lease| {
            (lease.holder, lease.permit, lease.state) = (None, Some(Permit::Revoke), state);
            lease.boot = Some(BootId { pod_uid: pod_uid.into(), nonce: "b0".into() });
        });
        world.run(Duration::from_millis(300));
        assert_eq!(world.record.lost.is_empty(), counts, "{pod_uid} {state:?}");
    }
}

#[test]
fn it_counts_again_when_it_was_reported_ready_for_longer_than_a_dead_node_goes_unnoticed() {
    let mut world = with_a_lost_pod();
    // The last report of a node that is dead: nobody has looked since.
    let took = world.run_until("it counts again", S(120), |w| w.record.lost.is_empty());
    assert!((45_000..100_000).contains(&took), "{took} ms");

    for trouble in [
        |pod: &mut super::agent::SimPod| (pod.ready_at, pod.pod.ready) = (Mono::both(u64::MAX), false),
        |pod: &mut super::agent::SimPod| pod.pod.node_lost = true,
    ] {
        let mut world = with_a_lost_pod();
        trouble(world.pod("doge-0"));
        world.run(S(200));
        assert_eq!(world.record.lost.len(), 1);
    }
}

#[test]
fn it_counts_again_as_soon_as_it_is_reported_ready_after_it_was_not() {
    for (ready, node_lost) in [(false, false), (true, true)] {
        let mut world = with_a_lost_pod();
        let pod = world.pod("doge-0");
        (pod.ready_at, pod.pod.ready, pod.pod.node_lost) = (Mono::both(u64::MAX), ready, node_lost);
        world.run(S(5));
        assert_eq!(world.record.lost.len(), 1);
        let pod = world.pod("doge-0");
        (pod.pod.ready, pod.pod.node_lost) = (true, false);
        world.run(Duration::from_millis(300));
        assert!(world.record.lost.is_empty(), "ready {ready}, node lost {node_lost}");
    }
}

#[test]
fn one_that_is_gone_is_forgotten() {
    let mut world = with_a_lost_pod();
    world.pods.retain(|pod| pod.pod.name != "doge-0");
    world.run(Duration::from_millis(300));
    assert!(world.record.lost.is_empty());
}
