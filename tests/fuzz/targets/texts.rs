//! Short texts of specs: schedules and hosts.

use std::net::IpAddr;
use std::time::Duration;

use super::reports::is_a_sentence;
use crate::product::core::account::BotRef;
use crate::product::core::backup::schedule::{Times, longest_gap};
use crate::product::core::gate::socks::{Greeting, NotSocks, Part, Reply, VERSION, greeting, request};
use crate::product::core::gate::{Host, HostRule, Target, forbidden};
use crate::product::core::ids::{BootId, PodRef};

fn lines(data: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(data).split('\n').map(ToOwned::to_owned).collect()
}

/// Up to three schedules, a line each.
pub fn schedule(data: &[u8]) {
    const YEARS_400: Duration = Duration::from_secs(146_097 * 86_400);
    let mut all = Vec::new();
    for line in lines(data).iter().take(3) {
        match line.parse::<Times>() {
            Ok(times) => {
                let relaxed = line.split_whitespace().collect::<Vec<_>>().join("  ");
                assert!(relaxed.parse::<Times>().is_ok(), "spaces matter in {line:?}");
                if !line.starts_with('@') {
                    assert!(line.to_ascii_uppercase().parse::<Times>().is_ok(), "case matters in {line}");
                }
                all.push(times);
            }
            Err(why) => is_a_sentence(&why.to_string(), line),
        }
    }
    // It may look at every day of 400 years, so it is asked no more than twice.
    let together = longest_gap(&all);
    assert_eq!(together.is_some(), all.iter().any(Times::ever_runs), "whether any runs");
    let Some(together) = together else { return };
    assert!((Duration::from_secs(60)..=YEARS_400).contains(&together), "{together:?} between two runs");
    let alone = all.first().filter(|_| all.len() > 1).and_then(|times| longest_gap(&[*times]));
    assert!(alone.is_none_or(|alone| alone >= together), "more schedules make a gap longer");
}

/// A rule of a gate, and a host that a bot names.
pub fn hosts(data: &[u8]) {
    let lines = lines(data);
    let [one, other] = [lines.first(), lines.get(1)].map(|line| line.cloned().unwrap_or_default());
    let rule = one.parse::<HostRule>();
    let target = other.parse::<Target>();
    match &rule {
        Ok(rule) => assert_eq!(rule.as_str(), one),
        Err(why) => is_a_sentence(&why.to_string(), &one),
    }
    match &target {
        Ok(target) => {
            assert_ne!(target.port, 0);
            assert_eq!(target.to_string().parse::<Target>().as_ref(), Ok(target));
            is_a_host(&target.host);
        }
        Err(why) => is_a_sentence(&why.to_string(), &other),
    }
    let (Ok(rule), Ok(target)) = (rule, target) else { return };
    if rule.matches(&target) {
        means(&one, &target);
    }
    // The host itself as a rule means it, at this port and without one, and at no other.
    let named = target.to_string().parse::<HostRule>().expect("a target can be allowed");
    assert!(named.matches(&target));
    assert!(!named.matches(&Target { port: target.port ^ 1, ..target.clone() }));
    let anywhere = target.host.to_string().parse::<HostRule>().expect("a host can be allowed");
    assert!(anywhere.matches(&target));
}

fn is_a_host(host: &Host) {
    assert_eq!(Host::parse(&host.to_string()).as_ref(), Ok(host));
    match host {
        Host::Name(name) => {
            assert!(name.len() <= 253 && !name.bytes().any(|b| b.is_ascii_uppercase()), "{name}");
            assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)), "{name}");
            assert!(name.parse::<IpAddr>().is_err(), "{name} is an address");
        }
        Host::Address(address) => {
            assert_eq!(*address, address.to_canonical(), "one address in two forms");
            assert_eq!(forbidden(*address, *address), Some("is the cluster's API server"));
            let mapped = match address {
                IpAddr::V4(v4) => IpAddr::V6(v4.to_ipv6_mapped()),
                v6 => *v6,
            };
            let api = "192.0.2.1".parse().expect("an address");
            assert_eq!(forbidden(mapped, api), forbidden(*address, api), "a mapped address gets through");
        }
    }
}

/// A rule that matches is, read by eye, about this host.
fn means(rule: &str, target: &Target) {
    let rule = rule.to_ascii_lowercase();
    match &target.host {
        Host::Name(name) => {
            let pattern = rule.strip_suffix(&format!(":{}", target.port)).unwrap_or(&rule);
            let pattern = pattern.strip_suffix('.').unwrap_or(pattern);
            let under = pattern.strip_prefix('*').is_some_and(|parent| name.ends_with(parent) && name != parent);
            assert!(pattern == name || under, "{rule} means {target}");
        }
        Host::Address(_) => assert!(!rule.starts_with('*'), "{rule} means {target}"),
    }
}

/// What has slashes in it: holders, boots and bots.
pub fn ids(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let same = |read: Option<String>, parts: usize| {
        let Some(read) = read else { return };
        assert_eq!(read, text);
        assert!(text.split('/').count() == parts && text.split('/').all(|part| !part.is_empty()), "{text}");
    };
    same(text.parse::<PodRef>().ok().map(|pod| pod.to_string()), 2);
    same(text.parse::<BootId>().ok().map(|boot| boot.to_string()), 2);
    same(text.parse::<BotRef>().ok().map(|bot| bot.to_string()), 3);
    if let Err(why) = text.parse::<PodRef>() {
        is_a_sentence(&why.to_string(), &text);
    }
}

/// What a client says to the gate's port: a greeting, and a request after it.
pub fn socks(data: &[u8]) {
    fn read<T>(data: &[u8], part: fn(&[u8]) -> Result<Part<T>, NotSocks>) -> Option<(T, &[u8])> {
        let mut length = 0;
        // A part has at most three pieces, of which the last is of a length that is known by then.
        for _ in 0..4 {
            match part(data.get(..length)?) {
                Ok(Part::Needs(more)) => {
                    assert!((1..=257).contains(&more), "{more} bytes more are waited for");
                    length += more;
                }
                Ok(Part::Says(said)) => return Some((said, &data[length..])),
                Err(NotSocks) => return None,
            }
        }
        panic!("a part goes on and on: {:?}", &data[..length]);
    }
    let Some((greeted, rest)) = read(data, greeting) else { return };
    assert_eq!(data[0], VERSION);
    assert_eq!(greeted == Greeting::Accepted, data[2..data.len() - rest.len()].contains(&0));
    let Some((asked, _)) = read(rest, request) else { return };
    match asked {
        Ok(target) => {
            assert_eq!((rest[0], rest[1]), (VERSION, 1), "something else than a connection is made");
            assert_ne!(target.port, 0);
            is_a_host(&target.host);
        }
        Err(why) => assert_ne!(why, Reply::Succeeded),
    }
}
