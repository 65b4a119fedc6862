//! Faults of the active while its orders are on the way. Half of the bots have the order gate: of those, nothing of an
//! old token may be accepted after the first of a new one. The other half shows what happens without it.

use std::time::{Duration, Instant};

use futures::future::join_all;

use super::fleet::{Fleet, LEASE, Target};
use super::tally::{BotRound, Tally, late_orders};
use crate::harness::entry::{Entry, Kind};
use crate::harness::*;

/// So many bots with the gate share a round with as many without it.
const PAIRS: usize = 6;
/// So often every fault happens to all of them, unless SERIES says otherwise.
const SERIES: usize = 2;
/// The kernel gives up what nobody acknowledges within this.
const KERNEL_HOLDS: Duration = Duration::from_secs(150);
/// Nothing of the old tokens arrives for this long, the kernels holding nothing more.
const QUIET: Duration = Duration::from_secs(3);
/// The same where nobody can look into the kernels.
const LONG_QUIET: Duration = Duration::from_secs(120);

/// What happens to the actives of all bots at once.
#[derive(Clone, Copy, Debug)]
enum Happens {
    /// Their node's cable is pulled, and plugged in again this long after the first order of the last new active.
    Cut(u64),
    /// Their pods stand still for so many tenths of a lease time.
    Frozen(u32),
    /// SIGKILL to their agents.
    Killed,
    /// The same a second after their node's cable was pulled, so that bytes are held.
    KilledWhileCut,
    /// Their node loses its power.
    PoweredOff,
}

/// From pulling the cable to the kill, and from the new active's first order to the heal: bytes are held by then.
const BEFORE_KILL: Duration = Duration::from_secs(1);
const KILLED_CUT_HEALS: u64 = 5;

const ALL: [Happens; 11] = [
    Happens::Cut(5),
    Happens::Frozen(15),
    Happens::KilledWhileCut,
    Happens::Frozen(11),
    Happens::Cut(20),
    Happens::Killed,
    Happens::Frozen(20),
    Happens::PoweredOff,
    Happens::Frozen(30),
    Happens::Cut(60),
    Happens::Frozen(50),
];

#[test]
fn orders_on_the_way_never_arrive_late_through_the_gate() {
    scenario("gate_rounds_short", Turn::Alone, async |world| {
        // In this order: the cut-off node is only trusted again after a while, which the end need not wait for.
        run(world, 2, &[Happens::Frozen(15), Happens::Cut(5)], |_| ()).await;
    });
}

#[test]
#[ignore = "takes many minutes: make gate-rounds"]
fn gate_rounds_all() {
    scenario_within("gate_rounds", Turn::Alone, Duration::from_secs(3000), async |world| {
        let series = std::env::var("SERIES").ok().and_then(|n| n.parse().ok()).unwrap_or(SERIES);
        // What was seen by then is there also when a later round fails.
        let tally = run(world, PAIRS, &ALL.repeat(series), Tally::write).await;
        say(&format!("target/bench/gate-rounds.json\n\n{}", tally.table()));
        assert!(tally.rounds(true) >= PAIRS * ALL.len() * series, "only {} rounds with the gate", tally.rounds(true));
        assert!(tally.late(false) > 0, "nothing was late without the gate either: these rounds prove nothing");
    });
}

/// All rounds, one after the other, and what they showed; `keep` is given that after each of them.
async fn run(world: &World, pairs: usize, faults: &[Happens], keep: impl Fn(&Tally)) -> Tally {
    let fleet = Fleet::start(world, pairs).await;
    let mut tally = Tally::default();
    for fault in faults {
        let began = Instant::now();
        let rounds = fault.round(world, &fleet).await;
        let of = |gated: bool| rounds.iter().filter(|r| r.gated == gated).map(|r| r.late.len()).sum::<usize>();
        say(&format!(
            "{}: {} s, late orders with the gate {}, without {}",
            fault.name(),
            began.elapsed().as_secs(),
            of(true),
            of(false)
        ));
        tally.add(&fault.name(), rounds);
        keep(&tally);
    }
    world.note("late orders without the gate", tally.late(false));
    if tally.late(false) == 0 {
        say("NOTHING WAS LATE WITHOUT THE GATE EITHER: THESE ROUNDS PROVE NOTHING");
    }
    assert_eq!(tally.late(true), 0, "orders of an old token were accepted through the gate:\n{}", tally.table());
    tally
}

impl Happens {
    fn name(self) -> String {
        match self {
            Happens::Cut(seconds) => format!("node cut, healed after {seconds} s"),
            Happens::Frozen(tenths) => format!("frozen for {}.{} leases", tenths / 10, tenths % 10),
            Happens::Killed => "agent killed".to_owned(),
            Happens::KilledWhileCut => "agent killed, node cut".to_owned(),
            Happens::PoweredOff => "node powered off".to_owned(),
        }
    }

