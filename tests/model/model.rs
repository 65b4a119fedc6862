//! A first model: the very functions that production decides with, against everything that a network, an API server
//! and a kernel may do to them.

mod agents;
mod normal;
mod operators;
mod world;

use std::time::{Duration, Instant};

use decisions::core::silence::{GUARD, required_silence};
use stateright::{Checker, Model};

use world::{Bounds, LEASE_TICKS, TICK};

fn explore(name: &str, bounds: Bounds) -> impl Checker<Bounds> {
    let began = Instant::now();
    let checker = bounds.clone().checker().threads(2).timeout(Duration::from_secs(55)).spawn_bfs().join();
    println!(
        "{name}: {} states ({} visited), depth {}, {:.1} s; {bounds:?}; lease {:?}, guard {GUARD:?}, wait {:?}",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        began.elapsed().as_secs_f32(),
        TICK * LEASE_TICKS,
        required_silence(TICK * LEASE_TICKS),
    );
    checker
}

#[test]
fn no_two_may_trade_at_once() {
    let checker = explore("safe", Bounds { epochs: 2, faults: 0, overrun: 0 });
    assert!(checker.is_done(), "the bounds were not exhausted in time");
    checker.assert_properties();
}

#[test]
fn a_guard_that_ends_after_the_wait_is_found() {
    let checker = explore("negative guard", Bounds { epochs: 2, faults: 0, overrun: 3 });
    checker.assert_any_discovery("no two may trade at once");
}
