//! What counts as evidence, one condition after the other (design, rule 11).

use std::time::Duration;

use super::world::spec;
use crate::core::failover::evidence::{agrees, doubt_after, in_lease, in_pods};
use crate::core::failover::*;
use crate::core::ids::{BootId, Epoch, FencingToken, PodRef};
use crate::core::lease::{AgentState, LeaseRecord, OnApiServerLoss};

fn boot(pod_uid: &str, nonce: &str) -> BootId {
    BootId { pod_uid: pod_uid.into(), nonce: nonce.into() }
}

fn pod(uid: &str) -> PodRef {
    PodRef { name: "doge-0".into(), uid: uid.into() }
}

fn ledger() -> Ledger {
    Ledger {
        epoch: Epoch(3),
        token: FencingToken(30),
        pod: pod("u0"),
        boot: Some(boot("u0", "b0")),
        lease_duration: Duration::from_secs(10),
        on_api_server_loss: OnApiServerLoss::Stop,
    }
}

fn released() -> LeaseRecord {
    LeaseRecord {
        epoch: Some(Epoch(3)),
        boot: Some(boot("u0", "b0")),
        state: AgentState::Released,
        ..LeaseRecord::default()
    }
}

#[test]
fn only_a_release_by_that_boot_in_that_epoch_is_one() {
    assert_eq!(in_lease(&ledger(), &released()), Some(Evidence::Released));
    type Change = fn(&mut LeaseRecord);
    let others: [(&str, Change); 7] = [
        ("an earlier epoch", |lease| lease.epoch = Some(Epoch(2))),
        ("no epoch", |lease| lease.epoch = None),
        ("a holder", |lease| lease.holder = Some(pod("u0"))),
        ("another boot", |lease| lease.boot = Some(boot("u0", "b1"))),
        ("another pod's boot", |lease| lease.boot = Some(boot("u1", "b0"))),
        ("no boot", |lease| lease.boot = None),
        ("a bot that is being stopped", |lease| lease.state = AgentState::Demoting),
    ];
    for (what, change) in others {
        let mut lease = released();
        change(&mut lease);
        assert_eq!(in_lease(&ledger(), &lease), None, "{what}");
    }
    // Where somebody else changed the Lease its boot was never known; the pod still is.
    let unknown = Ledger { boot: None, ..ledger() };
    assert_eq!(in_lease(&unknown, &released()), Some(Evidence::Released));
    assert_eq!(in_lease(&unknown, &LeaseRecord { boot: Some(boot("u1", "b0")), ..released() }), None);
}

#[test]
fn only_a_later_boot_of_the_same_pod_says_that_the_earlier_one_is_dead() {
    let restarted = |successor| LeaseRecord { state: AgentState::Restarted, successor, ..released() };
    let says = |successor| in_lease(&ledger(), &restarted(successor));
    assert_eq!(says(Some(boot("u0", "b1"))), Some(Evidence::ContainerRestarted));
    assert_eq!(says(Some(boot("u1", "b1"))), None);
    assert_eq!(says(Some(boot("u0", "b0"))), None);
    assert_eq!(says(None), None);
}

#[test]
fn only_the_end_of_the_container_of_that_boot_in_that_pod_is_one() {
    let seen = |uid: &str, ended: &[BootId]| {
        let pod = Pod { uid: uid.into(), terminated_boots: ended.to_vec(), ..Pod::default() };
        in_pods(&ledger(), &[Pod::default(), pod])
    };
    assert_eq!(seen("u0", &[boot("u0", "a"), boot("u0", "b0")]), Some(Evidence::ContainerTerminated));
    assert_eq!(seen("u0", &[boot("u0", "a")]), None);
    assert_eq!(seen("u0", &[]), None);
    assert_eq!(seen("u1", &[boot("u0", "b0")]), None);
    assert_eq!(in_pods(&Ledger { boot: None, ..ledger() }, &[]), None);
}

#[test]
fn a_lease_agrees_with_the_ledger_in_epoch_holder_and_boot() {
    let held = LeaseRecord { holder: Some(pod("u0")), ..released() };
    assert!(agrees(&ledger(), &held));
    assert!(!agrees(&ledger(), &LeaseRecord { epoch: Some(Epoch(4)), ..held.clone() }));
    assert!(!agrees(&ledger(), &LeaseRecord { holder: Some(pod("u1")), ..held.clone() }));
    assert!(!agrees(&ledger(), &LeaseRecord { boot: Some(boot("u0", "b1")), ..held.clone() }));
    assert!(!agrees(&ledger(), &LeaseRecord { boot: None, ..held.clone() }));
    assert!(agrees(&Ledger { boot: None, ..ledger() }, &LeaseRecord { boot: Some(boot("u0", "b1")), ..held }));
}

#[test]
fn a_holder_is_in_doubt_after_its_renew_deadline_or_half_the_duration_where_that_is_unknown() {
    let agreed = |terms| doubt_after(&ledger(), &LeaseRecord { terms, ..released() });
    assert_eq!(agreed(Some(spec().terms)), Duration::from_secs(6));
    assert_eq!(agreed(None), Duration::from_secs(5));
    let shorter = Ledger { lease_duration: Duration::from_secs(4), ..ledger() };
    let terms = Some(spec().terms);
    assert_eq!(doubt_after(&shorter, &LeaseRecord { terms, ..released() }), Duration::from_secs(4));
}
