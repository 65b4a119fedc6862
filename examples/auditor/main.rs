//! `auditor < log.jsonl`: was any safety rule broken? Judges the log of the paper exchange and shares no code with
//! the operator. Exits with 1 when something was broken.

#[path = "../common/args.rs"]
mod args;
mod entry;
mod rules;
#[cfg(test)]
mod tests;
mod verdict;

use std::io::{BufRead, stdin};
use std::process::ExitCode;

use args::Args;

const USAGE: &str = "auditor [--reconciled] [--exempt TOKEN,TOKEN] [--account NAME] [--marker TEXT] < log.jsonl";

fn options(args: &mut Args) -> Result<verdict::Options, String> {
    let exempt = args.value("--exempt")?.unwrap_or_default();
    Ok(verdict::Options {
        reconciled: args.flag("--reconciled"),
        exempt: exempt
            .split(',')
            .filter(|token| !token.is_empty())
            .map(|token| token.parse().map_err(|_| format!("--exempt: '{token}' is not a fencing token")))
            .collect::<Result<_, _>>()?,
        account: args.value("--account")?,
        marker: args.value("--marker")?,
    })
}

fn main() -> ExitCode {
    let mut args = Args::from_env();
    let options = match options(&mut args).and_then(|options| args.finish().map(|()| options)) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let mut auditor = rules::Auditor::new(options);
    for line in stdin().lock().lines() {
        match line {
            Ok(line) => auditor.line(&line),
            Err(error) => {
                eprintln!("the log cannot be read: {error}");
                return ExitCode::from(2);
            }
        }
    }
    let verdict = auditor.finish();
    println!("{}", serde_json::to_string_pretty(&verdict).expect("a verdict is always JSON"));
    ExitCode::from(u8::from(!verdict.ok))
}
