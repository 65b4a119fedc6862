//! What runs in the pods of backups, verifications and restores: it has the user's keys of the destination, which the
//! operator never sees, and tells the operator in its termination message what came of it.

mod catalogue;
mod digest;
mod log;
mod make;
mod manifest;
mod pipeline;
mod places;
mod prove;
mod report;
mod retain;
mod run;
pub mod source;
mod stop;
mod store;
pub mod target;

use std::ffi::OsString;
use std::process::ExitCode;

/// Wrong use, as in `sysexits.h`.
const EX_USAGE: u8 = 64;

const USAGE: &str = "\
usage: tradingbot-backup install FILE
       tradingbot-backup run";

/// The program: `install FILE` copies itself, `run` does what the configuration in the environment says.
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<_> = arguments.collect();
    let words: Vec<_> = arguments.iter().map(|word| word.to_str()).collect();
    match words.as_slice() {
        [Some("install"), Some(destination)] => match crate::install::install(destination.as_ref()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("tradingbot-backup: copying this program to {destination} failed: {error}");
                ExitCode::from(EX_USAGE)
            }
        },
        [Some("run")] => {
            log::start();
            run::run()
        }
        [Some("--version")] => {
            println!("tradingbot-backup {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(EX_USAGE)
        }
    }
}
