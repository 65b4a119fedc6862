//! What an agent decides: when to take a grant up, to trade, to stop, and to give the Lease back (design, rules 4
//! and 6 to 10).
//!
//! [`step`] is the whole of it: a state, an input and the time go in, the next state and the effects come out. The
//! shell in `agent` carries the effects out, in order, and hands every outcome back as an input.

mod grant;
mod health;
mod messages;
mod pausing;
mod process;
mod recovery;
mod state;
mod step;
mod switch;
#[cfg(test)]
mod tests;

pub use grant::can_be_kept;
pub use messages::*;
pub use pausing::{PauseHook, PauseHooks, Pausing};
pub use recovery::{OwnRemedy, Plan, Recovery, Rule, Taken};
pub use state::*;
pub use step::{deadline, leadership, passage, step, wake_at};
