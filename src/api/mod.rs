//! What is written to and read from the API server, apart from how: the custom resources, the Lease, the agent's
//! configuration, and the names they go by.

#[cfg(feature = "schema")]
pub mod account_lease;
#[cfg(feature = "schema")]
mod account_status;
pub mod agent_config;
pub mod backup;
pub mod backup_config;
pub mod backup_rules;
#[cfg(feature = "schema")]
pub mod backup_status;
#[cfg(all(test, feature = "schema"))]
mod baseline;
#[cfg(feature = "schema")]
pub mod bot;
#[cfg(feature = "schema")]
pub mod bot_status;
#[cfg(feature = "schema")]
pub mod crds;
#[cfg(feature = "schema")]
pub mod health;
pub mod health_config;
#[cfg(feature = "schema")]
mod hooks;
pub mod lease;
#[cfg(feature = "schema")]
mod lifecycle;
#[cfg(feature = "schema")]
mod move_status;
pub mod names;
#[cfg(feature = "schema")]
pub mod operation;
#[cfg(feature = "schema")]
pub mod record;
#[cfg(feature = "schema")]
pub mod recovery;
#[cfg(feature = "schema")]
mod rules;
#[cfg(feature = "schema")]
mod schema;
#[cfg(feature = "schema")]
pub mod wanted;
