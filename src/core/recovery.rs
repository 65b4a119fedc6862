//! What is done about a check that fails, one remedy after the other.
//!
//! A rule names its remedies in order: those of the agent first, which act on the process that it supervises, then those
//! of the operator, which need the Lease. The agent takes its own; when they are used up it stops the bot in good order
//! and gives the Lease back, naming the rule, and the operator takes the next of its own. So whatever a rule says, nobody
//! trades but under a grant and its permit.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::fitting::{KEPT_OF_ERRORS, fitting};

/// One remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Remedy {
    /// The agent ends the bot's process and starts it again, within its epoch.
    RestartProcess,
    /// The agent calls a hook at the bot, such as one that clears a cache or connects again.
    Hook,
    /// The pod is deleted and made again; meanwhile trading moves to a ready standby, if there is one.
    RestartPod,
    /// Trading moves to another pod.
    Failover,
    /// Nobody trades until a person says so.
    Suspend,
    /// The remedies are used up: nobody trades until a person says so or, where standbys run the check, until it has
    /// failed and passes again on one.
    Escalate,
}

impl Remedy {
    /// Whether the agent takes it by itself.
    pub fn is_agents(self) -> bool {
        matches!(self, Remedy::RestartProcess | Remedy::Hook)
    }
}

/// The reason of a release that a rule wants, as the agent writes it into the Lease after its word: which rule, which
/// check and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Complaint {
    /// The rule, a DNS label.
    pub rule: String,
    /// The check, a DNS label.
    pub check: String,
    /// What is wrong, a sentence.
    pub error: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the check {} of the rule {} fails: {}", self.check, self.rule, self.error)
    }
}

impl Complaint {
    /// Reads what `Display` writes.
    pub fn parse(text: &str) -> Option<Complaint> {
        let (check, rest) = text.strip_prefix("the check ")?.split_once(" of the rule ")?;
        let (rule, error) = rest.split_once(" fails: ")?;
        let is_name = |name: &str| !name.is_empty() && !name.contains([' ', ':']);
        (is_name(check) && is_name(rule)).then(|| Complaint {
            rule: rule.to_owned(),
            check: check.to_owned(),
            error: error.to_owned(),
        })
    }
}

/// How many remedies an agent tells of: the last ones of the epoch.
pub const MOST_REMEDIES: usize = 5;
/// Bytes of the annotation that tells of them, at most; the admission policy of the chart knows it, too.
const LONGEST: usize = 2048;

/// What an agent did by itself about a check that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RemedyReport {
    /// When, in UTC as RFC 3339.
    pub time: String,
    /// The rule.
    pub rule: String,
    /// What was done.
    #[serde(rename = "type")]
    pub remedy: Remedy,
    /// The check that failed.
    pub check: String,
    /// Whether it helped.
    pub result: RemedyResult,
    /// What was wrong, a sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// What the checks say of a remedy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum RemedyResult {
    /// They have not told yet, or trading ended before they did.
    #[default]
    Unknown,
    /// The checks of the rule passed after it.
    Helped,
    /// One went on failing until the next remedy's turn.
    DidNotHelp,
}

/// What an agent writes into its Lease of what it did, oldest first. Nothing: an empty text.
pub fn told(remedies: &[RemedyReport]) -> String {
    if remedies.is_empty() {
        return String::new();
    }
    fitting(LONGEST, &KEPT_OF_ERRORS, |kept| {
        let cut = |of: &RemedyReport| RemedyReport { message: of.message.chars().take(kept).collect(), ..of.clone() };
        remedies.iter().map(cut).collect::<Vec<_>>()
    })
}

/// Reads what [`told`] writes. A text that no agent of ours would have written says nothing.
pub fn heard(text: &str) -> Vec<RemedyReport> {
    let remedies = (text.len() <= LONGEST).then(|| serde_json::from_str::<Vec<RemedyReport>>(text).ok()).flatten();
    let ours = |all: &Vec<RemedyReport>| all.len() <= MOST_REMEDIES && all.iter().all(|of| of.remedy.is_agents());
    remedies.filter(ours).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(message: &str) -> RemedyReport {
        RemedyReport {
            time: "2026-11-24T12:00:00Z".into(),
            rule: "r".repeat(40),
            remedy: Remedy::RestartProcess,
            check: "c".repeat(40),
            result: RemedyResult::DidNotHelp,
            message: message.into(),
        }
    }

    #[test]
    fn what_an_agent_tells_of_its_remedies_is_short_and_is_heard() {
        let two = [report("No answer within 2 s."), report("")];
        assert_eq!(heard(&told(&two)), two);
        assert_eq!(told(&[]), "");
        for message in ["x".repeat(5_000), "\u{1}".repeat(500), "ü".repeat(400)] {
            let text = told(&vec![report(&message); MOST_REMEDIES]);
            assert!(!text.is_empty() && text.len() <= LONGEST, "{} bytes", text.len());
            assert_eq!(heard(&text).len(), MOST_REMEDIES);
        }
    }

    #[test]
    fn what_no_agent_would_tell_says_nothing() {
        let foreign = RemedyReport { remedy: Remedy::Failover, ..report("") };
        let many = serde_json::to_string(&vec![report(""); MOST_REMEDIES + 1]).unwrap();
        for text in ["", "nonsense", "{}", "[{}]", &told(&[foreign]), &many] {
            assert_eq!(heard(text), [], "{text}");
        }
    }

    #[test]
    fn a_complaint_survives_the_round_trip() {
        let complaint =
            Complaint { rule: "blind".into(), check: "price".into(), error: "$.price: of the rule x fails: y".into() };
        assert_eq!(Complaint::parse(&complaint.to_string()), Some(complaint));
        for text in ["", "the bot ended.", "the check  of the rule r fails: x", "the check c of the rule r: x"] {
            assert_eq!(Complaint::parse(text), None, "{text}");
        }
    }
}
