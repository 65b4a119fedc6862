//! The agent, PID 1 of every bot's container.

fn main() -> std::process::ExitCode {
    tradingbot::agent::main(std::env::args_os().skip(1))
}
