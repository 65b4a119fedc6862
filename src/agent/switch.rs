//! Carrying the dead-man's switch out. When it is called is decided in the core.

use std::future::pending;

use futures::future::BoxFuture;
use tracing::{info, warn};

/// Of failures in a row the first is worth a line, and then every tenth.
const LINES: u32 = 10;

/// The call under way, and how the last ones went.
#[derive(Default)]
pub(super) struct DeadMansSwitch {
    // Polled by the agent's loop and no task of its own: dropped, it is over at once, with its process or connection.
    running: Option<BoxFuture<'static, Result<(), String>>>,
    failures: u32,
}

impl DeadMansSwitch {
    /// Runs this call.
    pub(super) fn begin(&mut self, call: BoxFuture<'static, Result<(), String>>) {
        self.running = Some(call);
    }

    /// Ends the call under way.
    pub(super) fn abandon(&mut self) {
        self.running = None;
        self.failures = 0;
    }

    /// Waits for the end of the call under way, for ever where there is none. Nothing is lost when this is dropped.
    pub(super) async fn ended(&mut self) {
        let Some(running) = &mut self.running else { return pending().await };
        let result = running.await;
        self.running = None;
        self.note(result);
    }

    fn note(&mut self, result: Result<(), String>) {
        match result {
            Ok(()) if self.failures > 0 => {
                info!("The dead-man's switch works again after {} failed calls.", self.failures);
                self.failures = 0;
            }
            Ok(()) => {}
            Err(sentence) => {
                if self.failures.is_multiple_of(LINES) {
                    let so_far = self.failures + 1;
                    warn!(
                        "Trading on, but the exchange may cancel all orders (failed call {so_far} in a row): {sentence}"
                    );
                }
                self.failures = self.failures.saturating_add(1);
            }
        }
    }
}
