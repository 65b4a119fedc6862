//! Agents: the very `step` of production. What it asks for is done at once, but for its requests, which travel.

use std::collections::VecDeque;

use decisions::core::agent::{Effect, Exit, Input, Outcome, Process, Role, Setup, State, Write, WriteKind, step};
use decisions::core::ids::BootId;
use decisions::core::lease::{AgentState, LeaseRecord, OrderPath, Permit};

use crate::world::*;

/// More requests than this are not on their way at once; the oldest is lost.
const REQUESTS: usize = 2;

fn setup(index: usize, starts: u8) -> Setup {
    Setup {
        path: OrderPath::Killed,
        pod: pod(index),
        boot: boot(index, starts),
        hot: false,
        in_place_restarts: 0,
        reconcile_restarts: false,
        promote_hook: false,
        demote_hook: false,
        stop: TICK,
        switch_every: None,
        credentials: false,
    }
}

/// One input, and everything that follows from it without anybody else.
fn feed(world: &mut World, i: usize, input: Input) {
    let setup = setup(i, world.agents[i].starts);
    let mut inputs = VecDeque::from([input]);
    for _ in 0..20 {
        let Some(input) = inputs.pop_front() else { return };
        let state = std::mem::take(&mut world.agents[i].state);
        let (state, effects) = step(&setup, state, input, NOW);
        world.agents[i].state = state;
        for effect in effects {
            let agent = &mut *world.agents[i];
            match effect {
                Effect::Write(write) => {
                    // The one before is abandoned, and may arrive all the same.
                    agent.requests.iter_mut().for_each(|request| request.awaited = false);
                    agent.requests.push(Request { write, sender: agent.starts, awaited: true });
                    if agent.requests.len() > REQUESTS {
                        agent.requests.remove(0);
                    }
                }
                Effect::Read => inputs.push_back(Input::Read(world.lease.as_deref().cloned())),
                Effect::Start(told) => {
                    if told.role == Role::Active {
                        agent.trades = Some(told.epoch);
                    }
                    inputs.push_back(Input::Started);
                }
                Effect::Sweep => {
                    agent.trades = None;
                    agent.unnoticed_exit = false;
                    inputs.push_back(Input::Swept);
                }
                Effect::Drain => inputs.push_back(Input::Drained),
                Effect::Guard(_) | Effect::Gate(_) | Effect::Signal => {}
                Effect::Promote
                | Effect::Demote
                | Effect::CallSwitch
                | Effect::AbandonSwitch
                | Effect::ReadCredentials
                | Effect::DropCredentials
                | Effect::Exit => {
                    unreachable!("{effect:?} is not set up")
                }
            }
        }
    }
    panic!("an agent does not come to rest");
}

/// An exit that nobody has told it of yet comes first: it is the kernel that tells.
fn notices(world: &mut World, i: usize) {
    if world.agents[i].unnoticed_exit {
        world.agents[i].unnoticed_exit = false;
        feed(world, i, Input::Exited(Exit::Signal(9)));
    }
}

pub fn sees(world: &mut World, i: usize) -> bool {
    notices(world, i);
    let lease = world.lease.as_deref().cloned();
    feed(world, i, Input::Seen(lease));
    true
}

pub fn looks(world: &mut World, i: usize) -> bool {
    notices(world, i);
    feed(world, i, Input::Tick);
    true
}

pub fn reaches(world: &mut World, i: usize, position: usize) -> bool {
    if position >= world.agents[i].requests.len() {
        return false;
    }
    let request = world.agents[i].requests.remove(position);
    let stored = patch(world, i, &request);
    if request.awaited {
        let outcome = match world.lease.as_deref().cloned() {
            Some(lease) if stored => Outcome::Answered(lease),
            other => Outcome::Refused(other),
        };
        notices(world, i);
        feed(world, i, Input::Wrote(request.write.number, outcome));
    }
    true
}

pub fn request_times_out(world: &mut World, i: usize) -> bool {
    let Some(request) = world.agents[i].requests.iter_mut().find(|request| request.awaited) else { return false };
    request.awaited = false;
    let number = request.write.number;
    notices(world, i);
    feed(world, i, Input::Wrote(number, Outcome::Unknown));
    true
}

/// The JSON Patch of the shell: `test`s that pin holder, boot and epoch, then the values.
fn patch(world: &mut World, i: usize, request: &Request) -> bool {
    let version = world.next_lease_version();
    let (write, me) = (&request.write, boot(i, request.sender));
    let Some(lease) = &mut world.lease else { return false };
    if !can_be_stored(lease, i, request) {
        return false;
    }
    apply(lease, write, me);
    lease.version = version;
    true
}

/// Whether its pins hold. Once they do not, they never will again: epochs grow, and within one a holder that is gone
/// does not come back, nor does a boot.
pub fn can_be_stored(lease: &LeaseRecord, i: usize, request: &Request) -> bool {
    let pinned = match &request.write.kind {
        WriteKind::Claim => lease.boot.is_none() && lease.permit == Some(Permit::Prepare),
        WriteKind::Renew(_) | WriteKind::Release(_) => lease.boot.as_ref() == Some(&boot(i, request.sender)),
        WriteKind::ReleaseFor(earlier) => lease.boot.as_ref() == Some(earlier),
    };
    pinned && lease.holder.as_ref() == Some(&pod(i)) && lease.epoch == Some(request.write.epoch)
}

fn apply(lease: &mut LeaseRecord, write: &Write, me: BootId) {
    lease.renew = format!("{me}/{}", write.number);
    match &write.kind {
        WriteKind::Claim => (lease.boot, lease.state) = (Some(me), AgentState::Claimed),
        WriteKind::Renew(state) => lease.state = *state,
        WriteKind::Release(why) => {
            (lease.holder, lease.state) = (None, AgentState::Released);
            lease.reason = format!("{}: .", why.reason().as_str());
        }
        WriteKind::ReleaseFor(_) => {
            (lease.holder, lease.state, lease.successor) = (None, AgentState::Restarted, Some(me));
            lease.reason = "AgentRestarted: .".into();
        }
    }
}

pub fn bot_stops(world: &mut World, i: usize) -> bool {
    let asked = matches!(world.agents[i].state.process, Process::Terminating(_));
    if !asked || world.agents[i].trades.is_none() {
        return false;
    }
    world.agents[i].trades = None;
    feed(world, i, Input::Exited(Exit::Code(0)));
    true
}

pub fn bot_exits(world: &mut World, i: usize) -> bool {
    if world.agents[i].trades.is_none() {
        return false;
    }
    world.agents[i].trades = None;
    world.agents[i].unnoticed_exit = true;
    true
}

pub fn container_dies(world: &mut World, i: usize) -> bool {
    let agent = &mut *world.agents[i];
    let ended = boot(i, agent.starts);
    let claimed = agent.state.hold.is_some() && agent.unreported.is_none();
    if !claimed {
        return false;
    }
    // What it has sent may still arrive.
    let mut requests = std::mem::take(&mut agent.requests);
    requests.iter_mut().for_each(|request| request.awaited = false);
    *agent = Agent {
        requests,
        state: State::default(),
        starts: agent.starts + 1,
        unreported: Some(ended),
        reported: std::mem::take(&mut agent.reported),
        ..Agent::default()
    };
    true
}

pub fn kubelet_reports(world: &mut World, i: usize) -> bool {
    let Some(ended) = world.agents[i].unreported.take() else { return false };
    world.agents[i].reported = vec![ended];
    true
}
