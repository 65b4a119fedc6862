//! A server of a scenario's own behind a Service, such as a database: started, looked into and taken away.

use std::io::Write;
use std::process::Stdio;

use k8s_openapi::api::core::v1::{Pod, Secret, Service};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::cluster::Cluster;
use super::manifest::{restricted_container, restricted_pod};
use super::shell::kubectl_command;
use super::world::World;
use super::{seconds, until};

/// A pod with one container, and its address.
#[derive(Clone)]
pub struct Server {
    pub cluster: Cluster,
    pub namespace: String,
    pub name: String,
    /// The cluster's own address of it; there are no names in a cluster without DNS.
    pub address: String,
    port: u16,
}

impl Server {
    /// Makes the Service alone, so that others can be told the address.
    pub async fn announce(world: &World, name: &str, port: u16) -> Server {
        let services: Api<Service> = Api::namespaced(world.cluster.client.clone(), &world.namespace);
        let service = json!({
            "metadata": {"name": name},
            "spec": {"selector": {"app": name}, "ports": [{"port": port}]},
        });
        let service = serde_json::from_value(service).expect("a service");
        let service = services.create(&PostParams::default(), &service).await.expect("the service is made");
        let address = service.spec.and_then(|s| s.cluster_ip).expect("it has an address");
        let (cluster, namespace) = (world.cluster.clone(), world.namespace.clone());
        Server { cluster, namespace, name: name.into(), address, port }
    }

    /// Runs this shell script in this image with the keys of a Secret in its environment, and waits until its port takes
    /// connections. What it writes goes into `/data`.
    pub async fn start(&self, image: &str, script: &str, secret: &str) {
        let pods = self.pods();
        let pod = json!({
            "metadata": {"name": self.name, "labels": {"app": self.name}},
            "spec": {
                "terminationGracePeriodSeconds": 0,
                "securityContext": restricted_pod(),
                "containers": [{
                    "name": "server",
                    "image": image,
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["sh", "-ec", script],
                    "envFrom": [{"secretRef": {"name": secret}}],
                    "ports": [{"containerPort": self.port}],
                    "readinessProbe": {"tcpSocket": {"port": self.port}, "periodSeconds": 1},
                    "securityContext": restricted_container(),
                    "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                }],
                "volumes": [{"name": "data", "emptyDir": {}}],
            },
        });
        let pod: Pod = serde_json::from_value(pod).expect("a pod");
        let what = format!("the pod {} is made", self.name);
        until(&what, seconds(30), async || pods.create(&PostParams::default(), &pod).await.ok()).await;
        until(&format!("the server {} is ready", self.name), seconds(60), async || {
            let conditions = pods.get(&self.name).await.ok()?.status?.conditions?;
            conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True").then_some(())
        })
        .await;
    }

    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.cluster.client.clone(), &self.namespace)
    }

    /// Takes it away with all that it has.
    pub async fn destroy(&self) {
        self.pods().delete(&self.name, &DeleteParams::default()).await.expect("the server's pod is deleted");
        let what = format!("the server {} is gone", self.name);
        until(&what, seconds(30), async || self.pods().get_opt(&self.name).await.ok()?.is_none().then_some(())).await;
    }

    /// Nobody reaches it any more, or everybody again.
    pub async fn reachable(&self, reachable: bool) {
        let services: Api<Service> = Api::namespaced(self.cluster.client.clone(), &self.namespace);
        let app = if reachable { self.name.clone() } else { format!("no-{}", self.name) };
        let patch = Patch::Merge(json!({"spec": {"selector": {"app": app}}}));
        services.patch(&self.name, &PatchParams::default(), &patch).await.expect("the service is changed");
    }

    /// Runs a shell script in its container; what it prints.
    pub fn run(&self, script: &str) -> Result<Vec<u8>, String> {
        self.run_with(script, &[])
    }

    /// With this on its standard input.
    pub fn run_with(&self, script: &str, input: &[u8]) -> Result<Vec<u8>, String> {
        let mut command = kubectl_command();
        command.args(["-n", &self.namespace, "exec", "-i", &self.name, "--", "sh", "-ec", script]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("kubectl runs");
        let mut pipe = child.stdin.take().expect("it has an input");
        let input = input.to_vec();
        // Beside what it prints: neither side waits for the other.
        let writer = std::thread::spawn(move || drop(pipe.write_all(&input)));
        let output = child.wait_with_output().expect("kubectl ends");
        let _ = writer.join();
        if output.status.success() {
            return Ok(output.stdout);
        }
        Err(format!("{script}: {}", String::from_utf8_lossy(&output.stderr).trim()))
    }

    /// A script that has to succeed; what it prints, as text.
    pub fn said(&self, script: &str) -> String {
        let output = self.run(script).unwrap_or_else(|failed| panic!("in {}: {failed}", self.name));
        String::from_utf8_lossy(&output).trim_end().to_owned()
    }
}

/// Makes a Secret, or makes it say something else.
pub async fn put_secret(world: &World, name: &str, data: &Value) {
    let secrets: Api<Secret> = Api::namespaced(world.cluster.client.clone(), &world.namespace);
    let secret =
        Patch::Apply(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}));
    secrets.patch(name, &PatchParams::apply("e2e").force(), &secret).await.expect("the Secret is made");
}
