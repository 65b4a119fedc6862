//! The values that go into and come out of [`super::step`].

use std::fmt;
use std::time::Duration;

use super::pausing::{PauseHook, PauseHooks, Pausing};
use super::recovery::{Plan, Recovery, Taken};
use crate::core::gate::Passage;
use crate::core::health::{Check, Health, Verdict};
use crate::core::ids::{BootId, Epoch, FencingToken, PodRef};
use crate::core::lease::{AgentState, LeaseRecord, OrderPath, Permit, ReleaseReason, Revoke, Terms};
use crate::core::recovery::Complaint;
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

/// What came in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// The Lease was seen by the watch, or by the read that precedes it; `None`: there is none. May be older than what
    /// a write has shown since.
    Seen(Option<LeaseRecord>),
    /// The Lease was read after everything that was written before: the answer to [`Effect::Read`].
    Read(Option<LeaseRecord>),
    /// What became of the write of that number.
    Wrote(u64, Outcome),
    /// The process was started.
    Started,
    /// The process could not be started; why, a sentence.
    StartFailed(String),
    /// The bot's process ended.
    Exited(Exit),
    /// Nothing runs in the container but the agent and its guard.
    Swept,
    /// No socket in the pod has bytes unsent from before it was asked for.
    Drained,
    /// The promote hook ended; why it failed, a sentence.
    Promoted(Result<(), String>),
    /// That step of the stop ended, well or not: the next one follows in any case.
    Stepped(u8),
    /// The call of the dead-man's switch ended; a failure changes nothing.
    Switched,
    /// The credentials are there for the bot; why they are not, a sentence.
    Credentials(Result<(), String>),
    /// How orders are fenced was looked at again.
    Path(OrderPath),
    /// What the checks of that round came to, all that are known; told on changes.
    Health(u64, Vec<Verdict>),
    /// The recovery hook ended, well or not.
    Recovered,
    /// The pause or the resume hook ended; whether it succeeded.
    PauseHookEnded(bool),
    /// SIGTERM.
    Terminate,
    /// Time has passed.
    Tick,
}

/// What became of a write.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It was answered with this object.
    Answered(LeaseRecord),
    /// It was refused, and this is what the Lease says; `None`: there is none.
    Refused(Option<LeaseRecord>),
    /// It failed or its outcome is unknown.
    Unknown,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

/// What to do. `Promote`, `Step`, `Recover`, `Signal` and `Sweep` abandon a hook that is under way: its result no longer
/// counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Write to the Lease. It replaces a write that is under way, whose outcome no longer counts.
    Write(Write),
    /// Read the Lease and hand it back as [`Input::Read`].
    Read,
    /// Start the process, after making sure that the guard process lives.
    Start(Leadership),
    /// Call the promote hook.
    Promote,
    /// Take this step of the stop; answer `Stepped` at its end, or when its time is over.
    Step(u8),
    /// Send SIGTERM to the process.
    Signal,
    /// SIGKILL to every process in the container but the agent; answer `Swept` when none remains.
    Sweep,
    /// Answer `Drained` when every socket that has unsent bytes now was seen without.
    Drain,
    /// Let people know of a remedy; what it takes follows.
    Tell(Taken),
    /// Call this one of the recovery hooks; answer `Recovered` at its end.
    Recover(u8),
    /// Call the dead-man's switch; answer `Switched` at its end.
    CallSwitch,
    /// Kill the call of the dead-man's switch that is under way, now; it is not answered any more.
    AbandonSwitch,
    /// Call this hook about pauses; answer `PauseHookEnded` at its end.
    CallPauseHook(PauseHook),
    /// Kill the call about a pause that is under way, now; it is not answered any more.
    AbandonPauseHook,
    /// Read the credentials and put them where the bot finds them.
    ReadCredentials,
    /// Remove the credentials from everywhere, or give up reading them. They are not answered any more.
    DropCredentials,
    /// Give the guards their deadline; `None`: nothing to guard.
    Guard(Option<Mono>),
    /// Open or close the gate this far. Whatever no longer passes is cut before the next effect.
    Gate(Passage),
    /// End the agent.
    Exit,
}

