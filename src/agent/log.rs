//! The agent's own words on stderr, each line marked so that they can be told from the bot's.

use std::fmt;

use jiff::Timestamp;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, layer};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

/// `tradingbot-agent 2026-01-01T00:00:00.000Z INFO sentence`.
struct Lines;

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut to: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        write!(to, "tradingbot-agent {:.3} {} ", Timestamp::now(), event.metadata().level())?;
        context.field_format().format_fields(to.by_ref(), event)?;
        writeln!(to)
    }
}

/// Starts logging. Libraries are left out: what they have to say is in our own sentences.
pub(super) fn start() {
    let ours = tracing_subscriber::filter::filter_fn(|of| {
        *of.level() <= Level::INFO && of.target().starts_with(env!("CARGO_CRATE_NAME"))
    });
    let lines = layer().event_format(Lines).with_ansi(false).with_writer(std::io::stderr).with_filter(ours);
    let _ = tracing_subscriber::registry().with(lines).try_init();
}
