//! What is done about a check that fails, one remedy after the other.
//!
//! A rule names its remedies in order: those of the agent first, which act on the process that it supervises, then those
//! of the operator, which need the Lease. The agent takes its own; when they are used up it stops the bot in good order
//! and gives the Lease back, naming the rule, and the operator takes the next of its own. So whatever a rule says, nobody
//! trades but under a grant and its permit.

use std::fmt;

use serde::{Deserialize, Serialize};

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

#[cfg(test)]
mod tests {
    use super::*;

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
