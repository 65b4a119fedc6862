//! A first model: the very functions that production decides with, against everything that a network, an API server
//! and a kernel may do to them.

mod agents;
mod normal;
mod operators;
mod shared;
mod world;

use std::time::Instant;

use decisions::core::silence::{GUARD, TOLERANCE_PERCENT, required_silence};
use stateright::{Checker, HasDiscoveries, Model};

use world::{AGENTS, Bounds, LEASE_TICKS, OPERATORS, TICK};

fn explore(name: &str, bounds: Bounds, finish: HasDiscoveries) -> impl Checker<Bounds> {
    let began = Instant::now();
    let checker = bounds.clone().checker().threads(2).finish_when(finish).spawn_bfs().join();
    println!(
        "{name}: {} states ({} visited), depth {}, {:.1} s; {bounds:?}, {AGENTS} agents, {OPERATORS} operators; lease \
         {:?}, guard {GUARD:?}, wait {:?} (tolerance {TOLERANCE_PERCENT} %)",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        began.elapsed().as_secs_f32(),
        TICK * LEASE_TICKS,
        required_silence(TICK * LEASE_TICKS),
    );
    checker
}

/// Faults on one path; more takes minutes: `MODEL_FAULTS=2 cargo test -p tradingbot-model -- --nocapture`.
fn faults() -> u8 {
    std::env::var("MODEL_FAULTS").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

#[test]
fn no_two_may_trade_at_once() {
    let checker = explore("safe", Bounds { epochs: 2, faults: faults(), overrun: 0 }, HasDiscoveries::AnyFailures);
    checker.assert_properties();
}

/// With a process that goes on three ticks after its deadline, which is as long as an observer waits, the guard is
/// negative: the model must find what the product would do then, or it would prove nothing.
#[test]
fn a_guard_that_ends_after_the_wait_is_found() {
    let bounds = Bounds { epochs: 2, faults: 0, overrun: 3 };
    let wanted = "no two may trade at once";
    let checker = explore("negative guard", bounds, HasDiscoveries::AllOf([wanted].into()));
    let path = checker.assert_any_discovery(wanted);
    println!("negative guard: found after {} events", path.into_actions().len());
}
