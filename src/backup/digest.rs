//! Counting and summing what passes.

use std::fmt::Write;

use aws_lc_rs::digest::{Context, SHA256, digest};

use crate::core::backup::manifest::Digest;

/// A sum that grows.
#[derive(Clone)]
pub struct Digester {
    context: Context,
    bytes: u64,
}

impl Default for Digester {
    fn default() -> Self {
        Digester { context: Context::new(&SHA256), bytes: 0 }
    }
}

impl Digester {
    /// Takes what comes next.
    pub fn update(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    /// How many bytes it has seen.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Of all of it.
    pub fn finish(self) -> Digest {
        Digest { bytes: self.bytes, sha256: hex(self.context.finish().as_ref()) }
    }
}

/// The sum of these bytes, in hex.
pub fn sha256(bytes: &[u8]) -> String {
    hex(digest(&SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
