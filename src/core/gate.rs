//! What the order gate lets through, and where to: pure, so that operator and agent refuse the same.

pub mod socks;

use ::core::net::{IpAddr, Ipv4Addr};
use std::fmt;
use std::str::FromStr;

use crate::core::time::Mono;

/// How far the gate is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Passage {
    /// Nothing passes, and nothing that passed is left.
    #[default]
    Closed,
    /// Nothing passes any more. What is on its way may still be acknowledged, which proves more than a connection that was
    /// cut; until the deadline.
    Ending,
    /// Connections to the hosts that every pod may reach.
    Standby,
    /// Also those to where orders go, until the deadline; `None`: until the gate is told otherwise, under a policy that
    /// lets a bot trade on without the API server.
    Open(Option<Mono>),
}

/// Where a connection is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// Name or address.
    pub host: Host,
    /// Port.
    pub port: u16,
}

/// A name in lower case without a final dot, or an address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// A name, to be resolved.
    Name(String),
    /// An address; never a mapped one.
    Address(IpAddr),
}

/// One entry of `allowedHosts` or `standbyHosts`: a name, `*.` and a name for all names under it, or an address, each
/// with a port or without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostRule {
    pattern: Pattern,
    port: Option<u16>,
    /// As it was written: the label in metrics.
    text: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    Exactly(Host),
    /// Every name that ends with this, which begins with a dot.
    Under(String),
}

/// Why a text is no host or no rule; completes "'text' …".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoHost {
    /// Characters or lengths that no name has.
    #[error("is neither a host name nor an address")]
    Name,
    /// The port cannot be one.
    #[error("has a port that is not a number from 1 to 65535")]
    Port,
}

