//! Agents: the very `step` of production. What it asks for is done at once, but for its requests, which travel; an
//! agent that takes its time is one that does not step.

use std::collections::VecDeque;

use crate::core::agent::{Effect, Exit, Input, Outcome, PauseHooks, Plan, Process, Role, Setup, State, step};
use crate::core::lease::{LeaseRecord, OrderPath};
use crate::counts::Counts;
use crate::events::Model;
use crate::exchange::Grant;
use crate::interned::Interned;
use crate::operators::PodSeen;
use crate::requests::{self, Reply, Request};
use crate::world::*;

/// One pod with its agent, its bot, and its kubelet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Agent {
    pub index: usize,
    /// Nobody can reach the object of its pod any more, or will soon.
    pub object: Object,
    /// Its container has ended for good.
    pub ended: bool,
    pub state: State,
    /// How often its container was started again.
    pub starts: u8,
    /// The grant that its bot may trade by; `None`: no process that was told to trade is left.
    pub trades: Option<Grant>,
    /// A process ended without the agent having noticed yet.
    pub unnoticed_exit: bool,
    /// Its requests on their way.
    pub requests: Vec<Request>,
    /// The answer to its last request, on its way.
    pub reply: Option<Reply>,
    /// The Lease's `renew` is the value of its last request.
    pub shown: bool,
    /// The Lease as its watch will show it, later than it was so.
    pub old_sight: Option<Seen>,
    /// A start that ended and that the kubelet has not reported yet.
    pub unreported: Option<u8>,
    /// The last start that the kubelet reports as ended.
    pub reported: Option<u8>,
}

/// How the object of a pod stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Object {
    There,
    /// It has a deletion timestamp; the kubelet will end the container.
    Terminating,
    /// It was removed, with the container or by force.
    Gone,
}

/// The Lease, and whether it shows the last renewal of whoever looks at it.
pub type Seen = (Option<Interned<LeaseRecord>>, bool);

/// What happens to one agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Act {
    Sees,
    SeesOld,
    LooksLate,
    Looks,
    Reaches(u8),
    Stores(u8),
    Answers,
    TimesOut,
    StepEnds,
    BotStops,
    BotExits,
    ContainerDies,
    Reports,
    IsToldToEnd,
    Ends,
}

/// What follows from it.
#[derive(Clone, Copy, Debug)]
pub struct Reaction {
    pub agent: Interned<Agent>,
    /// The Lease as it is stored now, if it was.
    pub stored: Option<Interned<LeaseRecord>>,
    /// A bot began to trade.
    pub orders: Option<Grant>,
}

impl Agent {
    /// One that has done nothing yet is as one that has come to rest again.
    pub fn new(index: usize, there: bool) -> Agent {
        let mut agent = Agent {
            index,
            object: if there { Object::There } else { Object::Gone },
            ended: !there,
            state: State::default(),
            starts: 0,
            trades: None,
            unnoticed_exit: false,
            requests: Vec::new(),
            reply: None,
            shown: false,
            old_sight: None,
            unreported: None,
            reported: None,
        };
        requests::renumber(&mut agent);
        agent
    }

    pub fn observed(&self) -> PodSeen {
        let there = self.object != Object::Gone;
        let container = if there { self.unreported.unwrap_or(self.starts) } else { 0 };
        let ended = self.reported.filter(|_| there);
        PodSeen { there, terminating: self.object == Object::Terminating, container, ended }
    }
}

fn setup(agent: &Agent, stop_steps: u8) -> Setup {
    Setup {
        path: OrderPath::Killed,
        pod: pod(agent.index),
        boot: boot(agent.index, agent.starts),
        hot: false,
        in_place_restarts: 0,
        reconcile_restarts: false,
        promote_hook: false,
        stop_steps,
        stop: TICK / 2,
        switch_every: None,
        pause_hooks: PauseHooks::default(),
        credentials: false,
        checks: Vec::new(),
        plan: Plan::default(),
    }
}

/// Carries `act` out in the world.
pub fn acts(model: &Model, world: &mut World, i: usize, act: Act) -> bool {
    let (agent, lease) = (world.agents[i], world.lease);
    let Some(Reaction { agent: next, stored, orders }) =
        model.reactions.get((agent, lease, act), || react(model, &agent, lease, act))
    else {
        return false;
    };
    world.agents[i] = next;
    if let Some(lease) = stored {
        world.set_lease(model, Some(lease));
        world.shows_nobody_but(model, Some(i));
    }
    if let Some(grant) = orders {
        world.exchange.order(grant, model.bounds.reconciles);
    }
    true
}

