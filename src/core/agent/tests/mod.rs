//! Scenarios: one per rule. The world answers as an API server, an operator and a kernel would.

mod credentials;
mod gate;
mod health;
mod leaving;
mod pausing;
mod recovery;
mod renewing;
mod restarting;
mod shutting_down;
mod stopping;
mod switching;
mod taking_up;
mod waking;
mod words;

use std::time::Duration;

use super::*;
use crate::core::ids::{BootId, Epoch, FencingToken, PodRef};
use crate::core::lease::{AgentState, LeaseRecord, OnApiServerLoss, OrderPath, Permit, ReleaseReason, Revoke, Terms};
use crate::core::time::Mono;

const START: u64 = 1_000_000_000_000;

fn boot(nonce: &str) -> BootId {
    BootId { pod_uid: "u0".into(), nonce: nonce.into() }
}

fn terms(policy: OnApiServerLoss) -> Terms {
    Terms {
        lease_duration: Duration::from_secs(10),
        renew_period: Duration::from_secs(2),
        renew_deadline: Duration::from_secs(6),
        on_api_server_loss: policy,
    }
}

/// An agent, the Lease it sees, and what it was told to do and has not been asked about yet.
struct World {
    setup: Setup,
    state: State,
    lease: LeaseRecord,
    now: Mono,
    effects: Vec<Effect>,
}

impl World {
    fn new(hot: bool) -> World {
        let pod = PodRef { name: "doge-0".into(), uid: "u0".into() };
        let setup = Setup {
            path: OrderPath::Killed,
            checks: Vec::new(),
            pod,
            boot: boot("mine"),
            hot,
            in_place_restarts: 0,
            reconcile_restarts: false,
            promote_hook: false,
            stop_steps: 0,
            stop: Duration::from_secs(3),
            switch_every: None,
            pause_hooks: PauseHooks::default(),
            credentials: false,
            plan: Plan::default(),
        };
        World { setup, state: State::default(), lease: LeaseRecord::default(), now: Mono::both(START), effects: vec![] }
    }

    fn with(mut self, change: impl FnOnce(&mut Setup)) -> World {
        change(&mut self.setup);
        self
    }

    fn feed(&mut self, input: Input) {
        let (state, effects) = step(&self.setup, std::mem::take(&mut self.state), input, self.now);
        self.state = state;
        self.effects.extend(effects);
    }

    fn seen(&mut self) {
        self.feed(Input::Seen(Some(self.lease.clone())));
    }

    fn grant(&mut self, epoch: u64, permit: Permit) {
        self.lease = LeaseRecord {
            holder: Some(self.setup.pod.clone()),
            epoch: Some(Epoch(epoch)),
            token: Some(FencingToken(epoch << 20)),
            permit: Some(permit),
            terms: Some(terms(OnApiServerLoss::Stop)),
            ..LeaseRecord::default()
        };
    }

    fn permit(&mut self, permit: Permit) {
        self.lease.permit = Some(permit);
        self.seen();
    }

    fn pass(&mut self, millis: u64) {
        self.now = self.now.plus(Duration::from_millis(millis));
        self.feed(Input::Tick);
    }

