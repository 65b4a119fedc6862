//! The gate as a proxy of SOCKS version 5; what is said is read in [`crate::core::gate::socks`].

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::debug;

use super::dial::{Dialer, NoRoute, Obstacle};
use super::relay;
use crate::core::gate::Target;
pub(super) use crate::core::gate::socks::VERSION;
use crate::core::gate::socks::{Greeting, NotSocks, Part, Reply, greeting, request};

/// From the first byte to the whole request.
const PATIENCE: Duration = Duration::from_secs(10);

/// Serves one connection of a bot.
pub(super) async fn serve(mut bot: TcpStream, dialer: &Dialer) -> io::Result<()> {
    let asked = timeout(PATIENCE, asked(&mut bot)).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    let target = match asked {
        Ok(target) => target,
        Err(why) => return bot.write_all(&why.answer()).await,
    };
    match dialer.dial(&target).await {
        Ok(outside) => {
            bot.write_all(&Reply::Succeeded.answer()).await?;
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
            bot.write_all(&reply.answer()).await
        }
    }
}

/// Where the bot wants to be connected to, or what it is answered instead. An error: it is not SOCKS, or the client is gone.
async fn asked(bot: &mut TcpStream) -> io::Result<Result<Target, Reply>> {
    let greeted = part(bot, greeting).await?;
    bot.write_all(&greeted.answer()).await?;
    match greeted {
        Greeting::Accepted => part(bot, request).await,
        Greeting::NoneAcceptable => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Reads no byte more than one part of the conversation has: what follows is for the other side.
async fn part<T>(bot: &mut TcpStream, read: impl Fn(&[u8]) -> Result<Part<T>, NotSocks>) -> io::Result<T> {
    let mut bytes = Vec::new();
    loop {
        match read(&bytes) {
            Ok(Part::Says(said)) => return Ok(said),
            Ok(Part::Needs(more)) => {
                let known = bytes.len();
                bytes.resize(known + more, 0);
                bot.read_exact(&mut bytes[known..]).await?;
            }
            Err(NotSocks) => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
}
