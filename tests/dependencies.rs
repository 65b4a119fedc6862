//! The part of the dependency policy (`deny.toml`) that is looked at in every run of the tests: one TLS stack, and nothing
//! that is not from the registry.

use std::fs;
use std::path::Path;
use std::process::Command;

/// Crates that bring a second TLS stack or a library that is not static, and what to use in their place.
const REFUSED: [(&str, &str); 3] = [
    ("ring", "aws-lc-rs, by a feature of the crate that wants ring"),
    ("openssl-sys", "rustls, by a feature of the crate that wants OpenSSL"),
    ("native-tls", "rustls, by a feature of the crate that wants it"),
];

const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The names of all crates that are compiled for the architectures of the images, tests included.
///
/// Cargo.lock would not do: it lists what any feature of any crate could ask for.
fn compiled() -> Vec<String> {
    let output = Command::new(env!("CARGO"))
        .current_dir(top())
        .args(["tree", "--locked", "--workspace", "--all-features", "--edges", "normal,build,dev"])
        .args(["--target", "x86_64-unknown-linux-gnu", "--target", "aarch64-unknown-linux-gnu"])
        .args(["--prefix", "none", "--format", "{p}"])
        .output()
        .expect("cargo can be started");
    assert!(output.status.success(), "cargo tree failed: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("cargo prints UTF-8");
    text.lines().filter_map(|line| line.split_whitespace().next()).map(ToOwned::to_owned).collect()
}

/// Packages of a lock file that come from elsewhere than the registry or this repository.
fn from_elsewhere(lock: &str) -> Vec<&str> {
    let sources = lock.lines().filter_map(|line| line.strip_prefix("source = "));
    sources.map(|source| source.trim_matches('"')).filter(|source| *source != REGISTRY).collect()
}

#[test]
fn there_is_one_tls_stack() {
    let crates = compiled();
    assert!(crates.iter().any(|name| name == "rustls"), "cargo tree was not understood: it lists no rustls");
    for (refused, instead) in REFUSED {
        assert!(!crates.iter().any(|name| name == refused), "{refused} is compiled in; use {instead}");
    }
}

#[test]
fn every_dependency_is_from_the_registry() {
    let lock = fs::read_to_string(top().join("Cargo.lock")).expect("there is Cargo.lock");
    assert!(lock.contains(REGISTRY), "Cargo.lock was not understood");
    assert_eq!(from_elsewhere(&lock), Vec::<&str>::new());
    assert_eq!(from_elsewhere("source = \"git+https://example.com/x#1\"\n"), ["git+https://example.com/x#1"]);
}

#[test]
fn the_policy_refuses_the_same_crates() {
    let policy = fs::read_to_string(top().join("deny.toml")).expect("there is deny.toml");
    for (refused, _) in REFUSED {
        assert!(policy.contains(&format!("crate = \"{refused}\"")), "deny.toml does not refuse {refused}");
    }
}
