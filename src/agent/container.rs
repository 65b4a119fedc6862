//! The bot's container as it is: its processes, guards, sockets, signals, and whoever asks in it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use kube::Client;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};
use tracing::{error, warn};

use super::board::{Board, Validity};
use super::config::{Refusal, Settings};
use super::credentials::{Credentials, Keys, Store};
use super::gate::Gate;
use super::guard::{EXIT_SURVIVORS, Guards};
use super::hooks::{self, Hook, HookFailure};
use super::page::LeadershipPage;
use super::processes::{HookStarter, Processes, Reaped};
use super::shell::{Machine, MachineEvent};
use super::surroundings::Surroundings;
use super::unsent::{self, OwnTraffic};
use super::{bypass, canary, clock, health, kill, local_api, sockets};
use crate::api::agent_config::AgentConfig;
use crate::core::agent::{Exit, Leadership, State};
use crate::core::gate::Passage;
use crate::core::health::Verdict;
use crate::core::lease::OrderPath;
use crate::core::time::Mono;

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

/// What tasks report.
pub(super) enum Message {
    Signal(i32),
    Path(OrderPath),
    Credentials(u64, Result<Keys, String>),
    Health(u64, Vec<Verdict>),
}

/// The container, on this machine.
pub(super) struct Container {
    config: AgentConfig,
    guards: Guards,
    /// There is a deadline to guard.
    guarded: bool,
    gate: Option<Gate>,
    processes: Processes,
    hook_starter: HookStarter,
    own_traffic: OwnTraffic,
    credentials: Option<Credentials>,
    board: watch::Sender<Board>,
    page: LeadershipPage,
    messages: mpsc::Sender<Message>,
    inbox: mpsc::Receiver<Message>,
}

impl Container {
    /// Opens the agent's ports and listens to signals.
    ///
    /// # Errors
    /// Where a port is taken, or the system does not give what is needed.
    pub(super) async fn new(
        settings: &Settings,
        guards: Guards,
        gate: Option<Gate>,
        client: Client,
    ) -> Result<Container, Refusal> {
        let config = settings.config.clone();
        let (messages, inbox) = mpsc::channel(64);
        let keys = config.credentials.as_ref().map(|config| Arc::new(Mutex::new(Store::new(config))));
        let surroundings = Surroundings::new(&config, keys.clone());
        let processes = Processes::new(settings.command.clone(), surroundings);
        let credentials = keys.map(|store| Credentials::new(client, &config, store));
        let (board, reader) = watch::channel(Board::of(&settings.setup, &State::default(), None, None));
        let hook_starter = processes.hook_starter();
        let health = health::start(&settings.setup, &config, reader.clone(), &hook_starter, messages.clone());
        local_api::start(settings, reader, gate.as_ref(), health).await?;
        for number in FORWARDED.into_iter().chain([libc::SIGTERM, libc::SIGCHLD]) {
            let mut stream = signal(SignalKind::from_raw(number))
                .map_err(|cause| Refusal::System { what: "handling signals", cause })?;
            let messages = messages.clone();
            tokio::spawn(async move {
                while stream.recv().await.is_some() && messages.send(Message::Signal(number)).await.is_ok() {}
            });
        }
        let own_traffic = OwnTraffic { api_server: settings.api_server, ports: own_ports(&config) };
        if let Some(gate) = &config.gate {
            let exceptions = bypass::Exceptions::new(&gate.no_proxy);
            tokio::spawn(bypass::watch(own_traffic.clone(), exceptions, messages.clone()));
            if let Some(port) = gate.canary_port {
                canary::start(port).await?;
            }
        }
        Ok(Container {
            page: LeadershipPage::create(&settings.setup.boot),
            config,
            guards,
            guarded: false,
            gate,
            hook_starter,
            processes,
            own_traffic,
            credentials,
            board,
            messages,
            inbox,
        })
    }

    /// What the loop is to know of a report.
    fn heard(&mut self, message: Message) -> Option<MachineEvent> {
        match message {
            Message::Signal(libc::SIGCHLD) => return self.reap().map(MachineEvent::Exited),
            Message::Signal(libc::SIGTERM) => return Some(MachineEvent::Terminate),
            Message::Signal(number) => self.processes.signal_bot(number),
            Message::Path(path) => return Some(MachineEvent::Path(path)),
            Message::Health(round, verdicts) => return Some(MachineEvent::Health(round, verdicts)),
            Message::Credentials(number, keys) => {
                let answer = self.credentials.as_mut().and_then(|credentials| credentials.answered(number, keys));
                return answer.map(MachineEvent::Credentials);
            }
        }
        None
    }

    /// A guard that was killed, not by us, is replaced while there is something to guard.
    fn replace_guard(&mut self) {
        if !self.guarded {
            return;
        }
        if let Err(cause) = self.guards.ensure_process() {
            error!(
                "The guard process died and cannot be started again ({cause}); the agent ends, and the bot with it."
            );
            std::process::exit(EXIT_SURVIVORS);
        }
    }
}

impl Machine for Container {
    fn now(&self) -> Mono {
        clock::now()
    }

