//! `simulate`: the shells of operator and agent in simulated worlds. See docs/how-to/simulate.md.

#[path = "../../examples/common/args.rs"]
mod args;
mod entropy;
#[path = "../../examples/auditor/entry.rs"]
mod entry;
mod faults;
#[path = "../../examples/auditor/rules.rs"]
#[allow(dead_code, reason = "of the auditor only its rules are needed")]
mod rules;
mod runner;
mod seed;
mod sweep;
#[path = "../../examples/auditor/verdict.rs"]
#[allow(dead_code, reason = "of the auditor only its rules are needed")]
mod verdict;
mod worker;
mod world;
mod wrongs;

use std::ops::Range;
use std::process::ExitCode;
use std::time::Instant;

use args::Args;
use runner::Batch;
use tradingbot::core::wrong::{self, Wrong};

const USAGE: &str =
    "simulate --seeds FROM..TO [--jobs N] [--wrong NAME]   many seeds; ends with 1 when a rule was broken
simulate --seed N [--trace] [--wrong NAME]             one seed, every write, order and fault of it
simulate --all-wrong [--seeds FROM..TO] [--jobs N]     which seed catches each deliberate mistake
simulate --again N                                     the first N seeds twice: both runs have to be the same
simulate --sweep [--jobs N]                            the operator dies at each of its writes
simulate --case SCENARIO[/N/BLOW] [--trace]            one case of the sweep";

fn main() -> ExitCode {
    match run(Args::from_env()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("{why}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// Does what is asked for; answers whether no rule was broken.
fn run(mut args: Args) -> Result<bool, String> {
    let wrong: Option<Wrong> = args.value("--wrong")?.map(|name| name.parse()).transpose()?;
    if args.flag("--worker") {
        args.finish()?;
        return worker::serve();
    }
    let jobs = args.parsed("--jobs", 2)?;
    if let Some(case) = args.value("--case")? {
        let trace = args.flag("--trace");
        args.finish()?;
        worker::get_ready();
        return print(&worker::on_a_thread(move || sweep::run(&case, trace))?);
    }
    if args.flag("--sweep") {
        args.finish()?;
        return sweep::all(jobs);
    }
    if let Some(seed) = args.value("--seed")? {
        let seed = seed.parse().map_err(|_| format!("--seed: '{seed}' is not a number"))?;
        let trace = args.flag("--trace");
        args.finish()?;
        worker::get_ready();
        wrong::choose(wrong);
        let outcome = worker::on_a_thread(move || Ok(seed::run(seed, trace)))?;
        print(&outcome)?;
        return Ok(outcome.broken.is_empty());
    }
    if let Some(times) = args.value("--again")? {
        let seeds = times.parse().map_err(|_| format!("--again: '{times}' is not a number"))?;
        args.finish()?;
        return runner::again(seeds);
    }
    let seeds = args.value("--seeds")?.map(|text| range(&text)).transpose()?;
    if args.flag("--all-wrong") {
        args.finish()?;
        return wrongs::table(&seeds.unwrap_or(0..2000), jobs);
    }
    args.finish()?;
    let Some(seeds) = seeds else { return Err("What is to be simulated?".to_owned()) };
    let began = Instant::now();
    let tally = runner::run(&Batch { seeds, jobs, wrong, until_broken: false, tell: true })?;
    tally.print(began.elapsed());
    for outcome in &tally.broken {
        let seed = outcome.seed;
        println!("\nseed {seed}, faults: {:?}", outcome.faults);
        outcome.broken.iter().for_each(|broken| println!("  {broken}"));
        println!(
            "  replay: simulate --seed {seed} --trace{}",
            wrong.map(|w| format!(" --wrong {w}")).unwrap_or_default()
        );
    }
    Ok(tally.broken.is_empty())
}

fn print(outcome: &impl serde::Serialize) -> Result<bool, String> {
    println!("{}", serde_json::to_string_pretty(outcome).map_err(|error| error.to_string())?);
    Ok(true)
}

fn range(text: &str) -> Result<Range<u64>, String> {
    let read = text.split_once("..").and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    read.ok_or_else(|| format!("--seeds: '{text}' is no range; write for example 0..2000"))
}
