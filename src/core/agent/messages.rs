//! What comes into [`super::step`] and what goes out of it.

use std::fmt;

use super::pausing::PauseHook;
use super::recovery::Taken;
use crate::core::gate::Passage;
use crate::core::health::Verdict;
use crate::core::ids::{BootId, Epoch, FencingToken};
use crate::core::lease::{AgentState, LeaseRecord, OrderPath, ReleaseReason};
use crate::core::recovery::Complaint;
use crate::core::time::Mono;

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
