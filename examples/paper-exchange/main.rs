//! A crypto exchange on paper: it takes orders in DOGE_JPY over HTTP and logs every request that changes something,
//! with the fencing token that came with it, on its own clock. Tests ask it who traded when, and `/audit` whether any
//! safety rule was broken. See docs/reference/paper-exchange.md.

#[path = "../common/args.rs"]
mod args;
mod exchange;
#[cfg(test)]
#[path = "../common/http.rs"]
mod http;
#[cfg(test)]
mod tests;

use std::fs::OpenOptions;
use std::process::ExitCode;

use args::Args;
use exchange::server::{Config, Server};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

const USAGE: &str = "paper-exchange [--listen 0.0.0.0:8080] [--fence] [--log-file PATH] [--log-entries 2000000]";

struct Options {
    listen: String,
    config: Config,
}

fn options(mut args: Args) -> Result<Options, String> {
    let listen = args.value("--listen")?.unwrap_or_else(|| "0.0.0.0:8080".to_owned());
    let log_entries = args.parsed("--log-entries", 2_000_000)?;
    let fence = args.flag("--fence");
    let path = args.value("--log-file")?;
    args.finish()?;
    let open = |path: String| {
        let file = OpenOptions::new().create(true).append(true).open(&path);
        file.map_err(|error| format!("the log file {path} cannot be opened: {error}"))
    };
    Ok(Options { listen, config: Config { log_entries, log_file: path.map(open).transpose()?, fence } })
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), String> {
    let Options { listen, config } = options(Args::from_env()).map_err(|error| format!("{error}\n{USAGE}"))?;
    let listener = TcpListener::bind(&listen).await.map_err(|error| format!("cannot listen on {listen}: {error}"))?;
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| format!("cannot wait for SIGTERM: {error}"))?;
    println!("paper exchange on {listen}");
    tokio::select! {
        result = Server::new(config).serve(listener) => result.map_err(|error| format!("the server ended: {error}")),
        _ = terminate.recv() => Ok(()),
    }
}
