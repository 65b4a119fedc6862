//! The hooks `pause` and `resume`, for bots that neither ask before an order nor use the gate: they are told when trading
//! pauses, and when it goes on.
//!
//! The latest wish counts, and calls come one at a time and in order: one that is under way ends before the next begins.
//! What a call that failed came to is not known, so it is repeated for as long as the wish is the same. Only a bot that
//! was promoted is told. One that is stopped or started again is told nothing more: a process that starts trades, as far
//! as it knows, so that it is told of the pause anew. Nothing here changes what the bot may do.

use std::time::Duration;

use super::messages::*;
use super::step::Machine;
use crate::core::time::Mono;

/// Which of the two hooks there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PauseHooks {
    /// One to call when trading pauses.
    pub pause: bool,
    /// One to call when trading goes on.
    pub resume: bool,
    /// So long after the end of one that failed it is called again.
    pub again: Duration,
}

/// One of the two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PauseHook {
    /// Trading pauses.
    Pause,
    /// Trading goes on.
    #[default]
    Resume,
}

/// What the bot was told of pauses since its process was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pausing {
    /// This, last; as if that trading goes on where it was told nothing yet.
    Told(PauseHook),
    /// This call is under way.
    Calling(PauseHook),
    /// This call failed, and is repeated at this time.
    Failed(PauseHook, Mono),
}

impl Default for Pausing {
    fn default() -> Pausing {
        Pausing::Told(PauseHook::default())
    }
}

impl PauseHooks {
    fn has(self, hook: PauseHook) -> bool {
        match hook {
            PauseHook::Pause => self.pause,
            PauseHook::Resume => self.resume,
        }
    }
}

impl Machine<'_> {
    pub(super) fn tell_of_pauses(&mut self) {
        if !self.is_promoted() {
            if matches!(self.s.pausing, Pausing::Calling(_)) {
                // Before steps and signals: it does not hold a stop up.
                self.effects.insert(0, Effect::AbandonPauseHook);
            }
            self.s.pausing = Pausing::default();
            return;
        }
        let wish = if self.s.recovery.paused { PauseHook::Pause } else { PauseHook::Resume };
        match self.s.pausing {
            Pausing::Calling(_) => {}
            Pausing::Told(last) if last == wish => {}
            Pausing::Failed(last, again) if last == wish && !self.now.has_possibly_reached(again) => {}
            Pausing::Told(_) | Pausing::Failed(..) if self.setup.pause_hooks.has(wish) => {
                self.s.pausing = Pausing::Calling(wish);
                self.effects.push(Effect::CallPauseHook(wish));
            }
            Pausing::Told(_) | Pausing::Failed(..) => self.s.pausing = Pausing::Told(wish),
        }
    }

    /// The call under way ended.
    pub(super) fn told_of_pause(&mut self, succeeded: bool) {
        if let Pausing::Calling(hook) = self.s.pausing {
            let again = self.now.plus(self.setup.pause_hooks.again);
            self.s.pausing = if succeeded { Pausing::Told(hook) } else { Pausing::Failed(hook, again) };
        }
    }
}

impl Pausing {
    /// When a call is to be repeated.
    pub(super) fn wake_at(&self) -> Option<Mono> {
        match self {
            Pausing::Failed(_, again) => Some(*again),
            Pausing::Told(_) | Pausing::Calling(_) => None,
        }
    }
}
