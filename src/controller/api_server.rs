//! Where the API server is: what a NetworkPolicy has to leave open for agents.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;

/// The namespace and the name of the API server's own Service.
pub const NAMESPACE: &str = "default";
/// Its name, which is also the value of the label on its EndpointSlices.
pub const SERVICE: &str = "kubernetes";

/// Every address of the API server: its endpoints, and its Service's own.
#[derive(Debug, Default)]
pub struct ApiServer(Mutex<BTreeMap<Source, BTreeSet<SocketAddr>>>);

/// Who says so: the kind and name of an object.
type Source = (&'static str, String);

impl ApiServer {
    /// All addresses; empty as long as nothing is known.
    pub fn addresses(&self) -> BTreeSet<SocketAddr> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The Service alone is not enough: most plugins match after its address was translated.
        if !all.keys().any(|(kind, _)| *kind == "EndpointSlice") {
            return BTreeSet::new();
        }
        all.values().flatten().copied().collect()
    }

    /// Notes the Service. Answers whether any address has changed.
    pub fn note_service(&self, service: &Service, there: bool) -> bool {
        let name = service.metadata.name.clone().unwrap_or_default();
        self.note(("Service", name), there.then(|| service_addresses(service)))
    }

    /// Notes one of its EndpointSlices. Answers whether any address has changed.
    pub fn note_slice(&self, slice: &EndpointSlice, there: bool) -> bool {
        let name = slice.metadata.name.clone().unwrap_or_default();
        self.note(("EndpointSlice", name), there.then(|| slice_addresses(slice)))
    }

    fn note(&self, source: Source, addresses: Option<BTreeSet<SocketAddr>>) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match addresses.filter(|found| !found.is_empty()) {
            Some(addresses) => all.insert(source, addresses.clone()) != Some(addresses),
            None => all.remove(&source).is_some(),
        }
    }
}

fn service_addresses(service: &Service) -> BTreeSet<SocketAddr> {
    let Some(spec) = &service.spec else { return BTreeSet::new() };
    let ips = spec.cluster_ips.iter().flatten().chain(&spec.cluster_ip);
    let ports: Vec<i32> = spec.ports.iter().flatten().map(|port| port.port).collect();
    pairs(ips, &ports)
}

/// Endpoints that are not ready too: one that comes back must not wait for a policy.
fn slice_addresses(slice: &EndpointSlice) -> BTreeSet<SocketAddr> {
    let ips = slice.endpoints.iter().flat_map(|endpoint| &endpoint.addresses);
    let ports: Vec<i32> = slice.ports.iter().flatten().filter_map(|port| port.port).collect();
    pairs(ips, &ports)
}

fn pairs<'a>(ips: impl Iterator<Item = &'a String>, ports: &[i32]) -> BTreeSet<SocketAddr> {
    let ips: Vec<_> = ips.filter_map(|ip| ip.parse().ok()).collect();
    let ports = ports.iter().filter_map(|port| u16::try_from(*port).ok());
    ports.flat_map(|port| ips.iter().map(move |ip| SocketAddr::new(*ip, port))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn slice(name: &str, ips: &[&str]) -> EndpointSlice {
        let endpoints: Vec<_> = ips.iter().map(|ip| json!({"addresses": [ip]})).collect();
        serde_json::from_value(json!({
            "metadata": {"name": name}, "addressType": "IPv4", "endpoints": endpoints,
            "ports": [{"name": "https", "port": 6443, "protocol": "TCP"}],
        }))
        .unwrap()
    }

    fn service() -> Service {
        let spec = json!({"clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1", "fd00::1"], "ports": [{"port": 443}]});
        serde_json::from_value(json!({"metadata": {"name": "kubernetes"}, "spec": spec})).unwrap()
    }

    fn texts(known: &ApiServer) -> Vec<String> {
        known.addresses().iter().map(SocketAddr::to_string).collect()
    }

    #[test]
    fn endpoints_and_service_are_known_together_and_only_news_is_news() {
        let known = ApiServer::default();
        assert!(known.note_service(&service(), true));
        assert!(texts(&known).is_empty(), "without endpoints it is not known where the API server is");
        assert!(known.note_slice(&slice("kubernetes", &["10.90.0.1"]), true));
        assert!(!known.note_slice(&slice("kubernetes", &["10.90.0.1"]), true));
        assert_eq!(texts(&known), ["10.90.0.1:6443", "10.96.0.1:443", "[fd00::1]:443"]);
        assert!(known.note_slice(&slice("kubernetes", &["10.90.0.1", "10.90.0.2"]), true));
        assert!(known.note_slice(&slice("kubernetes", &[]), false));
        assert!(texts(&known).is_empty());
    }
}
