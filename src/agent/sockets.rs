//! Destroying the pod's TCP connections: what the kernel still holds for a killed process is gone then, instead of being
//! delivered when a link heals (design, rule 9).
//!
//! The kernel does it on request, over netlink, for whoever has `CAP_NET_ADMIN` over the pod's network. Everything here
//! but [`prepare`], [`destroy`] and [`wait_or_destroy`] is for callers that must not allocate or lock: the guard thread and the guard process.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::OnceLock;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::config::Settings;
use super::gate::Fence;

/// `SOCK_DIAG_BY_FAMILY` and `SOCK_DESTROY` of `linux/sock_diag.h`.
const LIST: u16 = 20;
const DESTROY: u16 = 21;
/// The bits of all TCP states (`net/tcp_states.h`) in which a socket may hold bytes or get some: all but `TIME_WAIT`,
/// `CLOSE` and `LISTEN`.
const STATES: u32 = !((1 << 6) | (1 << 7) | (1 << 10));

/// `struct nlmsghdr`.
const HEADER: usize = 16;
/// `struct inet_diag_sockid`: ports, addresses, interface and cookie.
const ID: usize = 48;
/// `struct inet_diag_req_v2`: the family and what else, states, and an id.
const REQUEST: usize = 8 + ID;
/// Where the id is in a request, and in `struct inet_diag_msg`, each without its header.
const ID_IN_REQUEST: usize = 8;
const ID_IN_ANSWER: usize = 4;
/// Larger than any part of a list that the kernel sends.
const BUFFER: usize = 16 * 1024;

/// A list is not a snapshot: one that found something is made again, so often.
const PASSES: usize = 8;
/// Parts of one list, some hundred sockets each.
const PARTS: usize = 2_000;

/// The agent's own connections, which are spared.
#[derive(Debug)]
struct Own {
    api_server: SocketAddr,
    ports: [u16; 4],
}

/// Set once, before there is a guard: from then on readable without a lock, also in a forked process.
static OWN: OnceLock<Own> = OnceLock::new();

/// Finds out whether this agent may destroy sockets, and which are its own. Call it before the guards are made.
///
/// # Errors
/// Why it may not: completes "connections cannot be destroyed: …".
pub(super) fn prepare(settings: &Settings) -> Result<(), &'static str> {
    if settings.config.host_network {
        return Err("the pod shares its node's network, where they are other people's, too");
    }
    match try_out() {
        Some(0) => {}
        Some(libc::EPERM | libc::EACCES) => return Err("the container has no effective CAP_NET_ADMIN"),
        Some(libc::EOPNOTSUPP) => return Err("the node's kernel was built without CONFIG_INET_DIAG_DESTROY"),
        _ => return Err("the node's kernel answers no such request"),
    }
    let config = &settings.config;
    let gate = config.gate.as_ref();
    let or_none = |port: Option<u16>| port.unwrap_or(config.probe_port);
    let ports = [
        config.api_port,
        config.probe_port,
        or_none(gate.map(|gate| gate.port)),
        or_none(gate.and_then(|gate| gate.canary_port)),
    ];
    let api_server = SocketAddr::new(settings.api_server.ip().to_canonical(), settings.api_server.port());
    let _ = OWN.set(Own { api_server, ports });
    Ok(())
}

/// Has a listener of our own destroyed; 0 or the kernel's error. Only a socket that exists will do: the kernel looks for
/// it first and asks for the capability then.
fn try_out() -> Option<i32> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
    let mut id = [0u8; ID];
    id[..2].copy_from_slice(&listener.local_addr().ok()?.port().to_be_bytes());
    id[4..8].copy_from_slice(&Ipv4Addr::LOCALHOST.octets());
    // Any cookie.
    id[ID - 8..].copy_from_slice(&[0xff; 8]);
    Some(Netlink::open()?.destroy_one(libc::AF_INET, &id))
}

/// What became of the connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Destroyed {
    /// So many are gone, with every byte that was queued on them.
    pub(super) gone: u32,
    /// So many were not to be destroyed.
    pub(super) left: u32,
}

/// Sockets for these requests, opened ahead of time: when they are needed the agent may have no descriptor left.
pub(super) struct Destroyer(Option<Netlink>);

impl Destroyer {
    /// For this thread or process alone. Without the right it is one that does nothing.
    pub(super) fn new() -> Destroyer {
        Destroyer(OWN.get().and_then(|_| Netlink::open()))
    }

    /// Destroys every TCP connection of the pod that is not the agent's own and not within the pod, sidecars' ones too.
    /// Call it when no process is left that could make new ones.
    pub(super) fn destroy(&self) -> Destroyed {
        let mut all = Destroyed::default();
        let (Some(netlink), Some(own)) = (&self.0, OWN.get()) else { return all };
        for _ in 0..PASSES {
            let mut pass = Destroyed::default();
            for family in [libc::AF_INET, libc::AF_INET6] {
                netlink.destroy_all(family, own, &mut pass);
            }
            all = Destroyed { gone: all.gone + pass.gone, left: pass.left };
            if pass.gone == 0 {
                break;
            }
        }
        all
    }
}

