//! What the operator decides: who is granted the Lease, who may trade, and when an epoch is over.

mod types;

pub use types::*;
