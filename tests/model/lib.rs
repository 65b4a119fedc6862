//! A bounded world of two operators, three agents, one Lease, one status, reconciliation Jobs and an exchange. Everybody
//! decides with the very functions of production; a network, an API server, kubelets and clocks do to them whatever
//! `Bounds` allow, in every order.
//!
//! Read `world` first (what there is), then `events` (what can happen), `properties` (what must hold) and `fair` (what
//! must follow). `operators` and `agents` stand in for the shells around the core.

#[path = "../../src/core/mod.rs"]
pub mod core;

pub mod agents;
pub mod bounds;
pub mod cache;
pub mod canonical;
pub mod counts;
pub mod dead;
pub mod events;
pub mod exchange;
pub mod fair;
pub mod hashing;
pub mod interned;
pub mod jobs;
pub mod known;
pub mod names;
pub mod operators;
pub mod pods;
pub mod possible;
pub mod properties;
pub mod report;
pub mod requests;
pub mod rounds;
pub mod search;
pub mod world;