    async fn round(self, world: &World, fleet: &Fleet) -> Vec<BotRound> {
        fleet.until_whole().await;
        let gathered = matches!(self, Happens::Cut(_) | Happens::KilledWhileCut | Happens::PoweredOff);
        let node = if gathered { fleet.gather().await } else { String::new() };
        let targets = fleet.begin_round(&self.name()).await;
        let held = self.strike(world, &node, &targets).await;
        until_nothing_more_can_arrive(&targets).await;
        let log = log_since(&targets).await;
        world.cluster.until_nodes_are_ready().await;
        let counted = targets.iter().zip(held).map(|(target, held)| {
            let ours =
                |e: &&Entry| e.account.as_ref() == Some(&target.round.account) && e.seq > target.round.marker.seq;
            let orders: Vec<Entry> = log.iter().filter(ours).cloned().collect();
            BotRound { gated: target.member.gated, held, late: late_orders(target.round.token(), &orders) }
        });
        counted.collect()
    }

    /// Does it, waits until others trade, and heals it. What the old actives' kernels held right before that.
    async fn strike(self, world: &World, node: &str, targets: &[Target]) -> Vec<Option<u64>> {
        let faults = world.faults();
        match self {
            Happens::Cut(seconds) => {
                let cut = faults.cut_link(node);
                until_others_trade(targets).await;
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                let held = held(targets);
                cut.heal();
                held
            }
            Happens::Frozen(tenths) => {
                let held = join_all(targets.iter().map(|target| freeze(world, target, LEASE * 100 * tenths))).await;
                until_others_trade(targets).await;
                held
            }
            Happens::Killed => {
                targets.iter().for_each(|target| target.aim.kill());
                until_others_trade(targets).await;
                held(targets)
            }
            Happens::KilledWhileCut => {
                let cut = faults.cut_link(node);
                tokio::time::sleep(BEFORE_KILL).await;
                targets.iter().for_each(|target| target.aim.kill());
                until_others_trade(targets).await;
                tokio::time::sleep(Duration::from_secs(KILLED_CUT_HEALS)).await;
                let held = held(targets);
                cut.heal();
                held
            }
            Happens::PoweredOff => {
                let off = faults.power_off(node);
                until_others_trade(targets).await;
                let held = held(targets);
                off.heal();
                held
            }
        }
    }
}

/// Freezes a pod for so many milliseconds; what its kernel held at the end. The script runs beside others, because all
/// pods freeze at once.
async fn freeze(world: &World, target: &Target, milliseconds: u32) -> Option<u64> {
    let (faults, uid) = (world.faults(), target.pod_uid.clone());
    let frozen = tokio::task::spawn_blocking(move || faults.freeze(&uid)).await.expect("it freezes");
    tokio::time::sleep(Duration::from_millis(milliseconds.into())).await;
    let held = bytes_held(&target.pod_uid);
    tokio::task::spawn_blocking(move || frozen.heal()).await.expect("it thaws");
    held
}

/// Waits for the first order of a later token of every bot.
async fn until_others_trade(targets: &[Target]) {
    join_all(targets.iter().map(|target| async {
        let Round { account, marker, .. } = &target.round;
        let filter = format!("account={account}&since={}&token_above={}", marker.seq, target.round.token());
        target.member.bot.exchange.wait("the first order of the next epoch", SOON, &filter).await;
    }))
    .await;
}

fn held(targets: &[Target]) -> Vec<Option<u64>> {
    targets.iter().map(|target| bytes_held(&target.pod_uid)).collect()
}

/// Waits until no kernel holds anything of an old active, and nothing of theirs arrives any more.
async fn until_nothing_more_can_arrive(targets: &[Target]) {
    let seen = until("no kernel holds anything of the old actives", KERNEL_HOLDS, async || {
        let held = held(targets);
        held.iter().all(|bytes| bytes.is_none_or(|n| n == 0)).then(|| held.iter().all(Option::is_some))
    })
    .await;
    let quiet = if seen { QUIET } else { LONG_QUIET };
    join_all(targets.iter().map(|target| async {
        let exchange = &target.member.bot.exchange;
        until("nothing of the old token arrives", quiet * 20, async || {
            let filter = format!("account={}&token={}", target.round.account, target.round.token());
            let last = exchange.last(&filter).await?;
            exchange.try_wait(quiet, &format!("{filter}&since={}", last.seq)).await.is_none().then_some(())
        })
        .await;
    }))
    .await;
}

/// Accepted orders of all bots since the round began.
async fn log_since(targets: &[Target]) -> Vec<Entry> {
    let first = targets.iter().map(|target| target.round.marker.seq).min().expect("there are bots");
    let exchange = &targets.first().expect("there are bots").member.bot.exchange;
    let mut log = exchange.log(first).await;
    log.retain(|entry| entry.kind == Kind::Order && entry.accepted);
    log
}
