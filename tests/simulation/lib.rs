//! A cluster in memory, on a virtual clock: the product's own shells run in it under every fault, and the same seed
//! always runs the same way.

pub mod api_server;