    /// Time goes on, and whoever renews is answered.
    fn go_on(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.pass(1_000);
            while self.effects.iter().any(|effect| matches!(effect, Effect::Write(_))) {
                self.answer();
            }
        }
    }

    /// Takes an effect that must have been given.
    fn expect(&mut self, wanted: impl Fn(&Effect) -> bool, what: &str) -> Effect {
        match self.effects.iter().position(wanted) {
            Some(index) => self.effects.remove(index),
            None => panic!("no {what} in {:?}\n{:?}", self.effects, self.state),
        }
    }

    fn expect_write(&mut self) -> Write {
        // A write replaces the one before it.
        let current = self.state.in_flight;
        self.effects.retain(|effect| !matches!(effect, Effect::Write(write) if Some(write.number) != current));
        match self.expect(|effect| matches!(effect, Effect::Write(_)), "write") {
            Effect::Write(write) => write,
            _ => unreachable!(),
        }
    }

    fn expect_nothing(&mut self) {
        self.effects.retain(|effect| !matches!(effect, Effect::Guard(_) | Effect::Gate(_)));
        assert_eq!(self.effects, []);
    }

    /// The API server carries a write out as the patch says, or refuses it.
    fn store(&mut self, write: &Write) -> Outcome {
        let me = self.setup.boot.clone();
        let wanted = match &write.kind {
            WriteKind::Claim => None,
            WriteKind::ReleaseFor(earlier) => Some(earlier.clone()),
            _ => Some(me.clone()),
        };
        if self.lease.holder.as_ref() != Some(&self.setup.pod)
            || self.lease.epoch != Some(write.epoch)
            || self.lease.boot != wanted
            || (write.kind == WriteKind::Claim && self.lease.permit != Some(Permit::Prepare))
        {
            return Outcome::Refused(Some(self.lease.clone()));
        }
        self.lease.renew = format!("{me}/{}", write.number);
        if matches!(write.kind, WriteKind::Claim | WriteKind::Renew(_)) {
            self.lease.health.clone_from(&write.health);
        }
        match &write.kind {
            WriteKind::Claim => {
                self.lease.boot = Some(me);
                self.lease.state = AgentState::Claimed;
            }
            WriteKind::Renew(state) => self.lease.state = *state,
            WriteKind::Release(why) => {
                self.lease.holder = None;
                self.lease.state = AgentState::Released;
                self.lease.reason = why.to_string();
            }
            WriteKind::ReleaseFor(_) => {
                self.lease.holder = None;
                self.lease.state = AgentState::Restarted;
                self.lease.successor = Some(me);
            }
        }
        Outcome::Answered(self.lease.clone())
    }

    fn answer(&mut self) -> Write {
        let write = self.expect_write();
        let outcome = self.store(&write);
        self.feed(Input::Wrote(write.number, outcome));
        write
    }

    /// Until the Lease is held under `Prepare`.
    fn claimed(mut self) -> World {
        self.grant(1, Permit::Prepare);
        self.seen();
        if self.setup.hot {
            self.expect(|effect| matches!(effect, Effect::Start(_)), "start of the standby");
            self.feed(Input::Started);
        }
        assert_eq!(self.answer().kind, WriteKind::Claim);
        self
    }

    /// Until the bot trades.
    fn active(self) -> World {
        let mut world = self.claimed();
        world.permit(Permit::Trade);
        if !world.setup.hot {
            world.expect(|effect| matches!(effect, Effect::Start(_)), "start");
            world.feed(Input::Started);
        }
        if world.setup.promote_hook {
            world.expect(|effect| *effect == Effect::Promote, "promote hook");
            world.feed(Input::Promoted(Ok(())));
        }
        while world.effects.iter().any(|effect| matches!(effect, Effect::Write(_))) {
            world.answer();
        }
        assert_eq!(world.lease.state, AgentState::Active);
        world.effects.clear();
        world
    }

    fn everything_dies(&mut self) {
        self.expect(|effect| *effect == Effect::Sweep, "sweep");
        self.feed(Input::Swept);
    }

    fn released(&mut self) -> Option<ReleaseReason> {
        self.expect(|effect| *effect == Effect::Drain, "wait for unsent bytes");
        self.feed(Input::Drained);
        self.answer();
        assert_eq!((self.lease.state, &self.lease.holder), (AgentState::Released, &None));
        assert_eq!(self.state.hold, None);
        ReleaseReason::parse(&self.lease.reason)
    }

    fn role(&self) -> Role {
        leadership(&self.state).role
    }
}

fn is_start(effect: &Effect) -> bool {
    matches!(effect, Effect::Start(_))
}
