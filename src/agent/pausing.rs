//! Carrying the hooks about pauses out. When they are called is decided in the core.

use std::future::pending;
use std::time::Duration;

use futures::future::BoxFuture;
use tracing::{info, warn};

use super::hooks::HookFailure;
use crate::core::agent::PauseHook;

/// The call under way.
pub(super) struct PauseCall {
    // Polled by the agent's loop and no task of its own: dropped, it is over at once, with its process or connection.
    running: Option<(PauseHook, BoxFuture<'static, Result<(), HookFailure>>)>,
    again: Duration,
}

impl PauseCall {
    /// `again`: so long after one that failed the core repeats it.
    pub(super) fn new(again: Duration) -> PauseCall {
        PauseCall { running: None, again }
    }

    /// Runs this call.
    pub(super) fn begin(&mut self, hook: PauseHook, call: BoxFuture<'static, Result<(), HookFailure>>) {
        self.running = Some((hook, call));
    }

    /// Ends the call under way.
    pub(super) fn abandon(&mut self) {
        self.running = None;
    }

    /// Waits for the end of the call under way, for ever where there is none, and answers whether it succeeded. Nothing
    /// is lost when this is dropped.
    pub(super) async fn ended(&mut self) -> bool {
        let Some((hook, running)) = &mut self.running else { return pending().await };
        let (hook, result) = (*hook, running.await);
        self.running = None;
        let again = self.again.as_secs();
        match (&result, hook) {
            (Ok(()), PauseHook::Pause) => info!("The bot was told that trading pauses."),
            (Ok(()), PauseHook::Resume) => info!("The bot was told that trading goes on."),
            (Err(HookFailure { sentence, .. }), PauseHook::Pause) => {
                warn!("Trading pauses, and the bot may not know: {sentence} It is told again in {again} s.");
            }
            (Err(HookFailure { sentence, .. }), PauseHook::Resume) => {
                warn!("Trading goes on, and the bot may not know: {sentence} It is told again in {again} s.");
            }
        }
        result.is_ok()
    }
}
