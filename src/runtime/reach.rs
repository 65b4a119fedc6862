//! Trying whether an address accepts connections.

use std::net::SocketAddr;
use std::time::Duration;

/// Whether a connection to this address is accepted within so long.
pub async fn accepts(address: SocketAddr, within: Duration) -> bool {
    #[cfg(feature = "simulation")]
    let connected = crate::simulation::connect(address);
    #[cfg(not(feature = "simulation"))]
    let connected = tokio::net::TcpStream::connect(address);
    matches!(tokio::time::timeout(within, connected).await, Ok(Ok(_)))
}

#[cfg(all(test, not(feature = "simulation")))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_is_reached_when_a_connection_is_accepted() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let within = Duration::from_secs(1);
        assert!(accepts(address, within).await);
        drop(listener);
        assert!(!accepts(address, within).await);
    }
}
