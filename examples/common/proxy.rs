//! Which proxy the environment names for a server: `http_proxy`, `HTTP_PROXY`, and the exceptions in `no_proxy`,
//! `NO_PROXY`.

use std::net::Ipv4Addr;

/// The address of the proxy for `authority` (`host:port`); `None` where it is to be reached directly.
pub fn proxy_for(authority: &str, get: impl Fn(&str) -> Option<String>) -> Option<String> {
    let named = |lower: &str, upper: &str| get(lower).or_else(|| get(upper)).filter(|text| !text.trim().is_empty());
    let proxy = named("http_proxy", "HTTP_PROXY")?;
    let exceptions = named("no_proxy", "NO_PROXY").unwrap_or_default();
    let excepted = exceptions.split(',').map(str::trim).any(|exception| is_meant(exception, authority));
    (!excepted).then(|| proxy.trim().to_owned())
}

/// An exception is `*`, a host, a domain with all below it, an address or a network of addresses; each but the first
/// may have a port.
fn is_meant(exception: &str, authority: &str) -> bool {
    let (host, port) = split(authority);
    let (name, only) = split(exception);
    if name.is_empty() || only.is_some_and(|only| port != Some(only)) {
        return false;
    }
    let (host, name) = (host.to_ascii_lowercase(), name.to_ascii_lowercase());
    if let (Ok(address), Some((network, bits))) = (host.parse::<Ipv4Addr>(), name.split_once('/')) {
        let (Ok(network), Ok(bits)) = (network.parse::<Ipv4Addr>(), bits.parse::<u32>()) else { return false };
        // A shift by all the bits is none.
        let mask = u32::MAX.checked_shl(32_u32.saturating_sub(bits)).unwrap_or(0);
        return bits <= 32 && u32::from(address) & mask == u32::from(network) & mask;
    }
    let domain = name.trim_start_matches('.');
    name == "*" || host == domain || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
}

/// Host and port; IPv6 addresses stand in brackets where a port follows, and may stand alone elsewhere.
fn split(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host.trim_matches(['[', ']']), Some(port)),
        _ => (text.trim_matches(['[', ']']), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(authority: &str, variables: &[(&str, &str)]) -> Option<String> {
        let get = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        proxy_for(authority, get)
    }

    #[test]
    fn a_proxy_is_used_for_all_but_the_exceptions() {
        let gate = "http://127.0.0.1:9796";
        assert_eq!(proxy("exchange:8080", &[]), None);
        assert_eq!(proxy("exchange:8080", &[("HTTP_PROXY", gate)]).as_deref(), Some(gate));
        assert_eq!(proxy("exchange:8080", &[("HTTP_PROXY", "x"), ("http_proxy", gate)]).as_deref(), Some(gate));
        assert_eq!(proxy("exchange:8080", &[("HTTP_PROXY", "")]), None, "an empty one is none");
        let but =
            |authority: &str, exceptions| proxy(authority, &[("http_proxy", gate), ("NO_PROXY", exceptions)]).is_none();
        for (authority, exceptions) in [
            ("localhost:80", "localhost,127.0.0.1,::1"),
            ("127.0.0.1:9797", "localhost, 127.0.0.1,::1"),
            ("[::1]:80", "localhost,127.0.0.1,::1"),
            ("anything:1", "*"),
            ("api.example.com:80", ".example.com"),
            ("API.example.com:80", "example.COM"),
            ("example.com:8080", "example.com:8080"),
            ("10.96.3.4:80", "10.0.0.0/8"),
            ("10.96.3.4:80", "0.0.0.0/0"),
        ] {
            assert!(but(authority, exceptions), "{authority} is reached directly with NO_PROXY={exceptions}");
        }
        for (authority, exceptions) in [
            ("exchange:8080", "localhost,127.0.0.1,::1"),
            ("badexample.com:80", "example.com"),
            ("example.com:80", "example.com:8080"),
            ("11.96.3.4:80", "10.0.0.0/8"),
            ("10.96.3.4:80", "10.0.0.0/33"),
            ("10.96.3.4:80", ""),
        ] {
            assert!(!but(authority, exceptions), "{authority} is reached through the proxy with NO_PROXY={exceptions}");
        }
    }
}
