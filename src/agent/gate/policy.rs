//! Who may connect where at this moment, and the sentence for whoever may not.

use super::fence::{Fence, Kind};
use crate::api::agent_config::GateConfig;
use crate::core::gate::{HostRule, NoHost, Target};

/// The hosts of the configuration.
pub(super) struct Policy {
    allowed: Vec<HostRule>,
    standby: Vec<HostRule>,
    pod: String,
}

/// A connection that may be made now.
pub(super) struct Allowed {
    pub(super) kind: Kind,
    /// The entry that allows it, for metrics.
    pub(super) rule: String,
}

impl Policy {
    /// # Errors
    /// A sentence about the entry that cannot be read.
    pub(super) fn new(config: &GateConfig, pod: &str) -> Result<Policy, String> {
        let read = |field: &str, list: &[String]| {
            let rule = |text: &String| {
                text.parse().map_err(|error: NoHost| format!("the entry '{text}' of orderGate.{field} {error}"))
            };
            list.iter().map(rule).collect::<Result<Vec<HostRule>, String>>()
        };
        Ok(Policy {
            allowed: read("allowedHosts", &config.allowed_hosts)?,
            standby: read("standbyHosts", &config.standby_hosts)?,
            pod: pod.to_owned(),
        })
    }

    /// # Errors
    /// A sentence that says why not.
    pub(super) fn check(&self, target: &Target, fence: &Fence) -> Result<Allowed, String> {
        if let Some(rule) = self.standby.iter().find(|rule| rule.matches(target))
            && fence.may_send(Kind::Standby)
        {
            return Ok(Allowed { kind: Kind::Standby, rule: rule.as_str().to_owned() });
        }
        let rule = match self.allowed.iter().find(|rule| rule.matches(target)) {
            Some(rule) => rule.as_str(),
            None if self.allowed.is_empty() => "*",
            None => {
                return Err(format!(
                    "The order gate of {} does not let a bot connect to {target}: it is not listed. Add it to \
                     spec.orderGate.allowedHosts.",
                    self.pod
                ));
            }
        };
        if fence.may_send(Kind::Trading) {
            return Ok(Allowed { kind: Kind::Trading, rule: rule.to_owned() });
        }
        Err(format!(
            "The order gate of {} is closed for {target}: this pod may not trade now. It opens when the pod becomes \
             active; what a standby may read belongs into spec.orderGate.standbyHosts.",
            self.pod
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::gate::Passage;

    fn policy(allowed: &[&str], standby: &[&str]) -> Policy {
        let list = |hosts: &[&str]| hosts.iter().map(|h| (*h).to_owned()).collect();
        let config = GateConfig {
            port: 9796,
            allowed_hosts: list(allowed),
            standby_hosts: list(standby),
            no_proxy: vec![],
            canary_port: None,
        };
        Policy::new(&config, "doge-0").unwrap()
    }

    fn outcome(policy: &Policy, target: &str, passage: Passage) -> Result<(Kind, String), String> {
        let fence = Box::new(Fence::new());
        fence.set(passage);
        policy.check(&target.parse().unwrap(), &fence).map(|allowed| (allowed.kind, allowed.rule))
    }

    #[test]
    fn a_standby_reaches_what_is_listed_for_it_and_is_told_why_nothing_else() {
        let policy = policy(&["api.x.com"], &["stream.x.com"]);
        assert_eq!(outcome(&policy, "stream.x.com:443", Passage::Standby), Ok((Kind::Standby, "stream.x.com".into())));
        let why = outcome(&policy, "api.x.com:443", Passage::Standby).unwrap_err();
        assert!(why.contains("doge-0") && why.contains("may not trade now") && why.contains("standbyHosts"), "{why}");
        assert!(outcome(&policy, "stream.x.com:443", Passage::Closed).is_err());
    }

    #[test]
    fn the_active_reaches_what_is_listed_or_everything_where_nothing_is() {
        let listed = policy(&["api.x.com"], &["stream.x.com"]);
        assert_eq!(outcome(&listed, "api.x.com:443", Passage::Open(None)), Ok((Kind::Trading, "api.x.com".into())));
        assert_eq!(outcome(&listed, "stream.x.com:443", Passage::Open(None)).unwrap().0, Kind::Standby);
        assert!(outcome(&listed, "y.com:443", Passage::Open(None)).unwrap_err().contains("allowedHosts"));
        let open = policy(&[], &[]);
        assert_eq!(outcome(&open, "y.com:443", Passage::Open(None)), Ok((Kind::Trading, "*".into())));
        assert!(outcome(&open, "y.com:443", Passage::Standby).is_err());
    }
}
