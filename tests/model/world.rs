//! What there is: two operators, agents with their pods, one Lease, one status, Jobs, an exchange, and what is on its
//! way between them.

use std::time::Duration;

use crate::agents::Agent;
use crate::bounds::{Bounds, Faults};
use crate::core::failover::{Ledger, Move, Record};
use crate::core::ids::{BootId, FencingToken, PodRef};
use crate::core::lease::{LeaseRecord, OnApiServerLoss, Terms};
use crate::core::time::{Mono, Wall};
use crate::events::Model;
use crate::exchange::{Exchange, Rule};
use crate::interned::Interned;
use crate::jobs::Job;
use crate::operators::{self, Operator, Remembered};
use crate::pods::{self, Turn};

/// One step of the model's time.
pub const TICK: Duration = Duration::from_secs(1);

/// A tick by an agent's clock, which is slow: at the end of the first tick after a renewal was sent the bot is a hair
/// before its deadline, which is the worst place to be, and ends with the second.
pub const AGENT_TICK: Duration = Duration::from_millis(999);

/// The present. Time passes by moving everything that was noted into the past, so that two states that differ only in
/// when they happened are one.
pub const NOW: Mono = Mono::both(1_000_000_000_000);

/// Longer ago than anything is waited for.
pub const LONG_AGO: Mono = Mono::both(0);

/// The lease duration, in ticks: the holder's deadline is a second after its last renewal was sent (the guard is 1 s).
pub const LEASE_TICKS: u32 = 2;

/// A Job's program ends before the second tick after it was made: its deadline.
pub const JOB_TICKS: u8 = 2;

/// A Job that was decided on is made before the second tick after that, or never: production checks its leadership
/// right before it sends the request.
pub const JOB_SENT_TICKS: u8 = 1;

/// An operator waits for this many ticks, from when it knows of a Job, until it believes that the deadline and grace
/// are over. Ticks of Jobs are longer than those of Leases: what matters is which of two waits ends first.
pub const JOB_WAIT_TICKS: u8 = 3;

/// An operator that has been up for so many ticks has been for longer than anything is waited for.
pub const LONG_UP: u8 = JOB_WAIT_TICKS;

/// Three pods at most.
pub const AGENTS: usize = 3;
/// Two operators that both believe that they lead.
pub const OPERATORS: usize = 2;

/// Tokens count up from here: wall clocks are not modelled.
pub const WALL: Wall = Wall(0);

/// Everything there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct World {
    /// As stored, without its version and without `renew`: whoever remembers an older version or another value knows
    /// that itself.
    pub lease: Option<Interned<LeaseRecord>>,
    /// Ticks since its version changed, as far as they matter.
    pub lease_age: u8,
    pub record: Interned<Record>,
    pub operators: [Interned<Operator>; OPERATORS],
    pub agents: [Interned<Agent>; AGENTS],
    pub jobs: Interned<Vec<Job>>,
    /// Since when operators have known of each Job that is not known to have ended: its token, and ticks. They come to know
    /// of it from the status, and remember it as long as it is said to run, named there or not.
    pub waits: Interned<Vec<(FencingToken, u8)>>,
    pub exchange: Exchange,
    /// A switchover was asked for and has not ended.
    pub asked: bool,
    /// What went wrong so far.
    pub spent: Faults,
}

