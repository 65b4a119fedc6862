//! The large exploration: `make model`. Several sets of bounds, or one's own, by `kind=number` arguments that change the
//! whole: `grants agents crashes lost deleted late failed pods overdue asked`, and `faster overrun stop-steps reduced`. Besides, for
//! each: `minutes`, `mebibytes` and `threads`, and `one-in`, for the states from which trading must resume.

use std::process::ExitCode;
use std::time::Duration;

use model::bounds::{Bounds, Faults};
use model::core::silence::TOLERANCE_PERCENT;
use model::counts::Counts;
use model::events::Model;
use model::report;
use model::search::{Limits, search};

/// What is explored where nothing else is asked for: three grants with every two kinds of faults together, and all at
/// once; and what is heard late, for what nothing else reaches.
fn parts() -> Vec<Bounds> {
    let faults = Faults { grants: 3, ..Faults::default() };
    let of = |agents: usize, faults: Faults| Bounds { faults, agents, ..whole() };
    vec![
        of(3, Faults { crashes: 1, lost: 1, deleted: 1, ..faults }),
        of(3, Faults { lost: 2, deleted: 1, ..faults }),
        of(3, Faults { crashes: 2, deleted: 1, ..faults }),
        of(3, Faults { crashes: 2, lost: 1, ..faults }),
        whole(),
        of(2, Faults { late: 1, deleted: 1, grants: 2, ..faults }),
    ]
}

/// Everything at once.
fn whole() -> Bounds {
    Bounds {
        agents: 3,
        faults: Faults { crashes: 2, lost: 2, deleted: 1, grants: 3, ..Faults::default() },
        reconciles: true,
        stop_steps: 0,
        faster: TOLERANCE_PERCENT,
        overrun: 0,
        gate: true,
        reduced: true,
    }
}

fn main() -> ExitCode {
    let mut bounds = whole();
    let mut limits = Limits {
        threads: 2,
        time: Duration::from_secs(2400),
        memory: 10 << 30,
        progress: Some(Duration::from_secs(10)),
    };
    let mut one_in = 16;
    let mut all = parts();
    for argument in std::env::args().skip(1) {
        let number = |text: &str| text.parse::<u32>().ok();
        let Some((name, number)) = argument.split_once('=').and_then(|(name, text)| Some((name, number(text)?))) else {
            eprintln!("'{argument}' is not of the form name=number.");
            return ExitCode::FAILURE;
        };
        let few = u8::try_from(number).unwrap_or(u8::MAX).min(15);
        match name {
            "minutes" => limits.time = Duration::from_secs(60 * u64::from(number)),
            "mebibytes" => limits.memory = u64::from(number) << 20,
            "threads" => limits.threads = usize::from(few.max(1)),
            "one-in" => one_in = number.into(),
            _ if sets(&mut bounds, name, few, number) => all = vec![bounds],
            _ => {
                eprintln!("There is no bound '{name}'.");
                return ExitCode::FAILURE;
            }
        }
    }
    // What one set of bounds allows another may reach.
    let allowed = all.iter().fold(Faults::default(), |allowed, bounds| allowed.plus(bounds.faults));
    let mut never: Option<Vec<&str>> = None;
    for bounds in &all {
        let Some(counts) = explore(*bounds, limits, one_in) else { return ExitCode::FAILURE };
        let here = counts.never(&Bounds { faults: allowed, ..*bounds });
        never.get_or_insert(here.clone()).retain(|word| here.contains(word));
    }
    let never = never.unwrap_or_default();
    println!("never reached in any: {}", if never.is_empty() { "nothing".to_owned() } else { never.join(", ") });
    if never.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Sets the bound of this name, if there is one.
fn sets(bounds: &mut Bounds, name: &str, few: u8, number: u32) -> bool {
    let faults = &mut bounds.faults;
    match name {
        "grants" => faults.grants = few,
        "agents" => bounds.agents = usize::from(few).min(model::world::AGENTS),
        "crashes" => faults.crashes = few,
        "lost" => faults.lost = few,
        "deleted" => faults.deleted = few,
        "late" => faults.late = few,
        "failed" => faults.failed = few,
        "pods" => faults.pods = few,
        "overdue" => faults.overdue = few,
        "asked" => faults.asked = few,
        "faster" => bounds.faster = number,
        "overrun" => bounds.overrun = number,
        "stop-steps" => bounds.stop_steps = few,
        "reduced" => bounds.reduced = few > 0,
        _ => return false,
    }
    true
}

/// Answers what was reached; `None`: not to the end, or a rule was broken.
fn explore(bounds: Bounds, limits: Limits, one_in: u64) -> Option<Counts> {
    let mut model = Model::new(bounds);
    model.fair.one_in = one_in;
    report::begins(&model);
    let found = search(&model, limits);
    report::ends(&model, &found);
    if let Some((_, world)) = found.broken {
        report::shortest_way(&Bounds { faults: world.spent, ..bounds }, one_in);
    }
    (found.broken.is_none() && found.unfinished.is_none()).then_some(model.counts)
}
