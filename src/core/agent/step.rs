//! The step itself: what time has decided, then the input, then whatever follows from both.

use std::time::Duration;

use super::messages::*;
use super::state::*;
use crate::core::gate::Passage;
use crate::core::health::note;
use crate::core::ids::{Epoch, FencingToken};
use crate::core::lease::{AgentState, OnApiServerLoss, Permit, Revoke};
use crate::core::silence::holder_deadline;
use crate::core::time::Mono;
use crate::core::wrong::{self, Wrong};

/// One step of an agent. The effects are to be carried out in order.
pub fn step(setup: &Setup, state: State, input: Input, now: Mono) -> (State, Vec<Effect>) {
    let passed = passage(&state);
    let mut machine = Machine { setup, s: state, now, effects: Vec::new() };
    // First, what time has already decided: no late answer and no late event undoes it.
    machine.heed_deadlines();
    machine.apply(input);
    // What was learnt may set a deadline that has passed already: an agent that was frozen learns late of its own claim.
    machine.heed_deadlines();
    machine.settle();
    machine.gate(passed);
    machine.guard();
    (machine.s, machine.effects)
}

/// The instant by which this agent must have stopped if no further renewal succeeds (design, rule 8). `None` while it
/// holds nothing, or where the terms let it trade on (rule 10).
pub fn deadline(state: &State) -> Option<Mono> {
    let hold = state.hold.as_ref()?;
    let held = !matches!(hold.stage, Stage::Claiming | Stage::Lost | Stage::Clearing(_));
    if held && hold.stops_on_loss() { hold.lease_end() } else { None }
}

/// What the bot is to be told.
pub fn leadership(state: &State) -> Leadership {
    let role = |hold: &Hold| match hold.stage {
        Stage::Claiming | Stage::Claimed => Role::Candidate,
        Stage::Promoting | Stage::Active if state.recovery.paused => Role::Paused,
        Stage::Promoting | Stage::Active => Role::Active,
        Stage::Stopping(_) | Stage::Lost => Role::Demoting,
        Stage::Clearing(_) => Role::Standby,
    };
    match &state.hold {
        Some(hold) if role(hold) != Role::Standby => {
            Leadership { role: role(hold), epoch: hold.epoch, token: hold.token }
        }
        _ => Leadership { role: Role::Standby, epoch: Epoch(0), token: FencingToken(0) },
    }
}

/// How far the gate is open. A bot that is being stopped may still cancel its orders; when everything is killed nothing
/// passes any more.
pub fn passage(state: &State) -> Passage {
    let lost = state.hold.as_ref().is_some_and(|hold| hold.stage == Stage::Lost);
    match state.process {
        // Another holds the Lease and may trade already.
        _ if lost => return Passage::Closed,
        Process::Sweeping(_) | Process::Draining => return Passage::Ending,
        Process::Drained => return Passage::Closed,
        _ => {}
    }
    let Some(hold) = &state.hold else { return Passage::Standby };
    match hold.stage {
        Stage::Promoting | Stage::Active if state.recovery.paused => Passage::Standby,
        Stage::Promoting | Stage::Active | Stage::Stopping(_) if hold.traded => match deadline(state) {
            Some(at) => Passage::Open(Some(at)),
            None if hold.stops_on_loss() => Passage::Closed,
            None => Passage::Open(None),
        },
        _ => Passage::Standby,
    }
}

/// When to step with [`Input::Tick`] if nothing else comes in.
pub fn wake_at(state: &State) -> Option<Mono> {
    let mut times = Vec::new();
    if let Process::Waiting(at) | Process::Terminating(at) = state.process {
        times.push(at);
    }
    if let Switch::Due(at) = state.switch {
        times.push(at);
    }
    times.extend(state.remedy_at());
    times.extend(state.pausing.wake_at());
    if let Some(hold) = &state.hold {
        if state.may_write_again() && hold.wants_to_write(&state.process) {
            times.push(hold.next_write);
        }
        match hold.stage {
            Stage::Claimed | Stage::Promoting | Stage::Active if hold.stops_on_loss() => {
                times.extend(hold.renewed.map(|at| at.plus(hold.terms.renew_deadline)));
            }
            Stage::Stopping(_)
                if (state.leaving && state.process.is_gone())
                    || (hold.stops_on_loss() && state.process.may_be_stopped()) =>
            {
                times.extend(hold.lease_end());
            }
            _ => {}
        }
    }
    times.into_iter().min_by_key(|at| at.first)
}

impl State {
    /// No write is under way, or the one that is was seen to be stored, and only its answer is missing.
    fn may_write_again(&self) -> bool {
        self.in_flight.is_none() || self.hold.as_ref().is_some_and(|hold| hold.sent.is_none())
    }
}

impl Hold {
    pub(super) fn stops_on_loss(&self) -> bool {
        self.terms.on_api_server_loss == OnApiServerLoss::Stop
    }

    pub(super) fn lease_end(&self) -> Option<Mono> {
        self.renewed.map(|sent| holder_deadline(sent, self.terms.lease_duration))
    }

