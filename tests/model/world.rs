//! The state of the model: two operators, two agents, one Lease, one status, and what is on its way between them.

use std::time::Duration;

use decisions::core::agent::{State, Write};
use decisions::core::failover::{LeaseWrite, Ledger, Memory, Move, Record};
use decisions::core::ids::{BootId, Epoch, PodRef};
use decisions::core::lease::{LeaseRecord, OnApiServerLoss, Terms};
use decisions::core::time::{Mono, Wall};
use stateright::{Model, Property};

use crate::shared::Shared;
use crate::{agents, normal, operators};

/// One step of the model's time.
pub const TICK: Duration = Duration::from_secs(1);

/// The present. Time passes by moving everything that was noted into the past, so that two states that differ only in
/// when they happened are one.
pub const NOW: Mono = Mono::both(1_000_000_000_000);

/// What an observer noted longer ago than this is as good as any older: its wait is over.
pub const WAIT_TICKS: u32 = 3;

/// The lease duration, in ticks: the holder's deadline is a tick after its last renewal was sent (the guard is 1 s), an
/// observer waits for three (2.1 s, and only whole ticks pass).
pub const LEASE_TICKS: u32 = 2;

/// Two pods, two agents.
pub const AGENTS: usize = 2;
/// Two operators that both believe that they lead.
pub const OPERATORS: usize = 2;

/// What is explored.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// The highest epoch that is looked into.
    pub epochs: u64,
    /// Faults on one path: answers lost, operators restarted, containers killed, the Lease deleted.
    pub faults: u8,
    /// Ticks that a process goes on after its deadline: 0 in production, where the guards see to it.
    pub overrun: u32,
}

/// Everything there is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    pub lease: Option<Shared<LeaseRecord>>,
    pub record: Shared<Record>,
    pub record_version: u64,
    pub operators: [Shared<Operator>; OPERATORS],
    pub agents: [Shared<Agent>; AGENTS],
    /// The faults so far.
    pub faults: u8,
    /// An epoch or a token fell, or an action broke the order of writes.
    pub broken: Option<&'static str>,
}

/// One operator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Operator {
    pub memory: Memory,
    /// Since when its own link to the API server is proven.
    pub alive_since: Mono,
    pub round: Round,
    /// A write that it gave up on and that may still be carried out.
    pub late: Option<Pending>,
}

/// How far an operator's round has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Round {
    #[default]
    Idle,
    /// The status was read, the rest was not.
    ReadStatus { record: Shared<Record>, version: u64 },
    /// The Lease and the pods were read, the status was not.
    ReadRest { lease: Option<Shared<LeaseRecord>>, reported: [Vec<BootId>; AGENTS] },
    /// It decided; these writes are to be made, in order.
    Writing(Vec<Pending>),
}

/// A write of an operator, with the version it depends on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Pending {
    Status { record: Shared<Record>, version: u64 },
    Lease { lease: Shared<LeaseRecord>, purpose: LeaseWrite, create: bool },
}

/// One pod with its agent, its bot, and its kubelet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Agent {
    pub state: State,
    /// How often its container was started again.
    pub starts: u8,
    /// The epoch that its bot may trade in; `None`: no process that was told to trade is left.
    pub trades: Option<Epoch>,
    /// A process ended without the agent having noticed yet.
    pub unnoticed_exit: bool,
    /// Its requests on their way.
    pub requests: Vec<Request>,
    /// A boot that ended and that the kubelet has not reported yet.
    pub unreported: Option<BootId>,
    /// What the kubelet reports.
    pub reported: Vec<BootId>,
}

/// A request of an agent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Request {
    pub write: Write,
    /// Which start of the container sent it.
    pub sender: u8,
    /// Somebody still waits for the answer.
    pub awaited: bool,
}

/// What can happen next.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// Time passes. Guards end whatever is past its deadline; nobody else need act.
    Tick,
    /// An operator reads everything, and decides.
    Decides(usize),
    /// It reads the status, and the rest only later.
    ReadsStatus(usize),
    /// It reads the Lease and the pods, and the status only later.
    ReadsRest(usize),
    /// Its next write is carried out and answered.
    Writes(usize),
    /// Its next write is not answered; it may be carried out later, or never.
    WriteTimesOut(usize),
    /// A write that was given up on is carried out.
    LateWrite(usize),
    /// It dies and comes back, remembering nothing.
    Restarts(usize),
    /// An agent's watch shows it the Lease.
    Sees(usize),
    /// An agent looks at its clock.
    Looks(usize),
    /// The request at this position reaches the API server; if its agent waits for it, it gets the answer.
    Reaches(usize, usize),
    /// An agent gives up on its last request, which stays on its way.
    RequestTimesOut(usize),
    /// A bot that was asked to stop does.
    BotStops(usize),
    /// A bot that trades ends by itself.
    BotExits(usize),
    /// A container is killed and started again.
    ContainerDies(usize),
    /// The kubelet reports a container's end.
    KubeletReports(usize),
    /// Somebody deletes the Lease.
    LeaseDeleted,
}

