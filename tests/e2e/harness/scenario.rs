//! From a `#[test]` to a world that is always taken down.

use std::io::Write;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::time::{Duration, Instant};

use futures::FutureExt;

use super::turn::Turn;
use super::world::World;

/// Whatever a scenario waits for, it ends.
const LIMIT: Duration = Duration::from_secs(240);

/// Tells a scenario: waits for its turn, makes its namespace, judges it at the exchange when it has ended well, keeps
/// everything worth reading when it has not, and removes what it made in both cases.
pub fn scenario(name: &'static str, turn: Turn, story: impl AsyncFnOnce(&World)) {
    scenario_within(name, turn, LIMIT, story);
}

/// With another limit.
pub fn scenario_within(name: &'static str, turn: Turn, limit: Duration, story: impl AsyncFnOnce(&World)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let waiting = Instant::now();
        let held = turn.take().await;
        let (waited, began) = (waiting.elapsed(), Instant::now());
        let world = World::new(name).await;
        let told = async {
            story(&world).await;
            world.judge().await;
        };
        // The story's faults heal when its future is dropped, before anything else is asked of the cluster.
        let outcome = AssertUnwindSafe(tokio::time::timeout(limit, told)).catch_unwind().await;
        let outcome = outcome.map(|in_time| assert_in_time(in_time.is_ok(), &world, limit));
        let failure = match &outcome {
            Ok(None) => None,
            Ok(Some(late)) => Some(late.clone()),
            Err(panic) => Some(words_of(panic.as_ref())),
        };
        let figures = world.figures();
        if let Some(text) = &failure {
            world.keep_evidence(text).await;
        }
        world.remove().await;
        drop(held);
        say(&format!(
            "{} {name}: {:.1} s{}{figures}",
            if failure.is_some() { "FAILED" } else { "passed" },
            began.elapsed().as_secs_f64(),
            if waited.as_secs() > 0 { format!(" (after {} s for its turn)", waited.as_secs()) } else { String::new() },
        ));
        match outcome {
            Err(panic) => resume_unwind(panic),
            Ok(Some(late)) => panic!("{late}"),
            Ok(None) => {}
        }
    });
}

fn assert_in_time(in_time: bool, world: &World, limit: Duration) -> Option<String> {
    (!in_time).then(|| format!("the scenario {} did not end within {} s", world.name, limit.as_secs()))
}

/// What a panic said.
pub fn words_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned())).unwrap_or_else(|| "a panic".into())
}

/// A line that is shown while the tests run: the macros' output is kept back for tests that fail.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "  {line}");
}