pub fn pod(index: usize) -> PodRef {
    PodRef { name: format!("p-{index}"), uid: format!("u{index}") }
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

/// A reading from so many ticks of an operator's clock ago.
pub fn ago(ticks: u8, bounds: &Bounds) -> Mono {
    if ticks >= bounds.wait_ticks() {
        return LONG_AGO;
    }
    NOW.minus(TICK * u32::from(ticks) * (100 + bounds.faster) / 100)
}

impl World {
    /// Nothing was granted yet, and operators have been running for long: what follows a start follows a crash as well.
    pub fn new(bounds: &Bounds) -> World {
        let remembered = Remembered { up: LONG_UP, ..Remembered::default() };
        let operator = Operator { remembered, ..Operator::default() };
        World {
            lease: None,
            lease_age: 0,
            record: Interned::new(Record::default()),
            operators: [Interned::new(operator); OPERATORS],
            agents: std::array::from_fn(|index| Interned::new(Agent::new(index, index < bounds.agents))),
            jobs: Interned::new(Vec::new()),
            waits: Interned::new(Vec::new()),
            exchange: Exchange::default(),
            asked: false,
            spent: Faults::default(),
        }
    }

    /// Stores a Lease, or removes it. Versions never come back, so whatever depended on the one before is hopeless.
    pub fn set_lease(&mut self, model: &Model, lease: Option<Interned<LeaseRecord>>) {
        let epoch = |lease: Option<Interned<LeaseRecord>>| lease.and_then(|lease| lease.epoch);
        if lease.is_some() && epoch(lease) < epoch(self.lease) {
            self.exchange.breaks(Rule::I5);
        }
        self.lease = lease;
        self.lease_age = 0;
        for operator in &mut self.operators {
            *operator = operators::lease_changed(model, *operator);
        }
    }

    /// Stores the status. The same holds for its versions.
    pub fn set_record(&mut self, model: &Model, record: Interned<Record>) {
        if record.epoch < self.record.epoch || record.token < self.record.token {
            self.exchange.breaks(Rule::I5);
        }
        if breaks_the_ledger(&self.record, &record) {
            self.exchange.breaks(Rule::Ledger);
        }
        if record.jobs != self.record.jobs {
            let known = |token: &FencingToken| self.waits.iter().any(|(known, _)| known == token);
            let new = record.jobs.iter().filter(|token| !known(token)).map(|token| (*token, 0));
            let mut waits: Vec<_> = self.waits.iter().copied().chain(new).collect();
            waits.sort_unstable();
            self.waits = Interned::new(waits);
        }
        self.record = record;
        for operator in &mut self.operators {
            *operator = operators::status_changed(model, *operator);
        }
    }

    /// Forgets that the Lease shows somebody's latest renewal: it shows another's, or nobody's.
    pub fn shows_nobody_but(&mut self, model: &Model, index: Option<usize>) {
        for (i, agent) in self.agents.iter_mut().enumerate() {
            if agent.shown && Some(i) != index {
                *agent = pods::after(model, *agent, Turn::IsNotShown);
            }
        }
    }

    /// Whatever in this state depends on nothing that can still happen is blanked, so that states that differ in it
    /// alone are one.
    pub fn forget(&mut self, model: &Model) {
        self.agents = self.agents.map(|agent| pods::forget(model, agent, self.lease));
        crate::jobs::forget(self);
    }

    /// The pods in which a bot may trade.
    pub fn traders(&self) -> impl Iterator<Item = &Agent> + '_ {
        self.agents.iter().map(|agent| &**agent).filter(|agent| agent.trades.is_some())
    }
}

fn breaks_the_ledger(before: &Record, after: &Record) -> bool {
    match (&before.trading, &after.trading) {
        (Some(old), Some(new)) => (old.epoch, &old.pod) != (new.epoch, &new.pod),
        (Some(Ledger { epoch, .. }), None) => after.fenced < *epoch,
        _ => false,
    }
}

/// What decisions do not depend on is blanked, so that states that differ in words alone are one.
pub fn without_words(record: &mut Record) {
    record.message.clear();
    record.phase = Default::default();
    record.history.clear();
    record.total = 0;
    record.active_since = None;
    // It is asked how often each is in it, and which.
    record.lost.sort_by(|a, b| a.pod_uid.cmp(&b.pod_uid));
    record.jobs.sort_unstable();
    if let Some(Move { message, tried, suspected, fenced, elected, reconciled, report, .. }) = &mut record.current {
        message.clear();
        tried.sort_unstable();
        *suspected = Wall(0);
        (*fenced, *elected, *reconciled, *report) = (None, None, None, None);
    }
}
