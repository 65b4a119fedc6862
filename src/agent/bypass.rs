//! Connections past the gate: a bot that ignores the proxy variables is found out, and the Lease says so.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::container::Message;
use super::unsent::{OwnTraffic, address};
use crate::core::lease::OrderPath;

/// Between two looks.
const PERIOD: Duration = Duration::from_secs(10);
/// What is seen once is looked at again after this long: a connection that the agent itself is opening is known by then.
const AGAIN: Duration = Duration::from_millis(100);
/// A bot that opens a connection for each order is not seen at every look.
const REMEMBERED: Duration = Duration::from_secs(300);
/// Peers that are named.
const NAMED: usize = 3;

const ESTABLISHED: u8 = 1;
const LISTEN: u8 = 10;

/// What may go past the gate, as far as it can be told from addresses.
#[derive(Clone, Debug, Default)]
pub(super) struct Exceptions {
    networks: Vec<(IpAddr, u8)>,
    names: Vec<String>,
}

impl Exceptions {
    /// From `noProxy`: addresses and CIDRs can be compared with a connection's peer, names cannot.
    pub(super) fn new(no_proxy: &[String]) -> Exceptions {
        let mut all = Exceptions::default();
        for entry in no_proxy {
            match network(entry) {
                Some(network) => all.networks.push(network),
                None => all.names.push(entry.clone()),
            }
        }
        all
    }

    fn has(&self, ip: IpAddr) -> bool {
        self.networks.iter().any(|(network, bits)| is_within(ip, *network, *bits))
    }

    /// After the peers.
    fn caveat(&self) -> String {
        if self.names.is_empty() {
            return String::new();
        }
        let names: Vec<_> = self.names.iter().take(NAMED).map(String::as_str).collect();
        format!(
            " (unless these are {}, which noProxy names: names cannot be compared with addresses)",
            names.join(", ")
        )
    }
}

fn network(text: &str) -> Option<(IpAddr, u8)> {
    let (ip, bits) = text.split_once('/').map_or((text, None), |(ip, bits)| (ip, Some(bits)));
    let ip: IpAddr = ip.trim_start_matches('[').trim_end_matches(']').parse().ok()?;
    let longest = if ip.is_ipv4() { 32 } else { 128 };
    let bits = bits.map_or(Some(longest), |bits| bits.parse().ok())?;
    (bits <= longest).then_some((ip, bits))
}

fn is_within(ip: IpAddr, network: IpAddr, bits: u8) -> bool {
    let same = |left: u128, right: u128, width: u32| {
        let rest = width - u32::from(bits).min(width);
        left.checked_shr(rest).unwrap_or_default() == right.checked_shr(rest).unwrap_or_default()
    };
    match (ip, network) {
        (IpAddr::V4(ip), IpAddr::V4(network)) => same(ip.to_bits().into(), network.to_bits().into(), 32),
        (IpAddr::V6(ip), IpAddr::V6(network)) => same(ip.to_bits(), network.to_bits(), 128),
        _ => false,
    }
}

/// A connection: its peer, and the socket's inode.
type Found = (SocketAddr, u64);

/// Looks every ten seconds and reports changes until nobody listens.
pub(super) async fn watch(own: OwnTraffic, exceptions: Exceptions, messages: mpsc::Sender<Message>) {
    let mut told = OrderPath::Gated;
    let mut last_seen: Option<(Instant, OrderPath)> = None;
    loop {
        let mut found = look(&own, &exceptions);
        if !found.is_empty() {
            sleep(AGAIN).await;
            let still = look(&own, &exceptions);
            found.retain(|connection| still.contains(connection));
        }
        if let Some(path) = bypassed(&found, &exceptions) {
            last_seen = Some((Instant::now(), path));
        }
        last_seen.take_if(|(at, _)| at.elapsed() > REMEMBERED);
        let path = last_seen.as_ref().map_or(OrderPath::Gated, |(_, path)| path.clone());
        if path != told {
            match &path {
                OrderPath::Bypassed(peers) => warn!("The pod has connections past the gate, to {peers}."),
                _ => info!("No connections past the gate were seen for {} s.", REMEMBERED.as_secs()),
            }
            told = path.clone();
            if messages.send(Message::Path(path)).await.is_err() {
                return;
            }
        }
        sleep(PERIOD).await;
    }
}

fn look(own: &OwnTraffic, exceptions: &Exceptions) -> Vec<Found> {
    let before = agents_sockets();
    // Where there is no IPv6 there is no such file.
    let tables: Vec<String> = ["/proc/self/net/tcp", "/proc/self/net/tcp6"]
        .iter()
        .map(|table| std::fs::read_to_string(table).unwrap_or_default())
        .collect();
    let after = agents_sockets();
    past_the_gate(&tables, own, exceptions, |inode| before.contains(&inode) || after.contains(&inode))
}

fn past_the_gate(
    tables: &[String],
    own: &OwnTraffic,
    exceptions: &Exceptions,
    is_agents: impl Fn(u64) -> bool,
) -> Vec<Found> {
    let rows: Vec<Row> = tables.iter().flat_map(|table| table.lines().skip(1)).filter_map(Row::read).collect();
    // Connections to these come from outside.
    let listening: HashSet<u16> = rows.iter().filter(|r| r.state == LISTEN).map(|r| r.local.port()).collect();
    let is_past = |row: &&Row| {
        let within = row.peer.ip().is_loopback() || row.peer.ip() == row.local.ip();
        row.state == ESTABLISHED
            && !within
            && !listening.contains(&row.local.port())
            && !own.is(row.local, row.peer)
            && !exceptions.has(row.peer.ip())
            && !is_agents(row.inode)
    };
    rows.iter().filter(is_past).map(|row| (row.peer, row.inode)).collect()
}

