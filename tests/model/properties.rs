//! What must hold in every state that is reached.

use stateright::Property;

use crate::core::failover::Ledger;
use crate::events::Model;
use crate::exchange::{Grant, Rule};
use crate::world::{World, pod};

/// Whether `rule` holds in `world`.
pub fn holds(rule: Rule, model: &Model, world: &World) -> bool {
    let told = world.exchange.broken != Some(rule);
    match rule {
        // A process that trades may send its next order now.
        Rule::I1 => told && trading(world).all(|grant| !world.exchange.is_outdone(grant)),
        Rule::I2 => told && world.traders().count() <= 1,
        Rule::I3 | Rule::I5 => told,
        Rule::Older => told && no_older_epoch_acts(world),
        Rule::Ledger => {
            told && world.traders().all(|agent| agent.trades.is_some_and(|g| is_named(world, agent.index, g.epoch)))
        }
        Rule::Guard => told && world.traders().all(|agent| agent.state.guarded.is_some()),
        Rule::Resumes => told && model.fair.resumes(model, world),
    }
}

/// The first rule that does not hold; what must follow is looked at last.
pub fn broken(model: &Model, world: &World) -> Option<Rule> {
    Rule::ALL.into_iter().find(|rule| !holds(*rule, model, world))
}

fn trading(world: &World) -> impl Iterator<Item = Grant> + '_ {
    world.traders().filter_map(|agent| agent.trades)
}

fn no_older_epoch_acts(world: &World) -> bool {
    let act = world.jobs.iter().filter(|job| job.acts).map(|job| job.grant);
    trading(world).chain(act).all(|grant| !world.exchange.is_past(grant))
}

fn is_named(world: &World, index: usize, epoch: u8) -> bool {
    world.record.trading.as_ref().is_some_and(|l: &Ledger| l.epoch.0 == u64::from(epoch) && l.pod == pod(index))
}

/// For stateright: every rule, always.
pub fn all() -> Vec<Property<Model>> {
    fn always<const AT: usize>(model: &Model, world: &World) -> bool {
        holds(Rule::ALL[AT], model, world)
    }
    let conditions: [fn(&Model, &World) -> bool; 8] =
        [always::<0>, always::<1>, always::<2>, always::<3>, always::<4>, always::<5>, always::<6>, always::<7>];
    Rule::ALL.iter().zip(conditions).map(|(rule, condition)| Property::always(rule.name(), condition)).collect()
}
