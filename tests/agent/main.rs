//! The agent as a process: PID 1 of a container of its own, with an API server that does as it is told.
//!
//! Every test runs in a network namespace of its own; it needs root.

mod api;
mod outside;
mod pod;

mod bench;
mod clients;
mod credentials;
mod gate;
mod health;
mod lease;
mod page;
mod pausing;
mod processes;
mod proxy;
mod shutdown;
mod sockets;
mod start;
mod switch;
#[cfg(feature = "wrong")]
mod wrong;
