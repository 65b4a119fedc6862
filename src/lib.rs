//! Exactly one trading bot trades: the library behind the operator, the agent and the kubectl plugin.

pub mod api;
pub mod core;
