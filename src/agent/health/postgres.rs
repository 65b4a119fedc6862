//! PostgreSQL: does it answer, is it what it should be, and how far does it lag behind.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::tls::{ChannelBinding, TlsConnect};
use tokio_postgres::{Config, SimpleQueryMessage};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;

use super::stream::{Stream, connect};
use super::{Tools, secret};
use crate::agent::lease_link::chain;
use crate::api::health_config::ServerRole;

/// Asks for the role, whether a transaction could write, and the lag in seconds. A replica that has replayed all that it
/// received does not lag, however long ago that was; one that receives nothing at all is as old as what it replayed last.
const QUESTION: &str = "SELECT pg_is_in_recovery(), current_setting('transaction_read_only'), \
    CASE WHEN NOT pg_is_in_recovery() THEN 0 \
    WHEN EXISTS (SELECT 1 FROM pg_stat_wal_receiver) AND pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0 \
    ELSE floor(extract(epoch FROM now() - pg_last_xact_replay_timestamp())) END";

/// Asks once.
///
/// # Errors
/// A sentence. It has no password in it.
pub(super) async fn check(
    tools: &Tools,
    name: &str,
    uri: Option<&str>,
    role: ServerRole,
    most_lag: Option<u64>,
) -> Result<(), String> {
    let uri = uri.map_or_else(|| secret(name, "uri"), |uri| Ok(uri.to_owned()))?;
    // The library knows the modes that ask for nothing to be verified, or for nothing at all.
    let verified = uri.contains("sslmode=verify-full");
    let uri = uri.replace("sslmode=verify-full", "sslmode=require");
    let mut config: Config = uri.parse().map_err(|cause| format!("The uri cannot be read: {}.", chain(&cause)))?;
    config.application_name("tradingbot-agent");
    let host = match config.get_hosts() {
        [Host::Tcp(host), ..] => host.clone(),
        _ => return Err("The uri names no host to connect to over the network.".into()),
    };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let stream = connect(&tools.resolver, &host, port).await?;
    let connector = match config.get_ssl_mode() {
        SslMode::Disable => None,
        _ if verified => Some(tools.tls.strict()?),
        _ => Some(tools.tls.lax()?),
    };
    let failed = |cause: tokio_postgres::Error| format!("The server does not serve: {}.", chain(&cause));
    let (client, connection) = config.connect_raw(stream, Rustls { connector, host }).await.map_err(failed)?;
    let mut answer = std::pin::pin!(client.simple_query(QUESTION));
    let mut connection = std::pin::pin!(connection);
    // Driven here, so that giving up also closes the connection.
    let messages = tokio::select! {
        biased;
        answer = &mut answer => answer.map_err(failed)?,
        ended = &mut connection => {
            ended.map_err(failed)?;
            answer.await.map_err(failed)?
        }
    };
    let row = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some([row.try_get(0), row.try_get(1), row.try_get(2)]),
        _ => None,
    });
    let Some([Ok(Some(replica)), Ok(Some(read_only)), Ok(lag)]) = row else {
        return Err("The server does not answer as PostgreSQL does.".into());
    };
    judge(replica == "t", read_only == "on", lag, role, most_lag)
}

fn judge(
    replica: bool,
    read_only: bool,
    lag: Option<&str>,
    role: ServerRole,
    most_lag: Option<u64>,
) -> Result<(), String> {
    match role {
        ServerRole::Primary if replica => return Err("The server is a replica and no primary.".into()),
        ServerRole::Primary if read_only => return Err("The server can only be read.".into()),
        ServerRole::Replica if !replica => return Err("The server is a primary and no replica.".into()),
        _ => {}
    }
    let (Some(most), true) = (most_lag, replica) else { return Ok(()) };
    match lag.map(str::parse::<i64>) {
        Some(Ok(lag)) if u64::try_from(lag).unwrap_or_default() <= most => Ok(()),
        Some(Ok(lag)) => Err(format!("The replica lags {lag} s behind, and may {most} s.")),
        _ => Err("How far the replica lags behind is not known: it has replayed nothing yet.".into()),
    }
}

/// TLS as the library wants it; `None`: there is none.
struct Rustls {
    connector: Option<TlsConnector>,
    host: String,
}

type Connecting = Pin<Box<dyn Future<Output = Result<Secured, std::io::Error>> + Send>>;

impl TlsConnect<Stream> for Rustls {
    type Stream = Secured;
    type Error = std::io::Error;
    type Future = Connecting;

    fn connect(self, stream: Stream) -> Self::Future {
        Box::pin(async move {
            let connector = self.connector.ok_or_else(|| std::io::Error::other("TLS was not asked for"))?;
            let name = ServerName::try_from(self.host).map_err(std::io::Error::other)?;
            connector.connect(name, stream).await.map(Secured)
        })
    }
}

struct Secured(TlsStream<Stream>);

impl tokio_postgres::tls::TlsStream for Secured {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for Secured {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Secured {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_judged_by_its_role_and_its_lag() {
        use ServerRole::{Any, Primary, Replica};
        assert_eq!(judge(false, false, Some("0"), Primary, None), Ok(()));
        assert_eq!(judge(true, true, Some("3"), Replica, Some(3)), Ok(()));
        assert_eq!(judge(true, true, None, Any, None), Ok(()));
        assert_eq!(judge(false, false, Some("0"), Any, Some(1)), Ok(()), "a primary has no lag");
        let refused = |replica, read_only, lag, role, most| judge(replica, read_only, lag, role, most).unwrap_err();
        assert!(refused(true, true, None, Primary, None).contains("no primary"));
        assert!(refused(false, true, None, Primary, None).contains("only be read"));
        assert!(refused(false, false, None, Replica, None).contains("no replica"));
        assert!(refused(true, true, Some("4"), Replica, Some(3)).contains("lags 4 s behind"));
        assert!(refused(true, true, None, Replica, Some(3)).contains("not known"));
    }
}
