//! A bot on paper: trades DOGE_JPY at a set rate while it is told that it is the active, and misbehaves on request.
//!
//! It needs no file and no library of the operator's: role and fencing token come from the environment and from the
//! agent's local API, whose stream it follows. See docs/reference/paper-exchange.md.

#[path = "../common/args.rs"]
mod args;
mod cancel;
mod control;
#[cfg(test)]
#[path = "../paper-exchange/exchange/mod.rs"]
mod exchange;
#[path = "../common/http.rs"]
mod http;
mod journal;
mod options;
mod pipeline;
mod postgresql;
#[cfg(test)]
mod process_tests;
mod role;
#[cfg(test)]
mod tests;
mod trader;
mod vitals;

use std::process::ExitCode;
use std::time::Duration;

use args::Args;
use control::Controls;
use options::{Options, USAGE};
use role::Role;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    ExitCode::from(program(Args::from_env()).await)
}

/// Everything, up to the exit code.
async fn program(mut args: Args) -> u8 {
    let subcommand = args.subcommand();
    match subcommand.as_deref() {
        None | Some("cancel") => {}
        // Hooks that succeed, and one that never returns.
        Some("promote" | "demote") => return 0,
        // A check that fails for four of every eight seconds.
        Some("flap") => return u8::from(vitals::now_milliseconds() / 4000 % 2 == 1),
        Some("hang") => loop {
            tokio::time::sleep(Duration::from_secs(3600)).await;
        },
        Some(other) => {
            eprintln!("'{other}' is not a command\n{USAGE}");
            return 2;
        }
    }
    let options = match Options::read(args, |name| std::env::var(name).ok()) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error}\n{USAGE}");
            return 2;
        }
    };
    let done = match subcommand {
        Some(_) => cancel::cancel(&options).await.map(|count| eprintln!("{count} orders were cancelled")),
        None => run(options).await,
    };
    match done {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{error}");
            1
        }
    }
}

async fn run(options: Options) -> Result<(), String> {
    if options.crash_at_start {
        return Err("told to crash at the start".to_owned());
    }
    let Options { name, instance, exchange, .. } = &options;
    eprintln!("process {} is instance {instance} of {name} at {exchange}", std::process::id());
    let controls = Controls::default();
    if options.ignore_sigterm {
        controls.ignore_sigterm();
    }
    let (roles, role) = watch::channel(Role::from_environment(&options));
    let follow = role::follow(&options, roles);
    let listen = control::serve(options.control, controls.clone());
    let trade = trader::trade(&options, role, controls.clone());
    tokio::select! {
        result = trade => result,
        result = listen => Err(format!("the control port {} cannot be served: {result:?}", options.control)),
        () = follow => Ok(()),
        () = terminated(&controls) => Ok(()),
    }
}

/// Ends on the first SIGTERM that is not to be ignored.
async fn terminated(controls: &Controls) {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    while terminate.recv().await.is_some() {
        if !controls.ignores_sigterm() {
            return;
        }
        eprintln!("SIGTERM is ignored, as was asked for");
    }
}
