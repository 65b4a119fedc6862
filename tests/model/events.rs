//! What can happen next.

use stateright::Property;

use crate::agents::{self, Act, Agent, Reaction};
use crate::bounds::{Bounds, Faults};
use crate::cache::Cache;
use crate::canonical::Canonical;
use crate::core::lease::LeaseRecord;
use crate::counts::Counts;
use crate::dead;
use crate::fair::Fair;
use crate::interned::Interned;
use crate::jobs::{self, Told};
use crate::operators::{self, Operator};
use crate::pods;
use crate::properties;
use crate::rounds::{Decided, Sight};
use crate::world::*;

/// An agent, the Lease as it is, and what happens to the agent.
pub type Acting = (Interned<Agent>, Option<Interned<LeaseRecord>>, Act);

/// An agent, and the Lease as it is.
pub type Beside = (Interned<Agent>, Option<Interned<LeaseRecord>>);

/// A bounded world, with what is remembered about its exploration.
pub struct Model {
    pub bounds: Bounds,
    pub decisions: Cache<(operators::Remembered, Sight, bool), Decided>,
    pub reactions: Cache<Acting, Option<Reaction>>,
    pub turns: Cache<(Interned<Operator>, operators::Turn), Interned<Operator>>,
    pub agents: Cache<(Interned<Agent>, pods::Turn), Interned<Agent>>,
    pub forgotten: Cache<Beside, Interned<Agent>>,
    pub canonical: Canonical,
    pub fair: Fair,
    pub counts: Counts,
}

impl Model {
    pub fn new(bounds: Bounds) -> Model {
        Model {
            bounds,
            decisions: Cache::default(),
            reactions: Cache::default(),
            turns: Cache::default(),
            agents: Cache::default(),
            forgotten: Cache::default(),
            canonical: Canonical::default(),
            fair: Fair::default(),
            counts: Counts::default(),
        }
    }
}

/// One event. Operators and agents by their places.
///
/// A round of an operator, and a step of an agent with the requests that it sends, are done at once as a rule; where
/// something overtakes them that counts as one of the things heard late, and where an answer is lost as one of those.
/// So every order of events is explored that departs so often from that rule, and no more: a delay bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// Time passes. Guards end whatever is past its deadline; nobody else need act.
    Tick,
    /// An operator reads what it has not read yet, decides, and makes all its writes.
    Round(usize),
    /// The same with every step taking too long that it waits for.
    GivesUp(usize),
    /// It reads the status, and the rest only later.
    ReadsStatus(usize),
    /// It reads the Lease, the pods and the Jobs, and the status only later.
    ReadsRest(usize),
    /// Its watch of the Lease hangs.
    WatchHangs(usize),
    /// It reads and decides, and makes its writes only later.
    Pauses(usize),
    /// Its next write is carried out and answered.
    Writes(usize),
    /// Its next write is not answered; it may be carried out later, or never.
    WriteTimesOut(usize),
    /// A round in which that happens to the write after so many.
    RoundLoses(usize, u8),
    /// A write that was given up on is carried out.
    LateWrite(usize),
    /// It dies and comes back, remembering nothing.
    Restarts(usize),
    /// The same with its next write on its way.
    DiesInWrite(usize),
    /// A round that ends so after so many writes; whether the next is on its way.
    RoundDies(usize, u8, bool),
    /// An agent's watch shows it the Lease.
    Sees(usize),
    /// Its watch will show the Lease as it is now later.
    LooksLate(usize),
    /// Its watch shows the Lease as it was.
    SeesOld(usize),
    /// It looks at its clock.
    Looks(usize),
    /// It sees the Lease or looks at its clock, and the request after so many takes its time.
    Delays(usize, Act, u8),
    /// The same, and it gives up on that request, which stays on its way.
    Loses(usize, Act, u8),
    /// A request on its way reaches the API server; if its agent waits for it, it gets the answer.
    Reaches(usize, u8),
    /// The same, and the answer takes its time.
    Stores(usize, u8),
    /// The answer arrives.
    Answers(usize),
    /// An agent gives up on its last request, which stays on its way.
    RequestTimesOut(usize),
    /// A step of a stop ends, well or not.
    StepEnds(usize),
    /// A bot that was asked to stop does.
    BotStops(usize),
    /// A bot that trades ends by itself.
    BotExits(usize),
    /// A container is killed and started again.
    ContainerDies(usize),
    /// The kubelet reports a container's end.
    KubeletReports(usize),
    /// Somebody deletes a pod.
    PodDeleted(usize),
    /// The kubelet tells the agent of a deleted pod to end.
    KubeletEnds(usize),
    /// The kubelet kills the container of a deleted pod.
    KubeletKills(usize),
    /// The object of a deleted pod goes with its container.
    PodGone(usize),
    /// The object of a deleted pod is removed by force.
    PodForced(usize),
    /// A reconciliation succeeds.
    JobSucceeds(usize),
    /// A reconciliation fails.
    JobFails(usize),
    /// A reconciliation dies with its node.
    JobDies(usize),
    /// It is found that a reconciliation ended without a word.
    JobFound(usize),
    /// Somebody deletes the Lease.
    LeaseDeleted,
    /// Somebody asks for a switchover.
    SwitchoverAsked,
    /// What the kernel still had of a killed bot reaches the exchange.
    OrderArrives,
}