impl Host {
    /// Reads a name or an address, an IPv6 one with brackets or without.
    ///
    /// # Errors
    /// Where it is neither.
    pub fn parse(text: &str) -> Result<Host, NoHost> {
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Ok(Host::Address(address.to_canonical()));
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        // What looks like a number is read as an address by some libraries and as a name by others.
        let numeric = name.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
        if name.len() > 253 || numeric || !name.split('.').all(is_label) {
            return Err(NoHost::Name);
        }
        Ok(Host::Name(name))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Name(name) => f.write_str(name),
            Host::Address(IpAddr::V4(address)) => write!(f, "{address}"),
            Host::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Splits `host:port`, `[v6]:port`, or either without a port.
fn split_port(text: &str) -> Result<(&str, Option<u16>), NoHost> {
    let colon = match text.rfind(']') {
        Some(end) => text[end..].find(':').map(|at| end + at),
        // More than one colon without brackets is an address of IPv6.
        None => text.find(':').filter(|first| text.rfind(':') == Some(*first)),
    };
    let Some(at) = colon else { return Ok((text, None)) };
    match text[at + 1..].parse() {
        Ok(0) | Err(_) => Err(NoHost::Port),
        Ok(port) => Ok((&text[..at], Some(port))),
    }
}

impl FromStr for Target {
    type Err = NoHost;

    /// Reads `host:port`; the port is required.
    fn from_str(text: &str) -> Result<Target, NoHost> {
        let (host, port) = split_port(text)?;
        Ok(Target { host: Host::parse(host)?, port: port.ok_or(NoHost::Port)? })
    }
}

impl FromStr for HostRule {
    type Err = NoHost;

    fn from_str(text: &str) -> Result<HostRule, NoHost> {
        let (host, port) = split_port(text)?;
        let pattern = match host.strip_prefix("*.") {
            Some(parent) => match Host::parse(parent)? {
                Host::Name(name) => Pattern::Under(format!(".{name}")),
                Host::Address(_) => return Err(NoHost::Name),
            },
            None => Pattern::Exactly(Host::parse(host)?),
        };
        Ok(HostRule { pattern, port, text: text.to_owned() })
    }
}

impl HostRule {
    /// Whether a connection to `target` is meant.
    pub fn matches(&self, target: &Target) -> bool {
        let host = match (&self.pattern, &target.host) {
            (Pattern::Exactly(host), asked) => host == asked,
            (Pattern::Under(parent), Host::Name(name)) => name.ends_with(parent),
            (Pattern::Under(_), Host::Address(_)) => false,
        };
        host && self.port.is_none_or(|port| port == target.port)
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// Why the gate never connects to an address, whoever asks; completes "which …".
pub fn forbidden(address: IpAddr, api_server: IpAddr) -> Option<&'static str> {
    let address = address.to_canonical();
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4 == Ipv4Addr::BROADCAST,
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    let this_network = matches!(address, IpAddr::V4(v4) if v4.octets()[0] == 0);
    if address == api_server.to_canonical() {
        Some("is the cluster's API server")
    } else if address.is_loopback() {
        Some("is a loopback address")
    } else if address.is_unspecified() || address.is_multicast() || this_network {
        Some("is no address of a host")
    } else if link_local {
        Some("is a link-local address")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> Target {
        text.parse().unwrap()
    }

    fn rule(text: &str) -> HostRule {
        text.parse().unwrap()
    }

    #[test]
    fn a_rule_means_what_people_read_in_it() {
        assert!(rule("api.kraken.com").matches(&target("API.Kraken.com.:443")));
        assert!(!rule("api.kraken.com").matches(&target("api.kraken.com.evil.org:443")));
        assert!(!rule("api.kraken.com:443").matches(&target("api.kraken.com:80")));
        assert!(rule("*.kraken.com").matches(&target("a.b.kraken.com:1")));
        assert!(!rule("*.kraken.com").matches(&target("kraken.com:443")));
        assert!(!rule("*.kraken.com").matches(&target("evilkraken.com:443")));
        assert!(rule("10.1.2.3:8080").matches(&target("10.1.2.3:8080")));
        assert!(rule("2001:db8::1").matches(&target("[2001:db8::1]:443")));
        assert!(rule("[2001:db8::1]:443").matches(&target("[2001:DB8:0::1]:443")));
        assert!(rule("10.1.2.3").matches(&target("[::ffff:10.1.2.3]:443")), "a mapped address is the same host");
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in [
            "",
            ":443",
            "a b:443",
            "*:443",
            "a..b:443",
            "127.1:80",
            "0x7f000001.1:80",
            "-a.b:443",
            "a-.b:443",
            "a:0",
            "a:70000",
            "a",
        ] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
        for text in ["*.10.0.0.1", "*.", "a.*.b", "a:b", "http://a"] {
            assert!(text.parse::<HostRule>().is_err(), "{text}");
        }
        assert!(format!("{}:443", "a".repeat(64)).parse::<Target>().is_err());
    }

    #[test]
    fn the_longest_name_that_there_may_be_is_one() {
        let name = |last: usize| [63, 63, 63, last].map(|length| "a".repeat(length)).join(".");
        assert_eq!(Host::parse(&name(61)), Ok(Host::Name(name(61))));
        assert_eq!(Host::parse(&name(62)), Err(NoHost::Name));
        assert!(Host::parse("a_b.c-d").is_ok());
    }

    #[test]
    fn hosts_and_rules_are_shown_as_they_are_read() {
        for text in ["api.kraken.com:443", "10.1.2.3:80", "[2001:db8::1]:443"] {
            assert_eq!(target(text).to_string(), text);
        }
        assert_eq!(rule("*.Kraken.com:443").as_str(), "*.Kraken.com:443");
    }

    #[test]
    fn addresses_that_are_no_exchange_are_never_connected_to() {
        let api = "10.96.0.1".parse().unwrap();
        let refused = [
            "127.0.0.1",
            "127.9.9.9",
            "::1",
            "::ffff:127.0.0.1",
            "0.0.0.0",
            "0.1.2.3",
            "::",
            "169.254.169.254",
            "fe80::1",
            "224.0.0.1",
            "ff02::1",
            "255.255.255.255",
            "10.96.0.1",
            "::ffff:10.96.0.1",
        ];
        for address in refused {
            let why = forbidden(address.parse().unwrap(), api);
            assert!(why.is_some_and(|why| why.starts_with("is ")), "{address}");
        }
        for address in ["10.96.0.2", "8.8.8.8", "2001:db8::1", "192.168.1.1"] {
            assert_eq!(forbidden(address.parse().unwrap(), api), None, "{address}");
        }
    }
}
