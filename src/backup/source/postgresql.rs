//! A PostgreSQL database, by pg_dump: one snapshot of it, while it is written.

use std::collections::BTreeMap;
use std::io::Write;

use super::child::{self, Broken, Streams};
use super::surroundings::Surroundings;
use super::{Produced, broken, source_failed};
use crate::api::backup::Compression;
use crate::core::backup::manifest::Format;
use crate::core::backup::report::{Failure, FailureReason};

const PG_DUMP: &str = "pg_dump";

/// Where to connect is for libpq's own variables to say: nothing of it is an argument, which other processes could read.
pub(super) fn produce(
    around: &Surroundings,
    compression: Compression,
    sink: &mut dyn Write,
) -> Result<Produced, Failure> {
    let version = version(around)?;
    let mut command = around.command(PG_DUMP, ["--format=custom", "--no-password"]);
    if compression == Compression::Zstd {
        // Compressed once is enough, and what is compressed already cannot be compressed well.
        command.arg("--compress=0");
    }
    // What it complains about is looked at, and quoted.
    command.env("LC_ALL", "C");
    tracing::info!("pg_dump {version} dumps the database that the environment names.");
    let ended = child::run(PG_DUMP, command, Streams::Into(sink)).map_err(|error| broken("pg_dump", error))?;
    if let Some(trouble) = ended.trouble() {
        let advice = advice(&ended.said);
        return Err(source_failed(format!("pg_dump {trouble}.{advice}")));
    }
    Ok(Produced { format: Format::PostgresqlCustom, tools: BTreeMap::from([(PG_DUMP.to_owned(), version)]) })
}

/// The version, such as `17.2`.
fn version(around: &Surroundings) -> Result<String, Failure> {
    let mut said = Vec::new();
    let command = around.command(PG_DUMP, ["--version"]);
    let ended = child::run(PG_DUMP, command, Streams::Into(&mut said)).map_err(|error| match error {
        Broken::Start(error) if error.kind() == std::io::ErrorKind::NotFound => {
            missing_program(PG_DUMP, "spec.backup.source.postgresql.image")
        }
        error => broken("pg_dump", error),
    })?;
    if let Some(trouble) = ended.trouble() {
        return Err(source_failed(format!("pg_dump --version {trouble}.")));
    }
    // "pg_dump (PostgreSQL) 17.2 (Debian 17.2-1)"
    let said = String::from_utf8_lossy(&said);
    let version = said.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    Ok(version.unwrap_or("of an unknown version").chars().take(40).collect())
}

/// A program of PostgreSQL is not in the image.
pub fn missing_program(program: &str, field: &str) -> Failure {
    Failure::new(
        FailureReason::Misconfigured,
        format!(
            "{program} is not in the image of this pod: set {field} to one that has it in PATH, of the server's version \
             or a later one, such as docker.io/library/postgres:17."
        ),
    )
}

fn advice(said: &str) -> &'static str {
    if said.contains("server version mismatch") {
        return " Set spec.backup.source.postgresql.image to one with pg_dump of the server's version or a later one.";
    }
    if said.contains("connection to server") || said.contains("could not translate host name") {
        return " The connection is what the Secret of spec.backup.source.postgresql.secretName says.";
    }
    ""
}
