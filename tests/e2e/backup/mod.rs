//! Backups that are proven to restore: judged at the data and at the exchange, never by the operator's word alone.

mod copies;
mod damage;
mod destination;
mod directory;
mod interrupted;
mod ownership;
mod postgresql;
mod restore;
mod schedule;
mod sqlite;

use serde_json::{Value, json};

use crate::harness::POSTGRESQL_IMAGE;

/// A command that writes so many MiB which cannot be compressed.
fn noise(mebibytes: u32) -> Value {
    command(&format!("head -c {} /dev/urandom", u64::from(mebibytes) << 20))
}

/// What a shell script writes.
fn command(script: &str) -> Value {
    json!({"command": {"command": ["sh", "-ec", script], "image": POSTGRESQL_IMAGE}})
}

/// A shell script that restores.
fn runner(script: &str) -> Value {
    json!({"command": ["sh", "-ec", script], "image": POSTGRESQL_IMAGE})
}

/// The CronJob of the schedule that scenarios have.
const CRON_JOB: &str = "doge-b-yearly";
