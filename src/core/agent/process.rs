//! Starting, promoting, restarting and stopping the bot's process.

use std::time::Duration;

use super::messages::*;
use super::state::*;
use super::step::{Machine, leadership};
use crate::core::ids::{Epoch, FencingToken};
use crate::core::lease::Revoke;

/// A standby that ran this long before it ended has not failed "again".
const STEADY: Duration = Duration::from_secs(60);
/// The signal that a process is made to end with.
const SIGKILL: i32 = 9;
/// Between two starts, at most.
const LONGEST_DELAY: Duration = Duration::from_secs(30);

/// 1 s, 2 s, 4 s … after the first failure, the second, …
fn delay(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(5);
    Duration::from_secs(1 << doublings).min(LONGEST_DELAY)
}

impl Machine<'_> {
    /// The latch falls: from here this epoch only ends (design, rule 4).
    pub(super) fn begin_stop(&mut self, why: Why) {
        let Some(hold) = &mut self.s.hold else { return };
        let at_once = hold.revoke == Revoke::Now
            || matches!(why, Why::Exited(..) | Why::RestartWanted(_))
            || (hold.stops_on_loss() && hold.lease_end().is_some_and(|end| self.now.has_possibly_reached(end)));
        hold.stage = Stage::Stopping(why);
        match self.s.process {
            Process::Running { trades: true, .. } if !at_once => self.shut_down(0),
            Process::Running { .. } if !at_once => self.terminate(),
            _ => self.sweep(Next::Drain),
        }
    }

    /// Takes this step of the stop; after the last one comes SIGTERM.
    fn shut_down(&mut self, step: u8) {
        if step >= self.setup.stop_steps {
            return self.terminate();
        }
        self.s.process = Process::ShuttingDown(step);
        self.effects.push(Effect::Step(step));
    }

    /// A step ended. What it came to changes nothing: the next may be the one that matters.
    pub(super) fn stepped(&mut self, step: u8) {
        if self.s.process == Process::ShuttingDown(step) {
            self.shut_down(step.saturating_add(1));
        }
    }

    fn terminate(&mut self) {
        self.s.process = Process::Terminating(self.now.plus(self.setup.stop));
        self.effects.push(Effect::Signal);
    }

    /// Kills everything; a sweep that is under way only changes what follows it.
    pub(super) fn sweep(&mut self, next: Next) {
        if !matches!(self.s.process, Process::Sweeping(_)) {
            self.effects.push(Effect::Sweep);
        }
        self.s.process = Process::Sweeping(next);
    }

    pub(super) fn started(&mut self) {
        if self.s.process == Process::Starting {
            self.s.process = Process::Running { trades: false, since: self.now };
        }
    }

    pub(super) fn start_failed(&mut self, sentence: String) {
        if self.s.process != Process::Starting {
            return;
        }
        if matches!(self.stage(), Some(Stage::Promoting)) {
            self.begin_stop(Why::PromotionFailed(sentence));
        } else {
            self.s.crashes = self.s.crashes.saturating_add(1).min(6);
            self.s.process = Process::Waiting(self.now.plus(delay(self.s.crashes)));
        }
    }

    pub(super) fn exited(&mut self, exit: Exit) {
        let ran_for = match self.s.process {
            Process::Running { since, .. } => self.now.surely_elapsed_since(since),
            Process::Starting => Duration::ZERO,
            Process::ShuttingDown(_) | Process::Terminating(_) => return self.stopped(exit),
            _ => return,
        };
        let setup = self.setup;
        match self.s.hold.as_mut().map(|hold| (&mut hold.stage, &mut hold.restarts)) {
            Some((Stage::Promoting | Stage::Active, _)) if setup.reconcile_restarts => {
                self.begin_stop(Why::RestartWanted(exit));
            }
            Some((stage @ (Stage::Promoting | Stage::Active), restarts)) if *restarts < setup.in_place_restarts => {
                *restarts += 1;
                *stage = Stage::Promoting;
                // The first restart is not delayed: every second without trading counts.
                let wait = if *restarts == 1 { Duration::ZERO } else { delay(*restarts - 1) };
                self.sweep(Next::Start(wait));
            }
            Some((Stage::Promoting | Stage::Active, restarts)) => {
                let restarts = *restarts;
                self.begin_stop(Why::Exited(exit, restarts));
            }
            _ => {
                self.s.crashes = if ran_for >= STEADY { 1 } else { self.s.crashes.saturating_add(1).min(6) };
                self.sweep(Next::Start(delay(self.s.crashes)));
            }
        }
    }

    /// The process that was to end has ended, or is made to.
    fn stopped(&mut self, exit: Exit) {
        match self.stage() {
            // It was ended to be started again.
            Some(Stage::Promoting) if self.setup.reconcile_restarts => self.begin_stop(Why::RestartWanted(exit)),
            Some(Stage::Promoting) => self.sweep(Next::Start(Duration::ZERO)),
            Some(Stage::Stopping(_) | Stage::Clearing(_)) => self.sweep(Next::Drain),
            _ => self.sweep(Next::Rest),
        }
    }

    pub(super) fn swept(&mut self) {
        let Process::Sweeping(next) = self.s.process else { return };
        match next {
            Next::Rest => self.s.process = Process::Gone,
            Next::Start(wait) => self.s.process = Process::Waiting(self.now.plus(wait)),
            Next::Drain => self.drain(),
        }
        if self.s.process == Process::Gone && matches!(self.stage(), Some(Stage::Lost)) {
            self.forget();
            // What was seen meanwhile was not looked at; it may be a new grant.
            self.effects.push(Effect::Read);
        }
    }

    fn drain(&mut self) {
        self.s.process = Process::Draining;
        self.effects.push(Effect::Drain);
    }

    pub(super) fn promoted(&mut self, result: Result<(), String>) {
        let running = matches!(self.s.process, Process::Running { trades: true, .. });
        let Some(hold) = self.s.hold.as_mut().filter(|hold| running && hold.stage == Stage::Promoting) else { return };
        match result {
            Ok(()) => hold.stage = Stage::Active,
            Err(sentence) => self.begin_stop(Why::PromotionFailed(sentence)),
        }
    }

    /// SIGTERM: gives up what is held, then ends.
    pub(super) fn leave(&mut self) {
        self.s.leaving = true;
        match self.stage() {
            // Also where the claim is not known to be stored: a release tells.
            Some(Stage::Claiming | Stage::Claimed | Stage::Promoting | Stage::Active) => {
                self.begin_stop(Why::PodStopping);
            }
            // The kubelet's word about this container will do.
            Some(Stage::Clearing(_)) => self.forget(),
            Some(Stage::Stopping(_) | Stage::Lost) | None => {}
        }
    }

    /// Brings the process to where the grant wants it.
    pub(super) fn run_process(&mut self) {
        if let Process::Terminating(at) = self.s.process
            && self.now.has_possibly_reached(at)
        {
            self.stopped(Exit::Signal(SIGKILL));
        }
        match self.stage() {
            Some(Stage::Promoting) => self.bring_up(),
            None if self.s.leaving => match self.s.process {
                Process::Running { .. } => self.terminate(),
                Process::Starting => self.sweep(Next::Rest),
                Process::Waiting(_) => self.s.process = Process::Gone,
                _ => {}
            },
            None | Some(Stage::Claiming | Stage::Claimed) => match self.s.process {
                Process::Gone if self.setup.hot && self.s.seen => self.start(),
                Process::Waiting(at) if self.now.has_possibly_reached(at) => self.start(),
                _ => {}
            },
            Some(Stage::Clearing(_)) => match self.s.process {
                Process::Gone => self.drain(),
                Process::Draining | Process::Drained => {}
                _ => self.sweep(Next::Drain),
            },
            Some(Stage::Active | Stage::Stopping(_) | Stage::Lost) => {}
        }
    }

    /// The permit is there: a process that runs is promoted, one that does not is started.
    fn bring_up(&mut self) {
        match &mut self.s.process {
            Process::Running { trades: trades @ false, .. } => {
                *trades = true;
                self.s.crashes = 0;
                if self.setup.promote_hook {
                    self.effects.push(Effect::Promote);
                } else if let Some(hold) = &mut self.s.hold {
                    hold.stage = Stage::Active;
                }
            }
            Process::Gone => self.start(),
            Process::Waiting(at) if self.now.has_possibly_reached(*at) => self.start(),
            _ => {}
        }
    }

    fn start(&mut self) {
        self.s.process = Process::Starting;
        let told = leadership(&self.s);
        let standby = Leadership { role: Role::Standby, epoch: Epoch(0), token: FencingToken(0) };
        self.effects.push(Effect::Start(if told.role.is_permitted() { told } else { standby }));
    }
}
