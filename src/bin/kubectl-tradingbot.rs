//! `kubectl tradingbot`.

use std::process::ExitCode;

use clap::Parser as _;
use tradingbot::cli::args::Arguments;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    tradingbot::cli::run(Arguments::parse()).await
}