/// How an event counts as a fault.
#[inline]
pub fn fault(event: Event) -> Faults {
    let none = Faults::default();
    match event {
        Event::Restarts(_)
        | Event::DiesInWrite(_)
        | Event::RoundDies(..)
        | Event::BotExits(_)
        | Event::ContainerDies(_)
        | Event::JobDies(_) => Faults { crashes: 1, ..none },
        Event::WriteTimesOut(_) | Event::RoundLoses(..) | Event::RequestTimesOut(_) | Event::Loses(..) => {
            Faults { lost: 1, ..none }
        }
        Event::LeaseDeleted => Faults { deleted: 1, ..none },
        Event::ReadsStatus(_)
        | Event::ReadsRest(_)
        | Event::WatchHangs(_)
        | Event::Pauses(_)
        | Event::LooksLate(_)
        | Event::Delays(..)
        | Event::Stores(..) => Faults { late: 1, ..none },
        Event::JobFails(_) => Faults { failed: 1, ..none },
        Event::PodDeleted(_) => Faults { pods: 1, ..none },
        Event::GivesUp(_) => Faults { overdue: 1, ..none },
        Event::SwitchoverAsked => Faults { asked: 1, ..none },
        _ => none,
    }
}

impl Model {
    /// How everything begins.
    pub fn first(&self) -> World {
        let mut world = World::new(&self.bounds);
        self.stands_for(&mut world);
        world
    }

    /// What `event` makes of `world`; `None`: it cannot happen, or changes nothing. It is counted.
    pub fn next(&self, world: &World, event: Event) -> Option<World> {
        let next = self.after(world, event, Some(&self.counts))?;
        self.counts.event(event);
        Some(next)
    }

    /// The same, counted here or not at all.
    pub fn after(&self, world: &World, event: Event, counts: Option<&Counts>) -> Option<World> {
        let mut next = self.happens(world, event, counts)?;
        let grants = next.record.epoch.0.saturating_sub(world.record.epoch.0);
        self.stands_for(&mut next);
        let grants = u8::try_from(grants).expect("few grants");
        let spent = next.spent.plus(fault(event)).plus(Faults { grants, ..Faults::default() });
        (next != *world).then_some(World { spent, ..next })
    }

    /// Takes the one of all states that are alike.
    pub fn stands_for(&self, world: &mut World) {
        if self.bounds.reduced {
            dead::forget(self, world);
            self.canonical.name(world);
        }
        // Operators differ in nothing but what they know.
        world.operators.sort_by_key(|operator| operator.digest());
    }