/// One write to the Lease, pinned to holder, boot and epoch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Write {
    /// Its number: `renew` becomes `<boot>/<number>`.
    pub number: u64,
    /// The epoch it is pinned to.
    pub epoch: Epoch,
    /// What it writes.
    pub kind: WriteKind,
    /// How orders are fenced: what claims and renewals report.
    pub path: OrderPath,
    /// Which checks do not pass, as [`crate::core::health::note`] writes it: what claims and renewals report.
    pub health: String,
}

/// What a write says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum WriteKind {
    /// Takes the grant up: the boot is set where none is.
    Claim,
    /// Renews, and reports this state.
    Renew(AgentState),
    /// Gives the Lease back.
    Release(Why),
    /// Gives it back for an earlier boot of this pod.
    ReleaseFor(BootId),
}

/// Why the Lease is given back.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// The permit was revoked.
    Revoked,
    /// The process ended, after so many restarts in this epoch.
    Exited(Exit, u32),
    /// The process ended and the restart is to be reconciled.
    RestartWanted(Exit),
    /// The credentials could not be read, the process not be started, or the promote hook failed; a sentence.
    PromotionFailed(String),
    /// No renewal succeeded until the renew deadline.
    RenewDeadline,
    /// The pod is being stopped.
    PodStopping,
    /// A check fails, and what the agent may do about it is used up.
    HealthFailed(Complaint),
}

impl Why {
    /// The word for the operator.
    pub fn reason(&self) -> ReleaseReason {
        match self {
            Why::Revoked => ReleaseReason::Revoked,
            Why::Exited(..) => ReleaseReason::ProcessExited,
            Why::RestartWanted(_) => ReleaseReason::RestartWanted,
            Why::PromotionFailed(_) => ReleaseReason::PromotionFailed,
            Why::RenewDeadline => ReleaseReason::RenewDeadline,
            Why::PodStopping => ReleaseReason::PodStopping,
            Why::HealthFailed(_) => ReleaseReason::HealthFailed,
        }
    }
}

impl fmt::Display for Why {
    /// `<Word>: <sentence>`, as it is written into the Lease.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.reason().as_str())?;
        match self {
            Why::Revoked => f.write_str("the operator took the permit back and the bot was stopped."),
            Why::Exited(exit, 0) => write!(f, "the bot's process {exit}; no restart in place is allowed."),
            Why::Exited(exit, 1) => write!(f, "the bot's process {exit} again after 1 restart in place."),
            Why::Exited(exit, n) => write!(f, "the bot's process {exit} again after {n} restarts in place."),
            Why::RestartWanted(exit) => write!(f, "the bot's process {exit}; its restart is to be reconciled."),
            Why::PromotionFailed(sentence) => f.write_str(sentence),
            Why::RenewDeadline => f.write_str("the API server did not answer until the renew deadline."),
            Why::PodStopping => f.write_str("the pod is being stopped."),
            Why::HealthFailed(complaint) => write!(f, "{complaint}"),
        }
    }
}

impl fmt::Display for Exit {
    /// Completes "the process …".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Code(code) => write!(f, "ended with exit code {code}"),
            Exit::Signal(signal) => write!(f, "was ended by signal {signal}"),
        }
    }
}

/// What a bot is told about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Leadership {
    /// Its role.
    pub role: Role,
    /// The epoch it holds; 0 as a standby.
    pub epoch: Epoch,
    /// The fencing token it holds; 0 as a standby.
    pub token: FencingToken,
}

/// A pod's role as its bot sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Another trades, or nobody.
    Standby,
    /// The Lease is granted to this pod, which may not trade yet.
    Candidate,
    /// This bot may trade.
    Active,
    /// This bot holds the permit, and shall not trade until a cause that every pod would see alike is gone.
    Paused,
    /// This bot is being stopped.
    Demoting,
}

impl Role {
    /// Whether the bot holds the permit to trade, which it may use unless trading pauses.
    pub fn is_permitted(self) -> bool {
        matches!(self, Role::Active | Role::Paused)
    }

    /// As the local API and the bot's environment spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Standby => "standby",
            Role::Candidate => "candidate",
            Role::Active => "active",
            Role::Paused => "paused",
            Role::Demoting => "demoting",
        }
    }
}
