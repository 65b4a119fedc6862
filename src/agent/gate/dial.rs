//! From a host that a bot names to a connection, or the reason why there is none.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::fence::{Fence, Kind};
use super::metrics::{Metrics, Outcome};
use super::policy::{Allowed, Policy};
use super::upstream::{NoConnection, Upstream};
use crate::agent::resolve::Resolver;
use crate::core::gate::{Target, forbidden};

/// For the name and all its addresses together.
const CONNECT_TIME: Duration = Duration::from_secs(10);
/// For one address, where there are more.
const ADDRESS_TIME: Duration = Duration::from_secs(3);

/// Everything that a connection is made with.
pub(super) struct Dialer {
    pub(super) policy: Policy,
    pub(super) fence: &'static Fence,
    pub(super) resolver: Resolver,
    pub(super) api_server: IpAddr,
    pub(super) metrics: Arc<Metrics>,
}

/// Why a bot gets no connection; a sentence each.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoRoute {
    /// The gate does not let it through.
    #[error("{0}")]
    Refused(String),
    /// There are too many connections.
    #[error("{0}")]
    Busy(String),
    /// The other side cannot be reached.
    #[error("{1}")]
    Failed(Obstacle, String),
    /// The other side did not answer in time.
    #[error("{0}")]
    TimedOut(String),
}

/// What is between, as far as the protocols tell it apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// The name is not known.
    Name,
    /// Nobody listens there.
    Port,
    /// No way leads there.
    Network,
    /// The host, or anything else.
    Host,
}

impl From<&io::Error> for Obstacle {
    fn from(error: &io::Error) -> Obstacle {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Obstacle::Port,
            io::ErrorKind::NetworkUnreachable => Obstacle::Network,
            _ => Obstacle::Host,
        }
    }
}

impl Dialer {
    pub(super) async fn dial(&self, target: &Target) -> Result<Upstream, NoRoute> {
        let begun = Instant::now();
        let allowed = self.policy.check(target, self.fence).map_err(|why| {
            self.metrics.asked("-", Outcome::Refused);
            NoRoute::Refused(why)
        })?;
        let late = || NoRoute::TimedOut(format!("{target} did not answer within {} s.", CONNECT_TIME.as_secs()));
        let result = timeout(CONNECT_TIME, self.connect(target, &allowed)).await.unwrap_or_else(|_| Err(late()));
        let outcome = match &result {
            Ok(_) => Outcome::Forwarded,
            Err(NoRoute::Refused(_) | NoRoute::Busy(_)) => Outcome::Refused,
            Err(_) => Outcome::Failed,
        };
        self.metrics.asked(&allowed.rule, outcome);
        if result.is_ok() {
            self.metrics.connected(begun.elapsed());
        }
        result
    }

    async fn connect(&self, target: &Target, Allowed { kind, .. }: &Allowed) -> Result<Upstream, NoRoute> {
        let addresses = self.resolver.addresses(&target.host).await;
        let addresses = addresses.map_err(|cause| {
            NoRoute::Failed(Obstacle::Name, format!("{} cannot be resolved: {cause}.", target.host))
        })?;
        for address in &addresses {
            if let Some(what) = forbidden(*address, self.api_server) {
                return Err(NoRoute::Refused(format!(
                    "The order gate never connects to {target}, because {address} {what}. Connections within the pod \
                     or the cluster that bypass the gate are listed in spec.orderGate.noProxy."
                )));
            }
        }
        let mut last = NoRoute::Failed(Obstacle::Name, format!("{} has no address.", target.host));
        for address in addresses {
            match self.try_one(SocketAddr::new(address, target.port), *kind, target).await {
                Err(error @ (NoRoute::Failed(..) | NoRoute::TimedOut(_))) => last = error,
                other => return other,
            }
        }
        Err(last)
    }

    async fn try_one(&self, address: SocketAddr, kind: Kind, target: &Target) -> Result<Upstream, NoRoute> {
        let attempt = Upstream::connect(address, kind, self.fence, Arc::clone(&self.metrics));
        match timeout(ADDRESS_TIME, attempt).await {
            Ok(Ok(upstream)) => Ok(upstream),
            Ok(Err(NoConnection::Closed)) => Err(NoRoute::Refused(format!(
                "The order gate closed while it connected to {target}: this pod may not trade any more."
            ))),
            Ok(Err(error @ NoConnection::Own(_))) => {
                Err(NoRoute::Refused(format!("The order gate never connects to {target}, because {error}.")))
            }
            Ok(Err(error @ NoConnection::TooMany)) => {
                Err(NoRoute::Busy(format!("The order gate cannot connect to {target}: {error}.")))
            }
            Ok(Err(NoConnection::Failed(error))) => {
                let text = format!("{target} ({address}) cannot be reached: {error}.");
                Err(NoRoute::Failed(Obstacle::from(&error), text))
            }
            Err(_) => Err(NoRoute::TimedOut(format!(
                "{target} ({address}) did not answer within {} s.",
                ADDRESS_TIME.as_secs()
            ))),
        }
    }
}