/// Bytes of a bot that was stopped in time may arrive for so long: an answer is better than none, and the Lease is still
/// held.
const PATIENCE: Duration = Duration::from_millis(500);
/// Copies of what was destroyed may wait below TCP for so long, until their neighbour's address is known: three questions,
/// a second each, and a reserve.
const BELOW: Duration = Duration::from_secs(4);

/// Waits for `sent`, which ends when no byte is unsent. Where connections can be cut or destroyed, only for a while: then
/// they are, and copies that the kernel may have made of their packets are waited out.
pub(super) async fn wait_or_destroy(sent: impl Future<Output = ()>, fence: Option<&Fence>) {
    let mut sent = std::pin::pin!(sent);
    if OWN.get().is_none() && fence.is_none() {
        return sent.await;
    }
    let acknowledged = timeout(PATIENCE, &mut sent).await.is_ok();
    let mut copies = Duration::ZERO;
    if !acknowledged && OWN.get().is_some() && destroy().gone > 0 {
        copies = BELOW;
    }
    if let Some(fence) = fence {
        fence.cut();
        copies = copies.max(fence.lost_since().map_or(Duration::ZERO, |since| BELOW.saturating_sub(since)));
    }
    sleep(copies).await;
    if !acknowledged {
        sent.await;
    }
}

/// Destroys them now and says so in the log: for the agent itself, when everything was killed.
pub(super) fn destroy() -> Destroyed {
    let all = Destroyer::new().destroy();
    match all {
        Destroyed { gone: 0, left: 0 } => {}
        Destroyed { gone, left: 0 } => info!("Destroyed {gone} connections, with whatever was still to be sent."),
        Destroyed { gone, left } => {
            warn!("Destroyed {gone} connections; {left} could not be. What is unsent on them may still arrive.");
        }
    }
    all
}

/// Two netlink sockets, closed on drop: a list is read from one while answers come in on the other.
struct Netlink {
    list: i32,
    destroy: i32,
}

impl Drop for Netlink {
    fn drop(&mut self) {
        for descriptor in [self.list, self.destroy] {
            // SAFETY: the descriptors are ours.
            unsafe { libc::close(descriptor) };
        }
    }
}

impl Netlink {
    fn open() -> Option<Netlink> {
        // Not blocking: the kernel has its answer ready when the request returns.
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: no memory is involved.
        let open = || unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_SOCK_DIAG) };
        let netlink = Netlink { list: open(), destroy: open() };
        (netlink.list >= 0 && netlink.destroy >= 0).then_some(netlink)
    }

    /// Destroys the sockets of one family, and counts them.
    fn destroy_all(&self, family: i32, own: &Own, count: &mut Destroyed) {
        let flags = libc::NLM_F_REQUEST | libc::NLM_F_DUMP;
        if !send(self.list, &request(LIST, flags, family, STATES, &[0; ID])) {
            count.left += 1;
            return;
        }
        let mut buffer = [0u8; BUFFER];
        for _ in 0..PARTS {
            let Some(part) = receive(self.list, &mut buffer) else {
                // An incomplete list: what it would have shown is not known to be gone.
                count.left += 1;
                return;
            };
            for (kind, message) in messages(part) {
                match i32::from(kind) {
                    libc::NLMSG_DONE | libc::NLMSG_ERROR => return,
                    _ => {}
                }
                let Some(id) = message.get(ID_IN_ANSWER..ID_IN_ANSWER + ID).and_then(|id| id.try_into().ok()) else {
                    continue;
                };
                if kind != LIST || is_spared(family, id, own) {
                    continue;
                }
                match self.destroy_one(family, id) {
                    0 => count.gone += 1,
                    // It ended by itself meanwhile.
                    libc::ENOENT => {}
                    _ => count.left += 1,
                }
            }
        }
        count.left += 1;
    }

    /// 0, or the kernel's error.
    fn destroy_one(&self, family: i32, id: &[u8; ID]) -> i32 {
        let flags = libc::NLM_F_REQUEST | libc::NLM_F_ACK;
        if !send(self.destroy, &request(DESTROY, flags, family, u32::MAX, id)) {
            return libc::EIO;
        }
        let mut buffer = [0u8; 512];
        let answer = receive(self.destroy, &mut buffer).and_then(|answer| messages(answer).next());
        match answer {
            Some((kind, message)) if i32::from(kind) == libc::NLMSG_ERROR && message.len() >= 4 => {
                -i32::from_ne_bytes([message[0], message[1], message[2], message[3]])
            }
            _ => libc::EIO,
        }
    }
}

fn request(kind: u16, flags: i32, family: i32, states: u32, id: &[u8; ID]) -> [u8; HEADER + REQUEST] {
    let mut bytes = [0u8; HEADER + REQUEST];
    let length = u32::try_from(bytes.len()).unwrap_or_default();
    bytes[..4].copy_from_slice(&length.to_ne_bytes());
    bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
    bytes[6..8].copy_from_slice(&u16::try_from(flags).unwrap_or_default().to_ne_bytes());
    let body = &mut bytes[HEADER..];
    body[0] = u8::try_from(family).unwrap_or_default();
    body[1] = u8::try_from(libc::IPPROTO_TCP).unwrap_or_default();
    body[4..8].copy_from_slice(&states.to_ne_bytes());
    body[ID_IN_REQUEST..].copy_from_slice(id);
    bytes
}

