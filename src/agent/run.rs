//! `run -- COMMAND`: one loop that feeds the core and carries out what it says.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};
use tracing::{error, info, warn};

use super::config::{Refusal, Settings};
use super::guard::{EXIT_SURVIVORS, Guards};
use super::hooks::{self, Hook};
use super::lease_link::{self, LeaseLink, Sight};
use super::local_api::{self, Board, Validity};
use super::processes::{self, HookStarter, Processes, Reaped};
use super::unsent::{self, OwnTraffic};
use super::{clock, kill, log, narrate};
use crate::core::agent::{
    Effect, Exit, Input, Leadership, Outcome, Role, State, Write, can_be_kept, deadline, leadership, step, wake_at,
};
use crate::core::lease::{LeaseRecord, OnApiServerLoss};
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

/// A sweep looks this often whether anything is left, and gives up after this long.
const SWEEP_PAUSE: Duration = Duration::from_millis(1);
const SWEEP_TIME: Duration = Duration::from_secs(1);

/// Runs the bot until the agent is told to end.
pub(super) fn run(command: &[OsString]) -> Result<ExitCode, Refusal> {
    let system = |what: &'static str| move |cause: std::io::Error| Refusal::System { what, cause };
    let pid = std::process::id();
    if pid != 1 {
        return Err(Refusal::NotPidOne(pid));
    }
    let settings = Settings::from_env(command)?;
    processes::no_new_privileges().map_err(system("setting no_new_privs"))?;
    // Before anything is claimed: the kubelet's word that this container ended names this boot (design, rule 6).
    std::fs::write(TERMINATION_LOG, settings.setup.boot.to_string()).map_err(Refusal::TerminationLog)?;
    log::start();
    let guards = Guards::new().map_err(system("starting the guard process"))?;
    guards.start_thread().map_err(system("starting the guard thread"))?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(system("starting the runtime"))?;
    runtime.block_on(async {
        let client = lease_link::client(&settings)?;
        let mut shell = Shell::new(settings, guards, client).await?;
        Ok(ExitCode::from(shell.run().await))
    })
}

/// What tasks report to the loop. The numbers tell whether the task is still the one that is waited for.
enum Message {
    Signal(i32),
    Wrote(u64, Outcome, Option<String>),
    Read(Option<LeaseRecord>),
    Hook(u64, Hook, Result<(), String>),
    Swept,
    Drained(u64),
}

struct Shell {
    settings: Settings,
    state: State,
    guards: Guards,
    processes: Processes,
    hook_starter: HookStarter,
    link: LeaseLink,
    own_traffic: OwnTraffic,
    board: watch::Sender<Board>,
    messages: mpsc::Sender<Message>,
    inbox: mpsc::Receiver<Message>,
    sights: mpsc::Receiver<Sight>,
    writing: Option<AbortHandle>,
    hook: Option<AbortHandle>,
    draining: Option<AbortHandle>,
    /// Numbers hooks and drains.
    errands: u64,
    last_exit: Option<Exit>,
    /// Why the process does not run.
    problem: Option<String>,
    lost_since: Option<Mono>,
    writes_fail: bool,
    fired: u32,
    ended: bool,
}

