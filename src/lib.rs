//! Exactly one trading bot trades: the library behind the operator, the agent and the kubectl plugin.

#[cfg(feature = "agent")]
pub mod agent;
pub mod api;
#[cfg(feature = "backup")]
pub mod backup;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "operator")]
pub mod controller;
pub mod core;
#[cfg(any(feature = "agent", feature = "backup"))]
mod install;
#[cfg(feature = "operator")]
pub mod runtime;
#[cfg(feature = "simulation")]
pub mod simulation;
