//! A port that a NetworkPolicy of ours lets nobody reach. Whoever does reach it has found out that policies are not
//! enforced.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::sleep;

use super::config::Refusal;

/// After a failed accept, such as for want of descriptors.
const PAUSE: Duration = Duration::from_millis(500);

/// Listens on all addresses of the pod; every connection is closed at once.
pub(super) async fn start(port: u16) -> Result<(), Refusal> {
    let listen = |ip: std::net::IpAddr| TcpListener::bind(SocketAddr::new(ip, port));
    // Both families where there are both.
    let listener = match listen(Ipv6Addr::UNSPECIFIED.into()).await {
        Ok(listener) => listener,
        Err(_) => {
            let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
            TcpListener::bind(address).await.map_err(|cause| Refusal::Listen { address, cause })?
        }
    };
    tokio::spawn(async move {
        loop {
            match listener.accept().await {
                Ok((connection, _)) => drop(connection),
                Err(_) => sleep(PAUSE).await,
            }
        }
    });
    Ok(())
}
