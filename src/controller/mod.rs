//! The operator: observe, decide (in [`crate::core::failover`]), apply.

pub mod accounts;
pub mod api_server;
pub mod apply;
pub mod build;
pub mod call;
pub mod children;
pub mod conditions;
pub mod credentials;
pub mod election;
pub mod events;
pub mod finalize;
pub mod jobs;
pub mod metrics;
pub mod nodes;
pub mod observe;
pub mod operations;
pub mod pods;
pub mod policy_probe;
pub mod registry;
mod relist;
pub mod run;
pub mod scope;
pub mod sightings;
pub mod template;
pub mod watches;
pub mod worker;
