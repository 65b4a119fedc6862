//! `run -- COMMAND`: one loop that feeds the core and carries out what it says.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::sleep;
use tracing::{error, info, warn};

use super::config::{Refusal, Settings};
use super::credentials::{Credentials, Keys, Store};
use super::gate::{Fence, Gate};
use super::guard::{EXIT_SURVIVORS, Guards};
use super::hooks::Hook;
use super::lease_link::{self, LeaseLink, Sight};
use super::local_api::{self, Board, Validity};
use super::page::LeadershipPage;
use super::processes::{self, HookStarter, Processes, Reaped};
use super::surroundings::Surroundings;
use super::switch::DeadMansSwitch;
use super::unsent::OwnTraffic;
use super::{bypass, canary, clock, log, narrate, sockets};
use crate::api::agent_config::AgentConfig;
use crate::core::agent::{
    Exit, Input, Outcome, Role, State, can_be_kept, deadline, leadership, passage, step, wake_at,
};
use crate::core::lease::{LeaseRecord, OnApiServerLoss, OrderPath};
use crate::core::time::Mono;

const TERMINATION_LOG: &str = "/dev/termination-log";

/// Passed on to the bot. SIGTERM is not: it is the kubelet's, for the agent.
const FORWARDED: [i32; 8] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGWINCH,
    libc::SIGALRM,
    libc::SIGCONT,
];

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
        let mut shell = Shell::new(settings, guards, gate, client).await?;
        Ok(ExitCode::from(shell.run().await))
    })
}

/// What tasks report to the loop. The numbers tell whether the task is still the one that is waited for.
pub(super) enum Message {
    Signal(i32),
    Wrote(u64, Outcome, Option<String>),
    Read(Option<LeaseRecord>),
    Hook(u64, Hook, Result<(), String>),
    Swept,
    Drained(u64),
    Path(OrderPath),
    Credentials(u64, Result<Keys, String>),
}

pub(super) struct Shell {
    pub(super) settings: Settings,
    pub(super) state: State,
    pub(super) guards: Guards,
    pub(super) gate: Option<Gate>,
    pub(super) processes: Processes,
    pub(super) hook_starter: HookStarter,
    pub(super) link: LeaseLink,
    pub(super) own_traffic: OwnTraffic,
    pub(super) credentials: Option<Credentials>,
    pub(super) board: watch::Sender<Board>,
    pub(super) page: LeadershipPage,
    pub(super) messages: mpsc::Sender<Message>,
    pub(super) inbox: mpsc::Receiver<Message>,
    pub(super) sights: mpsc::Receiver<Sight>,
    pub(super) writing: Option<AbortHandle>,
    pub(super) hook: Option<AbortHandle>,
    pub(super) switch: DeadMansSwitch,
    pub(super) draining: Option<AbortHandle>,
    /// Numbers hooks and drains.
    pub(super) errands: u64,
    pub(super) last_exit: Option<Exit>,
    /// Why the process does not run.
    pub(super) problem: Option<String>,
    pub(super) lost_since: Option<Mono>,
    pub(super) writes_fail: bool,
    pub(super) fired: u32,
    pub(super) ended: bool,
}