impl Shell {
    async fn new(settings: Settings, guards: Guards, client: kube::Client) -> Result<Shell, Refusal> {
        let (messages, inbox) = mpsc::channel(64);
        let (see, sights) = mpsc::channel(16);
        let processes = Processes::new(settings.command.clone(), settings.config.api_port);
        let link = LeaseLink::new(client, &settings);
        let state = State::default();
        let (board, reader) = watch::channel(Board {
            leadership: leadership(&state),
            validity: Validity::None,
            unready: narrate::unready(&settings.setup, &state, None),
            lost_since: None,
        });
        local_api::start(&settings, reader).await?;
        for number in FORWARDED.into_iter().chain([libc::SIGTERM, libc::SIGCHLD]) {
            let mut stream = signal(SignalKind::from_raw(number))
                .map_err(|cause| Refusal::System { what: "handling signals", cause })?;
            let messages = messages.clone();
            tokio::spawn(async move {
                while stream.recv().await.is_some() && messages.send(Message::Signal(number)).await.is_ok() {}
            });
        }
        tokio::spawn(link.clone().watch(see));
        Ok(Shell {
            own_traffic: OwnTraffic {
                api_server: settings.api_server,
                ports: [settings.config.api_port, settings.config.probe_port],
            },
            hook_starter: processes.hook_starter(),
            fired: guards.fired(),
            settings,
            state,
            guards,
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
            Message::Hook(..) | Message::Drained(_) => {}
        }
    }

    fn see(&mut self, sight: Sight) {
        match sight {
            Sight::Lease(record) => {
                if self.lost_since.take().is_some() {
                    info!("The API server answers again.");
                }
                self.warn_of_terms(record.as_ref());
                self.feed(Input::Seen(record));
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
            narrate::changes(&before, &self.state);
            for effect in effects {
                inputs.extend(self.carry_out(effect));
            }
        }
        self.publish();
    }

    /// Does as it is told. What is known at once comes back as an input, the rest as a [`Message`].
    fn carry_out(&mut self, effect: Effect) -> Option<Input> {
        match effect {
            Effect::Write(write) => self.write(write),
            Effect::Read => self.read(),
            Effect::Start(role) => return Some(self.start(role)),
            Effect::Promote => self.call(Hook::Promote),
            Effect::Demote => self.call(Hook::Demote),
            Effect::Signal => {
                self.abandon_hook();
                self.processes.signal_bot(libc::SIGTERM);
            }
            Effect::Sweep => return self.sweep(),
            Effect::Drain => self.drain(),
            Effect::Guard(deadline) => self.guards.set(deadline),
            Effect::Exit => self.ended = true,
        }
        None
    }

    fn write(&mut self, write: Write) {
        if let Some(earlier) = self.writing.take() {
            earlier.abort();
        }
        let (link, messages) = (self.link.clone(), self.messages.clone());
        let task = tokio::spawn(async move {
            let (outcome, cause) = link.write(&write).await;
            let _ = messages.send(Message::Wrote(write.number, outcome, cause)).await;
        });
        self.writing = Some(task.abort_handle());
    }

    fn read(&self) {
        let (link, messages) = (self.link.clone(), self.messages.clone());
        tokio::spawn(async move {
            loop {
                match link.read().await {
                    Ok(record) => {
                        let _ = messages.send(Message::Read(record)).await;
                        return;
                    }
                    Err(_) => sleep(Duration::from_secs(1)).await,
                }
            }
        });
    }

    fn start(&mut self, role: Leadership) -> Input {
        let started = match self.guards.ensure_process() {
            Ok(()) => self.processes.start_bot(role),
            Err(cause) => Err(format!("the guard process could not be started: {cause}.")),
        };
        match started {
            Ok(pid) => {
                info!("Started the bot as process {pid}, {}.", role.role.as_str());
                self.problem = None;
                Input::Started
            }
            Err(sentence) => {
                warn!("The bot does not run: {sentence}");
                self.problem = Some(sentence.clone());
                Input::StartFailed(sentence)
            }
        }
    }

    fn call(&mut self, hook: Hook) {
        self.abandon_hook();
        let config = &self.settings.config;
        let action = match hook {
            Hook::Promote => config.promote.clone(),
            Hook::Demote => config.demote.clone(),
        };
        let Some(action) = action else { return };
        let errand = self.next_errand();
        let (starter, messages, role) = (self.hook_starter.clone(), self.messages.clone(), leadership(&self.state));
        let task = tokio::spawn(async move {
            let result = hooks::call(hook, &action, role, &starter).await;
            let _ = messages.send(Message::Hook(errand, hook, result)).await;
        });
        self.hook = Some(task.abort_handle());
    }

    fn abandon_hook(&mut self) {
        if let Some(task) = self.hook.take() {
            task.abort();
        }
        self.next_errand();
    }

    fn next_errand(&mut self) -> u64 {
        self.errands += 1;
        self.errands
    }

    /// Kills everything. The guard process goes with it, which nothing is left for to guard; it is forked anew before
    /// the next start.
    fn sweep(&mut self) -> Option<Input> {
        self.abandon_hook();
        kill::everything();
        let guard = self.guards.process();
        if !kill::anything_left(guard) {
            return Some(Input::Swept);
        }
        let messages = self.messages.clone();
        tokio::spawn(async move {
            let begun = Instant::now();
            while begun.elapsed() < SWEEP_TIME {
                sleep(SWEEP_PAUSE).await;
                kill::everything();
                if !kill::anything_left(guard) {
                    let _ = messages.send(Message::Swept).await;
                    return;
                }
            }
            error!(
                "A process survives SIGKILL, as of another user or in an uninterruptible call; the agent ends, so that \
                 the kernel ends the container."
            );
            std::process::exit(EXIT_SURVIVORS);
        });
        None
    }

    fn drain(&mut self) {
        if let Some(earlier) = self.draining.take() {
            earlier.abort();
        }
        let errand = self.next_errand();
        let (own, messages) = (self.own_traffic.clone(), self.messages.clone());
        let lease_end = self.state.hold.as_ref().map_or(Duration::ZERO, |hold| hold.terms.lease_duration);
        let task = tokio::spawn(async move {
            unsent::wait(&own, |since, peers| {
                if since < lease_end {
                    warn!("Not releasing yet: bytes of the bot are on their way to {peers}.");
                } else {
                    warn!("Not releasing: bytes of the bot are still on their way to {peers}. The Lease is left to expire.");
                }
            })
            .await;
            let _ = messages.send(Message::Drained(errand)).await;
        });
        self.draining = Some(task.abort_handle());
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

/// How long until the earlier of two clocks reaches `at`.
fn until(at: Mono) -> Duration {
    let now = clock::now();
    Duration::from_nanos(at.first.saturating_sub(now.first).min(at.second.saturating_sub(now.second)))
}
