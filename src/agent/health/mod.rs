//! Health checks: run beside everything else, each on its own, and told of when something has changed.
//!
//! What the checks are about, and which of them run, is decided in the core: a round of theirs lasts until the pod's role
//! or its bot is another. With it everything ends that was under way, its connections and processes.

mod exec;
mod files;
mod freshness;
mod http;
mod page;
mod postgres;
mod redis;
mod resources;
mod stream;
mod tls;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tracing::{info, warn};

pub(super) use self::page::Checks;

use self::files::Disk;
use self::resources::CpuUse;
use self::tls::Tls;
use super::board::Board;
use super::clock;
use super::container::Message;
use super::http_client::secret_key;
use super::processes::HookStarter;
use super::resolve::Resolver;
use crate::api::agent_config::AgentConfig;
use crate::api::health_config::Probe;
use crate::core::agent::Setup;
use crate::core::health::{Check, CheckState, Duty, Health, Scope, Standing, Verdict, due_after, probed, verdicts};
use crate::core::time::Mono;

/// How the checks of the present round stand, by index.
type States = BTreeMap<u8, CheckState>;

/// What all checks share.
struct Tools {
    resolver: Resolver,
    tls: Tls,
    starter: HookStarter,
    board: watch::Receiver<Board>,
    /// A run of a check has failed: what every pod would see alike is looked at anew, because it may be the cause.
    doubt: Notify,
}

/// One check, from round to round.
struct Runner {
    check: Check,
    probe: Probe,
    tools: Arc<Tools>,
    disk: Disk,
    cpu: CpuUse,
}

/// Runs the checks in the background. What they come to goes to `messages`, and to whoever asks.
pub(super) fn start(
    setup: &Setup,
    config: &AgentConfig,
    board: watch::Receiver<Board>,
    starter: &HookStarter,
    messages: mpsc::Sender<Message>,
) -> Checks {
    let (show, shown) = watch::channel(States::new());
    if !config.checks.is_empty() {
        let tools = Tools {
            resolver: Resolver::new(),
            tls: Tls::default(),
            starter: starter.clone(),
            board: board.clone(),
            doubt: Notify::new(),
        };
        let tools = Arc::new(tools);
        let runners = setup.checks.iter().zip(&config.checks).map(|(check, config)| {
            let (check, probe) = (check.clone(), config.probe.clone());
            Arc::new(Runner { check, probe, tools: tools.clone(), disk: Disk::default(), cpu: CpuUse::default() })
        });
        tokio::spawn(supervise(setup.checks.clone(), runners.collect(), board, messages, show));
    }
    Checks::new(setup.checks.clone(), shown)
}

async fn supervise(
    checks: Vec<Check>,
    runners: Vec<Arc<Runner>>,
    mut board: watch::Receiver<Board>,
    messages: mpsc::Sender<Message>,
    show: watch::Sender<States>,
) {
    loop {
        let health = {
            let board = board.borrow_and_update();
            Health { duty: board.duty, round: board.round, verdicts: Vec::new() }
        };
        let round = health.round;
        let (tell, mut told) = mpsc::channel(16);
        // Dropped at the end of the round, with everything in it.
        let mut runs = JoinSet::new();
        let mut states = States::new();
        for (index, _) in health.running(&checks) {
            let Some(runner) = runners.get(usize::from(index)) else { continue };
            states.insert(index, CheckState::new(clock::wall()));
            let (runner, tell) = (runner.clone(), tell.clone());
            runs.spawn(async move { runner.repeat(index, round, tell).await });
        }
        show.send_replace(states.clone());
        let mut known: Vec<Verdict> = Vec::new();
        loop {
            tokio::select! {
                biased;
                over = async { board.wait_for(|board| board.round != round).await.map(drop) } => match over {
                    Ok(()) => break,
                    Err(_) => return,
                },
                Some((index, state)) = told.recv() => {
                    states.insert(index, state);
                    show.send_replace(states.clone());
                    let found = verdicts(states.iter().map(|(index, state)| (*index, state)));
                    if found != known {
                        known.clone_from(&found);
                        if messages.send(Message::Health(round, found)).await.is_err() {
                            return;
                        }
                    }
                }
            }
        }
    }
}

