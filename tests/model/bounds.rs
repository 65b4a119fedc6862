//! How much is explored, and how clocks and guards behave.

use std::fmt;

use crate::core::silence::required_silence;
use crate::world::{LEASE_TICKS, TICK};

/// What is explored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Pods with an agent in each, at most [`crate::world::AGENTS`].
    pub agents: usize,
    /// How much may go wrong on one path, by kind.
    pub faults: Faults,
    /// A reconciliation Job runs before anybody trades.
    pub reconciles: bool,
    /// The steps before a bot that trades gets SIGTERM.
    pub stop_steps: u8,
    /// By how many percent an operator's clock runs faster than an agent's. The tolerance is
    /// [`crate::core::silence::TOLERANCE_PERCENT`].
    pub faster: u32,
    /// Ticks that a process goes on after its deadline; the guard is one tick.
    pub overrun: u32,
    /// Nothing of a killed process is still on its way to the exchange.
    pub gate: bool,
    /// States that differ in numbers alone, or in times that nobody asks for, are one ([`crate::canonical`],
    /// [`crate::dead`]).
    pub reduced: bool,
}

const KINDS: usize = 9;

/// How much goes wrong, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Faults {
    /// Operators, containers, bots and Jobs that die.
    pub crashes: u8,
    /// Answers that are never heard: the request may be carried out later, or never.
    pub lost: u8,
    /// Leases that somebody deletes.
    pub deleted: u8,
    /// Things that are heard late: halves of what an operator reads, an agent's answers and sights.
    pub late: u8,
    /// Reconciliations that fail.
    pub failed: u8,
    /// Pod objects that are deleted, each of which may be removed by force.
    pub pods: u8,
    /// Steps that an operator waits for no longer.
    pub overdue: u8,
    /// Switchovers that somebody asks for.
    pub asked: u8,
    /// Grants: no fault, but what is left of them is what matters.
    pub grants: u8,
}

impl Faults {
    #[inline]
    fn all(self) -> [u8; KINDS] {
        let Faults { crashes, lost, deleted, late, failed, pods, overdue, asked, grants } = self;
        [crashes, lost, deleted, late, failed, pods, overdue, asked, grants]
    }

    /// Whether no kind went wrong more often here than there.
    #[inline]
    pub fn within(self, limits: Faults) -> bool {
        self.all().iter().zip(limits.all()).all(|(mine, limit)| *mine <= limit)
    }

    /// What is left of these, of which no kind went wrong more often than here.
    pub fn without(self, spent: Faults) -> Faults {
        Faults {
            crashes: self.crashes - spent.crashes,
            lost: self.lost - spent.lost,
            deleted: self.deleted - spent.deleted,
            late: self.late - spent.late,
            failed: self.failed - spent.failed,
            pods: self.pods - spent.pods,
            overdue: self.overdue - spent.overdue,
            asked: self.asked - spent.asked,
            grants: self.grants - spent.grants,
        }
    }

    /// Both together.
    pub fn plus(self, more: Faults) -> Faults {
        Faults {
            crashes: self.crashes + more.crashes,
            lost: self.lost + more.lost,
            deleted: self.deleted + more.deleted,
            late: self.late + more.late,
            failed: self.failed + more.failed,
            pods: self.pods + more.pods,
            overdue: self.overdue + more.overdue,
            asked: self.asked + more.asked,
            grants: self.grants + more.grants,
        }
    }

    /// How much went wrong in all.
    pub fn total(self) -> usize {
        self.all().iter().map(|n| usize::from(*n)).sum()
    }

    /// Four bits a kind.
    pub fn packed(self) -> u64 {
        self.all().iter().fold(0, |packed, n| packed << 4 | u64::from(*n))
    }
}

/// Whether no kind of `a` is more often in it than in `b`, both packed.
pub fn packed_within(a: u64, b: u64) -> bool {
    (0..KINDS).all(|kind| (a >> (4 * kind)) & 15 <= (b >> (4 * kind)) & 15)
}

impl Bounds {
    /// Ticks after which an observer's wait is over: what was noted longer ago than this is as good as any older.
    pub fn wait_ticks(&self) -> u8 {
        let needed = required_silence(TICK * LEASE_TICKS).as_millis();
        let tick = TICK.as_millis() * u128::from(100 + self.faster) / 100;
        u8::try_from(needed.div_ceil(tick)).expect("a wait is a few ticks")
    }
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Faults { crashes, lost, deleted, late, failed, pods, overdue, asked, grants } = self.faults;
        write!(
            f,
            "{grants} grants, {} agents, at most {crashes} crashes, {lost} lost replies, {deleted} deleted Leases, {late} things \
             heard late, {failed} failed Jobs, {pods} deleted pods, {overdue} steps given up, {asked} switchovers; \
             operators' clocks {} % faster, processes end {} ticks late",
            self.agents, self.faster, self.overrun
        )?;
        if !self.reduced {
            f.write_str(", all states told apart")?;
        }
        if self.stop_steps > 0 {
            write!(f, ", {} steps before SIGTERM", self.stop_steps)?;
        }
        if !self.reconciles {
            f.write_str(", without reconciliation")?;
        }
        if !self.gate {
            f.write_str(", without the order gate")?;
        }
        Ok(())
    }
}
