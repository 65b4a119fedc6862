//! Requests in the name of somebody else: how a bot's pod, another service account or a person stands before the API
//! server.

use http::Request;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::Client;
use kube::api::{Api, PostParams};
use serde_json::{Value, json};

use super::cluster::Cluster;

/// A service account; in a pod: with a token that is bound to it, as agents have.
#[derive(Clone, Debug)]
pub struct Identity {
    user: String,
    groups: Vec<String>,
    /// Name and uid.
    pod: Option<(String, String)>,
}

/// How an object is changed.
#[derive(Clone, Copy, Debug)]
pub enum With {
    JsonPatch,
    MergePatch,
    Apply,
}

impl Identity {
    pub fn account(namespace: &str, name: &str) -> Identity {
        Identity {
            user: format!("system:serviceaccount:{namespace}:{name}"),
            groups: ["system:serviceaccounts", &format!("system:serviceaccounts:{namespace}"), "system:authenticated"]
                .map(str::to_owned)
                .to_vec(),
            pod: None,
        }
    }

    pub fn in_pod(self, name: &str, uid: &str) -> Identity {
        Identity { pod: Some((name.to_owned(), uid.to_owned())), ..self }
    }

    /// Somebody who may do everything, and is no service account.
    pub fn person() -> Identity {
        Identity { user: "alice@example.com".into(), groups: vec!["system:masters".into()], pod: None }
    }

    /// A request of this identity.
    pub fn request(&self, method: &str, path: &str, body: Option<(&str, &Value)>) -> Request<Vec<u8>> {
        let mut request = Request::builder().method(method).uri(path).header("impersonate-user", &self.user);
        for group in &self.groups {
            request = request.header("impersonate-group", group);
        }
        if let Some((name, uid)) = &self.pod {
            request = request
                .header("impersonate-extra-authentication.kubernetes.io%2fpod-name", name)
                .header("impersonate-extra-authentication.kubernetes.io%2fpod-uid", uid);
        }
        let (kind, body) = body.map_or(("application/json", Vec::new()), |(k, v)| (k, v.to_string().into_bytes()));
        request.header("content-type", kind).body(body).expect("a request")
    }

    async fn sent(&self, client: &Client, request: Request<Vec<u8>>) -> Result<Value, String> {
        match client.request::<Value>(request).await {
            Ok(object) => Ok(object),
            Err(kube::Error::Api(status)) => Err(format!("{} {}", status.code, status.message)),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Changes an object.
    pub async fn change(&self, client: &Client, path: &str, with: With, body: &Value) -> Result<Value, String> {
        let kind = match with {
            With::JsonPatch => "application/json-patch+json",
            With::MergePatch => "application/merge-patch+json",
            With::Apply => "application/apply-patch+yaml",
        };
        self.sent(client, self.request("PATCH", path, Some((kind, body)))).await
    }

    /// Replaces an object.
    pub async fn replace(&self, client: &Client, path: &str, object: &Value) -> Result<Value, String> {
        self.sent(client, self.request("PUT", path, Some(("application/json", object)))).await
    }

    /// Creates an object in a collection.
    pub async fn create(&self, client: &Client, path: &str, object: &Value) -> Result<Value, String> {
        self.sent(client, self.request("POST", path, Some(("application/json", object)))).await
    }

    /// Deletes an object or a collection.
    pub async fn delete(&self, client: &Client, path: &str) -> Result<Value, String> {
        self.sent(client, self.request("DELETE", path, None)).await
    }
}

/// In this namespace RBAC allows every service account everything, so that what is refused is refused by a policy.
pub async fn allow_everything(cluster: &Cluster) {
    let binding: RoleBinding = serde_json::from_value(json!({
        "metadata": {"name": "everything"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:serviceaccounts"}],
    }))
    .expect("a binding");
    let api: Api<RoleBinding> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    api.create(&PostParams::default(), &binding).await.expect("the binding is made");
}