    /// What comes of `event`, as it is. Nothing is added to what went wrong.
    pub fn happens(&self, world: &World, event: Event, counts: Option<&Counts>) -> Option<World> {
        let mut next = *world;
        let mut acts =
            |i: usize, act: Act| agents::acts(self, &mut next, i, act) && agents::answers(self, &mut next, i);
        let happens = match event {
            Event::Sees(i) => acts(i, Act::Sees),
            Event::LooksLate(i) => acts(i, Act::LooksLate),
            Event::SeesOld(i) => acts(i, Act::SeesOld),
            Event::Looks(i) => acts(i, Act::Looks),
            Event::Reaches(i, position) => acts(i, Act::Reaches(position)),
            Event::Stores(i, position) => agents::acts(self, &mut next, i, Act::Stores(position)),
            Event::Delays(i, act, after) => agents::sends(self, &mut next, i, act, after),
            Event::Loses(i, act, after) => {
                agents::sends(self, &mut next, i, act, after)
                    && agents::acts(self, &mut next, i, Act::TimesOut)
                    && agents::answers(self, &mut next, i)
            }
            Event::Answers(i) => acts(i, Act::Answers),
            Event::RequestTimesOut(i) => acts(i, Act::TimesOut),
            Event::StepEnds(i) => acts(i, Act::StepEnds),
            Event::BotStops(i) => acts(i, Act::BotStops),
            Event::BotExits(i) => acts(i, Act::BotExits),
            Event::ContainerDies(i) => acts(i, Act::ContainerDies),
            Event::KubeletReports(i) => acts(i, Act::Reports),
            Event::KubeletEnds(i) => acts(i, Act::IsToldToEnd),
            Event::KubeletKills(i) => acts(i, Act::Ends),
            Event::Tick => self.tick(&mut next),
            Event::Round(i) => {
                operators::decides(self, &mut next, i, false, counts)
                    && operators::writes_up_to(self, &mut next, i, u8::MAX)
            }
            Event::GivesUp(i) => {
                operators::decides(self, &mut next, i, true, counts)
                    && operators::writes_up_to(self, &mut next, i, u8::MAX)
            }
            Event::Pauses(i) => operators::decides(self, &mut next, i, false, counts),
            Event::RoundLoses(i, after) => {
                operators::decides(self, &mut next, i, false, counts)
                    && operators::writes_up_to(self, &mut next, i, after)
                    && operators::write_times_out(self, &mut next, i)
            }
            Event::RoundDies(i, after, in_write) => {
                operators::decides(self, &mut next, i, false, counts)
                    && operators::writes_up_to(self, &mut next, i, after)
                    && operators::is_writing(&next, i)
                    && operators::restarts(&mut next, i, in_write)
            }
            Event::ReadsStatus(i) => operators::reads_status(&mut next, i),
            Event::ReadsRest(i) => operators::reads_rest(&mut next, i),
            Event::WatchHangs(i) => operators::watch_hangs(&mut next, i),
            Event::Writes(i) => operators::writes(self, &mut next, i),
            Event::WriteTimesOut(i) => operators::write_times_out(self, &mut next, i),
            Event::LateWrite(i) => operators::late_write(self, &mut next, i),
            Event::Restarts(i) => operators::restarts(&mut next, i, false),
            Event::DiesInWrite(i) => operators::restarts(&mut next, i, true),
            Event::PodDeleted(i) => pods::pod_deleted(&mut next, i),
            Event::PodGone(i) | Event::PodForced(i) => pods::pod_forgotten(&mut next, i),
            Event::JobSucceeds(position) => jobs::ends(&mut next, position, Some(Told::Succeeded)),
            Event::JobFails(position) => jobs::ends(&mut next, position, Some(Told::Failed)),
            Event::JobDies(position) => jobs::ends(&mut next, position, None),
            Event::JobFound(position) => jobs::is_found(&mut next, position),
            Event::LeaseDeleted => {
                next.lease.is_some() && {
                    next.set_lease(self, None);
                    next.shows_nobody_but(self, None);
                    true
                }
            }
            Event::SwitchoverAsked => !std::mem::replace(&mut next.asked, true),
            Event::OrderArrives => next.exchange.on_its_way.take().is_some_and(|grant| {
                next.exchange.order(grant, self.bounds.reconciles);
                true
            }),
        };
        if !happens {
            return None;
        }
        next.forget(self);
        (next != *world).then_some(next)
    }

    fn tick(&self, world: &mut World) -> bool {
        let wait = self.bounds.wait_ticks();
        world.lease_age = (world.lease_age + 1).min(wait);
        jobs::tick(world);
        if world.waits.iter().any(|(_, age)| *age < JOB_WAIT_TICKS) {
            let aged = world.waits.iter().map(|(token, age)| (*token, (age + 1).min(JOB_WAIT_TICKS)));
            world.waits = Interned::new(aged.collect());
        }
        world.operators = world.operators.map(|operator| operators::after(self, operator, operators::Turn::Ticks));
        for index in 0..AGENTS {
            let before = world.agents[index];
            world.agents[index] = pods::after(self, before, pods::Turn::Ticks);
            let killed = before.trades.filter(|_| world.agents[index].trades.is_none());
            if let Some(grant) = killed.filter(|_| !self.bounds.gate) {
                world.exchange.on_its_way = Some(grant);
            }
        }
        true
    }
}

impl stateright::Model for Model {
    type State = World;
    type Action = Event;

    fn init_states(&self) -> Vec<World> {
        vec![self.first()]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Event>) {
        self.possible(world, &mut |event| actions.push(event));
    }

    fn next_state(&self, world: &World, event: Event) -> Option<World> {
        self.next(world, event)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all()
    }

    fn within_boundary(&self, world: &World) -> bool {
        world.spent.within(self.bounds.faults)
    }
}
