//! What the gate counts. Labels are the configured hosts and fixed words, so their number is bounded.

use std::time::Duration;

use prometheus::{Encoder, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder};

/// From a microsecond to a second.
const BUCKETS: [f64; 10] = [1e-6, 5e-6, 1e-5, 5e-5, 1e-4, 3e-4, 1e-3, 1e-2, 1e-1, 1.0];

/// What became of a connection that was asked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Outcome {
    /// It was made.
    Forwarded,
    /// The gate does not let it through.
    Refused,
    /// There was no answer from the other side.
    Failed,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Outcome::Forwarded => "forwarded",
            Outcome::Refused => "refused",
            Outcome::Failed => "failed",
        }
    }
}

/// The gate's metrics.
pub(in crate::agent) struct Metrics {
    registry: Registry,
    connections: IntCounterVec,
    open: IntGauge,
    sent: IntCounter,
    received: IntCounter,
    send: Histogram,
    connect: Histogram,
    cuts: IntCounter,
}

impl Metrics {
    pub(in crate::agent) fn new() -> prometheus::Result<Metrics> {
        let registry = Registry::new();
        let name = |end: &str| format!("tradingbot_gate_{end}");
        let connections = IntCounterVec::new(
            Opts::new(
                name("connections_total"),
                "Connections asked for, by the entry that allows them and their outcome.",
            ),
            &["host", "outcome"],
        )?;
        let open = IntGauge::new(name("open_connections"), "Connections to outside that are open.")?;
        let sent = IntCounter::new(name("sent_bytes_total"), "Bytes sent to outside.")?;
        let received = IntCounter::new(name("received_bytes_total"), "Bytes received from outside.")?;
        let histogram =
            |end: &str, help: &str| Histogram::with_opts(HistogramOpts::new(name(end), help).buckets(BUCKETS.to_vec()));
        let send = histogram("send_seconds", "From the look at the deadline to the kernel having taken the bytes.")?;
        let connect =
            histogram("connect_seconds", "From the request of a connection to its being made, names included.")?;
        let cuts = IntCounter::new(name("cut_connections_total"), "Connections cut at a demotion or a deadline.")?;
        registry.register(Box::new(connections.clone()))?;
        registry.register(Box::new(open.clone()))?;
        for counter in [&sent, &received, &cuts] {
            registry.register(Box::new(counter.clone()))?;
        }
        for histogram in [&send, &connect] {
            registry.register(Box::new(histogram.clone()))?;
        }
        Ok(Metrics { registry, connections, open, sent, received, send, connect, cuts })
    }

    /// `host`: the entry that allows it, or `-` where none does.
    pub(super) fn asked(&self, host: &str, outcome: Outcome) {
        self.connections.with_label_values(&[host, outcome.as_str()]).inc();
    }

    pub(super) fn connected(&self, after: Duration) {
        self.connect.observe(after.as_secs_f64());
    }

    pub(super) fn sent(&self, bytes: usize, after: Duration) {
        self.sent.inc_by(bytes as u64);
        self.send.observe(after.as_secs_f64());
    }

    pub(super) fn received(&self, bytes: usize) {
        self.received.inc_by(bytes as u64);
    }

    /// Counts an open connection until it is dropped.
    pub(super) fn opened(&self) -> Open {
        self.open.inc();
        Open(self.open.clone())
    }

    /// As Prometheus reads it.
    pub(in crate::agent) fn text(&self, cuts: u64) -> Vec<u8> {
        self.cuts.inc_by(cuts.saturating_sub(self.cuts.get()));
        let mut text = Vec::new();
        // Writing to memory does not fail.
        let _ = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        text
    }
}

/// One open connection.
pub(super) struct Open(IntGauge);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}
