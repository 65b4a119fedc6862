//! Names to addresses, by the pod's own configuration and without the system's library, which a static program lacks.

use std::net::IpAddr;

use hickory_resolver::TokioResolver;

use crate::core::gate::Host;

/// Asks the name servers of the pod.
pub(super) struct Resolver(Result<TokioResolver, String>);

impl Resolver {
    /// Reads `/etc/resolv.conf`. Where that cannot be read, addresses still work and names do not.
    pub(super) fn new() -> Resolver {
        let built = TokioResolver::builder_tokio().and_then(|builder| builder.build());
        Resolver(built.map_err(|error| format!("the pod's /etc/resolv.conf cannot be used: {error}")))
    }

    /// # Errors
    /// A sentence without its end.
    pub(super) async fn addresses(&self, host: &Host) -> Result<Vec<IpAddr>, String> {
        let name = match host {
            Host::Address(address) => return Ok(vec![*address]),
            Host::Name(name) => name,
        };
        let resolver = self.0.as_ref().map_err(Clone::clone)?;
        let found = resolver.lookup_ip(name.as_str()).await.map_err(|error| error.to_string())?;
        Ok(found.iter().map(|address| address.to_canonical()).collect())
    }
}
