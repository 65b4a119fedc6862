//! The large exploration: `make model`. Everything at once, or bounds of one's own, by `kind=number` arguments:
//! `grants agents crashes lost deleted late failed pods overdue asked`, and `faster overrun`; besides `minutes`, `mebibytes`
//! and `threads`, and `one-in`, for the states from which trading must resume.

use std::process::ExitCode;
use std::time::Duration;

use model::bounds::{Bounds, Faults};
use model::core::silence::TOLERANCE_PERCENT;
use model::events::Model;
use model::report;
use model::search::{Limits, search};

fn main() -> ExitCode {
    let mut bounds = Bounds {
        grants: 3,
        agents: 3,
        faults: Faults { crashes: 2, lost: 2, deleted: 1, ..Faults::default() },
        reconciles: true,
        faster: TOLERANCE_PERCENT,
        overrun: 0,
        gate: true,
    };
    let mut limits = Limits {
        threads: 2,
        time: Duration::from_secs(2400),
        memory: 8 << 30,
        progress: Some(Duration::from_secs(10)),
    };
    let mut one_in = 16;
    for argument in std::env::args().skip(1) {
        let number = |text: &str| text.parse::<u32>().ok();
        let Some((name, number)) = argument.split_once('=').and_then(|(name, text)| Some((name, number(text)?))) else {
            eprintln!("'{argument}' is not of the form name=number.");
            return ExitCode::FAILURE;
        };
        let few = u8::try_from(number).unwrap_or(u8::MAX).min(15);
        match name {
            "grants" => bounds.grants = number.into(),
            "agents" => bounds.agents = usize::from(few).min(model::world::AGENTS),
            "crashes" => bounds.faults.crashes = few,
            "lost" => bounds.faults.lost = few,
            "deleted" => bounds.faults.deleted = few,
            "late" => bounds.faults.late = few,
            "failed" => bounds.faults.failed = few,
            "pods" => bounds.faults.pods = few,
            "overdue" => bounds.faults.overdue = few,
            "asked" => bounds.faults.asked = few,
            "faster" => bounds.faster = number,
            "overrun" => bounds.overrun = number,
            "minutes" => limits.time = Duration::from_secs(60 * u64::from(number)),
            "mebibytes" => limits.memory = u64::from(number) << 20,
            "threads" => limits.threads = usize::from(few.max(1)),
            "one-in" => one_in = number.into(),
            _ => {
                eprintln!("There is no bound '{name}'.");
                return ExitCode::FAILURE;
            }
        }
    }
    let mut model = Model::new(bounds);
    model.fair.one_in = one_in;
    report::begins(&model);
    let found = search(&model, limits);
    report::ends(&model, &found);
    let never = model.counts.never(&bounds);
    if found.broken.is_none() && found.unfinished.is_none() && never.is_empty() {
        return ExitCode::SUCCESS;
    }
    if let Some((_, world)) = found.broken {
        report::shortest_way(&Bounds { faults: world.spent, ..bounds }, one_in);
    }
    ExitCode::FAILURE
}
