//! What of the operator is pure.

#[path = "../../src/controller/build/mod.rs"]
pub mod build;
#[path = "../../src/controller/jobs.rs"]
pub mod jobs;
#[path = "../../src/controller/backup/names.rs"]
pub mod names;
#[path = "../../src/controller/nodes.rs"]
pub mod nodes;
#[path = "../../src/controller/pods.rs"]
pub mod pods;

pub mod backup {
    pub use super::names;
}
