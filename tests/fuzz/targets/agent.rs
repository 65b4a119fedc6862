//! The agent's decisions under any sequence of inputs: also those that no kernel, kubelet or API server would send, such
//! as the end of a process that was never started. Only what an agent was promised is true here: a sweep is reported
//! when it is over, and unsent bytes when there are none.

use std::collections::BTreeMap;
use std::time::Duration;

use super::records;
use crate::product::core::agent::*;
use crate::product::core::gate::Passage;
use crate::product::core::health::{AppliesTo, Check, Scope, Verdict};
use crate::product::core::ids::{BootId, Epoch, PodRef};
use crate::product::core::lease::{AgentState, LeaseRecord, OnApiServerLoss, Permit, Terms};
use crate::product::core::silence::GUARD;
use crate::product::core::time::{Mono, Wall};
use crate::source::{Source, trace};

/// More steps tell no more.
const STEPS: usize = 120;
/// So often time may stand still before an agent that asks to be woken has done all that is due.
const TICKS: usize = 4;

/// What was seen from outside.
#[derive(Default)]
struct Witness {
    /// When each write was sent, by number.
    sent: BTreeMap<u64, Mono>,
    /// The latest that the Lease showed of these, by epoch.
    proven: BTreeMap<Epoch, Mono>,
    /// Epochs in which the permit to trade was seen for this very boot.
    permitted: BTreeMap<Epoch, ()>,
    /// The terms under which each epoch was first seen.
    terms: BTreeMap<Epoch, Vec<Terms>>,
    /// No role but that of a standby is believed in an epoch that is not later.
    over: Epoch,
    held: Epoch,
    guard: Option<Mono>,
    sweeping: bool,
    draining: bool,
    /// Something of the bot may run.
    runs: bool,
    credentials: bool,
    switch_calls: bool,
    pause_calls: bool,
    left: bool,
    ended: bool,
}

struct World {
    setup: Setup,
    state: State,
    now: Mono,
    lease: LeaseRecord,
    witness: Witness,
}

pub fn run(data: &[u8]) {
    let mut s = Source::new(data);
    let mut world = World::new(&mut s);
    for _ in 0..STEPS {
        if s.is_used_up() || world.witness.ended {
            break;
        }
        world.pass(&mut s);
        let input = world.input(&mut s);
        world.step(input);
    }
    world.comes_to_rest();
}

fn check(scope: Scope) -> Check {
    Check {
        name: format!("{scope:?}"),
        period: Duration::from_secs(10),
        timeout: Duration::from_secs(2),
        failure_threshold: 3,
        success_threshold: 1,
        startup_grace: Duration::from_secs(30),
        critical: true,
        applies_to: AppliesTo::Active,
        scope,
        pause_trading: scope == Scope::Shared,
    }
}

fn plan(s: &mut Source<'_>) -> Plan {
    let remedies = [OwnRemedy::RestartProcess, OwnRemedy::Hook(0), OwnRemedy::RestartProcess];
    let rule =
        Rule { name: "blind".into(), checks: vec![0], remedies: remedies.into_iter().take(s.below(4)).collect() };
    Plan { rules: vec![rule], pause: s.duration(), period: s.duration() }
}

fn verdicts(s: &mut Source<'_>) -> Vec<Verdict> {
    let verdict = |s: &mut Source<'_>, check| {
        let failing = s.flag();
        Verdict { check, failing, doubted: !failing && s.flag(), since: Wall(0), error: String::new() }
    };
    (0..s.one_of(&[2, 1, 3])).map(|check| verdict(s, check)).collect()
}

impl World {
    fn new(s: &mut Source<'_>) -> World {
        let pod = PodRef { name: "doge-0".into(), uid: "u0a".into() };
        let setup = Setup {
            boot: BootId { pod_uid: pod.uid.clone(), nonce: "mine".into() },
            pod,
            hot: s.flag(),
            in_place_restarts: s.one_of(&[0, 1, 2, u32::MAX]),
            reconcile_restarts: s.seldom(4),
            promote_hook: s.flag(),
            stop_steps: s.one_of(&[0, 1, 2, u8::MAX]),
            stop: s.duration(),
            switch_every: s.maybe(Source::duration),
            path: records::path(s),
            credentials: s.flag(),
            plan: plan(s),
            checks: vec![check(Scope::Pod), check(Scope::Shared)],
            pause_hooks: PauseHooks { pause: true, resume: s.flag(), again: s.duration() },
        };
        let now = Mono { first: s.between(0, 1 << 40), second: s.between(0, 1 << 40) };
        World { setup, state: State::default(), now, lease: LeaseRecord::default(), witness: Witness::default() }
    }

