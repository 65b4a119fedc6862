//! What a run is doing, for people who read the pod's log.

use tracing::Level;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// Starts logging to standard output. Libraries are left out: what they have to say is in our own sentences.
pub(super) fn start() {
    let ours = tracing_subscriber::filter::filter_fn(|of| {
        *of.level() <= Level::INFO && of.target().starts_with(env!("CARGO_CRATE_NAME"))
    });
    let lines = tracing_subscriber::fmt::layer().with_target(false).with_ansi(false).with_filter(ours);
    let _ = tracing_subscriber::registry().with(lines).try_init();
}
