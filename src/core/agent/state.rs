//! What an agent is set up with and remembers: what [`super::step`] goes by beside its input.

use std::time::Duration;

use super::messages::Why;
use super::pausing::{PauseHooks, Pausing};
use super::recovery::{Plan, Recovery};
use crate::core::health::{Check, Health};
use crate::core::ids::{BootId, Epoch, FencingToken, PodRef};
use crate::core::lease::{AgentState, OrderPath, Permit, Revoke, Terms};
use crate::core::time::Mono;

/// What does not change while an agent runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Setup {
    /// The pod this agent runs in.
    pub pod: PodRef,
    /// This start of the agent.
    pub boot: BootId,
    /// `Hot`: the process runs while this pod is a standby. Otherwise it starts at promotion.
    pub hot: bool,
    /// How often the process is restarted in place before the Lease is released; per epoch.
    pub in_place_restarts: u32,
    /// Release instead of restarting in place, because every restart is to be reconciled.
    pub reconcile_restarts: bool,
    /// There is a hook to call before a bot trades.
    pub promote_hook: bool,
    /// How many steps there are before a trading bot is stopped: those of `lifecycle.shutdown`, then the demote hook.
    pub stop_steps: u8,
    /// From SIGTERM to SIGKILL when the process is stopped gracefully.
    pub stop: Duration,
    /// There is a dead-man's switch, and this long from the beginning of one call to the next.
    pub switch_every: Option<Duration>,
    /// The hooks about pauses.
    pub pause_hooks: PauseHooks,
    /// How orders are fenced, as far as is known at the start.
    pub path: OrderPath,
    /// A bot that trades has credentials, which are read once the permit to trade is there.
    pub credentials: bool,
    /// What is done about checks that fail.
    pub plan: Plan,
    /// The checks; verdicts name them by index.
    pub checks: Vec<Check>,
}

/// All that an agent remembers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct State {
    /// The grant to this pod that is being dealt with.
    pub hold: Option<Hold>,
    /// The latch: no grant of this epoch or of an earlier one is ever taken up again (design, rule 4).
    pub over: Option<Epoch>,
    /// How the bot's process stands.
    pub process: Process,
    /// How often a standby's process ended in a row; only delays its next start.
    pub crashes: u32,
    /// Counts every write that was ever begun, so that no renewal's value is used twice (design, rule 7).
    pub writes: u64,
    /// The write whose outcome is not known yet.
    pub in_flight: Option<u64>,
    /// The Lease was read at least once. A `Hot` standby starts only then: before that this boot cannot know whether
    /// it has to release for an earlier one.
    pub seen: bool,
    /// SIGTERM came.
    pub leaving: bool,
    /// The deadline that the guards were last given.
    pub guarded: Option<Mono>,
    /// How the dead-man's switch stands.
    pub switch: Switch,
    /// What the bot was told of pauses.
    pub pausing: Pausing,
    /// How orders are fenced, where that is no longer as at the start.
    pub path: Option<OrderPath>,
    /// How the bot's credentials stand.
    pub credentials: Credentials,
    /// What the checks came to.
    pub health: Health,
    /// What was done about those that fail.
    pub recovery: Recovery,
}

/// A grant to this pod.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Hold {
    /// Its epoch.
    pub epoch: Epoch,
    /// Its fencing token.
    pub token: FencingToken,
    /// Its terms, fixed when it was taken up.
    pub terms: Terms,
    /// The most advanced permit that was seen.
    pub permit: Permit,
    /// How to stop, once revoked; `Now` stays.
    pub revoke: Revoke,
    /// How far it has come.
    pub stage: Stage,
    /// When the last write that is known to have been stored was sent.
    pub renewed: Option<Mono>,
    /// The last write that was sent, and when: a later sight of its value proves it, too.
    pub sent: Option<(u64, Mono)>,
    /// The state in the last write that was sent.
    pub told: AgentState,
    /// When the next write is due.
    pub next_write: Mono,
    /// In-place restarts so far.
    pub restarts: u32,
    /// The bot may have traded in this epoch, so that it may need the way to the exchange to stop in good order.
    pub traded: bool,
}

/// How far a grant has come. The order is the order of time; nothing goes back, but from `Active` to `Promoting` for
/// a restart in place.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Seen, and not yet known to be ours.
    Claiming,
    /// Taken up; the bot does not trade.
    Claimed,
    /// The permit was seen; the process starts or its promote hook runs. The bot may already trade.
    Promoting,
    /// The bot trades.
    Active,
    /// The latch has fallen: the process is being stopped, then the Lease is released.
    Stopping(Why),
    /// The Lease is another's: everything is killed, nothing is written.
    Lost,
    /// An earlier boot of this pod holds it, and is dead: it is released on its behalf (design, rule 6).
    Clearing(BootId),
}

/// How the bot's process stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Process {
    /// Nothing runs.
    #[default]
    Gone,
    /// It is to be started at this time.
    Waiting(Mono),
    /// [`Effect::Start`] was given.
    Starting,
    /// It runs.
    Running {
        /// It was told to trade.
        trades: bool,
        /// Since when.
        since: Mono,
    },
    /// This step of its stop runs, counted from 0; the demote hook is the last.
    ShuttingDown(u8),
    /// SIGTERM was sent; SIGKILL follows at this time.
    Terminating(Mono),
    /// Everything in the container is being killed.
    Sweeping(Next),
    /// Nothing runs; sockets still have unsent bytes, or may have.
    Draining,
    /// Nothing runs and nothing is unsent: the Lease may be released.
    Drained,
}

/// How the dead-man's switch stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Switch {
    /// It is not called.
    #[default]
    Off,
    /// No call is under way; the next begins at this time.
    Due(Mono),
    /// A call is under way; the next does not begin before this time, nor before the end of this one.
    Calling(Mono),
}

/// How the credentials of a bot that trades stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Credentials {
    /// This pod has none.
    #[default]
    None,
    /// They are being read.
    Reading,
    /// They are there.
    Held,
}

/// What follows a sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Next {
    /// Nothing.
    Rest,
    /// The process starts again after this long.
    Start(Duration),
    /// Unsent bytes are waited for, then the Lease is released.
    Drain,
}