    /// Two clocks that need not agree, and that never go back.
    fn pass(&mut self, s: &mut Source<'_>) {
        if s.flag() {
            return;
        }
        let by = s.duration().min(Duration::from_secs(100_000));
        self.now = self.now.plus(by);
        if s.seldom(8) {
            self.now.second = self.now.second.saturating_add(s.between(0, 20_000_000_000));
        }
    }

    fn input(&mut self, s: &mut Source<'_>) -> Input {
        match s.below(24) {
            0 => Input::Tick,
            1 | 2 => Input::Seen(self.look(s)),
            3 => Input::Read(self.look(s)),
            4 => Input::Wrote(self.number(s), Outcome::Unknown),
            5 => Input::Wrote(self.number(s), Outcome::Refused(self.look(s))),
            6 | 7 => self.carry_out(s),
            8 => Input::Started,
            9 => Input::StartFailed(s.text()),
            10 => Input::Exited(if s.flag() { Exit::Code(s.one_of(&[0, 1, -1])) } else { Exit::Signal(9) }),
            11 | 12 if self.witness.sweeping => Input::Swept,
            13 if self.witness.draining => Input::Drained,
            14 => Input::Promoted(if s.flag() { Ok(()) } else { Err(s.text()) }),
            15 => Input::Stepped(s.one_of(&[0, 1, 2, u8::MAX])),
            16 => Input::Switched,
            17 => Input::Credentials(if s.flag() { Ok(()) } else { Err(s.text()) }),
            18 => Input::Path(records::path(s)),
            19 if s.seldom(6) => Input::Terminate,
            20 => Input::Health(self.round(s), verdicts(s)),
            21 => Input::Recovered,
            22 => Input::PauseHookEnded(s.flag()),
            _ => Input::Tick,
        }
    }

    /// The Lease as it stands, changed by somebody, or another one altogether.
    fn look(&mut self, s: &mut Source<'_>) -> Option<LeaseRecord> {
        match s.below(8) {
            0 => return None,
            1 => return Some(records::lease(s)),
            2 => self.lease = self.grant(s),
            3 => self.lease.permit = s.maybe(records::permit),
            4 => self.lease.boot = s.maybe(records::boot),
            _ => {}
        }
        Some(self.lease.clone())
    }

    fn grant(&self, s: &mut Source<'_>) -> LeaseRecord {
        let mut lease = records::lease(s);
        lease.holder = Some(self.setup.pod.clone());
        lease.epoch = self.lease.epoch.filter(|e| e.is_plausible()).map_or(Some(Epoch(1)), |e| Some(Epoch(e.0 + 1)));
        lease.permit = Some(Permit::Prepare);
        lease.boot = None;
        lease.terms = lease.terms.or(Some(records::terms(s)));
        lease
    }

    fn round(&self, s: &mut Source<'_>) -> u64 {
        if s.seldom(4) { s.number() } else { self.state.health.round }
    }

    fn number(&self, s: &mut Source<'_>) -> u64 {
        if s.seldom(4) { s.number() } else { self.state.in_flight.unwrap_or(self.state.writes) }
    }

    /// The API server stores the last write, and may lose the answer.
    fn carry_out(&mut self, s: &mut Source<'_>) -> Input {
        let Some(number) = self.state.in_flight else { return Input::Tick };
        let boot = self.setup.boot.clone();
        self.lease.renew = format!("{boot}/{number}");
        self.lease.boot = Some(boot);
        self.lease.permit = s.one_of(&[self.lease.permit, Some(Permit::Trade), Some(Permit::Prepare)]);
        if let Some(hold) = &self.state.hold
            && s.flag()
        {
            self.lease.epoch = Some(hold.epoch);
            self.lease.holder = Some(self.setup.pod.clone());
        }
        match s.below(4) {
            0 => Input::Wrote(number, Outcome::Unknown),
            _ => Input::Wrote(number, Outcome::Answered(self.lease.clone())),
        }
    }

