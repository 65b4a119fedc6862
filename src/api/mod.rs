//! What is written to and read from the API server, apart from how: the custom resources, the Lease, the agent's
//! configuration, and the names they go by.

pub mod agent_config;
pub mod lease;
pub mod names;