/// The requests that it waits for are answered at once, and those that it sends upon that.
pub fn answers(model: &Model, world: &mut World, i: usize) -> bool {
    for _ in 0..6 {
        let Some(newest) = newest(world, i) else { return true };
        acts(model, world, i, Act::Reaches(newest));
    }
    panic!("an agent does not come to rest")
}

/// The place of the request that it has just sent.
fn newest(world: &World, i: usize) -> Option<u8> {
    let place = world.agents[i].requests.iter().rposition(|request| request.awaited && !request.delayed);
    place.map(|place| u8::try_from(place).expect("few requests"))
}

/// Sees the Lease, or looks at its clock; the request after so many takes its time. Not where it sends fewer.
pub fn sends(model: &Model, world: &mut World, i: usize, act: Act, after: u8) -> bool {
    if !acts(model, world, i, act) {
        return false;
    }
    for _ in 0..after {
        let Some(newest) = newest(world, i) else { return false };
        acts(model, world, i, Act::Reaches(newest));
    }
    let Some(newest) = newest(world, i) else { return false };
    let mut agent = (*world.agents[i]).clone();
    agent.requests[usize::from(newest)].delayed = true;
    world.agents[i] = Interned::new(agent);
    true
}

/// One agent in the middle of a reaction.
struct Turn<'a> {
    counts: &'a Counts,
    stop_steps: u8,
    agent: Agent,
    lease: Option<Interned<LeaseRecord>>,
    stored: Option<Interned<LeaseRecord>>,
    orders: Option<Grant>,
}

fn react(model: &Model, agent: &Agent, lease: Option<Interned<LeaseRecord>>, act: Act) -> Option<Reaction> {
    let (counts, stop_steps) = (&model.counts, model.bounds.stop_steps);
    let mut turn = Turn { counts, stop_steps, agent: agent.clone(), lease, stored: None, orders: None };
    turn.act(act).then(|| {
        requests::renumber(&mut turn.agent);
        Reaction { agent: Interned::new(turn.agent), stored: turn.stored, orders: turn.orders }
    })
}

