//! `run -- COMMAND`: what is made ready once, and then the loop.

use std::ffi::OsString;
use std::process::ExitCode;

use tracing::info;

use super::config::{Refusal, Settings};
use super::container::Container;
use super::gate::{Fence, Gate};
use super::guard::Guards;
use super::{lease_link, log, processes, shell, sockets};
use crate::core::agent::{State, passage};
use crate::core::lease::OrderPath;

const TERMINATION_LOG: &str = "/dev/termination-log";

/// Runs the bot until the agent is told to end.
pub(super) fn run(command: &[OsString]) -> Result<ExitCode, Refusal> {
    let system = |what: &'static str| move |cause: std::io::Error| Refusal::System { what, cause };
    let pid = std::process::id();
    if pid != 1 {
        return Err(Refusal::NotPidOne(pid));
    }
    let mut settings = Settings::from_env(command)?;
    processes::no_new_privileges().map_err(system("setting no_new_privs"))?;
    // Before anything is claimed: the kubelet's word that this container ended names this boot (design, rule 6).
    std::fs::write(TERMINATION_LOG, settings.setup.boot.to_string()).map_err(Refusal::TerminationLog)?;
    log::start();
    match sockets::prepare(&settings) {
        Ok(()) if settings.setup.path == OrderPath::Killed => settings.setup.path = OrderPath::SocketsDestroyed,
        Ok(()) => {}
        Err(why) => info!("Connections of a bot that was killed cannot be destroyed: {why}."),
    }
    let guards = Guards::new().map_err(system("starting the guard process"))?;
    static FENCE: Fence = Fence::new();
    guards.start_thread(&FENCE).map_err(system("starting the guard thread"))?;
    FENCE.set(passage(&State::default()));
    let gate = settings.config.gate.as_ref().map(|config| Gate::start(config, &settings, &FENCE)).transpose()?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(system("starting the runtime"))?;
    runtime.block_on(async {
        let client = lease_link::client(&settings)?;
        let container = Container::new(&settings, guards, gate, client.clone()).await?;
        Ok(ExitCode::from(shell::run(&settings.config, settings.setup, client, container).await))
    })
}
