//! Many seeds.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use tradingbot::core::wrong::Wrong;

use crate::faults::{FEWEST, Kind};
use crate::seed::Outcome;
use crate::worker::{Question, Worker};

/// Between two lines that say how far it has come.
const TELL: Duration = Duration::from_secs(10);

/// Which seeds are run, and how.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The seeds.
    pub seeds: Range<u64>,
    /// So many at a time.
    pub jobs: usize,
    /// With this deliberate mistake.
    pub wrong: Option<Wrong>,
    /// No more are begun after the first that broke a rule.
    pub until_broken: bool,
    /// Says how far it has come.
    pub tell: bool,
}

/// What came of many seeds.
#[derive(Default)]
pub struct Tally {
    /// Seeds that were run.
    pub seeds: u64,
    /// Those that broke a rule.
    pub broken: Vec<Outcome>,
    faults: u64,
    fewest: Option<usize>,
    effects: u64,
    kinds: BTreeMap<String, (u64, u64)>,
    milliseconds: u64,
    orders: u64,
    persons: u64,
    longest_idle: u64,
}

/// Runs them.
///
/// # Errors
/// When a seed did not come to an end: it panicked, or its process could not be started.
pub fn run(batch: &Batch) -> Result<Tally, String> {
    let began = Instant::now();
    let next = AtomicU64::new(batch.seeds.start);
    let enough = AtomicBool::new(false);
    let (say, said) = mpsc::channel();
    let mut tally = Tally::default();
    thread::scope(|scope| {
        for _ in 0..batch.jobs.max(1) {
            let (say, next, enough) = (say.clone(), &next, &enough);
            scope.spawn(move || {
                let mut worker = match Worker::new() {
                    Ok(worker) => worker,
                    Err(why) => return drop(say.send(Err(why))),
                };
                while !enough.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= batch.seeds.end || say.send(one(&mut worker, seed, batch.wrong)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(say);
        let mut told = Instant::now();
        for outcome in said {
            let outcome = outcome.inspect_err(|_| enough.store(true, Ordering::Relaxed))?;
            if batch.tell
                && let Some(broken) = outcome.broken.first()
            {
                eprintln!("seed {}: {broken}", outcome.seed);
            }
            tally.add(outcome);
            if batch.until_broken && !tally.broken.is_empty() {
                enough.store(true, Ordering::Relaxed);
            }
            if batch.tell && told.elapsed() > TELL {
                told = Instant::now();
                let (all, broken) = (batch.seeds.end - batch.seeds.start, tally.broken.len());
                eprintln!("{} of {all} seeds, {broken} broke a rule, {} s", tally.seeds, began.elapsed().as_secs());
            }
        }
        Ok(tally)
    })
}

/// Runs the first seeds twice, in other processes and in another order; answers whether both runs had the same trace.
///
/// # Errors
/// When a seed did not come to an end.
pub fn again(seeds: u64) -> Result<bool, String> {
    let (mut forwards, mut backwards) = (Worker::new()?, Worker::new()?);
    let first = (0..seeds).map(|seed| one(&mut forwards, seed, None)).collect::<Result<Vec<_>, _>>()?;
    let second = (0..seeds).rev().map(|seed| one(&mut backwards, seed, None)).collect::<Result<Vec<_>, _>>()?;
    let differ: Vec<u64> = first
        .iter()
        .zip(second.iter().rev())
        .filter(|(first, second)| first.condensed != second.condensed)
        .map(|(first, _)| first.seed)
        .collect();
    match differ.is_empty() {
        true => println!("{seeds} seeds run the same way again"),
        false => println!("these seeds do not run the same way again: {differ:?}"),
    }
    Ok(differ.is_empty())
}

fn one(worker: &mut Worker, seed: u64, wrong: Option<Wrong>) -> Result<Outcome, String> {
    worker.ask(&Question::Seed(seed, wrong.map(|wrong| wrong.to_string())))
}

impl Tally {
    fn add(&mut self, outcome: Outcome) {
        self.seeds += 1;
        self.faults += outcome.faults.len() as u64;
        self.fewest = Some(self.fewest.map_or(outcome.faults.len(), |fewest| fewest.min(outcome.faults.len())));
        for (kind, effect) in &outcome.faults {
            let (drawn, effects) = self.kinds.entry(kind.clone()).or_default();
            *drawn += 1;
            *effects += u64::from(*effect);
            self.effects += u64::from(*effect);
        }
        self.milliseconds += outcome.milliseconds;
        self.orders += outcome.orders;
        self.persons += outcome.persons;
        self.longest_idle = self.longest_idle.max(outcome.idle_milliseconds);
        if !outcome.broken.is_empty() {
            self.broken.push(outcome);
        }
    }

    /// Prints the histogram of faults and the figures.
    pub fn print(&self, took: Duration) {
        println!("{:45} {:>7} {:>12}", "fault", "drawn", "took effect");
        for kind in Kind::ALL {
            let (drawn, effects) = self.kinds.get(kind.as_str()).copied().unwrap_or_default();
            println!("{:45} {drawn:>7} {effects:>12}", kind.as_str());
        }
        let seeds = self.seeds.max(1);
        #[expect(clippy::cast_precision_loss, reason = "figures for people")]
        let (mean, effective, hours) = (
            self.faults as f64 / seeds as f64,
            self.effects as f64 / seeds as f64,
            self.milliseconds as f64 / 3_600_000.0,
        );
        println!(
            "\n{} seeds; faults a seed: at least {} ({FEWEST} wanted), mean {mean:.1}, of which {effective:.1} took effect",
            self.seeds,
            self.fewest.unwrap_or_default(),
        );
        println!(
            "{hours:.1} virtual hours, {} orders; longest without trading after the faults {:.1} s; persons asked {}",
            self.orders,
            Duration::from_millis(self.longest_idle).as_secs_f64(),
            self.persons,
        );
        println!("{} s of real time; seeds that broke a rule: {}", took.as_secs(), self.broken.len());
    }
}
