//! States that differ in numbers alone are one.
//!
//! Nobody does anything else because of how large an epoch, a token or the number of a container's start is, only
//! because of which is later and which are equal. So those in use are counted from 1 (starts from 0), and a grant that
//! has left nothing behind is as if it had never been. How many there were counts towards the bounds like a fault (see
//! [`crate::bounds::Faults::grants`]). An epoch that others are only compared with, such as the latest that is known
//! to be over, counts as the latest in use up to it.
//!
//! That pods are alike is not made use of: the lowest slot is preferred, and letting operators choose instead made the
//! states fewer by a tenth, and each of them twice as dear.

use crate::agents::Agent;
use crate::cache::Cache;
use crate::core::failover::Record;
use crate::core::ids::FencingToken;
use crate::core::lease::LeaseRecord;
use crate::core::wrong::{self, Wrong};
use crate::interned::{Interned, Part};
use crate::jobs::Job;
use crate::names::{Names, renamed};
use crate::operators::Operator;
use crate::world::{AGENTS, World};

/// Numbers are below this.
const NUMBERS: usize = 16;

/// The numbers in use, a bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Used {
    epochs: u16,
    tokens: u16,
    starts: [u16; AGENTS],
}

impl Used {
    fn and(self, more: Used) -> Used {
        let starts = std::array::from_fn(|pod| self.starts[pod] | more.starts[pod]);
        Used { epochs: self.epochs | more.epochs, tokens: self.tokens | more.tokens, starts }
    }

    pub fn has_start(self, pod: usize, number: u8) -> bool {
        self.starts[pod] & bit(number.into()) != 0
    }

    /// None is left out.
    fn is_compact(self) -> bool {
        let compact = |bits: u16| bits & bits.wrapping_add(1) == 0;
        compact(self.epochs | 1) && compact(self.tokens | 1) && self.starts.into_iter().all(compact)
    }
}

fn bit(number: u64) -> u16 {
    assert!(number < NUMBERS as u64, "few grants and starts");
    1 << number
}

/// The numbers in a part.
pub fn used<T: Part>(part: &T) -> Used {
    let mut collect = Collect(Used::default());
    part.clone().name(&mut collect);
    collect.0
}

struct Collect(Used);

impl Names for Collect {
    fn epoch(&mut self, number: u64) -> u64 {
        self.0.epochs |= bit(number);
        number
    }
    fn token(&mut self, number: u64) -> u64 {
        self.0.tokens |= bit(number);
        number
    }
    fn over(&mut self, number: u64) -> u64 {
        number
    }
    fn start(&mut self, pod: usize, number: u8) -> u8 {
        self.0.starts[pod] |= bit(number.into());
        number
    }
    fn lease(&mut self, lease: Interned<LeaseRecord>) -> Interned<LeaseRecord> {
        self.0 = self.0.and(lease.used());
        lease
    }
    fn record(&mut self, record: Interned<Record>) -> Interned<Record> {
        self.0 = self.0.and(record.used());
        record
    }
    fn jobs(&mut self, jobs: Interned<Vec<Job>>) -> Interned<Vec<Job>> {
        self.0 = self.0.and(jobs.used());
        jobs
    }
}

/// Parts with other numbers, by what is in use in all the world.
type Renamed<T> = Cache<(Interned<T>, Used), Interned<T>>;

/// Renames, and remembers what came of it.
#[derive(Default)]
pub struct Canonical {
    leases: Renamed<LeaseRecord>,
    records: Renamed<Record>,
    operators: Renamed<Operator>,
    agents: Renamed<Agent>,
    jobs: Renamed<Vec<Job>>,
    waits: Renamed<Vec<(FencingToken, u8)>>,
}

impl Canonical {
    /// The one of all states like this that stands for them.
    pub fn name(&self, world: &mut World) {
        let used = used_in(world);
        // That mistake counts epochs by something else.
        if used.is_compact() || wrong::is(Wrong::EpochFromTransitions) {
            return;
        }
        let mut names = Rename { canonical: self, used };
        let World { lease, record, operators, agents, jobs, waits, exchange, .. } = world;
        lease.iter_mut().for_each(|lease| *lease = names.lease(*lease));
        *record = names.record(*record);
        for operator in operators {
            *operator = self.operators.get((*operator, used), || renamed(*operator, &mut names));
        }
        for agent in agents {
            *agent = self.agents.get((*agent, used), || renamed(*agent, &mut names));
        }
        *jobs = names.jobs(*jobs);
        *waits = self.waits.get((*waits, used), || renamed(*waits, &mut names));
        exchange.name(&mut names);
    }
}

/// The numbers in all the world.
pub fn used_in(world: &World) -> Used {
    let World { lease, record, operators, agents, jobs, waits, exchange, .. } = world;
    let mut collect = Collect(record.used().and(jobs.used()).and(waits.used()));
    lease.iter().for_each(|lease| collect.0 = collect.0.and(lease.used()));
    operators.iter().for_each(|operator| collect.0 = collect.0.and(operator.used()));
    agents.iter().for_each(|agent| collect.0 = collect.0.and(agent.used()));
    { *exchange }.name(&mut collect);
    collect.0
}

struct Rename<'a> {
    canonical: &'a Canonical,
    /// What is in use in all the world.
    used: Used,
}

impl Names for Rename<'_> {
    fn epoch(&mut self, number: u64) -> u64 {
        rank(self.used.epochs, number)
    }
    fn token(&mut self, number: u64) -> u64 {
        rank(self.used.tokens, number)
    }
    fn over(&mut self, number: u64) -> u64 {
        rank(self.used.epochs, number)
    }
    fn start(&mut self, pod: usize, number: u8) -> u8 {
        let before = self.used.starts[pod] & (bit(number.into()) - 1);
        before.count_ones() as u8
    }
    fn lease(&mut self, lease: Interned<LeaseRecord>) -> Interned<LeaseRecord> {
        let canonical = self.canonical;
        canonical.leases.get((lease, self.used), || renamed(lease, self))
    }
    fn record(&mut self, record: Interned<Record>) -> Interned<Record> {
        let canonical = self.canonical;
        canonical.records.get((record, self.used), || renamed(record, self))
    }
    fn jobs(&mut self, jobs: Interned<Vec<Job>>) -> Interned<Vec<Job>> {
        let canonical = self.canonical;
        canonical.jobs.get((jobs, self.used), || renamed(jobs, self))
    }
}

/// How many in use there are up to `number`. Zero stays: nothing was granted yet.
fn rank(used: u16, number: u64) -> u64 {
    let up_to = bit(number) | (bit(number) - 1);
    u64::from((used & up_to & !1).count_ones())
}