    fn step(&mut self, input: Input) {
        self.witness.note(&self.setup, &self.state, &input);
        trace("input", &(self.now, &input));
        let before = std::mem::take(&mut self.state);
        let writes = before.writes;
        let over = before.over;
        let (state, effects) = step(&self.setup, before, input, self.now);
        self.state = state;
        trace("effects", &effects);
        assert!(self.state.writes >= writes && self.state.over >= over, "what only grows has fallen");
        assert!(effects.len() <= 12, "{} effects of one step", effects.len());
        let mut written = writes;
        for effect in &effects {
            if let Effect::Write(write) = effect {
                assert!(write.number > written, "a renewal repeats the value {}", write.number);
                written = write.number;
            }
            self.witness.carry_out(&self.setup, &self.state, effect, self.now);
        }
        self.check();
    }

    fn check(&mut self) {
        let now = self.now;
        let role = leadership(&self.state);
        let witness = &mut self.witness;
        assert!(
            role.epoch >= witness.held || role.role == Role::Standby,
            "epoch {} after {}",
            role.epoch,
            witness.held
        );
        witness.held = witness.held.max(role.epoch);
        if role.role == Role::Active {
            assert!(witness.permitted.contains_key(&role.epoch), "it trades in {} without a permit", role.epoch);
            assert!(role.epoch > witness.over, "it trades again in {}, which was over", role.epoch);
        }
        if role.role == Role::Demoting {
            witness.over = witness.over.max(role.epoch);
        }
        match passage(&self.state) {
            Passage::Open(until) => {
                let hold = self.state.hold.as_ref().expect("the gate is open for a grant");
                assert!(witness.permitted.contains_key(&hold.epoch), "the gate is open without a permit");
                let stops = hold.terms.on_api_server_loss == OnApiServerLoss::Stop;
                assert!(until.is_some() || !stops, "the gate is open without an end");
                assert_eq!(until, deadline(&self.state), "the gate is open for longer than the bot may live");
            }
            Passage::Closed | Passage::Ending | Passage::Standby => {}
        }
        if let Some(at) = deadline(&self.state).filter(|at| now.has_possibly_reached(*at)) {
            let dying = matches!(
                self.state.process,
                Process::Gone | Process::Sweeping(_) | Process::Draining | Process::Drained
            );
            assert!(dying, "{:?} at {now:?}, after its deadline {at:?}", self.state.process);
        }
        assert_eq!(self.state.guarded, witness.guard, "the guards were not told");
    }

    /// While nothing comes in it does what is due and waits: it never asks for the same moment again and again.
    fn comes_to_rest(&mut self) {
        for _ in 0..TICKS {
            self.step(Input::Tick);
        }
        let Some(at) = wake_at(&self.state).filter(|_| !self.witness.ended) else { return };
        assert!(!self.now.has_possibly_reached(at), "it asks for {at:?} at {:?}: {:?}", self.now, self.state);
        self.now = Mono { first: self.now.first.max(at.first), second: self.now.second.max(at.second) };
        let before = self.state.clone();
        self.step(Input::Tick);
        assert!(self.witness.ended || self.state != before, "it asked to be woken for nothing: {:?}", self.state);
    }
}

impl Witness {
    fn note(&mut self, setup: &Setup, state: &State, input: &Input) {
        match input {
            Input::StartFailed(_) if state.process == Process::Starting => self.runs = false,
            Input::Credentials(Err(_)) if state.credentials == Credentials::Reading => self.credentials = false,
            Input::Swept => (self.sweeping, self.runs) = (false, false),
            Input::Drained => self.draining = false,
            Input::Switched => self.switch_calls = false,
            Input::PauseHookEnded(_) => self.pause_calls = false,
            Input::Terminate => self.left = true,
            _ => {}
        }
        let record = match input {
            Input::Seen(record) | Input::Read(record) | Input::Wrote(_, Outcome::Refused(record)) => record.as_ref(),
            Input::Wrote(_, Outcome::Answered(record)) => Some(record),
            _ => None,
        };
        let Some(record) = record.filter(|record| record.holder.as_ref() == Some(&setup.pod)) else { return };
        let Some(epoch) = record.epoch else { return };
        self.terms.entry(epoch).or_default().extend(record.terms);
        if record.boot.as_ref() != Some(&setup.boot) {
            return;
        }
        if record.permit == Some(Permit::Trade) {
            self.permitted.insert(epoch, ());
        }
        let number = record.renew.strip_prefix(&format!("{}/", setup.boot)).and_then(|text| text.parse().ok());
        if let Some(at) = number.and_then(|number: u64| self.sent.get(&number)) {
            let known = self.proven.entry(epoch).or_insert(*at);
            (known.first, known.second) = (known.first.max(at.first), known.second.max(at.second));
        }
    }

