//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use jiff::Timestamp;

use crate::core::backup::BackupId;

/// See which bot trades, and move trading.
#[derive(Debug, Parser)]
#[command(name = "kubectl-tradingbot", bin_name = "kubectl tradingbot", version)]
pub struct Arguments {
    /// Which cluster and namespace.
    #[command(flatten)]
    pub connection: Connection,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Which cluster and namespace, as kubectl has it.
#[derive(Args, Debug, Default)]
pub struct Connection {
    /// Path of the kubeconfig file; otherwise KUBECONFIG, otherwise ~/.kube/config
    #[arg(long, global = true, value_name = "PATH")]
    pub kubeconfig: Option<PathBuf>,
    /// The context in the kubeconfig; otherwise the current one
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// The namespace; otherwise that of the context
    #[arg(short, long, global = true, value_name = "NAME")]
    pub namespace: Option<String>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show who trades, what needs attention, and how trading moved
    Status {
        /// The bot; otherwise all of the namespace
        name: Option<String>,
        /// Go on with every change, and with the timeline of moves as they happen
        #[arg(short, long)]
        watch: bool,
    },
    /// Move trading to a standby as planned: the active stops gracefully, and only if someone can take over
    Switchover {
        /// The bot
        name: String,
        /// The pod that shall trade; otherwise the operator chooses
        #[arg(long, value_name = "POD")]
        to: Option<String>,
        #[command(flatten)]
        request: Request,
    },
    /// Force trading to move: also when the active does not answer, and in spite of limits; safety rules still hold
    Failover {
        /// The bot
        name: String,
        /// The pod that shall trade; otherwise the operator chooses
        #[arg(long, value_name = "POD")]
        to: Option<String>,
        #[command(flatten)]
        request: Request,
    },
    /// Make a backup now, beside those of the schedules
    Backup {
        /// The bot
        name: String,
        /// The schedule whose retention it falls under; otherwise it is kept for good
        #[arg(long, value_name = "NAME")]
        schedule: Option<String>,
        #[command(flatten)]
        request: LongRequest,
    },
    /// Show the newest backups
    Backups {
        /// The bot
        name: String,
    },
    /// Put a backup back while nobody trades. What is there now is overwritten; afterwards the bot trades again
    #[command(group = clap::ArgGroup::new("which").required(true).args(["id", "before", "latest"]))]
    Restore {
        /// The bot
        name: String,
        /// The backup, by its id
        #[arg(long)]
        id: Option<BackupId>,
        /// The newest good backup that was begun before this time, such as 2026-11-24T02:00:00Z
        #[arg(long, value_name = "TIME")]
        before: Option<Timestamp>,
        /// The newest good backup
        #[arg(long)]
        latest: bool,
        /// The bot's name once more, because what is there now is overwritten
        #[arg(long, value_name = "BOT")]
        confirm: String,
        #[command(flatten)]
        request: LongRequest,
    },
    /// Confirm that the active of an epoch has stopped, where nothing else can prove it. Look at the exchange first: if
    /// it still trades, two will
    ConfirmStopped {
        /// The bot
        name: String,
        /// The epoch whose active has stopped, as the status shows it
        #[arg(long)]
        epoch: u64,
        /// Your name, for the record
        #[arg(long, value_name = "NAME")]
        by: String,
        #[command(flatten)]
        request: Request,
    },
}

/// How to ask, and how long to wait.
#[derive(Args, Clone, Debug)]
pub struct Request {
    /// Why, for those who read it later
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Seconds to wait for the end; the operation itself goes on
    #[arg(long, default_value_t = 120, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86400))]
    pub timeout: u64,
}

/// The same for what takes as long as there is data.
#[derive(Args, Clone, Debug)]
pub struct LongRequest {
    /// Why, for those who read it later
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Seconds to wait for the end; the operation itself goes on
    #[arg(long, default_value_t = 3600, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=604800))]
    pub timeout: u64,
}

impl From<LongRequest> for Request {
    fn from(LongRequest { reason, timeout }: LongRequest) -> Self {
        Request { reason, timeout }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(line.split(' '))
    }

    #[test]
    fn kubectls_own_flags_are_taken_before_and_after_the_command() {
        for line in ["x -n money status doge", "x status doge --namespace money"] {
            let arguments = parse(line).unwrap();
            assert_eq!(arguments.connection.namespace.as_deref(), Some("money"));
        }
    }

    #[test]
    fn a_restore_needs_one_backup_and_the_bots_name_once_more() {
        for which in ["--latest", "--before 2026-11-24T02:00:00Z", "--id 20261124T020000Z-daily-3f9a"] {
            assert!(parse(&format!("x restore doge {which}")).is_err(), "{which} without --confirm");
            assert!(parse(&format!("x restore doge {which} --confirm doge")).is_ok(), "{which}");
        }
        assert!(parse("x restore doge --confirm doge").is_err());
        assert!(parse("x restore doge --latest --id 20261124T020000Z-daily-3f9a --confirm doge").is_err());
        assert!(parse("x restore doge --id ../../x --confirm doge").is_err());
    }

    #[test]
    fn a_confirmation_needs_an_epoch_and_a_name() {
        assert!(parse("x confirm-stopped doge --epoch 7").is_err());
        assert!(parse("x confirm-stopped doge --by mia").is_err());
        assert!(parse("x confirm-stopped doge --epoch 7 --by mia").is_ok());
        assert_eq!(parse("x switchover").unwrap_err().exit_code(), 2);
    }
}