    /// Between a failed write and the next.
    pub(super) fn retry(&self) -> Duration {
        (self.terms.renew_period / 4).clamp(Duration::from_millis(100), Duration::from_secs(1))
    }

    fn wants_to_write(&self, process: &Process) -> bool {
        match self.stage {
            Stage::Claiming => self.permit == Permit::Prepare,
            Stage::Claimed | Stage::Promoting | Stage::Active => true,
            Stage::Stopping(_) => process.may_be_stopped() || *process == Process::Drained,
            Stage::Clearing(_) => *process == Process::Drained,
            Stage::Lost => false,
        }
    }

    fn state_to_tell(&self) -> AgentState {
        match self.stage {
            Stage::Claiming | Stage::Claimed => AgentState::Claimed,
            Stage::Promoting => AgentState::Promoting,
            Stage::Active => AgentState::Active,
            Stage::Stopping(_) | Stage::Lost => AgentState::Demoting,
            Stage::Clearing(_) => AgentState::Restarted,
        }
    }
}

impl Process {
    /// It is being stopped with patience.
    pub(super) fn may_be_stopped(&self) -> bool {
        matches!(self, Process::ShuttingDown(_) | Process::Terminating(_))
    }

    pub(super) fn is_gone(&self) -> bool {
        matches!(self, Process::Gone | Process::Draining | Process::Drained)
    }
}

pub(super) struct Machine<'a> {
    pub(super) setup: &'a Setup,
    pub(super) s: State,
    pub(super) now: Mono,
    pub(super) effects: Vec<Effect>,
}

