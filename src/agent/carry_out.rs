//! Carrying out what the core says.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::{error, info, warn};

use super::gate::Gate;
use super::guard::EXIT_SURVIVORS;
use super::hooks::{self, Hook};
use super::run::{Message, Shell};
use super::{kill, sockets, unsent};
use crate::core::agent::{Effect, Input, Leadership, Stage, Write, leadership};

/// A sweep looks this often whether anything is left, and gives up after this long.
const SWEEP_PAUSE: Duration = Duration::from_millis(1);
const SWEEP_TIME: Duration = Duration::from_secs(1);

impl Shell {
    /// Does as it is told. What is known at once comes back as an input, the rest as a [`Message`].
    pub(super) fn carry_out(&mut self, effect: Effect) -> Option<Input> {
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
            Effect::CallSwitch => self.switch.begin(leadership(&self.state)),
            Effect::AbandonSwitch => self.switch.abandon(),
            Effect::ReadCredentials => {
                if let Some(credentials) = &mut self.credentials {
                    credentials.read(self.messages.clone());
                }
            }
            Effect::DropCredentials => {
                if let Some(credentials) = &mut self.credentials {
                    credentials.drop_all();
                }
            }
            Effect::Guard(deadline) => self.guards.set(deadline),
            Effect::Gate(passage) => {
                if let Some(gate) = &self.gate {
                    gate.set(passage);
                }
            }
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
        if self.state.hold.as_ref().is_some_and(|hold| hold.stage == Stage::Lost) {
            // Another may trade already: nothing is waited for.
            sockets::destroy();
        }
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
        let fence = self.gate.as_ref().map(Gate::fence);
        let task = tokio::spawn(async move {
            let sent = unsent::wait(&own, |since, peers| {
                if since < lease_end {
                    warn!("Not releasing yet: bytes of the bot are on their way to {peers}.");
                } else {
                    warn!(
                        "Not releasing: bytes of the bot are still on their way to {peers}. The Lease is left to expire."
                    );
                }
            });
            sockets::wait_or_destroy(sent, fence).await;
            let _ = messages.send(Message::Drained(errand)).await;
        });
        self.draining = Some(task.abort_handle());
    }
}
