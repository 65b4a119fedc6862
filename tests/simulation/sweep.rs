//! The operator dies at each of its writes, before it and after it, or never hears the answer: for every one of several
//! scenarios. What is there at the end is what is there when nothing was disturbed.

mod scenario;
mod state;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::worker::{Question, Worker};
use crate::world::exchange::Broken;
use scenario::Scenario;

/// What happens to one write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blow {
    /// The operator dies right before it.
    Before,
    /// The operator dies right after it: it is carried out.
    After,
    /// It is carried out, and the operator never hears of it.
    ReplyLost,
}

impl Blow {
    const ALL: [Blow; 3] = [Blow::Before, Blow::After, Blow::ReplyLost];

    fn as_str(self) -> &'static str {
        match self {
            Blow::Before => "before",
            Blow::After => "after",
            Blow::ReplyLost => "reply-lost",
        }
    }
}

/// What came of one run of a scenario.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Run {
    /// The writes of the operator, in order.
    pub writes: Vec<String>,
    /// Whether the scenario came to its end in time.
    pub done: bool,
    /// What is there at the end, without what must differ.
    pub end: BTreeMap<String, serde_json::Value>,
    /// The rules that were broken.
    pub broken: Vec<Broken>,
}

/// Runs one case: `SCENARIO` undisturbed, or `SCENARIO/N/BLOW`. `print`: what happens, line by line.
///
/// # Errors
/// When there is no such case.
pub fn run(case: &str, print: bool) -> Result<Run, String> {
    let unknown = || format!("--case: '{case}' is none; write for example failover/7/after");
    let mut parts = case.split('/');
    let scenario = parts.next().and_then(Scenario::named).ok_or_else(unknown)?;
    let blow = match (parts.next(), parts.next()) {
        (None, _) => None,
        (Some(number), Some(blow)) => {
            let blow = Blow::ALL.into_iter().find(|known| known.as_str() == blow).ok_or_else(unknown)?;
            Some((number.parse().map_err(|_| unknown())?, blow))
        }
        (Some(_), None) => return Err(unknown()),
    };
    Ok(scenario::run(scenario, blow, print))
}

/// Runs all cases; answers whether every end was as it should be.
///
/// # Errors
/// When a case did not come to an end.
pub fn all(jobs: usize) -> Result<bool, String> {
    let mut well = true;
    for scenario in Scenario::ALL {
        well &= sweep(scenario, jobs)?;
    }
    Ok(well)
}

fn sweep(scenario: Scenario, jobs: usize) -> Result<bool, String> {
    let began = Instant::now();
    let name = scenario.as_str();
    let undisturbed: Run = Worker::new()?.ask(&Question::Case(name.to_owned()))?;
    let writes = undisturbed.writes.len();
    let mut faults = describe(&undisturbed, &undisturbed);
    let cases: Vec<(usize, Blow)> = (0..writes).flat_map(|n| Blow::ALL.map(|blow| (n, blow))).collect();
    let (next, ran, found) = (AtomicUsize::new(0), AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                let Ok(mut worker) = Worker::new() else { return };
                while let Some((number, blow)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let case = format!("{name}/{number}/{}", blow.as_str());
                    ran.fetch_add(1, Ordering::Relaxed);
                    let told = match worker.ask::<Run>(&Question::Case(case.clone())) {
                        Ok(run) => describe(&run, &undisturbed),
                        Err(why) => vec![why],
                    };
                    let write = &undisturbed.writes[*number];
                    let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                    found.extend(told.into_iter().map(|what| format!("{case} ({write}): {what}")));
                }
            });
        }
    });
    faults.extend(found.into_inner().unwrap_or_else(PoisonError::into_inner));
    if ran.into_inner() < cases.len() {
        return Err(format!("{name}: not all cases were run"));
    }
    println!(
        "{name}: {writes} writes, {} cases, {} that ended otherwise, {} s",
        cases.len(),
        faults.len(),
        began.elapsed().as_secs()
    );
    faults.iter().for_each(|fault| println!("  {fault}"));
    Ok(faults.is_empty())
}

/// What is wrong with a run, compared with the undisturbed one.
fn describe(run: &Run, undisturbed: &Run) -> Vec<String> {
    let mut found: Vec<String> = run.broken.iter().map(ToString::to_string).collect();
    if !run.done {
        found.push("the scenario did not come to its end".to_owned());
    }
    found.extend(state::differences(&undisturbed.end, &run.end));
    found
}
