//! What `kubectl tradingbot` does.

pub mod args;
mod backups;
mod connect;
mod operate;
mod remedies;
mod render;
mod status;
mod timeline;
mod times;

use std::process::ExitCode;

use args::{Arguments, Command};
use connect::{Failure, connect};
use operate::Ask;

/// Runs one command. Exit codes: 0 it did what was asked, 1 it did not, 2 the command or the bot is not there.
pub async fn run(arguments: Arguments) -> ExitCode {
    match carry_out(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { code, sentence }) => {
            eprintln!("{sentence}");
            ExitCode::from(code)
        }
    }
}

async fn carry_out(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { connection, command } = arguments;
    let (client, namespace) = connect(&connection).await?;
    match command {
        Command::Status { name, watch } => status::status(client, &namespace, name.as_deref(), watch).await,
        Command::Switchover { name, to, request } => {
            operate::ask(client, &namespace, Ask::switchover(name, to), request).await
        }
        Command::Failover { name, to, request } => {
            operate::ask(client, &namespace, Ask::failover(name, to), request).await
        }
        Command::Backup { name, schedule, request } => {
            operate::ask(client, &namespace, Ask::backup(name, schedule), request.into()).await
        }
        Command::Backups { name } => status::backups(client, &namespace, &name).await,
        Command::Restore { name, id, before, latest: _, confirm, request } => {
            operate::ask(client, &namespace, Ask::restore(name, id, before, confirm), request.into()).await
        }
        Command::ConfirmStopped { name, epoch, by, request } => {
            operate::ask(client, &namespace, Ask::confirm_stopped(name, epoch, by), request).await
        }
    }
}
