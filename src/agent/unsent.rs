//! Bytes that the kernel still holds: it goes on sending for a process that was killed (design, rule 9).

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Between two looks: doubles from the first to the second.
const PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));

/// Sockets that do not count: the agent's own.
#[derive(Clone, Debug)]
pub(super) struct OwnTraffic {
    /// To the API server.
    pub(super) api_server: SocketAddr,
    /// Where the agent listens: for probes, the local API and the gate.
    pub(super) ports: Vec<u16>,
}

impl OwnTraffic {
    /// Whether a connection with these ends is the agent's own.
    pub(super) fn is(&self, local: SocketAddr, peer: SocketAddr) -> bool {
        let to_the_agent = peer.ip().is_loopback() && self.ports.contains(&peer.port());
        [local, peer].contains(&self.api_server) || self.ports.contains(&local.port()) || to_the_agent
    }
}

/// A connection, by its two ends.
type Ends = (SocketAddr, SocketAddr);

/// Waits until every connection of the pod that has unsent bytes now was seen without. Returns when that is so;
/// `still_waiting` is told after a second, then every ten, to whom bytes are unsent.
pub(super) async fn wait(own: &OwnTraffic, still_waiting: impl Fn(Duration, &str)) {
    let begun = Instant::now();
    let mut left = unsent(own);
    let mut pause = PAUSES.0;
    let mut next_word = Duration::from_secs(1);
    while !left.is_empty() {
        if begun.elapsed() >= next_word {
            let peers: Vec<_> = left.iter().take(3).map(|(_, peer)| peer.to_string()).collect();
            still_waiting(begun.elapsed(), &peers.join(", "));
            next_word += Duration::from_secs(10);
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
        // No process of the bot is left: what was seen empty once stays empty of its bytes.
        let now = unsent(own);
        left.retain(|ends| now.contains(ends));
    }
}

/// The connections of the pod that hold bytes which their peer has not acknowledged.
fn unsent(own: &OwnTraffic) -> HashSet<Ends> {
    let mut found = HashSet::new();
    for table in ["/proc/self/net/tcp", "/proc/self/net/tcp6"] {
        // Where there is no IPv6 there is no such file.
        let text = std::fs::read_to_string(table).unwrap_or_default();
        found.extend(text.lines().skip(1).filter_map(|line| holds_bytes(line, own)));
    }
    found
}

/// States of the kernel's connections, as in `include/net/tcp_states.h`.
const SYN_SENT: u8 = 2;
const FIN_WAIT_1: u8 = 4;
const LAST_ACK: u8 = 9;
const LISTEN: u8 = 10;
const CLOSING: u8 = 11;

/// Whether a connection in this state has sent its end, which nobody has acknowledged: the send queue counts it, and it
/// is no byte of anybody's.
pub(super) fn has_sent_its_end(state: u8) -> bool {
    matches!(state, FIN_WAIT_1 | LAST_ACK | CLOSING)
}

fn holds_bytes(line: &str, own: &OwnTraffic) -> Option<Ends> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (local, peer) = (address(fields.next()?)?, address(fields.next()?)?);
    let state = u8::from_str_radix(fields.next()?, 16).ok()?;
    let queued = u32::from_str_radix(fields.next()?.split(':').next()?, 16).ok()?;
    if state == LISTEN {
        return None;
    }
    // So does the beginning of a connection.
    let control = u32::from(state == SYN_SENT || has_sent_its_end(state));
    (queued > control && !own.is(local, peer)).then_some((local, peer))
}

/// `0100007F:1F90`: words of the address in the machine's byte order, and the port.
pub(super) fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |index: usize| u32::from_str_radix(ip.get(index * 8..index * 8 + 8)?, 16).ok().map(u32::to_ne_bytes);
    let ip = match ip.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0u8; 16];
            for (index, chunk) in bytes.chunks_exact_mut(4).enumerate() {
                chunk.copy_from_slice(&word(index)?);
            }
            Ipv6Addr::from(bytes).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> OwnTraffic {
        OwnTraffic { api_server: "10.96.0.1:443".parse().unwrap(), ports: vec![9796, 9797, 9798] }
    }

    fn line(local: &str, peer: &str, state: &str, queued: &str) -> String {
        format!("   3: {local} {peer} {state} {queued}:00000000 00:00000000 00000000 0 0 0 1 0000000000000000")
    }

    #[test]
    fn a_killed_process_with_bytes_on_the_way_is_seen() {
        let (local, peer) = ("0200000A:C350", "0300000A:1F90");
        let ends = holds_bytes(&line(local, peer, "04", "00000041"), &own()).unwrap();
        assert_eq!(ends.1, "10.0.0.3:8080".parse().unwrap());
        assert!(holds_bytes(&line(local, peer, "01", "00000001"), &own()).is_some());
    }

    #[test]
    fn a_fin_alone_a_listener_and_the_agents_own_traffic_do_not_count() {
        let (local, peer) = ("0200000A:C350", "0300000A:1F90");
        assert!(holds_bytes(&line(local, peer, "04", "00000001"), &own()).is_none());
        assert!(holds_bytes(&line(local, peer, "0A", "00000080"), &own()).is_none());
        assert!(holds_bytes(&line(local, peer, "01", "00000000"), &own()).is_none());
        assert!(holds_bytes(&line(local, "0100600A:01BB", "01", "00000200"), &own()).is_none());
        assert!(holds_bytes(&line("0200000A:2646", peer, "01", "00000200"), &own()).is_none());
        assert!(holds_bytes(&line("0100007F:C350", "0100007F:2644", "01", "00000200"), &own()).is_none(), "the gate");
        assert!(holds_bytes(&line(local, "0300000A:2644", "01", "00000200"), &own()).is_some(), "another's port");
    }

    #[test]
    fn mapped_addresses_are_the_same_peer() {
        let mapped = "0000000000000000FFFF00000100600A:01BB";
        assert_eq!(address(mapped), Some("10.96.0.1:443".parse().unwrap()));
    }
}
