//! SOCKS version 5 (RFC 1928), the part that a client of TCP needs: no authentication, CONNECT, names and addresses.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::debug;

use super::dial::{Dialer, NoRoute, Obstacle};
use super::relay;
use crate::core::gate::{Host, Target};

/// The first byte of everything a client says.
pub(super) const VERSION: u8 = 5;
/// From the first byte to the whole request.
const PATIENCE: Duration = Duration::from_secs(10);

const NO_AUTHENTICATION: u8 = 0;
const NONE_ACCEPTABLE: u8 = 0xff;
const CONNECT: u8 = 1;

/// The reply field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Reply {
    Succeeded = 0,
    Failure = 1,
    NotAllowed = 2,
    NetworkUnreachable = 3,
    HostUnreachable = 4,
    ConnectionRefused = 5,
    TimedOut = 6,
    CommandNotSupported = 7,
    AddressNotSupported = 8,
}

/// Why there is no request to answer with a connection.
enum NoRequest {
    /// Answered with this before closing.
    Reply(Reply),
    /// Closed without a word: it is not SOCKS, or the client is gone.
    Broken(io::Error),
}

impl From<io::Error> for NoRequest {
    fn from(error: io::Error) -> NoRequest {
        NoRequest::Broken(error)
    }
}

/// Serves one connection of a bot.
pub(super) async fn serve(mut bot: TcpStream, dialer: &Dialer) -> io::Result<()> {
    let asked = timeout(PATIENCE, request(&mut bot)).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?;
    let target = match asked {
        Ok(target) => target,
        Err(NoRequest::Reply(why)) => return answer(&mut bot, why).await,
        Err(NoRequest::Broken(error)) => return Err(error),
    };
    match dialer.dial(&target).await {
        Ok(outside) => {
            answer(&mut bot, Reply::Succeeded).await?;
            let _open = dialer.metrics.opened();
            relay::carry(bot, outside, &[]).await
        }
        Err(why) => {
            debug!("SOCKS: {why}");
            let reply = match why {
                NoRoute::Refused(_) => Reply::NotAllowed,
                NoRoute::Busy(_) => Reply::Failure,
                NoRoute::Failed(Obstacle::Network, _) => Reply::NetworkUnreachable,
                NoRoute::Failed(Obstacle::Port, _) => Reply::ConnectionRefused,
                NoRoute::Failed(Obstacle::Name | Obstacle::Host, _) => Reply::HostUnreachable,
                NoRoute::TimedOut(_) => Reply::TimedOut,
            };
            answer(&mut bot, reply).await
        }
    }
}

async fn request(bot: &mut TcpStream) -> Result<Target, NoRequest> {
    let broken = || NoRequest::Broken(io::ErrorKind::InvalidData.into());
    if bot.read_u8().await? != VERSION {
        return Err(broken());
    }
    let mut methods = vec![0; usize::from(bot.read_u8().await?)];
    bot.read_exact(&mut methods).await?;
    if !methods.contains(&NO_AUTHENTICATION) {
        bot.write_all(&[VERSION, NONE_ACCEPTABLE]).await?;
        return Err(broken());
    }
    bot.write_all(&[VERSION, NO_AUTHENTICATION]).await?;
    let mut head = [0; 4];
    bot.read_exact(&mut head).await?;
    let [version, command, _reserved, kind] = head;
    if version != VERSION {
        return Err(broken());
    }
    let host = match kind {
        1 => Ok(Host::Address(IpAddr::V4(Ipv4Addr::from(bot.read_u32().await?)))),
        4 => Ok(Host::Address(IpAddr::V6(Ipv6Addr::from(bot.read_u128().await?)).to_canonical())),
        3 => {
            let mut name = vec![0; usize::from(bot.read_u8().await?)];
            bot.read_exact(&mut name).await?;
            String::from_utf8(name).ok().and_then(|name| Host::parse(&name).ok()).ok_or(Reply::HostUnreachable)
        }
        _ => return Err(NoRequest::Reply(Reply::AddressNotSupported)),
    };
    let port = bot.read_u16().await?;
    if command != CONNECT {
        return Err(NoRequest::Reply(Reply::CommandNotSupported));
    }
    if port == 0 {
        return Err(NoRequest::Reply(Reply::HostUnreachable));
    }
    Ok(Target { host: host.map_err(NoRequest::Reply)?, port })
}

/// The address in it is that of our end, which is nobody's business.
async fn answer(bot: &mut TcpStream, reply: Reply) -> io::Result<()> {
    bot.write_all(&[VERSION, reply as u8, 0, 1, 0, 0, 0, 0, 0, 0]).await
}
