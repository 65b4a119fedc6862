//! The dead-man's switch: a hook that is called again and again while the bot trades, for exchanges that cancel all
//! orders when they do not hear from it.
//!
//! Only an `Active` calls, and only while trading does not pause: before, the bot was not promoted, and after, its
//! orders had better be cancelled. So a restart in place stops the calls, too, until the bot trades again. A call that fails changes nothing here: the exchange does
//! what it was asked to do if calls stay away.

use super::messages::*;
use super::state::*;
use super::step::Machine;

impl Machine<'_> {
    pub(super) fn switch(&mut self) {
        let Some(every) = self.setup.switch_every else { return };
        let active = matches!(self.stage(), Some(Stage::Active)) && !self.s.recovery.paused;
        match self.s.switch {
            Switch::Off | Switch::Due(_) if !active => self.s.switch = Switch::Off,
            Switch::Calling(_) if !active => {
                self.s.switch = Switch::Off;
                // Before hooks and signals: nothing tells the exchange that all is well while the bot is being stopped.
                self.effects.insert(0, Effect::AbandonSwitch);
            }
            Switch::Due(at) if !self.now.has_possibly_reached(at) => {}
            Switch::Off | Switch::Due(_) => {
                self.s.switch = Switch::Calling(self.now.plus(every));
                self.effects.push(Effect::CallSwitch);
            }
            Switch::Calling(_) => {}
        }
    }

    /// The call under way ended, well or not.
    pub(super) fn switched(&mut self) {
        if let Switch::Calling(next) = self.s.switch {
            self.s.switch = Switch::Due(next);
        }
    }
}