fn bypassed(found: &[Found], exceptions: &Exceptions) -> Option<OrderPath> {
    let mut peers: Vec<SocketAddr> = found.iter().map(|(peer, _)| *peer).collect();
    peers.sort_unstable();
    peers.dedup();
    let more = match peers.len().saturating_sub(NAMED) {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    let named: Vec<_> = peers.iter().take(NAMED).map(SocketAddr::to_string).collect();
    (!named.is_empty()).then(|| OrderPath::Bypassed(format!("{}{more}{}", named.join(", "), exceptions.caveat())))
}

/// One line of `/proc/net/tcp`.
struct Row {
    local: SocketAddr,
    peer: SocketAddr,
    state: u8,
    inode: u64,
}

impl Row {
    fn read(line: &str) -> Option<Row> {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (local, peer) = (address(fields.next()?)?, address(fields.next()?)?);
        let state = u8::from_str_radix(fields.next()?, 16).ok()?;
        // Queues, timer, retransmissions, user and timeout lie between.
        let inode = fields.nth(5)?.parse().ok()?;
        Some(Row { local, peer, state, inode })
    }
}

/// The inodes of the sockets that this process has open.
fn agents_sockets() -> HashSet<u64> {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else { return HashSet::new() };
    let targets = entries.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    targets.filter_map(|target| target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> OwnTraffic {
        OwnTraffic { api_server: "10.96.0.1:443".parse().unwrap(), ports: vec![9797, 9798] }
    }

    fn table(rows: &[(&str, &str, &str, u64)]) -> Vec<String> {
        let lines = rows.iter().map(|(local, peer, state, inode)| {
            format!("   3: {local} {peer} {state} 00000000:00000000 00:00000000 00000000  1000        0 {inode} 1 0000000000000000 20 4 30 10 -1")
        });
        vec![["  sl  local_address rem_address".to_owned()].into_iter().chain(lines).collect::<Vec<_>>().join("\n")]
    }

    const BOT: &str = "0200000A:C350";
    const EXCHANGE: &str = "0300000A:1F90";

    fn found(rows: &[(&str, &str, &str, u64)], no_proxy: &[&str]) -> Option<String> {
        let no_proxy: Vec<String> = no_proxy.iter().map(|s| (*s).to_owned()).collect();
        let exceptions = Exceptions::new(&no_proxy);
        let found = past_the_gate(&table(rows), &own(), &exceptions, |inode| inode == 77);
        bypassed(&found, &exceptions).map(|path| path.to_string())
    }

    #[test]
    fn a_connection_of_the_bot_to_the_outside_is_past_the_gate() {
        let text = found(&[(BOT, EXCHANGE, "01", 5)], &[]);
        assert_eq!(text.as_deref(), Some("Bypassed: 10.0.0.3:8080"));
        // Not one that is not, or no more, established.
        assert_eq!(found(&[(BOT, EXCHANGE, "04", 5)], &[]), None);
    }

    #[test]
    fn the_agents_own_loopback_and_callers_from_outside_are_not() {
        assert_eq!(found(&[(BOT, EXCHANGE, "01", 77)], &[]), None);
        assert_eq!(found(&[(BOT, "0100600A:01BB", "01", 5)], &[]), None);
        assert_eq!(found(&[("0100007F:C350", "0100007F:2644", "01", 5)], &[]), None);
        // Prometheus at the bot's own port 9000.
        let scraped = [("00000000:2328", "00000000:0000", "0A", 1), ("0200000A:2328", "0900000A:C350", "01", 5)];
        assert_eq!(found(&scraped, &[]), None);
    }

    #[test]
    fn what_no_proxy_lists_by_address_is_let_be_and_names_are_spoken_of() {
        assert_eq!(found(&[(BOT, EXCHANGE, "01", 5)], &["10.0.0.3"]), None);
        assert_eq!(found(&[(BOT, EXCHANGE, "01", 5)], &["10.0.0.0/8"]), None);
        assert!(found(&[(BOT, EXCHANGE, "01", 5)], &["10.1.0.0/16"]).is_some());
        let text = found(&[(BOT, EXCHANGE, "01", 5)], &["db.money.svc"]).unwrap();
        assert!(text.contains("10.0.0.3:8080 (unless these are db.money.svc"), "{text}");
    }

    #[test]
    fn at_most_three_peers_are_named_each_once() {
        let peers = ["0300000A:0001", "0300000A:0002", "0300000A:0003", "0300000A:0004", "0300000A:0001"];
        let rows: Vec<_> = peers.iter().enumerate().map(|(n, peer)| (BOT, *peer, "01", n as u64)).collect();
        let text = found(&rows, &[]).unwrap();
        assert_eq!(text, "Bypassed: 10.0.0.3:1, 10.0.0.3:2, 10.0.0.3:3 and 1 more");
    }

    #[test]
    fn networks_are_compared_by_their_bits() {
        let within = |ip: &str, text: &str| {
            let (network, bits) = network(text).unwrap();
            is_within(ip.parse().unwrap(), network, bits)
        };
        assert!(within("10.1.2.3", "10.1.0.0/16") && !within("10.2.2.3", "10.1.0.0/16"));
        assert!(within("10.2.2.3", "0.0.0.0/0") && within("fd00::7", "fd00::/8") && within("::1", "::/0"));
        assert!(!within("10.0.0.1", "::/0"));
        assert!(network("10.0.0.0/33").is_none() && network("db").is_none() && network("10.0.0.0/x").is_none());
    }
}
