//! The fault matrix: every fault that we can make, again and again, each round proven to have taken effect and judged at
//! the exchange. `make faults [ONLY=pattern] [ROUNDS=n]` runs it.

mod again;
mod clocks;
mod fault;
mod fleet;
mod jobs;
mod judge;
mod leases;
mod nodes;
mod operators;
mod outage;
mod pods;
mod promotion;
mod rows;
mod run;
mod storms;
mod table;

use std::cell::RefCell;
use std::time::{Duration, Instant};

use fault::{Fault, Part, Stage};
use fleet::Fleet;
use rows::{Row, Rows};
use table::TABLE;

use crate::harness::*;

/// So many bots share the rounds: what a node has room for, with the tenth of a processor that each pod asks for.
const FLEET: usize = 18;
/// And a few for a part of it that is short: one of them with the default lease time, three reconciled.
const SHORT_FLEET: usize = 5;
/// A part ends within this.
const PART: Duration = Duration::from_secs(4 * 3600);

#[test]
#[ignore = "takes more than an hour: make faults"]
fn faults_all() {
    let wanted = std::env::var("ROUNDS").ok().and_then(|n| n.parse().ok());
    let only = std::env::var("ONLY").unwrap_or_default();
    let is_chosen = |fault: &&Fault| {
        only.split('|').any(|pattern| fault.name.contains(pattern) || fault.part.scenario().contains(pattern))
    };
    let chosen: Vec<&Fault> = TABLE.iter().filter(is_chosen).collect();
    assert!(!chosen.is_empty(), "no fault's name contains '{only}'");
    let names: Vec<&str> = TABLE.iter().map(|fault| fault.name).collect();
    let rows = RefCell::new(Rows::of_before(&names));
    let progress = Progress::of(&chosen, wanted);
    let failures = RefCell::new(Vec::new());
    for part in [Part::Bots, Part::Nodes, Part::ApiServer, Part::Operator] {
        let faults: Vec<&Fault> = chosen.iter().filter(|fault| fault.part == part).copied().collect();
        if faults.is_empty() {
            continue;
        }
        let name = part.scenario();
        let part = || {
            scenario_within(name, Turn::Alone, PART, async |world| {
                play(world, &faults, FLEET, wanted, &|row, ended| {
                    progress.tell(row);
                    if ended {
                        failures.borrow_mut().extend(row.failure());
                        rows.borrow_mut().put(row.clone(), &names);
                        rows.borrow().write_page(&names);
                    }
                })
                .await;
            });
        };
        // One part that cannot go on keeps no other from being tried.
        if let Err(panic) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(part)) {
            failures.borrow_mut().push(format!("{name}: {}", words_of(panic.as_ref())));
        }
    }
    say(&format!("docs/reliability.md, target/bench/faults.json\n\n{}", rows.borrow().table(&names, "")));
    let failures = failures.into_inner();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// A few rounds of faults that no other scenario has.
const IN_SHORT: [&str; 5] = [
    "agent frozen, 1 to 5 lease times",
    "flapping: 4 crashes, each at the first order",
    "new active killed when permitted",
    "nothing leaves the node, healed after 5, 20, 60 s",
    "every second event dropped",
];

#[test]
#[ignore = "takes minutes: tests/e2e/run --ignored faults_in_short"]
fn faults_in_short() {
    let faults: Vec<&Fault> = TABLE.iter().filter(|fault| IN_SHORT.contains(&fault.name)).collect();
    assert_eq!(faults.len(), IN_SHORT.len(), "a fault has another name");
    let progress = Progress::of(&faults, Some(SHORT_FLEET));
    let failures = RefCell::new(Vec::new());
    scenario_within("faults_in_short", Turn::Alone, PART, async |world| {
        play(world, &faults, SHORT_FLEET, Some(SHORT_FLEET), &|row, ended| {
            progress.tell(row);
            if ended {
                failures.borrow_mut().extend(row.failure());
            }
        })
        .await;
    });
    let failures = failures.into_inner();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Runs these faults, one after the other, on one fleet; `told` hears of every round, and of every row that is done.
async fn play(world: &World, faults: &[&Fault], size: usize, wanted: Option<usize>, told: &dyn Fn(&Row, bool)) {
    let has = |part| faults.iter().any(|fault| fault.part == part);
    let fleet = Fleet::start(world, size, has(Part::Bots)).await;
    let proxy = has(Part::ApiServer).then(|| {
        let names = fleet.members.iter().map(|member| member.bot.name.clone()).collect();
        Proxy::start(&world.faults(), names)
    });
    let stage = Stage { world, fleet: &fleet, proxy: proxy.as_ref() };
    for fault in faults {
        let row = run::run(&stage, fault, wanted.unwrap_or(fault.rounds), &|row| told(row, false)).await;
        told(&row, true);
    }
}

/// What is shown while it runs.
struct Progress {
    began: Instant,
    wanted: usize,
    done: RefCell<std::collections::BTreeMap<String, usize>>,
    violations: RefCell<std::collections::BTreeMap<String, usize>>,
}

impl Progress {
    fn of(faults: &[&Fault], wanted: Option<usize>) -> Progress {
        let wanted = faults.iter().map(|fault| wanted.unwrap_or(fault.rounds)).sum();
        Progress { began: Instant::now(), wanted, done: RefCell::default(), violations: RefCell::default() }
    }

    fn tell(&self, row: &Row) {
        let (mut done, mut violations) = (self.done.borrow_mut(), self.violations.borrow_mut());
        done.insert(row.fault.clone(), row.rounds.len().min(row.wanted));
        violations.insert(row.fault.clone(), row.violations() + row.shortcomings());
        let (all, broken) = (done.values().sum::<usize>().max(1), violations.values().sum::<usize>());
        let left = self.began.elapsed().as_secs() * (self.wanted.saturating_sub(all)) as u64 / all as u64;
        say(&format!(
            "{}: round {}/{}, {} s; in all {all}/{}, {broken} not as it has to be; about {} min left",
            row.fault,
            row.rounds.len(),
            row.wanted,
            row.took_seconds,
            self.wanted,
            left.div_ceil(60),
        ));
    }
}