pub fn pod(index: usize) -> PodRef {
    PodRef { name: format!("p{index}"), uid: format!("u{index}") }
}

pub fn boot(index: usize, starts: u8) -> BootId {
    BootId { pod_uid: format!("u{index}"), nonce: starts.to_string() }
}

pub fn terms() -> Terms {
    Terms {
        lease_duration: TICK * LEASE_TICKS,
        renew_period: TICK / 4,
        renew_deadline: TICK,
        on_api_server_loss: OnApiServerLoss::Stop,
    }
}

impl World {
    fn start() -> World {
        World {
            lease: None,
            record: Shared::default(),
            record_version: 1,
            operators: std::array::from_fn(|_| Shared::new(Operator { alive_since: NOW, ..Operator::default() })),
            agents: Default::default(),
            faults: 0,
            broken: None,
        }
    }

    /// The world in which epoch 1 trades on the first pod and the operators have just started.
    pub fn with_an_active() -> World {
        let mut world = World::start();
        let bounds = Bounds { epochs: 1, faults: 0, overrun: 0 };
        // An operator's place is not its own: whichever can do it does.
        let anyone = |world: &World, event: fn(usize) -> Event| {
            let next = (0..OPERATORS).find_map(|i| bounds.next(world, &event(i)));
            next.unwrap_or_else(|| panic!("{:?} is possible", event(0)))
        };
        for _ in ["grant", "permit"] {
            world = anyone(&world, Event::Decides);
            world = anyone(&world, Event::Writes);
            world = anyone(&world, Event::Writes);
            world = bounds.next(&world, &Event::Sees(0)).expect("the agent sees it");
            world = bounds.next(&world, &Event::Reaches(0, 0)).expect("the agent answers");
        }
        assert_eq!(world.agents[0].trades, Some(Epoch(1)), "{world:#?}");
        world.operators = World::start().operators;
        normal::form(&mut world);
        world
    }

    /// The next version of the Lease: greater than every one in use.
    pub fn next_lease_version(&self) -> String {
        (normal::lease_versions(self).last().copied().unwrap_or_default() + 1).to_string()
    }

    pub fn traders(&self) -> impl Iterator<Item = (usize, Epoch)> + '_ {
        self.agents.iter().enumerate().filter_map(|(index, agent)| agent.trades.map(|epoch| (index, epoch)))
    }
}

impl Bounds {
    /// What `event` makes of `world`; `None`: it cannot happen, or changes nothing.
    pub fn next(&self, world: &World, event: &Event) -> Option<World> {
        let mut next = world.clone();
        let happens = match *event {
            Event::Tick => {
                self.tick(&mut next);
                true
            }
            Event::Decides(i) => operators::decides(&mut next, i),
            Event::ReadsStatus(i) => self.fault(&mut next) && operators::reads_status(&mut next, i),
            Event::ReadsRest(i) => self.fault(&mut next) && operators::reads_rest(&mut next, i),
            Event::Writes(i) => operators::writes(&mut next, i),
            Event::WriteTimesOut(i) => self.fault(&mut next) && operators::write_times_out(&mut next, i),
            Event::LateWrite(i) => operators::late_write(&mut next, i),
            Event::Restarts(i) => self.fault(&mut next) && operators::restarts(&mut next, i),
            Event::Sees(i) => agents::sees(&mut next, i),
            Event::Looks(i) => agents::looks(&mut next, i),
            Event::Reaches(i, position) => agents::reaches(&mut next, i, position),
            Event::RequestTimesOut(i) => self.fault(&mut next) && agents::request_times_out(&mut next, i),
            Event::BotStops(i) => agents::bot_stops(&mut next, i),
            Event::BotExits(i) => self.fault(&mut next) && agents::bot_exits(&mut next, i),
            Event::ContainerDies(i) => self.fault(&mut next) && agents::container_dies(&mut next, i),
            Event::KubeletReports(i) => agents::kubelet_reports(&mut next, i),
            Event::LeaseDeleted => self.fault(&mut next) && next.lease.take().is_some(),
        };
        if !happens {
            return None;
        }
        if next.record.epoch < world.record.epoch || next.record.token < world.record.token {
            next.broken = Some("an epoch or a token fell");
        }
        normal::form(&mut next);
        (next != *world).then_some(next)
    }

