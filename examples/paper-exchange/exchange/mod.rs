//! The exchange without its process, so that the tests of bots can run it beside them.

mod arrivals;
mod book;
mod caller;
mod client;
mod control;
mod decimal;
#[path = "../../auditor/entry.rs"]
mod entry;
mod log;
mod modes;
#[path = "../../auditor/rules.rs"]
mod rules;
pub mod server;
#[path = "../../auditor/verdict.rs"]
mod verdict;
