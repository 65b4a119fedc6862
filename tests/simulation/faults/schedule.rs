//! Which faults a seed has, and when.

use std::time::Duration;

use super::kinds::Kind;
use crate::world::random::Random;

/// Every seed has at least so many faults.
pub const FEWEST: u64 = 5;
const MOST: u64 = 9;

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// When it begins.
    pub at: Duration,
    /// What goes wrong.
    pub kind: Kind,
    /// For how long, where it lasts.
    pub lasts: Duration,
}

/// The faults of a seed, in the order of time. They come in bursts: what one does to a failover matters more than what
/// it does to a bot that is well.
pub fn draw(seed: u64) -> Vec<Fault> {
    let random = Random::new(seed, "faults");
    let count = FEWEST + random.below(MOST - FEWEST + 1);
    // In some seeds they come one by one: what one alone leads to must not be hidden by the next.
    let (bursts, longest) = if random.percent(30) { (count, 150_000) } else { (1 + random.below(3), 60_000) };
    let bursts: Vec<Duration> = (0..bursts).map(|_| random.millis(0, longest)).collect();
    let mut faults: Vec<Fault> = Vec::new();
    while u64::try_from(faults.len()).unwrap_or(u64::MAX) < count {
        let burst = random.pick(&bursts).unwrap_or_default();
        let at = burst + random.millis(0, 10_000);
        let kind = random.pick(Kind::ALL).unwrap_or(Kind::LeaderCrashed);
        let lasts = length(&random, kind);
        if may_come(&faults, kind) {
            faults.push(Fault { at, kind, lasts });
        }
    }
    faults.sort_by_key(|fault| fault.at);
    faults
}

/// Two that together are beyond what is promised are not drawn together: where the cluster has forgotten the tokens,
/// only the time of day keeps them growing (design, rule 2).
fn may_come(faults: &[Fault], kind: Kind) -> bool {
    let any = |is: fn(Kind) -> bool| faults.iter().any(|fault| is(fault.kind));
    !(kind.moves_wall_clock() && any(Kind::forgets_tokens) || kind.forgets_tokens() && any(Kind::moves_wall_clock))
}

fn length(random: &Random, kind: Kind) -> Duration {
    match kind {
        // Most outages are short, some last for minutes.
        Kind::ApiPaused | Kind::ApiRefused | Kind::ApiSilent => match random.below(10) {
            0..8 => random.millis(3_000, 20_000),
            8 => random.millis(20_000, 60_000),
            _ => random.millis(60_000, 180_000),
        },
        // As long as it takes to win the lead, and to do something wrong.
        Kind::OldViewLeads => random.millis(30_000, 50_000),
        Kind::LeaderFrozen | Kind::OperatorsFrozen => random.millis(2_000, 25_000),
        Kind::AgentFrozen => random.millis(1_000, 25_000),
        Kind::PowerCut | Kind::JobLosesNode | Kind::KubeletStopped => random.millis(2_000, 60_000),
        Kind::WallClockAhead | Kind::WallClockBehind => random.millis(10_000, 60_000),
        _ => random.millis(1_000, 40_000),
    }
}