    fn fault(&self, world: &mut World) -> bool {
        world.faults += 1;
        world.faults <= self.faults
    }

    fn tick(&self, world: &mut World) {
        normal::age(world);
        for agent in &mut world.agents {
            let late = agent.state.guarded.is_some_and(|end| NOW.has_possibly_reached(end.plus(TICK * self.overrun)));
            if agent.trades.is_some() && late {
                agent.trades = None;
                agent.unnoticed_exit = true;
            }
        }
    }
}

impl Model for Bounds {
    type State = World;
    type Action = Event;

    fn init_states(&self) -> Vec<World> {
        vec![World::with_an_active()]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Event>) {
        let faulty = world.faults < self.faults;
        let mut offer = |possible: bool, event: Event| {
            if possible {
                actions.push(event);
            }
        };
        offer(true, Event::Tick);
        offer(faulty && world.lease.is_some(), Event::LeaseDeleted);
        for (i, operator) in world.operators.iter().enumerate() {
            let writing = matches!(operator.round, Round::Writing(_));
            offer(!writing, Event::Decides(i));
            offer(faulty && operator.round == Round::Idle, Event::ReadsStatus(i));
            offer(faulty && operator.round == Round::Idle, Event::ReadsRest(i));
            offer(writing, Event::Writes(i));
            offer(faulty && writing, Event::WriteTimesOut(i));
            offer(operator.late.is_some(), Event::LateWrite(i));
            offer(faulty, Event::Restarts(i));
        }
        for (i, agent) in world.agents.iter().enumerate() {
            offer(true, Event::Sees(i));
            offer(agent.state != State::default() || agent.unnoticed_exit, Event::Looks(i));
            offer(!agent.requests.is_empty(), Event::Reaches(i, 0));
            offer(agent.requests.len() > 1, Event::Reaches(i, 1));
            offer(faulty && agent.requests.iter().any(|r| r.awaited), Event::RequestTimesOut(i));
            offer(agent.trades.is_some(), Event::BotStops(i));
            offer(faulty && agent.trades.is_some(), Event::BotExits(i));
            offer(faulty && agent.state.hold.is_some(), Event::ContainerDies(i));
            offer(agent.unreported.is_some(), Event::KubeletReports(i));
        }
    }

    fn next_state(&self, world: &World, event: Event) -> Option<World> {
        self.next(world, &event)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no two may trade at once", |_, world: &World| world.traders().count() <= 1),
            Property::always("whoever may trade is in the ledger", |_, world: &World| {
                let named = |(index, epoch): (usize, Epoch)| {
                    world.record.trading.as_ref().is_some_and(|l: &Ledger| l.epoch == epoch && l.pod == pod(index))
                };
                world.traders().all(named)
            }),
            Property::always("whoever may trade is guarded", |_, world: &World| {
                world.traders().all(|(index, _)| world.agents[index].state.guarded.is_some())
            }),
            Property::always("epochs and tokens only grow", |_, world: &World| world.broken.is_none()),
            Property::sometimes("the other pod trades", |_, world: &World| world.agents[1].trades.is_some()),
            Property::sometimes("the other pod trades after silence", |_, world: &World| {
                world.agents[1].trades.is_some() && !world.record.lost.is_empty()
            }),
            Property::sometimes("the same pod trades again", |_, world: &World| {
                world.agents[0].trades.is_some_and(|epoch| epoch > Epoch(1))
            }),
        ]
    }

    fn within_boundary(&self, world: &World) -> bool {
        world.record.epoch <= Epoch(self.epochs)
    }
}

/// What decisions do not depend on is blanked, so that states that differ in words alone are one.
pub fn without_words(record: &mut Record) {
    record.message.clear();
    record.phase = Default::default();
    record.history.clear();
    record.total = 0;
    if let Some(Move { message, suspected, fenced, elected, reconciled, .. }) = &mut record.current {
        message.clear();
        *suspected = Wall(0);
        (*fenced, *elected, *reconciled) = (None, None, None);
    }
}

/// Tokens count up from here, as wall clocks are not modelled.
pub const WALL: Wall = Wall(0);
