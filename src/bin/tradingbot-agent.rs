//! The agent, PID 1 of every bot's container.

fn main() -> std::process::ExitCode {
    #[cfg(feature = "wrong")]
    tradingbot::core::wrong::choose_named(std::env::var("TRADINGBOT_WRONG").ok());
    tradingbot::agent::main(std::env::args_os().skip(1))
}
