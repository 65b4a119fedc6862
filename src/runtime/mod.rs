//! What programs need around their decisions: clocks, clients of the API server, logs, the admin server, signals.

pub mod admin;
pub mod client;
pub mod clock;
pub mod shutdown;
pub mod telemetry;
