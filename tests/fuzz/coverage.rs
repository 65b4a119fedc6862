//! One target under libFuzzer: `make fuzz` builds this with the compiler's instrumentation for coverage.
//!
//! The environment variable `FUZZ_TARGET` says which, or `list` for all of them, each with the length of its longest input
//! and how many inputs the tests make up; the arguments are libFuzzer's.

#![no_main]

mod source;
mod targets;

use std::process::exit;
use std::sync::OnceLock;

use targets::{ALL, Target};
use tradingbot_fuzz as product;

fn chosen() -> &'static Target {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    if name == "list" {
        ALL.iter().for_each(|target| println!("{} {} {}", target.name, target.longest, target.inputs));
        exit(0);
    }
    ALL.iter().find(|target| target.name == name).unwrap_or_else(|| {
        eprintln!("There is no target '{name}'; FUZZ_TARGET=list lists them.");
        exit(64)
    })
}

static TARGET: OnceLock<&Target> = OnceLock::new();

libfuzzer_sys::fuzz_target!(init: { TARGET.get_or_init(chosen); }, |data: &[u8]| {
    (TARGET.get_or_init(chosen).run)(data);
});
