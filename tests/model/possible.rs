//! Which events are possible in a state.

use crate::agents::{Act, Object};
use crate::core::agent::Process;
use crate::events::{Event, Model, fault};
use crate::jobs::Told;
use crate::operators::Round;
use crate::world::*;

/// A round makes no more writes than these.
const WRITES: u8 = 3;
/// A step of an agent leads to no more requests than these, in which anything may happen to each.
const REQUESTS: u8 = 2;

/// Offers an event where it is possible and what is left of the bounds allows it.
fn chances(model: &Model, world: &World, offer: &mut impl FnMut(Event)) -> impl FnMut(bool, Event) {
    let left = model.bounds.faults.without(world.spent);
    move |possible: bool, event: Event| {
        if possible && fault(event).within(left) {
            offer(event);
        }
    }
}

impl Model {
    /// Everything that can happen in `world`.
    pub fn possible(&self, world: &World, offer: &mut impl FnMut(Event)) {
        let mut when = chances(self, world, offer);
        when(true, Event::Tick);
        when(world.lease.is_some(), Event::LeaseDeleted);
        when(!world.asked, Event::SwitchoverAsked);
        when(world.exchange.on_its_way.is_some(), Event::OrderArrives);
        drop(when);
        for i in 0..OPERATORS {
            // Operators in the same state do the same.
            if i == 0 || world.operators[i - 1] != world.operators[i] {
                self.possible_to_operator(world, i, offer);
            }
        }
        (0..AGENTS).for_each(|i| self.possible_to_agent(world, i, offer));
        self.possible_to_jobs(world, offer);
    }

    fn possible_to_operator(&self, world: &World, i: usize, offer: &mut impl FnMut(Event)) {
        let operator = &world.operators[i];
        let mut when = chances(self, world, offer);
        let (idle, writing) = (operator.round == Round::Idle, matches!(operator.round, Round::Writing(_)));
        when(!writing, Event::Round(i));
        when(!writing, Event::GivesUp(i));
        when(idle, Event::ReadsStatus(i));
        when(idle, Event::ReadsRest(i));
        when(operator.remembered.watch_hangs.is_none(), Event::WatchHangs(i));
        when(!writing, Event::Pauses(i));
        when(writing, Event::Writes(i));
        when(writing, Event::WriteTimesOut(i));
        when(operator.late.is_some(), Event::LateWrite(i));
        when(true, Event::Restarts(i));
        when(writing, Event::DiesInWrite(i));
        for after in 0..WRITES {
            when(!writing, Event::RoundLoses(i, after));
            when(!writing, Event::RoundDies(i, after, true));
            when(!writing && after > 0, Event::RoundDies(i, after, false));
        }
    }

    /// Everything that can happen to reconciliations.
    pub fn possible_to_jobs(&self, world: &World, offer: &mut impl FnMut(Event)) {
        let mut when = chances(self, world, offer);
        for (position, job) in world.jobs.iter().enumerate() {
            when(job.acts, Event::JobSucceeds(position));
            when(job.acts, Event::JobFails(position));
            when(job.acts, Event::JobDies(position));
            when(!job.acts && job.told == Told::Running, Event::JobFound(position));
        }
    }

    /// Everything that can happen to one agent.
    pub fn possible_to_agent(&self, world: &World, i: usize, offer: &mut impl FnMut(Event)) {
        let agent = &world.agents[i];
        let mut when = chances(self, world, offer);
        let lives = !agent.ended;
        when(lives, Event::Sees(i));
        when(lives && agent.old_sight.is_none(), Event::LooksLate(i));
        when(agent.old_sight.is_some(), Event::SeesOld(i));
        let looks = lives && (agent.state.hold.is_some() || agent.unnoticed_exit);
        when(looks, Event::Looks(i));
        for after in 0..REQUESTS {
            for act in [Act::Sees, Act::Looks] {
                when(lives && (looks || act == Act::Sees), Event::Delays(i, act, after));
                when(lives && (looks || act == Act::Sees), Event::Loses(i, act, after));
            }
        }
        for position in 0..u8::try_from(agent.requests.len()).unwrap_or(0) {
            when(true, Event::Reaches(i, position));
            when(agent.requests[usize::from(position)].awaited, Event::Stores(i, position));
        }
        when(agent.reply.is_some(), Event::Answers(i));
        when(lives && agent.state.in_flight.is_some(), Event::RequestTimesOut(i));
        let trades = agent.trades.is_some();
        when(matches!(agent.state.process, Process::ShuttingDown(_)), Event::StepEnds(i));
        when(trades && matches!(agent.state.process, Process::Terminating(_)), Event::BotStops(i));
        when(trades, Event::BotExits(i));
        when(lives && agent.state.hold.is_some(), Event::ContainerDies(i));
        when(agent.unreported.is_some() && agent.object != Object::Gone, Event::KubeletReports(i));
        let terminating = agent.object == Object::Terminating;
        when(agent.object == Object::There, Event::PodDeleted(i));
        when(terminating && lives && !agent.state.leaving, Event::KubeletEnds(i));
        when(terminating && lives && agent.state.leaving, Event::KubeletKills(i));
        when(terminating && !lives, Event::PodGone(i));
        when(terminating && lives, Event::PodForced(i));
    }
}
