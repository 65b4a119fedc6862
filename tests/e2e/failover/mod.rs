//! One trades, and when it is lost, another does.

mod bad_input;
mod claims;
mod crash;
mod freeze;
mod lifecycle;
mod limits;
mod operations;
mod plugin;
mod pods;
mod reconciliation;
mod start;
mod whole_cluster;
