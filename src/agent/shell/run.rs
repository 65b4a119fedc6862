//! The loop.

use std::collections::VecDeque;
use std::time::Duration;

use kube::Client;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;
use tracing::{error, info, warn};

use super::{Board, Hook, HookFailure, Machine, MachineEvent, Validity};
use crate::agent::lease_link::{LeaseLink, Sight};
use crate::agent::narrate;
use crate::agent::pausing::PauseCall;
use crate::agent::promotion::Promotion;
use crate::agent::remedies::Remedies;
use crate::agent::shutdown::Shutdown;
use crate::agent::switch::DeadMansSwitch;
use crate::api::agent_config::AgentConfig;
use crate::core::agent::{Exit, Input, Outcome, Setup, State, can_be_kept, leadership, step, wake_at};
use crate::core::lease::LeaseRecord;
use crate::core::time::Mono;

/// What tasks report to the loop. The numbers tell whether the task is still the one that is waited for.
pub(super) enum Message {
    Wrote(u64, Outcome, Option<String>),
    Read(Option<LeaseRecord>),
    Hook(u64, Hook, Result<(), HookFailure>),
    Swept,
    Drained(u64),
}

pub(super) struct Shell<M> {
    pub(super) machine: M,
    setup: Setup,
    pub(super) state: State,
    pub(super) link: LeaseLink,
    /// Everything that runs beside the loop, and ends with it.
    pub(super) tasks: JoinSet<()>,
    pub(super) messages: mpsc::Sender<Message>,
    inbox: mpsc::Receiver<Message>,
    sights: mpsc::Receiver<Sight>,
    pub(super) writing: Option<AbortHandle>,
    pub(super) hook: Option<AbortHandle>,
    pub(super) promotion: Promotion,
    pub(super) shutdown: Shutdown,
    pub(super) remedies: Remedies,
    pub(super) switch: DeadMansSwitch,
    pub(super) pausing: PauseCall,
    pub(super) draining: Option<AbortHandle>,
    /// Numbers hooks and drains.
    pub(super) errands: u64,
    last_exit: Option<Exit>,
    /// Why the process does not run.
    pub(super) problem: Option<String>,
    lost_since: Option<Mono>,
    writes_fail: bool,
    fired: u32,
    pub(super) ended: bool,
}

/// Holds the Lease of this bot until the agent is told to end, and returns its exit code. `setup` is what
/// [`crate::agent::setup`] makes of `config`. Where this future is dropped nothing of it goes on.
pub async fn run<M: Machine>(config: &AgentConfig, setup: Setup, client: Client, machine: M) -> u8 {
    info!("Agent {} of bot {}, boot {}.", env!("CARGO_PKG_VERSION"), config.bot, setup.boot);
    Shell::new(config, setup, client, machine).run().await
}

impl<M: Machine> Shell<M> {
    fn new(config: &AgentConfig, setup: Setup, client: Client, machine: M) -> Shell<M> {
        let (messages, inbox) = mpsc::channel(64);
        let (see, sights) = mpsc::channel(16);
        let link = LeaseLink::new(client, config, &setup);
        let mut tasks = JoinSet::new();
        tasks.spawn(link.clone().watch(see));
        Shell {
            fired: machine.fired(),
            machine,
            pausing: PauseCall::new(setup.pause_hooks.again),
            setup,
            state: State::default(),
            link,
            tasks,
            messages,
            inbox,
            sights,
            writing: None,
            hook: None,
            promotion: Promotion::default(),
            shutdown: Shutdown::new(config),
            remedies: Remedies::default(),
            switch: DeadMansSwitch::default(),
            draining: None,
            errands: 0,
            last_exit: None,
            problem: None,
            lost_since: None,
            writes_fail: false,
            ended: false,
        }
    }

