//! What is fuzzed: each target takes the bytes of an input and panics where the product breaks a promise.

mod agent;
mod cluster;
mod config;
mod kubelet;
mod lease;
mod made;
mod operator;
mod page;
mod records;
mod reports;
mod spec;
mod status;
mod texts;

/// One of them.
pub struct Target {
    /// Also the name of its folder in `corpus`.
    pub name: &'static str,
    pub run: fn(&[u8]),
    /// The longest input that coverage is looked for with, bytes.
    pub longest: usize,
    /// How many inputs are made up in the plain tests.
    pub inputs: u64,
}

const fn target(name: &'static str, run: fn(&[u8]), longest: usize, inputs: u64) -> Target {
    Target { name, run, longest, inputs }
}

pub const ALL: [Target; 20] = [
    target("agent", agent::run, 1024, 3000),
    target("agent-config", config::of_agent, 2048, 1000),
    target("backup-config", config::of_backup, 4096, 1000),
    target("backup-id", reports::id, 100, 5000),
    target("backup-manifest", reports::manifest, 2048, 1000),
    target("backup-report", reports::of_backup, 4096, 1000),
    target("hosts", texts::hosts, 400, 5000),
    target("ids", texts::ids, 100, 5000),
    target("job", kubelet::job, 4096, 1000),
    target("lease", lease::of_bot, 2048, 1000),
    target("lease-of-account", lease::of_account, 2048, 1000),
    target("operation", status::of_operation, 2048, 1000),
    target("operator", operator::run, 2048, 500),
    target("page", page::run, 256, 1000),
    target("pod", kubelet::pod, 4096, 1000),
    target("reconciliation-report", reports::of_reconciliation, 4096, 1000),
    target("schedule", texts::schedule, 300, 200),
    target("socks", texts::socks, 600, 5000),
    target("spec", spec::run, 2048, 1000),
    target("status", status::of_bot, 4096, 1000),
];
