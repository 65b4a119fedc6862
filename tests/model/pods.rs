//! What happens to agents without their doing: time, pods that are deleted, and what cannot matter any more.

use crate::agents::{Agent, Object};
use crate::core::agent::{Process, State};
use crate::core::lease::LeaseRecord;
use crate::core::time::Mono;
use crate::core::wrong::{self, Wrong};
use crate::events::Model;
use crate::interned::Interned;
use crate::requests::{self, Request};
use crate::world::*;

/// What becomes of an agent by itself, whatever the world is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Turn {
    Ticks,
    /// The Lease does not show its latest renewal any more.
    IsNotShown,
    /// Nobody asks any more for the end that the kubelet has reported.
    ForgetsReport,
}

/// An agent after a turn.
pub fn after(model: &Model, agent: Interned<Agent>, turn: Turn) -> Interned<Agent> {
    model.agents.get((agent, turn), || match turn {
        Turn::Ticks => tick(&agent, model.bounds.overrun),
        Turn::IsNotShown => Interned::new(Agent { shown: false, ..(*agent).clone() }),
        Turn::ForgetsReport => Interned::new(Agent { reported: None, ..(*agent).clone() }),
    })
}

/// Leaves out what cannot matter any more, whatever happens.
pub fn forget(model: &Model, agent: Interned<Agent>, lease: Option<Interned<LeaseRecord>>) -> Interned<Agent> {
    if agent.requests.is_empty() && agent.state.hold.is_none() && agent.state.over.is_none() {
        return agent;
    }
    model.forgotten.get((agent, lease), || forgets(agent, lease))
}

fn forgets(agent: Interned<Agent>, lease: Option<Interned<LeaseRecord>>) -> Interned<Agent> {
    let lease = lease.as_deref();
    let awaited =
        |request: &Request| request.awaited || lease.is_some_and(|l| requests::can_be_stored(l, agent.index, request));
    let requests = !agent.requests.iter().all(awaited);
    let gone = agent.is_over(lease);
    let past = agent.latch_is_past(lease) && !gone;
    if !requests && !gone && !past {
        return agent;
    }
    let mut next = (*agent).clone();
    if gone {
        let over = next.state.hold.take().map(|hold| hold.epoch);
        next.state = State { over: next.state.over.max(over), process: Process::Gone, in_flight: None, ..next.state };
        (next.reply, next.shown) = (None, false);
        next.requests.iter_mut().for_each(|request| request.awaited = false);
    }
    if next.latch_is_past(lease) {
        next.state.over = None;
    }
    next.requests
        .retain(|request| request.awaited || lease.is_some_and(|l| requests::can_be_stored(l, agent.index, request)));
    Interned::new(next)
}

impl Agent {
    /// Nothing runs, and the grant that it still holds is another's, or nobody's, by now. When it sees that it forgets
    /// the grant, and until then nothing that it does changes anything.
    fn is_over(&self, lease: Option<&LeaseRecord>) -> bool {
        let Some(hold) = &self.state.hold else { return false };
        let gone = matches!(self.state.process, Process::Gone | Process::Drained);
        let names_me = lease.is_some_and(|lease| {
            lease.epoch == Some(hold.epoch)
                && lease.holder == Some(pod(self.index))
                && lease.boot.as_ref().is_none_or(|boot| boot.pod_uid == pod(self.index).uid)
        });
        gone && !names_me && !self.state.leaving && self.old_sight.is_none() && !self.unnoticed_exit
    }

    /// No Lease that it can still see is of an epoch that its latch holds back.
    fn latch_is_past(&self, lease: Option<&LeaseRecord>) -> bool {
        let epoch = lease.map(|lease| lease.epoch);
        self.state.over.is_some_and(|over| epoch.is_none_or(|epoch| epoch > Some(over)))
            && self.old_sight.is_none()
            && !wrong::is(Wrong::EpochFromTransitions)
    }
}

/// Somebody deletes the object of a pod; the kubelet is told.
pub fn pod_deleted(world: &mut World, i: usize) -> bool {
    let agent = &world.agents[i];
    if agent.object != Object::There {
        return false;
    }
    world.agents[i] = Interned::new(Agent { object: Object::Terminating, ..(**agent).clone() });
    true
}

/// The object of a pod goes, also where its container runs on.
pub fn pod_forgotten(world: &mut World, i: usize) -> bool {
    world.agents[i] = Interned::new(Agent { object: Object::Gone, ..(*world.agents[i]).clone() });
    true
}

/// A tick passes: what was noted moves into the past, and guards end what is past its deadline.
fn tick(agent: &Agent, overrun: u32) -> Interned<Agent> {
    let mut next = agent.clone();
    let state = &mut next.state;
    state.guarded.iter_mut().for_each(|at| age(at, overrun));
    if let Process::Waiting(at) | Process::Terminating(at) = &mut state.process {
        age(at, 0);
    }
    if let Some(hold) = &mut state.hold {
        // The renew deadline and the deadline are both within two ticks after it.
        hold.renewed.iter_mut().for_each(|at| age(at, 2));
        hold.sent.iter_mut().for_each(|(_, at)| age(at, 2));
        age(&mut hold.next_write, 0);
    }
    let late = next.state.guarded.is_some_and(|end| NOW.has_possibly_reached(end.plus(AGENT_TICK * overrun)));
    if next.trades.is_some() && late {
        next.unnoticed_exit = true;
        // A daemonised child of the bot goes on in a session of its own.
        if !wrong::is(Wrong::GuardOnProcessGroup) {
            next.trades = None;
        }
    }
    Interned::new(next)
}

fn age(at: &mut Mono, oldest: u32) {
    let (aged, oldest) = (at.minus(AGENT_TICK), NOW.minus(AGENT_TICK * oldest));
    *at = if aged.first < oldest.first { oldest } else { aged };
}
