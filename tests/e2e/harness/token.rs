//! Acting with the token of a pod, as whoever took the pod over would.

use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::api::{Api, PostParams};
use kube::config::{AuthInfo, Config, Kubeconfig};
use kube::{Client, ResourceExt};

use super::cluster::Cluster;
use super::shell::kubeconfig;

/// Requests that a scenario makes with somebody else's token, to see them refused, say so in their `User-Agent`.
pub const ON_PURPOSE: &str = "e2e-on-purpose";

/// A client with the very token that the kubelet mounts: of the pod's account, bound to the pod.
pub async fn client_of(cluster: &Cluster, pod: &Pod) -> Client {
    let account = pod.spec.as_ref().and_then(|spec| spec.service_account_name.clone()).expect("pods have an account");
    let request = TokenRequest {
        spec: TokenRequestSpec {
            bound_object_ref: Some(BoundObjectReference {
                api_version: Some("v1".into()),
                kind: Some("Pod".into()),
                name: Some(pod.name_any()),
                uid: pod.uid(),
            }),
            expiration_seconds: Some(3600),
            ..TokenRequestSpec::default()
        },
        ..TokenRequest::default()
    };
    let accounts = Api::<ServiceAccount>::namespaced(cluster.client.clone(), &pod.namespace().unwrap_or_default());
    let issued = accounts.create_token_request(&account, &PostParams::default(), &request).await.expect("a token");
    let token = issued.status.expect("it was issued").token;
    let file = Kubeconfig::read_from(kubeconfig()).expect("the kubeconfig can be read");
    let mut config = Config::from_custom_kubeconfig(file, &Default::default()).await.expect("a valid kubeconfig");
    config.auth_info = AuthInfo { token: Some(token.into()), ..AuthInfo::default() };
    config.default_retry = false;
    config.headers.push((http::header::USER_AGENT, http::HeaderValue::from_static(ON_PURPOSE)));
    Client::try_from(config).expect("a client")
}
