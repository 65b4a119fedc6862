//! The part of the product that is fuzzed under coverage, by the paths that it has in the product.

#[path = "../../src/api/mod.rs"]
pub mod api;
pub mod controller;
#[path = "../../src/core/mod.rs"]
pub mod core;
