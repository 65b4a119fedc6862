//! Whether a run is to end before it is done.

use tokio::sync::watch;

use crate::core::backup::report::{Failure, FailureReason};

/// Known to everything that waits.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// One that nobody has asked for, and the way to ask for it.
    pub fn new() -> (watch::Sender<bool>, Stop) {
        let (ask, asked) = watch::channel(false);
        (ask, Stop(asked))
    }

    /// Waits until it is asked for; never ends when nobody can ask any more.
    pub async fn asked(&self) -> Failure {
        let mut asked = self.0.clone();
        if asked.wait_for(|asked| *asked).await.is_err() {
            std::future::pending::<()>().await;
        }
        Failure::new(
            FailureReason::Interrupted,
            "The run was ended before it was done: its pod was removed, or it ran longer than its deadline.",
        )
    }
}
