//! What programs need around their decisions: clocks, random numbers, clients of the API server, logs, the admin server, signals.

pub mod admin;
pub mod client;
pub mod clock;
pub mod random;
pub mod reach;
pub mod shutdown;
pub mod skew;
pub mod telemetry;
