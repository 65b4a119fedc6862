//! A dump of PostgreSQL, by pg_restore.

use std::io::Read;
use std::process::Command;

use super::{broken, restore_failed, with_target};
use crate::backup::source::child::{self, Broken, Ended, Streams};
use crate::backup::source::missing_program;
use crate::backup::source::surroundings::Surroundings;
use crate::core::backup::report::{Failure, FailureReason};

const PG_RESTORE: &str = "pg_restore";

/// Puts the dump into the database that the environment names, in one transaction: what is in the dump is dropped and made
/// again, what is not in it stays. Tables of the same name are locked meanwhile.
///
/// pg_restore that ends with an error before it commits has changed nothing: the server rolls its transaction back. The
/// target counts as changed where that is not certain: the connection broke at the commit, or pg_restore was ended from
/// outside and may have sent the commit before.
pub(super) fn restore(around: &Surroundings, content: &mut dyn Read) -> Result<(), Failure> {
    match run(database(around)?, content) {
        Err((changed, failure)) => Err(with_target(changed, failure)),
        Ok(()) => Ok(()),
    }
}

/// Restores into the database that the environment names, which belongs to the verification alone. Without one the dump
/// is decoded to its end, each table's rows included, and goes nowhere.
pub(super) fn rehearse(around: &Surroundings, content: &mut dyn Read) -> Result<(), Failure> {
    let command = match around.variable("PGDATABASE") {
        Some(_) => database(around)?,
        None => {
            tracing::info!(
                "PGDATABASE is not set, so the dump is decoded to its end and restored into no database: set \
                 spec.backup.verification.runner.secretName for a scratch database."
            );
            around.command(PG_RESTORE, ["--file=/dev/null"])
        }
    };
    run(command, content).map_err(|(_, failure)| failure)
}

/// pg_restore into a database. Everything of the connection but its name comes from libpq's own variables.
fn database(around: &Surroundings) -> Result<Command, Failure> {
    // As libpq: the user's name where there is no other.
    let Some(name) = around.variable("PGDATABASE").or_else(|| around.variable("PGUSER")) else {
        return Err(Failure::new(
            FailureReason::Misconfigured,
            "PGDATABASE is not set, so there is no database to restore into: add it to the Secret of \
             spec.backup.source.postgresql.secretName.",
        ));
    };
    let mut argument = std::ffi::OsString::from("--dbname=");
    argument.push(name);
    let mut command = around.command(
        PG_RESTORE,
        [
            "--clean",
            "--if-exists",
            "--no-owner",
            "--no-privileges",
            "--exit-on-error",
            "--single-transaction",
            "--no-password",
        ],
    );
    command.arg(argument);
    Ok(command)
}

/// A failure, and whether the target may have changed.
fn run(mut command: Command, content: &mut dyn Read) -> Result<(), (bool, Failure)> {
    // What it complains about is looked at, and quoted.
    command.env("LC_ALL", "C");
    let ended = child::run(PG_RESTORE, command, Streams::From(content)).map_err(|error| match error {
        Broken::Start(error) if error.kind() == std::io::ErrorKind::NotFound => {
            (false, missing_program(PG_RESTORE, "spec.backup.source.postgresql.image"))
        }
        Broken::Start(_) => (false, broken("pg_restore", error)),
        _ => (true, broken("pg_restore", error)),
    })?;
    match ended.trouble() {
        None => Ok(()),
        Some(trouble) => {
            let changed = is_uncertain(&ended);
            let rest = match changed {
                true => "whether the database was changed is not certain",
                false => "the database is as it was before",
            };
            Err((changed, restore_failed(format!("pg_restore {trouble}; {rest}."))))
        }
    }
}

/// Whether it may have committed and yet failed.
fn is_uncertain(ended: &Ended) -> bool {
    ended.status.code().is_none() || ended.said.contains("Command was: COMMIT")
}
