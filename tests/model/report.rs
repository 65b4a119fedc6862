//! What an exploration tells people.

use std::sync::atomic::Ordering;

use stateright::{Checker, HasDiscoveries, Model as _};

use crate::bounds::Bounds;
use crate::core::silence::{GUARD, TOLERANCE_PERCENT, required_silence};
use crate::events::{Event, Model};
use crate::exchange::Rule;
use crate::fair::MOST_STEPS;
use crate::properties;
use crate::search::Found;
use crate::world::*;

/// What will be explored.
pub fn begins(model: &Model) {
    println!(
        "{}\n  {OPERATORS} operators; lease {:?}, guard {GUARD:?}, wait {:?} (tolerance {TOLERANCE_PERCENT} %), over after {} \
         ticks of {TICK:?}; deadline {:?} after the request, by a clock on which a tick takes {AGENT_TICK:?}",
        model.bounds,
        TICK * LEASE_TICKS,
        required_silence(TICK * LEASE_TICKS),
        model.bounds.wait_ticks(),
        TICK * LEASE_TICKS - GUARD,
    );
}

/// What was explored.
pub fn ends(model: &Model, found: &Found) {
    let Found { states, steps, seconds, memory, broken, unfinished } = found;
    let end = match (broken, unfinished) {
        (Some((rule, world)), _) => format!("BROKEN: {rule}, after {:?}", world.spent),
        (None, Some(why)) => format!("NOT EXPLORED TO THE END: {why}"),
        (None, None) => "explored to the end, every rule holds".to_owned(),
    };
    println!(
        "  {states} states, {steps} steps, {seconds:.1} s, {:.0} states/s, {} MiB: {end}",
        *states as f64 / seconds,
        memory >> 20
    );
    println!(
        "  trading resumes within {} fair steps (at most {MOST_STEPS} are allowed) from each of {} states, one in {}",
        model.fair.longest.load(Ordering::Relaxed),
        model.fair.looked_at.load(Ordering::Relaxed),
        model.fair.one_in,
    );
    println!("{}", model.counts);
    let never = model.counts.never(&model.bounds);
    if !never.is_empty() {
        println!("  NEVER REACHED: {}", never.join(", "));
    }
}

/// The rule that stateright finds broken first, breadth first, the shortest way there, and the states until then. `rule`:
/// this one is wanted, and no other ends the search.
pub fn shortest(bounds: Bounds, one_in: u64, rule: Option<Rule>) -> (usize, Option<(&'static str, Vec<Event>)>) {
    let mut model = Model::new(bounds);
    model.fair.one_in = one_in;
    let wanted = rule.map(|rule| HasDiscoveries::AllOf([rule.name()].into())).unwrap_or(HasDiscoveries::AnyFailures);
    let checker = model.checker().finish_when(wanted).spawn_bfs().join();
    let found = checker.discoveries().into_iter().map(|(rule, path)| (rule, path.into_actions()));
    let found = found.filter(|(name, _)| rule.is_none_or(|rule| rule.name() == *name));
    let found = found.map(|(name, path)| (name, until_broken(checker.model(), name, path)));
    (checker.unique_state_count(), found.min_by_key(|(_, path)| path.len()))
}

/// The way to where the rule is broken first: stateright goes on for a while.
fn until_broken(model: &Model, name: &str, mut path: Vec<Event>) -> Vec<Event> {
    let rule = Rule::ALL.into_iter().find(|rule| rule.name() == name).expect("it is a rule's name");
    let mut world = model.first();
    let breaks = |event: &Event| {
        world = model.after(&world, *event, None).expect("it happened before");
        !properties::holds(rule, model, &world)
    };
    if let Some(last) = path.iter().position(breaks) {
        path.truncate(last + 1);
    }
    path
}

/// Prints the way to a broken rule.
pub fn shortest_way(bounds: &Bounds, one_in: u64) {
    let (_, Some((rule, path))) = shortest(*bounds, one_in, None) else {
        return println!("no way there was found again");
    };
    println!("the shortest way to break '{rule}':");
    let model = Model::new(*bounds);
    let mut world = model.first();
    for event in path {
        world = model.after(&world, event, None).expect("it happened before");
        let lease = world.lease.map(|l| (l.epoch, l.holder.clone(), l.permit, l.state));
        let ledger = world.record.trading.as_ref().map(|ledger| (ledger.epoch, &ledger.pod.name));
        let traders: Vec<_> = world.traders().map(|agent| (agent.index, agent.trades)).collect();
        println!(
            "  {event:?}\n      Lease {lease:?} for {} ticks, ledger {ledger:?}, trading {traders:?}",
            world.lease_age
        );
    }
}