impl Runner {
    /// Runs the check again and again, until dropped, and tells how it stands after each run.
    async fn repeat(&self, index: u8, round: u64, tell: mpsc::Sender<(u8, CheckState)>) {
        let began = clock::now();
        let mut state = CheckState::new(clock::wall());
        loop {
            let begun = Instant::now();
            let result = self.once(round).await;
            let in_grace = clock::now().surely_elapsed_since(began) < self.check.startup_grace;
            let before = state.standing;
            state = probed(&self.check, state, result, in_grace, clock::wall());
            self.narrate(before, &state);
            let next = begun + due_after(&self.check, &state);
            if tell.send((index, state.clone())).await.is_err() {
                return;
            }
            match self.check.scope {
                Scope::Pod if state.error.is_some() => self.tools.doubt.notify_waiters(),
                Scope::Pod => {}
                Scope::Shared => {
                    let _ = timeout_at(next, self.tools.doubt.notified()).await;
                    continue;
                }
            }
            sleep_until(next).await;
        }
    }

    fn narrate(&self, before: Standing, state: &CheckState) {
        let name = &self.check.name;
        match (before, state.standing) {
            (Standing::Unknown | Standing::Passing, Standing::Failing) => warn!("Check {name} fails: {}", state.cause),
            (Standing::Failing, Standing::Passing) => info!("Check {name} passes again."),
            _ => {}
        }
    }

    /// One run: how long it took, or why it failed, a sentence.
    async fn once(&self, round: u64) -> Result<Duration, String> {
        let begun = Instant::now();
        match timeout(self.check.timeout, self.look(round)).await {
            Ok(Ok(())) => Ok(begun.elapsed()),
            Ok(Err(sentence)) => Err(sentence),
            Err(_) => Err(format!("No answer within {} s.", self.check.timeout.as_secs())),
        }
    }

    async fn look(&self, round: u64) -> Result<(), String> {
        let (tools, name) = (&*self.tools, self.check.name.as_str());
        match &self.probe {
            Probe::Http { request, expected_status, max_latency_milliseconds, json } => {
                let wanted = http::Wanted {
                    status: *expected_status,
                    latency: max_latency_milliseconds.map(Duration::from_millis),
                    json,
                };
                http::check(tools, name, request, &wanted).await
            }
            Probe::Tcp { host, port } => stream::connect(&tools.resolver, host, *port).await.map(drop),
            Probe::Exec { command } => exec::check(tools, round, command).await,
            Probe::Freshness { source, max_age_seconds } => {
                freshness::check(tools, &self.disk, name, source, Duration::from_secs(*max_age_seconds)).await
            }
            Probe::FileSize { path, max_bytes } => files::size(&self.disk, path, *max_bytes).await,
            Probe::Postgres { uri, role, max_lag_seconds } => {
                postgres::check(tools, name, uri.as_deref(), *role, *max_lag_seconds).await
            }
            Probe::Redis { host, port, authenticate, role } => {
                redis::check(tools, authenticate.then_some(name), host, *port, *role).await
            }
            Probe::Resources { memory_percent, cpu_percent, disk } => {
                resources::check(&self.disk, &self.cpu, *memory_percent, *cpu_percent, disk).await
            }
        }
    }
}

/// A key of a check's Secret.
fn secret(check: &str, key: &str) -> Result<String, String> {
    let path = format!("{}/{check}/{key}", crate::api::health_config::HEALTH_SECRETS_DIR);
    secret_key(path.as_ref()).map_err(|cause| format!("{path} cannot be read: {cause}."))
}

impl Tools {
    /// Whether this round is still the present one, and a bot that trades holds its permit: the answer holds until the next await.
    fn is_present(&self, round: u64, now: Mono) -> bool {
        let board = self.board.borrow();
        let may = board.duty != Some(Duty::Active) || board.held_milliseconds(now) > 0;
        board.round == round && may
    }
}