    async fn run(mut self) -> u8 {
        while !self.ended {
            // What ended is forgotten.
            while self.tasks.try_join_next().is_some() {}
            let wait = wake_at(&self.state).map(|at| self.until(at));
            tokio::select! {
                biased;
                event = self.machine.next() => self.meet(event),
                Some(message) = self.inbox.recv() => self.hear(message),
                Some(sight) = self.sights.recv() => self.see(sight),
                () = self.switch.ended() => self.feed(Input::Switched),
                succeeded = self.pausing.ended() => self.feed(Input::PauseHookEnded(succeeded)),
                () = sleep(wait.unwrap_or(Duration::MAX)), if wait.is_some() => self.feed(Input::Tick),
            }
        }
        match self.machine.reap().or(self.last_exit) {
            None => 0,
            Some(Exit::Code(code)) => u8::try_from(code).unwrap_or(u8::MAX),
            Some(Exit::Signal(signal)) => u8::try_from(128 + signal).unwrap_or(u8::MAX),
        }
    }

    /// How long until the earlier of two clocks reaches `at`.
    fn until(&self, at: Mono) -> Duration {
        let now = self.machine.now();
        Duration::from_nanos(at.first.saturating_sub(now.first).min(at.second.saturating_sub(now.second)))
    }

    fn meet(&mut self, event: MachineEvent) {
        match event {
            MachineEvent::Exited(exit) => {
                self.last_exit = Some(exit);
                self.problem = Some(format!("the bot's process {exit}."));
                self.feed(Input::Exited(exit));
            }
            MachineEvent::Terminate => {
                info!("SIGTERM: stopping.");
                self.feed(Input::Terminate);
            }
            MachineEvent::Credentials(result) => self.feed(Input::Credentials(result)),
            MachineEvent::Path(path) => self.feed(Input::Path(path)),
            MachineEvent::Health(round, verdicts) => self.feed(Input::Health(round, verdicts)),
        }
    }

    fn hear(&mut self, message: Message) {
        match message {
            Message::Wrote(number, outcome, cause) => {
                self.note_write(cause);
                self.feed(Input::Wrote(number, outcome));
            }
            Message::Read(record) => self.feed(Input::Read(record)),
            Message::Hook(errand, hook, result) if errand == self.errands => {
                self.hook = None;
                match hook {
                    Hook::Promote => {
                        self.promotion.end(result.clone(), self.machine.now());
                        self.feed(Input::Promoted(result.map_err(|failure| failure.sentence)));
                    }
                    Hook::Step(step) => {
                        self.shutdown.end(result, self.machine.now());
                        self.feed(Input::Stepped(step));
                    }
                    // Is no task of its own.
                    Hook::Pause(_) => {}
                    Hook::Recovery(_) => {
                        self.remedies.called(result);
                        self.feed(Input::Recovered);
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
                self.warn_of_terms(record.as_deref());
                self.feed(Input::Seen(record.map(|record| *record)));
            }
            Sight::Lost(cause) => {
                if self.lost_since.is_none() {
                    warn!("Cannot watch the Lease: {cause}. Trying again.");
                    self.lost_since = Some(self.machine.now());
                }
                self.feed(Input::Tick);
            }
        }
    }

    fn warn_of_terms(&self, record: Option<&LeaseRecord>) {
        let granted = record.filter(|record| record.boot.is_none() && record.is_held_by(&self.setup.pod.uid));
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
        let fired = self.machine.fired();
        if fired != self.fired {
            self.fired = fired;
            error!("A guard killed every process, because the deadline of the Lease had passed.");
        }
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let before = self.state.clone();
            let (state, effects) = step(&self.setup, before.clone(), input, self.machine.now());
            self.state = state;
            // First of all: whoever asks before an order hears "no" before anything is done to stop it. A "yes" carries
            // its own deadline, so that it needs no guard.
            self.machine.show(leadership(&self.state), Validity::of(&self.state));
            narrate::changes(&before, &self.state);
            // Before anything is written: what the Lease says of checks and of remedies goes together.
            self.remedies.look(&self.setup, &self.state);
            for effect in effects {
                inputs.extend(self.carry_out(effect));
            }
        }
        self.machine.publish(Board::of(&self.setup, &self.state, self.problem.as_deref(), self.lost_since));
    }
}