impl Shell {
    async fn new(
        settings: Settings,
        guards: Guards,
        gate: Option<Gate>,
        client: kube::Client,
    ) -> Result<Shell, Refusal> {
        let (messages, inbox) = mpsc::channel(64);
        let (see, sights) = mpsc::channel(16);
        let keys = settings.config.credentials.as_ref().map(|config| Arc::new(Mutex::new(Store::new(config))));
        let surroundings = Surroundings::new(&settings.config, keys.clone());
        let processes = Processes::new(settings.command.clone(), surroundings);
        let credentials = keys.map(|store| Credentials::new(client.clone(), &settings.config, store));
        let link = LeaseLink::new(client, &settings);
        let state = State::default();
        let (board, reader) = watch::channel(Board {
            leadership: leadership(&state),
            validity: Validity::None,
            unready: narrate::unready(&settings.setup, &state, None),
            lost_since: None,
        });
        local_api::start(&settings, reader, gate.as_ref()).await?;
        for number in FORWARDED.into_iter().chain([libc::SIGTERM, libc::SIGCHLD]) {
            let mut stream = signal(SignalKind::from_raw(number))
                .map_err(|cause| Refusal::System { what: "handling signals", cause })?;
            let messages = messages.clone();
            tokio::spawn(async move {
                while stream.recv().await.is_some() && messages.send(Message::Signal(number)).await.is_ok() {}
            });
        }
        tokio::spawn(link.clone().watch(see));
        let own_traffic = OwnTraffic { api_server: settings.api_server, ports: own_ports(&settings.config) };
        if let Some(gate) = &settings.config.gate {
            let exceptions = bypass::Exceptions::new(&gate.no_proxy);
            tokio::spawn(bypass::watch(own_traffic.clone(), exceptions, messages.clone()));
            if let Some(port) = gate.canary_port {
                canary::start(port).await?;
            }
        }
        Ok(Shell {
            own_traffic,
            credentials,
            hook_starter: processes.hook_starter(),
            switch: DeadMansSwitch::new(settings.config.dead_mans_switch.as_ref(), processes.hook_starter()),
            fired: guards.fired(),
            page: LeadershipPage::create(&settings.setup.boot),
            settings,
            state,
            guards,
            gate,
            processes,
            link,
            board,
            messages,
            inbox,
            sights,
            writing: None,
            hook: None,
            draining: None,
            errands: 0,
            last_exit: None,
            problem: None,
            lost_since: None,
            writes_fail: false,
            ended: false,
        })
    }

    async fn run(&mut self) -> u8 {
        let setup = &self.settings.setup;
        info!("Agent {} of bot {}, boot {}.", env!("CARGO_PKG_VERSION"), self.settings.config.bot, setup.boot);
        while !self.ended {
            let wait = wake_at(&self.state).map(until);
            tokio::select! {
                biased;
                Some(message) = self.inbox.recv() => self.hear(message),
                Some(sight) = self.sights.recv() => self.see(sight),
                () = self.switch.ended() => self.feed(Input::Switched),
                () = sleep(wait.unwrap_or(Duration::MAX)), if wait.is_some() => self.feed(Input::Tick),
            }
        }
        self.reap();
        match self.last_exit {
            None => 0,
            Some(Exit::Code(code)) => u8::try_from(code).unwrap_or(u8::MAX),
            Some(Exit::Signal(signal)) => u8::try_from(128 + signal).unwrap_or(u8::MAX),
        }
    }

    fn hear(&mut self, message: Message) {
        match message {
            Message::Signal(libc::SIGCHLD) => {
                for input in self.reap() {
                    self.feed(input);
                }
            }
            Message::Signal(libc::SIGTERM) => {
                info!("SIGTERM: stopping.");
                self.feed(Input::Terminate);
            }
            Message::Signal(number) => self.processes.signal_bot(number),
            Message::Wrote(number, outcome, cause) => {
                self.note_write(cause);
                self.feed(Input::Wrote(number, outcome));
            }
            Message::Read(record) => self.feed(Input::Read(record)),
            Message::Hook(errand, hook, result) if errand == self.errands => {
                self.hook = None;
                match hook {
                    Hook::Promote => self.feed(Input::Promoted(result)),
                    Hook::Demote => {
                        if let Err(sentence) = result {
                            warn!("Stopping all the same: {sentence}");
                        }
                        self.feed(Input::Demoted);
                    }
                }
            }
            Message::Drained(errand) if errand == self.errands => self.feed(Input::Drained),
            Message::Swept => self.feed(Input::Swept),
            Message::Path(path) => self.feed(Input::Path(path)),
            Message::Credentials(number, keys) => {
                let answer = self.credentials.as_mut().and_then(|credentials| credentials.answered(number, keys));
                if let Some(result) = answer {
                    self.feed(Input::Credentials(result));
                }
            }
            Message::Hook(..) | Message::Drained(_) => {}
        }
    }

    fn see(&mut self, sight: Sight) {
        match sight {
            Sight::Lease(record) => {
                if self.lost_since.take().is_some() {
                    info!("The API server answers again.");
                }
                self.warn_of_terms(record.as_deref());
                self.feed(Input::Seen(record.map(|record| *record)));
            }
            Sight::Lost(cause) => {
                if self.lost_since.is_none() {
                    warn!("Cannot watch the Lease: {cause}. Trying again.");
                    self.lost_since = Some(clock::now());
                }
                self.feed(Input::Tick);
            }
        }
    }

