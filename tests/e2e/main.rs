//! The product on a real cluster, judged at the exchange. Run it with `make e2e [ONLY=pattern] [KEEP=1]`; one part or
//! scenario with `cargo test --test e2e -- pattern` on a cluster that `make e2e KEEP=1` left.

mod account;
mod backup;
mod bench;
mod chart;
mod credentials;
mod failover;
mod faults;
mod gate;
mod harness;
mod privileges;
mod recovery;
mod shutdown;
