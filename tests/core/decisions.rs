//! `src/core` as production has it, without anything else.

#[path = "../../src/core/mod.rs"]
pub mod core;