impl Turn<'_> {
    fn act(&mut self, act: Act) -> bool {
        match act {
            Act::Sees => self.input(Input::Seen(self.view())),
            Act::LooksLate => self.agent.old_sight = Some((self.lease, self.agent.shown)),
            Act::SeesOld => {
                let Some((lease, shown)) = self.agent.old_sight.take() else { return false };
                self.input(Input::Seen(requests::view(&self.agent, lease, shown)));
            }
            Act::Looks => self.input(Input::Tick),
            Act::Reaches(position) => {
                let Some((request, reply)) = self.store(position) else { return false };
                if request.awaited {
                    self.input(Input::Wrote(request.write.number, self.outcome(reply)));
                }
            }
            Act::Stores(position) => {
                let Some((request, reply)) = self.store(position) else { return false };
                if !request.awaited {
                    return false;
                }
                self.agent.reply = Some(reply);
            }
            Act::Answers => {
                let Some(reply) = self.agent.reply.take() else { return false };
                let Some(number) = self.agent.state.in_flight else { return false };
                self.input(Input::Wrote(number, self.outcome(reply)));
            }
            Act::TimesOut => {
                let Some(number) = self.agent.state.in_flight else { return false };
                self.agent.reply = None;
                self.agent.requests.iter_mut().for_each(|request| request.awaited = false);
                self.input(Input::Wrote(number, Outcome::Unknown));
            }
            Act::StepEnds => {
                let Process::ShuttingDown(step) = self.agent.state.process else { return false };
                self.input(Input::Stepped(step));
            }
            Act::BotStops => {
                let asked = matches!(self.agent.state.process, Process::Terminating(_));
                if !asked || self.agent.trades.take().is_none() {
                    return false;
                }
                self.feed(Input::Exited(Exit::Code(0)));
            }
            Act::BotExits => {
                self.agent.unnoticed_exit = true;
                return self.agent.trades.take().is_some();
            }
            Act::ContainerDies => return self.dies(),
            Act::Reports => {
                let Some(ended) = self.agent.unreported.take() else { return false };
                self.agent.reported = Some(ended);
            }
            Act::IsToldToEnd => self.input(Input::Terminate),
            Act::Ends => self.ends(),
        }
        true
    }

    fn view(&self) -> Option<LeaseRecord> {
        requests::view(&self.agent, self.lease, self.agent.shown)
    }

    fn outcome(&self, reply: Reply) -> Outcome {
        match requests::view(&self.agent, reply.lease, reply.shown) {
            Some(lease) if reply.stored => Outcome::Answered(lease),
            other => Outcome::Refused(other),
        }
    }

    /// A request reaches the API server.
    fn store(&mut self, position: u8) -> Option<(Request, Reply)> {
        let agent = &mut self.agent;
        let position = usize::from(position);
        if position >= agent.requests.len() {
            return None;
        }
        let request = agent.requests.remove(position);
        let stored = self.lease.and_then(|lease| requests::patch(&lease, agent, &request));
        if let Some(patched) = stored {
            self.stored = Some(patched);
            self.lease = Some(patched);
            agent.shown = request.is_latest(agent);
        }
        let reply = Reply { stored: stored.is_some(), lease: self.lease, shown: agent.shown };
        Some((request, reply))
    }

    /// An exit that nobody has told it of yet comes first: it is the kernel that tells.
    fn input(&mut self, input: Input) {
        if std::mem::take(&mut self.agent.unnoticed_exit) {
            self.feed(Input::Exited(Exit::Signal(9)));
        }
        self.feed(input);
    }

    /// One input, and everything that follows from it without anybody else.
    fn feed(&mut self, input: Input) {
        let setup = setup(&self.agent, self.stop_steps);
        let mut inputs = VecDeque::from([input]);
        for _ in 0..20 {
            let Some(input) = inputs.pop_front() else { return };
            let state = std::mem::take(&mut self.agent.state);
            let (state, effects) = step(&setup, state, input, NOW);
            self.counts.agent(&state);
            self.agent.state = state;
            for effect in effects {
                self.carry_out(effect, &mut inputs);
            }
            if self.agent.ended {
                return;
            }
        }
        panic!("an agent does not come to rest");
    }

    fn carry_out(&mut self, effect: Effect, inputs: &mut VecDeque<Input>) {
        match effect {
            Effect::Write(write) => requests::send(&mut self.agent, write),
            Effect::Read => inputs.push_back(Input::Read(self.view())),
            Effect::Start(told) => {
                if told.role == Role::Active {
                    let small = |number: u64| u8::try_from(number).unwrap_or(u8::MAX);
                    let grant = Grant { epoch: small(told.epoch.0), token: small(told.token.0) };
                    (self.agent.trades, self.orders) = (Some(grant), Some(grant));
                }
                inputs.push_back(Input::Started);
            }
            Effect::Sweep => {
                self.agent.trades = None;
                self.agent.unnoticed_exit = false;
                inputs.push_back(Input::Swept);
            }
            Effect::Drain => inputs.push_back(Input::Drained),
            Effect::Exit => self.ends(),
            // A step takes its time: that it ends is an event of its own.
            Effect::Guard(_) | Effect::Gate(_) | Effect::Signal | Effect::Step(_) => {}
            Effect::Promote
            | Effect::CallSwitch
            | Effect::Tell(_)
            | Effect::Recover(_)
            | Effect::AbandonSwitch
            | Effect::CallPauseHook(_)
            | Effect::AbandonPauseHook
            | Effect::ReadCredentials
            | Effect::DropCredentials => unreachable!("{effect:?} is not set up"),
        }
    }

    /// The container is killed and started again. What it has sent may still arrive.
    fn dies(&mut self) -> bool {
        let agent = &mut self.agent;
        if agent.state.hold.is_none() || agent.unreported.is_some() {
            return false;
        }
        agent.unreported = Some(agent.starts);
        agent.starts += 1;
        self.stop_container();
        true
    }

    /// The container has ended, and no other follows.
    fn ends(&mut self) {
        self.agent.ended = true;
        self.agent.unreported = Some(self.agent.starts);
        self.stop_container();
    }

    fn stop_container(&mut self) {
        let agent = &mut self.agent;
        agent.state = State::default();
        (agent.trades, agent.unnoticed_exit) = (None, false);
        (agent.reply, agent.shown, agent.old_sight) = (None, false, None);
        agent.requests.iter_mut().for_each(|request| request.awaited = false);
    }
}