    fn carry_out(&mut self, setup: &Setup, state: &State, effect: &Effect, now: Mono) {
        match effect {
            Effect::Write(write) => {
                self.sent.insert(write.number, now);
                let released = matches!(write.kind, WriteKind::Release(_) | WriteKind::ReleaseFor(_));
                assert!(!released || !self.runs, "the Lease is given back while something of the bot runs");
                assert!(!released || !self.credentials, "the Lease is given back with the keys still there");
                assert!(!matches!(write.kind, WriteKind::Renew(AgentState::Released)), "a renewal that says released");
            }
            Effect::Guard(at) => {
                self.guard = *at;
                if let (Some(at), Some(hold)) = (at, &state.hold) {
                    self.check_guard(hold, *at);
                }
            }
            Effect::Start(role) if role.role.is_permitted() => {
                self.runs = true;
                self.check_start(setup, state);
            }
            Effect::Start(role) => {
                assert!(setup.hot, "a warm standby is started");
                assert_eq!((role.role, role.epoch), (Role::Standby, Epoch(0)), "a standby is told an epoch");
                self.runs = true;
            }
            Effect::Promote => self.check_start(setup, state),
            Effect::Sweep => self.sweeping = true,
            Effect::Drain => {
                assert!(!self.runs, "unsent bytes are waited for while something may send more");
                self.draining = true;
            }
            Effect::CallSwitch => {
                assert_eq!(leadership(state).role, Role::Active, "the dead-man's switch is told that all is well");
                assert!(!self.switch_calls, "two calls of the dead-man's switch at once");
                self.switch_calls = true;
            }
            Effect::AbandonSwitch => self.switch_calls = false,
            Effect::CallPauseHook(hook) => {
                let told = if *hook == PauseHook::Pause { Role::Paused } else { Role::Active };
                assert_eq!(leadership(state).role, told, "a bot is told of a pause that is not");
                assert!(!self.pause_calls, "two calls about pauses at once");
                self.pause_calls = true;
            }
            Effect::AbandonPauseHook => self.pause_calls = false,
            Effect::ReadCredentials => {
                let hold = state.hold.as_ref().expect("keys are read for a grant");
                assert!(self.permitted.contains_key(&hold.epoch), "keys are read without a permit");
                self.credentials = true;
            }
            Effect::DropCredentials => self.credentials = false,
            Effect::Exit => {
                assert!(self.left && !self.runs, "the agent ends and nobody has asked it to");
                self.ended = true;
            }
            Effect::Recover(_) | Effect::Tell(_) => {
                assert_eq!(leadership(state).role, Role::Active, "a remedy for a bot that does not trade")
            }
            Effect::Read | Effect::Step(_) | Effect::Signal | Effect::Gate(_) => {}
        }
    }

    /// Never later than the last renewal that is known to be stored, by any terms that this epoch was seen with.
    fn check_guard(&self, hold: &Hold, at: Mono) {
        let sent = self.proven.get(&hold.epoch).expect("a deadline without a renewal");
        let longest = self.terms.get(&hold.epoch).into_iter().flatten().map(|t| t.lease_duration).max();
        let latest = sent.plus(longest.unwrap_or_default().saturating_sub(GUARD));
        assert!(at.first <= latest.first && at.second <= latest.second, "guarded until {at:?}, after {latest:?}");
    }

    fn check_start(&self, setup: &Setup, state: &State) {
        let hold = state.hold.as_ref().expect("a bot starts for a grant");
        assert!(self.permitted.contains_key(&hold.epoch), "a bot starts to trade without a permit");
        assert!(can_be_kept(&hold.terms), "a bot starts under terms that cannot be kept");
        let stops = hold.terms.on_api_server_loss == OnApiServerLoss::Stop;
        assert!(self.guard.is_some() || !stops, "a bot starts unguarded");
        assert!(!setup.credentials || state.credentials == Credentials::Held, "a bot starts without its keys");
        assert!(hold.epoch > self.over, "a bot starts again in epoch {}", hold.epoch);
    }
}
