//! The decisions of the product, pure: no I/O, no clock, no randomness, no Kubernetes client.
//!
//! Time comes in as an argument, effects go out as values, and the outcome of every effect comes back as an
//! observation. Production, the model checker and the simulation run these very functions.

pub mod account;
pub mod agent;
pub mod backup;
pub mod failover;
pub mod fitting;
pub mod gate;
pub mod health;
pub mod ids;
pub mod lease;
pub mod recovery;
pub mod report;
pub mod shutdown;
pub mod silence;
pub mod time;
pub mod wrong;