fn send(descriptor: i32, bytes: &[u8]) -> bool {
    // SAFETY: the bytes are as many as we say; an unconnected netlink socket sends to the kernel.
    let sent = unsafe { libc::send(descriptor, bytes.as_ptr().cast(), bytes.len(), 0) };
    usize::try_from(sent) == Ok(bytes.len())
}

fn receive(descriptor: i32, buffer: &mut [u8]) -> Option<&[u8]> {
    // SAFETY: the buffer is as long as we say. With MSG_TRUNC the answer is the message's true length.
    let got = unsafe { libc::recv(descriptor, buffer.as_mut_ptr().cast(), buffer.len(), libc::MSG_TRUNC) };
    buffer.get(..usize::try_from(got).ok()?)
}

/// The netlink messages in what was received: kind and contents.
fn messages(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let header = rest.get(..HEADER)?;
        let length = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]);
        let length = usize::try_from(length).ok()?;
        let contents = rest.get(HEADER..length)?;
        let kind = u16::from_ne_bytes([header[4], header[5]]);
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, contents))
    })
}

/// The agent's own, and what stays within the pod.
fn is_spared(family: i32, id: &[u8; ID], own: &Own) -> bool {
    let [local, peer] = ends(family, id);
    let to_api_server = local == own.api_server || peer == own.api_server;
    to_api_server || own.ports.contains(&local.port()) || (local.ip().is_loopback() && peer.ip().is_loopback())
}

fn ends(family: i32, id: &[u8; ID]) -> [SocketAddr; 2] {
    let end = |port: usize, address: usize| {
        let ip = if family == libc::AF_INET {
            IpAddr::V4(Ipv4Addr::new(id[address], id[address + 1], id[address + 2], id[address + 3]))
        } else {
            let mut bytes = [0u8; 16];
            bytes.copy_from_slice(&id[address..address + 16]);
            Ipv6Addr::from(bytes).to_canonical()
        };
        SocketAddr::new(ip, u16::from_be_bytes([id[port], id[port + 1]]))
    };
    [end(0, 4), end(2, 20)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Own {
        Own { api_server: "10.96.0.1:443".parse().unwrap(), ports: [9797, 9798, 9796, 9799] }
    }

    fn id(local: &str, peer: &str) -> (i32, [u8; ID]) {
        let mut id = [0u8; ID];
        let mut family = libc::AF_INET;
        for (text, port, address) in [(local, 0, 4), (peer, 2, 20)] {
            let end: SocketAddr = text.parse().unwrap();
            id[port..port + 2].copy_from_slice(&end.port().to_be_bytes());
            match end.ip() {
                IpAddr::V4(ip) => id[address..address + 4].copy_from_slice(&ip.octets()),
                IpAddr::V6(ip) => {
                    family = libc::AF_INET6;
                    id[address..address + 16].copy_from_slice(&ip.octets());
                }
            }
        }
        (family, id)
    }

    fn spared(local: &str, peer: &str) -> bool {
        let (family, id) = id(local, peer);
        is_spared(family, &id, &own())
    }

    #[test]
    fn only_the_agents_own_and_what_stays_in_the_pod_is_spared() {
        assert!(!spared("10.0.0.2:40000", "10.0.0.3:8080"));
        assert!(!spared("[fd00::2]:40000", "[fd00::3]:443"));
        assert!(!spared("[::ffff:10.0.0.2]:40000", "[::ffff:10.0.0.3]:443"));
        assert!(spared("10.0.0.2:40000", "10.96.0.1:443"));
        assert!(spared("[::ffff:10.0.0.2]:40000", "[::ffff:10.96.0.1]:443"));
        assert!(spared("10.0.0.2:9798", "10.0.0.9:50000"));
        assert!(spared("127.0.0.1:40000", "127.0.0.1:9796"));
        assert!(spared("[::1]:40000", "[::1]:5432"));
        // A loopback address on one side only is on its way out of the pod.
        assert!(!spared("10.0.0.2:40000", "127.0.0.1:80"));
    }

    #[test]
    fn messages_are_cut_where_they_end() {
        let first = request(LIST, 0, libc::AF_INET, 0, &[1; ID]);
        let mut bytes = first.to_vec();
        bytes.extend(request(DESTROY, 0, libc::AF_INET6, 0, &[2; ID]));
        let kinds: Vec<_> = messages(&bytes).map(|(kind, contents)| (kind, contents.len())).collect();
        assert_eq!(kinds, [(LIST, REQUEST), (DESTROY, REQUEST)]);
        bytes.truncate(HEADER + REQUEST + 3);
        assert_eq!(messages(&bytes).count(), 1);
        bytes[..4].copy_from_slice(&3u32.to_ne_bytes());
        assert_eq!(messages(&bytes).count(), 0);
    }
}
