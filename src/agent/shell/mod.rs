//! The agent's loop: it feeds the core and carries out what it says. What that takes of the bot's container is a
//! [`Machine`], so that the very same loop also runs in a simulation.

mod carry_out;
mod run;
#[cfg(test)]
mod tests;

use std::time::Duration;

use futures::future::BoxFuture;

pub use self::run::run;
pub use super::board::{Board, Validity};
pub use super::hooks::{Hook, HookFailure};
use crate::core::agent::{Exit, Leadership};
use crate::core::gate::Passage;
use crate::core::health::Verdict;
use crate::core::lease::OrderPath;
use crate::core::time::Mono;

/// The container that an agent is PID 1 of. Futures that a method returns are run until they end, or dropped when nobody
/// waits for them any more; whatever they do is over then.
pub trait Machine {
    /// The agent's two clocks, which the guards go by, too.
    fn now(&self) -> Mono;

    /// Waits for what happens next. Nothing is lost when this is dropped.
    fn next(&mut self) -> impl Future<Output = MachineEvent>;

    /// How the bot's process ended, where it has and [`MachineEvent::Exited`] did not say so yet.
    fn reap(&mut self) -> Option<Exit>;

    /// Starts the bot, after making sure that the guard process lives, and returns the bot's process id.
    ///
    /// # Errors
    /// A sentence that says why the bot does not run.
    fn start(&mut self, role: Leadership) -> Result<i32, String>;

    /// Sends SIGTERM to the bot, if it runs.
    fn terminate(&mut self);

    /// SIGKILL to every process in the container but the agent. `None`: nothing is left; otherwise what ends when that
    /// is so. `lost`: another may trade already, so that connections are destroyed without waiting for anything.
    fn sweep(&mut self, lost: bool) -> Option<BoxFuture<'static, ()>>;

    /// Ends when every byte of the bot that is unsent now has arrived or can never be sent. `lease`: how long the Lease
    /// lasts that is not released before.
    fn drain(&mut self, lease: Duration) -> BoxFuture<'static, ()>;

    /// Calls a hook.
    fn call(&mut self, hook: Hook, role: Leadership) -> BoxFuture<'static, Result<(), HookFailure>>;

    /// Calls the dead-man's switch once; why it failed, a sentence.
    fn call_switch(&mut self, role: Leadership) -> BoxFuture<'static, Result<(), String>>;

    /// Begins to read the credentials, to put them where the bot finds them, and to follow their changes while it
    /// trades. Answered by [`MachineEvent::Credentials`].
    fn read_credentials(&mut self);

    /// Removes the credentials from everywhere, or gives up reading them. They are not answered any more.
    fn drop_credentials(&mut self);

    /// Gives the guards their deadline, at which they kill everything; `None`: nothing to guard.
    fn guard(&mut self, deadline: Option<Mono>);

    /// How often a guard had to kill since the agent's start.
    fn fired(&self) -> u32;

    /// Opens or closes the gate this far. Returns when whatever no longer passes has been cut.
    fn gate(&mut self, passage: Passage);

    /// Shows the bot what it may do, before anything else follows from it.
    fn show(&mut self, leadership: Leadership, validity: Validity);

    /// Tells everybody who asks; called after each step, also when nothing is new.
    fn publish(&mut self, board: Board);
}

/// What happens in the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MachineEvent {
    /// The bot's process ended.
    Exited(Exit),
    /// SIGTERM came for the agent.
    Terminate,
    /// The credentials are there for the bot; why they are not, a sentence.
    Credentials(Result<(), String>),
    /// How orders are fenced was looked at again.
    Path(OrderPath),
    /// What the checks of that round came to; told on changes.
    Health(u64, Vec<Verdict>),
}
