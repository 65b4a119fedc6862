//! What is decided about backups, pure: which are kept, how old the newest may get, what their manifests and reports say.

pub mod id;
pub mod manifest;
pub mod report;
pub mod retention;
pub mod schedule;

pub use id::{BackupId, ON_DEMAND};
pub use manifest::Manifest;
