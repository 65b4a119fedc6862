//! The agent: PID 1 of the bot's container. It starts, supervises and stops the bot and holds the Lease for it.
//!
//! What is decided is in [`crate::core::agent`]; here it is carried out.

mod board;
mod bypass;
mod canary;
mod clock;
mod config;
mod container;
mod credentials;
mod gate;
mod guard;
mod health;
mod hooks;
mod http_client;
mod install;
mod kill;
mod lease_link;
mod local_api;
mod log;
mod narrate;
mod page;
mod pausing;
mod processes;
mod promotion;
mod remedies;
mod resolve;
mod run;
pub mod shell;
mod shutdown;
mod sockets;
mod surroundings;
mod switch;
mod unsent;

use std::process::ExitCode;

pub use config::{Refusal, setup};
pub use lease_link::{Told, patch as lease_patch};

/// Wrong use or wrong configuration, as in `sysexits.h`.
const EX_USAGE: u8 = 64;

const USAGE: &str = "\
usage: tradingbot-agent install DEST
       tradingbot-agent run -- COMMAND [ARGUMENT...]";

/// The program.
pub fn main(arguments: impl Iterator<Item = std::ffi::OsString>) -> ExitCode {
    let arguments: Vec<_> = arguments.collect();
    let words: Vec<_> = arguments.iter().map(|word| word.to_str()).collect();
    let result = match words.as_slice() {
        [Some("install"), Some(destination)] => install::install(destination.as_ref()).map(|()| ExitCode::SUCCESS),
        [Some("run"), Some("--"), _, ..] => run::run(&arguments[2..]),
        [Some("run"), ..] => Err(Refusal::NoCommand),
        [Some("--version")] => {
            println!("tradingbot-agent {}", env!("CARGO_PKG_VERSION"));
            Ok(ExitCode::SUCCESS)
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(EX_USAGE);
        }
    };
    result.unwrap_or_else(|refusal| {
        eprintln!("tradingbot-agent: {refusal}");
        ExitCode::from(EX_USAGE)
    })
}
