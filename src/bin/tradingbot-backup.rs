//! What runs in the pods of backups, verifications and restores.

fn main() -> std::process::ExitCode {
    tradingbot::backup::main(std::env::args_os().skip(1))
}
