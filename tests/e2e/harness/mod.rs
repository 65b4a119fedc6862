//! How scenarios are told: a world of their own with an exchange and bots in it, faults that heal, and the judge.

mod another;
mod backups;
mod bot;
mod cluster;
mod database;
mod diagnosis;
mod exchange;
mod faults;
mod kernel;
mod manifest;
mod operator;
mod plugin;
mod proxy;
mod scenario;
mod server;
mod shell;
mod store;
mod token;
mod turn;
mod view;
mod world;

pub use another::Another;
pub use bot::{Bot, SOON};
pub use cluster::SYSTEM;
pub use database::{DATABASE_SECRET, Database, POSTGRESQL_IMAGE};
pub use exchange::{Exchange, Round, seconds_between};
pub use faults::{Aim, Faults, Lasting, Process, Stopped};
pub use kernel::bytes_held;
pub use manifest::{BOOKS, BotManifest, DEMO_IMAGE, bot, restricted_container, restricted_pod};
pub use operator::Operator;
pub use plugin::plugin;
pub use proxy::{Call, Deeds, EventFate, Fate, Passes, Proxy, Rule};
pub use scenario::{say, scenario, scenario_within, words_of};
pub use server::{Server, put_secret};
pub use shell::{cluster_env, kubeconfig, kubectl, kubectl_command, kubectl_said, root};
pub use store::{Store, keys};
pub use token::{ON_PURPOSE, client_of};
pub use turn::Turn;
pub use view::View;
pub use world::World;

/// Lines of the exchange's log and verdicts, as the judge's own programs read and write them.
#[path = "../../../examples/auditor/entry.rs"]
#[allow(dead_code, reason = "the exchange uses all of it")]
pub mod entry;
#[path = "../../../examples/auditor/rules.rs"]
#[allow(dead_code, reason = "the exchange uses all of it")]
pub mod rules;
#[path = "../../../examples/auditor/verdict.rs"]
#[allow(dead_code, reason = "the exchange uses all of it")]
pub mod verdict;

use std::time::{Duration, Instant};

/// Asks again until there is an answer; the only loop that waits for conditions which nothing announces.
pub async fn until<T>(what: &str, limit: Duration, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(began.elapsed() < limit, "not within {} s: {what}", limit.as_secs());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Seconds, for those who read it.
pub const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}
