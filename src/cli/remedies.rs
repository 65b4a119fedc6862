//! What agents did by themselves about checks that failed, as lines.

use std::fmt::Write as _;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::times::ago;
use crate::api::bot_status::{Remedy, RemedyResult, RemedyStatus};

/// How many of the last remedies are shown.
const SHOWN: usize = 3;

/// The last remedies; nothing where there are none.
pub fn section(remedies: &[RemedyStatus], now: Timestamp, text: &mut String) {
    if remedies.is_empty() {
        return;
    }
    text.push_str("\nLast remedies\n");
    for of in remedies.iter().take(SHOWN) {
        let _ = writeln!(text, "  {}, {} ago", sentence(of), ago(&MicroTime(of.time.0), now));
        let _ = writeln!(text, "    {}: {}", of.check, of.message);
    }
}

/// What was done and whether it helped, a sentence without its full stop.
pub fn sentence(of: &RemedyStatus) -> String {
    let done = match of.remedy {
        Remedy::Hook => format!("Hook called on {}", of.pod),
        _ => format!("Process restarted on {}", of.pod),
    };
    let helped = match of.result {
        RemedyResult::Unknown => "not known whether it helped",
        RemedyResult::Helped => "it helped",
        RemedyResult::DidNotHelp => "it did not help",
    };
    format!("{done} by the rule {}: {helped}", of.rule)
}