    async fn next(&mut self) -> MachineEvent {
        loop {
            // There is always a sender: our own.
            let Some(message) = self.inbox.recv().await else { return std::future::pending().await };
            if let Some(event) = self.heard(message) {
                return event;
            }
        }
    }

    /// Reaps everything that has ended.
    fn reap(&mut self) -> Option<Exit> {
        let mut of_bot = None;
        while let Some(reaped) = self.processes.reap(self.guards.process()) {
            match reaped {
                Some(Reaped::Bot(exit)) => of_bot = Some(exit),
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
        of_bot
    }

    fn start(&mut self, role: Leadership) -> Result<i32, String> {
        self.guards.ensure_process().map_err(|cause| format!("the guard process could not be started: {cause}."))?;
        self.processes.start_bot(role)
    }

    fn terminate(&mut self) {
        self.processes.signal_bot(libc::SIGTERM);
    }

    fn sweep(&mut self, lost: bool) -> Option<BoxFuture<'static, ()>> {
        kill::everything();
        if lost {
            sockets::destroy();
        }
        let guard = self.guards.process();
        if !kill::anything_left(guard) {
            return None;
        }
        Some(Box::pin(async move {
            let begun = Instant::now();
            while begun.elapsed() < SWEEP_TIME {
                sleep(SWEEP_PAUSE).await;
                kill::everything();
                if !kill::anything_left(guard) {
                    return;
                }
            }
            error!(
                "A process survives SIGKILL, as of another user or in an uninterruptible call; the agent ends, so that \
                 the kernel ends the container."
            );
            std::process::exit(EXIT_SURVIVORS);
        }))
    }

    fn drain(&mut self, lease: Duration) -> BoxFuture<'static, ()> {
        let own = self.own_traffic.clone();
        let fence = self.gate.as_ref().map(Gate::fence);
        Box::pin(async move {
            let sent = unsent::wait(&own, |since, peers| {
                if since < lease {
                    warn!("Not releasing yet: bytes of the bot are on their way to {peers}.");
                } else {
                    warn!(
                        "Not releasing: bytes of the bot are still on their way to {peers}. The Lease is left to expire."
                    );
                }
            });
            sockets::wait_or_destroy(sent, fence).await;
        })
    }

    fn call(&mut self, hook: Hook, role: Leadership) -> BoxFuture<'static, Result<(), HookFailure>> {
        let found = match hook {
            Hook::Promote => self.config.promote.as_ref().map(|call| ("promote", call)),
            Hook::Step(step) => self.config.stop_steps().nth(usize::from(step)),
            Hook::Pause(hook) => self.config.pausing.as_ref().and_then(|pausing| pausing.call(hook)),
            Hook::Recovery(n) => self.config.recovery.hooks.get(usize::from(n)).map(|call| ("recovery", call)),
        };
        let found = found.map(|(name, call)| (name.to_owned(), call.clone()));
        let starter = self.hook_starter.clone();
        Box::pin(async move {
            let Some((name, call)) = found else { return Ok(()) };
            // Without a promote hook a bot may still be starting when it is told of a pause.
            let patient = matches!(hook, Hook::Promote | Hook::Pause(_));
            hooks::call(&name, patient, &call, role, &starter).await
        })
    }

    fn call_switch(&mut self, role: Leadership) -> BoxFuture<'static, Result<(), String>> {
        let (switch, starter) = (self.config.dead_mans_switch.clone(), self.hook_starter.clone());
        Box::pin(async move {
            let Some(switch) = switch else { return Ok(()) };
            // Patient: without a promote hook the bot was started just before the first call.
            let called = hooks::call("dead-man's switch", true, &switch.call, role, &starter).await;
            called.map_err(|failure| failure.sentence)
        })
    }

    fn read_credentials(&mut self) {
        if let Some(credentials) = &mut self.credentials {
            credentials.read(self.messages.clone());
        }
    }

    fn drop_credentials(&mut self) {
        if let Some(credentials) = &mut self.credentials {
            credentials.drop_all();
        }
    }

    fn guard(&mut self, deadline: Option<Mono>) {
        self.guarded = deadline.is_some();
        self.guards.set(deadline);
    }

    fn fired(&self) -> u32 {
        self.guards.fired()
    }

    fn gate(&mut self, passage: Passage) {
        if let Some(gate) = &self.gate {
            gate.set(passage);
        }
    }

    fn show(&mut self, leadership: Leadership, validity: Validity) {
        self.page.show(leadership, validity);
    }

    fn publish(&mut self, board: Board) {
        let role = board.leadership.role;
        self.board.send_if_modified(|shown| {
            let changed = *shown != board;
            *shown = board;
            changed
        });
        if let Some(credentials) = &mut self.credentials {
            credentials.follow(role, &self.board, &self.hook_starter);
        }
    }
}

/// Bytes on these are not a bot's.
fn own_ports(config: &AgentConfig) -> Vec<u16> {
    let gate = config.gate.iter().flat_map(|gate| [Some(gate.port), gate.canary_port]).flatten();
    [config.api_port, config.probe_port].into_iter().chain(gate).collect()
}
