//! Carrying out what the core says.

use std::time::Duration;

use tokio::time::sleep;
use tracing::{info, warn};

use super::run::{Message, Shell};
use super::{Hook, Machine};
use crate::agent::clock;
use crate::agent::lease_link::Told;
use crate::core::agent::{Effect, Input, Leadership, Stage, Write, WriteKind, leadership};
use crate::core::ids::Epoch;

impl<M: Machine> Shell<M> {
    /// Does as it is told. What is known at once comes back as an input, the rest as a [`Message`] or an event of the
    /// machine.
    pub(super) fn carry_out(&mut self, effect: Effect) -> Option<Input> {
        match effect {
            Effect::Write(write) => self.write(write),
            Effect::Read => self.read(),
            Effect::Start(role) => return Some(self.start(role)),
            Effect::Promote => {
                self.call(Hook::Promote);
                self.promotion.begin(self.epoch(), self.machine.now());
            }
            Effect::Tell(taken) => self.remedies.take(taken, clock::wall()),
            Effect::Recover(hook) => self.call(Hook::Recovery(hook)),
            Effect::Step(step) => {
                self.call(Hook::Step(step));
                self.shutdown.begin(self.epoch(), self.machine.now());
            }
            Effect::Signal => {
                self.abandon_hook();
                self.machine.terminate();
            }
            Effect::Sweep => return self.sweep(),
            Effect::Drain => self.drain(),
            Effect::CallSwitch => {
                let call = self.machine.call_switch(leadership(&self.state));
                self.switch.begin(call);
            }
            Effect::AbandonSwitch => self.switch.abandon(),
            Effect::CallPauseHook(hook) => {
                let call = self.machine.call(Hook::Pause(hook), leadership(&self.state));
                self.pausing.begin(hook, call);
            }
            Effect::AbandonPauseHook => self.pausing.abandon(),
            Effect::ReadCredentials => self.machine.read_credentials(),
            Effect::DropCredentials => self.machine.drop_credentials(),
            Effect::Guard(deadline) => self.machine.guard(deadline),
            Effect::Gate(passage) => self.machine.gate(passage),
            Effect::Exit => self.ended = true,
        }
        None
    }

    /// The epoch that is held, or was until now.
    fn epoch(&self) -> Epoch {
        self.state.hold.as_ref().map(|hold| hold.epoch).unwrap_or_default()
    }

    fn write(&mut self, write: Write) {
        if let Some(earlier) = self.writing.take() {
            earlier.abort();
        }
        let (link, messages) = (self.link.clone(), self.messages.clone());
        // Nobody wants to know of a candidate that never traded.
        let traded = self.state.hold.as_ref().is_some_and(|hold| hold.traded);
        let tells = traded && matches!(write.kind, WriteKind::Release(_));
        let steps = if tells { self.shutdown.report(write.epoch) } else { Vec::new() };
        let (recovery, promotion) = (self.remedies.text(), self.promotion.report(write.epoch));
        let told = Told { steps, recovery, promotion };
        let task = self.tasks.spawn(async move {
            let (outcome, cause) = link.write(&write, &told).await;
            let _ = messages.send(Message::Wrote(write.number, outcome, cause)).await;
        });
        self.writing = Some(task);
    }

    fn read(&mut self) {
        let (link, messages) = (self.link.clone(), self.messages.clone());
        self.tasks.spawn(async move {
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
        match self.machine.start(role) {
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
        let errand = self.next_errand();
        let (call, messages) = (self.machine.call(hook, leadership(&self.state)), self.messages.clone());
        let task = self.tasks.spawn(async move {
            let result = call.await;
            let _ = messages.send(Message::Hook(errand, hook, result)).await;
        });
        self.hook = Some(task);
    }

    fn abandon_hook(&mut self) {
        if let Some(task) = self.hook.take() {
            task.abort();
        }
        let now = self.machine.now();
        self.promotion.abandon(now);
        self.shutdown.abandon(now);
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
        let lost = self.state.hold.as_ref().is_some_and(|hold| hold.stage == Stage::Lost);
        let Some(end) = self.machine.sweep(lost) else { return Some(Input::Swept) };
        let messages = self.messages.clone();
        self.tasks.spawn(async move {
            end.await;
            let _ = messages.send(Message::Swept).await;
        });
        None
    }

    fn drain(&mut self) {
        if let Some(earlier) = self.draining.take() {
            earlier.abort();
        }
        let errand = self.next_errand();
        let lease = self.state.hold.as_ref().map_or(Duration::ZERO, |hold| hold.terms.lease_duration);
        let (end, messages) = (self.machine.drain(lease), self.messages.clone());
        let task = self.tasks.spawn(async move {
            end.await;
            let _ = messages.send(Message::Drained(errand)).await;
        });
        self.draining = Some(task);
    }
}