impl Machine<'_> {
    pub(super) fn stage(&self) -> Option<&Stage> {
        self.s.hold.as_ref().map(|hold| &hold.stage)
    }

    /// The bot was promoted, and trades.
    pub(super) fn is_promoted(&self) -> bool {
        matches!(self.stage(), Some(Stage::Active)) && matches!(self.s.process, Process::Running { trades: true, .. })
    }

    fn heed_deadlines(&mut self) {
        let Some(hold) = self.s.hold.as_ref().filter(|hold| hold.stops_on_loss()) else { return };
        let (Some(renewed), Some(end)) = (hold.renewed, hold.lease_end()) else { return };
        let renew_deadline = renewed.plus(hold.terms.renew_deadline);
        if matches!(hold.stage, Stage::Claimed | Stage::Promoting | Stage::Active)
            && self.now.has_possibly_reached(renew_deadline)
        {
            self.begin_stop(Why::RenewDeadline);
        }
        if matches!(self.stage(), Some(Stage::Stopping(_)))
            && self.s.process.may_be_stopped()
            && self.now.has_possibly_reached(end)
        {
            self.sweep(Next::Drain);
        }
    }

    fn apply(&mut self, input: Input) {
        match input {
            Input::Seen(record) => self.seen(record, false),
            Input::Read(record) => self.seen(record, true),
            Input::Wrote(number, outcome) => self.wrote(number, outcome),
            Input::Started => self.started(),
            Input::StartFailed(sentence) => self.start_failed(sentence),
            Input::Exited(exit) => self.exited(exit),
            Input::Swept => self.swept(),
            Input::Drained if self.s.process == Process::Draining => self.s.process = Process::Drained,
            Input::Promoted(result) => self.promoted(result),
            Input::Stepped(step) => self.stepped(step),
            Input::Switched => self.switched(),
            // The next renewal tells it: it changes nothing that this agent does.
            Input::Path(path) => self.s.path = Some(path),
            Input::Health(round, verdicts) => self.checked(round, verdicts),
            Input::Credentials(result) => self.credentials_read(result),
            Input::Recovered => self.recovered(),
            Input::PauseHookEnded(succeeded) => self.told_of_pause(succeeded),
            Input::Terminate => self.leave(),
            Input::Drained | Input::Tick => {}
        }
    }

    fn settle(&mut self) {
        self.heed_permit();
        self.recover();
        self.run_process();
        self.drop_credentials();
        self.check();
        self.write();
        self.switch();
        self.tell_of_pauses();
        self.end();
    }

    /// The permit that was seen last, or the one before it if that was further (design, rule 4).
    fn heed_permit(&mut self) {
        let Some(hold) = &mut self.s.hold else { return };
        match (&hold.stage, hold.permit) {
            (Stage::Claiming, Permit::Trade | Permit::Revoke) if self.s.in_flight.is_none() => self.forget(),
            (Stage::Claimed | Stage::Promoting | Stage::Active, Permit::Revoke) => self.begin_stop(Why::Revoked),
            (Stage::Stopping(_), Permit::Revoke) if hold.revoke == Revoke::Now && self.s.process.may_be_stopped() => {
                self.sweep(Next::Drain);
            }
            // Not before a write of ours is known to be stored: without one there is no deadline to guard.
            (Stage::Claimed, Permit::Trade) if hold.renewed.is_none() => {}
            // While it waits for its credentials the bot is no more than a candidate, and goes on renewing.
            (Stage::Claimed, Permit::Trade) if self.setup.credentials && self.s.credentials == Credentials::None => {
                self.s.credentials = Credentials::Reading;
                self.effects.push(Effect::ReadCredentials);
            }
            (Stage::Claimed, Permit::Trade) if self.s.credentials == Credentials::Reading => {}
            (Stage::Claimed, Permit::Trade) => {
                hold.stage = Stage::Promoting;
                hold.traded = true;
                match self.s.process {
                    // A standby that waits after a crash has waited enough.
                    Process::Waiting(_) => self.s.process = Process::Waiting(self.now),
                    Process::Sweeping(Next::Start(_)) => {
                        self.s.process = Process::Sweeping(Next::Start(Duration::ZERO));
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }

    fn credentials_read(&mut self, result: Result<(), String>) {
        if self.s.credentials != Credentials::Reading {
            return;
        }
        match result {
            Ok(()) => self.s.credentials = Credentials::Held,
            Err(sentence) => {
                self.s.credentials = Credentials::None;
                self.begin_stop(Why::PromotionFailed(sentence));
            }
        }
    }

    /// A bot that stops may need them to cancel its orders; when nothing of it runs any more they go, which is before
    /// the Lease is released. Where another holds the Lease they go at once.
    fn drop_credentials(&mut self) {
        let keep = match (self.s.credentials, self.stage()) {
            (Credentials::None, _) => return,
            (Credentials::Reading, stage) => matches!(stage, Some(Stage::Claimed)),
            (Credentials::Held, Some(Stage::Claimed | Stage::Promoting | Stage::Active)) => true,
            (Credentials::Held, Some(Stage::Stopping(_))) => !self.s.process.is_gone(),
            (Credentials::Held, _) => false,
        };
        if !keep {
            self.s.credentials = Credentials::None;
            self.effects.push(Effect::DropCredentials);
        }
    }

    fn write(&mut self) {
        let Some(hold) = &self.s.hold else { return };
        let due = self.s.may_write_again() && self.now.has_possibly_reached(hold.next_write);
        let told = hold.told;
        let state = hold.state_to_tell();
        let kind = match &hold.stage {
            Stage::Claiming if due && hold.permit == Permit::Prepare => WriteKind::Claim,
            Stage::Claimed | Stage::Promoting | Stage::Active
                if due || (self.s.in_flight.is_none() && state != told) =>
            {
                WriteKind::Renew(state)
            }
            Stage::Stopping(_)
                if self.s.process.may_be_stopped() && (due || (self.s.in_flight.is_none() && state != told)) =>
            {
                WriteKind::Renew(state)
            }
            // A release is not held up by a renewal under way: with the holder gone that can no longer be stored.
            Stage::Stopping(why) if self.s.process == Process::Drained && (due || told != AgentState::Released) => {
                WriteKind::Release(why.clone())
            }
            Stage::Clearing(boot) if self.s.process == Process::Drained && (due || told != AgentState::Restarted) => {
                WriteKind::ReleaseFor(boot.clone())
            }
            _ => return,
        };
        self.send(kind);
    }

    fn send(&mut self, kind: WriteKind) {
        let Some(hold) = &mut self.s.hold else { return };
        if !(wrong::is(Wrong::RenewalRepeatsValue) && matches!(kind, WriteKind::Renew(_))) {
            self.s.writes += 1;
        }
        let number = self.s.writes;
        self.s.in_flight = Some(number);
        hold.sent = Some((number, self.now));
        hold.next_write = self.now.plus(hold.terms.renew_period);
        hold.told = match &kind {
            WriteKind::Claim => AgentState::Claimed,
            WriteKind::Renew(state) => *state,
            WriteKind::Release(_) => AgentState::Released,
            WriteKind::ReleaseFor(_) => AgentState::Restarted,
        };
        let path = self.s.path.as_ref().unwrap_or(&self.setup.path).clone();
        let health = note(&self.setup.checks, &self.s.health);
        self.effects.push(Effect::Write(Write { number, epoch: hold.epoch, kind, path, health }));
    }

    fn guard(&mut self) {
        let wanted = match self.stage() {
            _ if self.s.process.is_gone() => None,
            // Everything is being killed; the old deadline stays until it is.
            Some(Stage::Lost) => self.s.guarded,
            _ => deadline(&self.s),
        };
        if wanted != self.s.guarded {
            self.s.guarded = wanted;
            // Before the others: nothing starts unguarded.
            self.effects.insert(0, Effect::Guard(wanted));
        }
    }

    /// Before everything else: nothing is written, signalled or killed while the gate is open further than it may be.
    fn gate(&mut self, passed: Passage) {
        let passage = passage(&self.s);
        if passage != passed {
            self.effects.insert(0, Effect::Gate(passage));
        }
    }

    fn end(&mut self) {
        if !self.s.leaving || !self.s.process.is_gone() {
            return;
        }
        let given_up = self.s.hold.as_ref().is_none_or(|hold| match hold.lease_end() {
            Some(end) => self.now.has_possibly_reached(end),
            None => self.s.in_flight.is_none() && hold.told == AgentState::Released,
        });
        if given_up {
            self.effects.push(Effect::Exit);
        }
    }
}