    fn warn_of_terms(&self, record: Option<&LeaseRecord>) {
        let granted = record.filter(|record| record.boot.is_none() && record.is_held_by(&self.settings.setup.pod.uid));
        if let Some(record) = granted
            && !record.terms.as_ref().is_some_and(can_be_kept)
        {
            warn!(
                "The Lease is granted to this pod on terms that cannot be kept; it is not taken up: {:?}",
                record.terms
            );
        }
    }

    /// Logs when writes begin to fail and when they succeed again, not each one.
    fn note_write(&mut self, cause: Option<String>) {
        match &cause {
            Some(cause) if !self.writes_fail => warn!("Writing to the Lease failed: {cause}. Trying again."),
            None if self.writes_fail => info!("Writing to the Lease succeeds again."),
            _ => {}
        }
        self.writes_fail = cause.is_some();
    }

    /// Steps, and carries out what follows, until nothing follows at once.
    fn feed(&mut self, input: Input) {
        let fired = self.guards.fired();
        if fired != self.fired {
            self.fired = fired;
            error!("A guard killed every process, because the deadline of the Lease had passed.");
        }
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let before = self.state.clone();
            let (state, effects) = step(&self.settings.setup, before.clone(), input, clock::now());
            self.state = state;
            // First of all: whoever asks before an order hears "no" before anything is done to stop it. A "yes" carries
            // its own deadline, so that it needs no guard.
            self.page.show(leadership(&self.state), self.validity());
            narrate::changes(&before, &self.state);
            for effect in effects {
                inputs.extend(self.carry_out(effect));
            }
        }
        self.publish();
        if let Some(credentials) = &mut self.credentials {
            credentials.follow(leadership(&self.state).role, &self.board, &self.hook_starter);
        }
    }

    /// Reaps everything that has ended.
    fn reap(&mut self) -> Vec<Input> {
        let mut inputs = Vec::new();
        while let Some(reaped) = self.processes.reap(self.guards.process()) {
            match reaped {
                Some(Reaped::Bot(exit)) => {
                    self.last_exit = Some(exit);
                    self.problem = Some(format!("the bot's process {exit}."));
                    inputs.push(Input::Exited(exit));
                }
                Some(Reaped::Guard) => {
                    self.guards.died();
                    self.replace_guard();
                }
                // SAFETY: no memory is involved.
                Some(Reaped::GuardStopped) => unsafe {
                    libc::kill(self.guards.process(), libc::SIGCONT);
                },
                None => {}
            }
        }
        inputs
    }

    /// A guard that was killed, not by us, is replaced while there is something to guard.
    fn replace_guard(&mut self) {
        if self.state.guarded.is_none() {
            return;
        }
        if let Err(cause) = self.guards.ensure_process() {
            error!(
                "The guard process died and cannot be started again ({cause}); the agent ends, and the bot with it."
            );
            std::process::exit(EXIT_SURVIVORS);
        }
    }

    fn publish(&self) {
        let board = Board {
            leadership: leadership(&self.state),
            validity: self.validity(),
            unready: narrate::unready(&self.settings.setup, &self.state, self.problem.as_deref()),
            lost_since: self.lost_since,
        };
        self.board.send_if_modified(|shown| {
            let changed = *shown != board;
            *shown = board;
            changed
        });
    }

    fn validity(&self) -> Validity {
        let Some(hold) = self.state.hold.as_ref().filter(|_| leadership(&self.state).role == Role::Active) else {
            return Validity::None;
        };
        match deadline(&self.state) {
            Some(end) => Validity::Until(end),
            None if hold.terms.on_api_server_loss == OnApiServerLoss::Continue => {
                Validity::AtLeast(hold.terms.lease_duration)
            }
            None => Validity::None,
        }
    }
}

/// Bytes on these are not a bot's.
fn own_ports(config: &AgentConfig) -> Vec<u16> {
    let gate = config.gate.iter().flat_map(|gate| [Some(gate.port), gate.canary_port]).flatten();
    [config.api_port, config.probe_port].into_iter().chain(gate).collect()
}

/// How long until the earlier of two clocks reaches `at`.
fn until(at: Mono) -> Duration {
    let now = clock::now();
    Duration::from_nanos(at.first.saturating_sub(now.first).min(at.second.saturating_sub(now.second)))
}
