//! Another operator beside the one that is installed, with its rights.

use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, PostParams};
use serde_json::{Value, json};

use super::cluster::{Cluster, LABEL, OPERATOR, SYSTEM};
use super::world::World;
use super::{seconds, shell, until};

/// Removed at the latest when it is dropped.
pub struct Another {
    cluster: Cluster,
    name: Option<String>,
}

impl Another {
    /// One replica, like the operator but for these variables.
    pub async fn install(world: &World, environment: Value) -> Another {
        Self::install_image(world, None, environment).await
    }

    /// The same, of another image.
    pub async fn install_image(world: &World, image: Option<&str>, environment: Value) -> Another {
        let cluster = world.cluster.clone();
        let deployments: Api<Deployment> = Api::namespaced(cluster.client.clone(), SYSTEM);
        let first = deployments.get(OPERATOR).await.expect("the operator's Deployment");
        let mut object = serde_json::to_value(&first).expect("JSON");
        // Labels of its own: to nobody it is a replica of the first one.
        let labels = json!({LABEL: "operator"});
        object["metadata"] = json!({"generateName": "another-", "namespace": SYSTEM, "labels": labels});
        object["status"] = Value::Null;
        let spec = &mut object["spec"];
        spec["replicas"] = json!(1);
        spec["selector"] = json!({"matchLabels": labels});
        spec["template"]["metadata"] = json!({"labels": labels});
        let container = &mut spec["template"]["spec"]["containers"][0];
        if let Some(image) = image {
            container["image"] = json!(image);
        }
        for variable in environment.as_array().into_iter().flatten() {
            let all = container["env"].as_array_mut().expect("the operator has an environment");
            all.retain(|other| other["name"] != variable["name"]);
            all.push(variable.clone());
        }
        let deployment: Deployment = serde_json::from_value(object).expect("a Deployment");
        let made = deployments.create(&PostParams::default(), &deployment).await.expect("the Deployment is made");
        let name = made.name_any();
        let another = Another { cluster, name: Some(name.clone()) };
        until("the other operator is ready", seconds(60), async || {
            (deployments.get(&name).await.ok()?.status?.ready_replicas == Some(1)).then_some(())
        })
        .await;
        another
    }

    /// What its pod has logged.
    pub fn log(&self) -> String {
        let name = self.name.as_deref().unwrap_or_default();
        let said = shell::kubectl_said(&["-n", SYSTEM, "logs", &format!("deployment/{name}")]);
        said.unwrap_or_else(|failed| panic!("{failed}"))
    }

    /// Removes it and waits until its pod is gone.
    pub async fn remove(mut self) {
        let Some(name) = self.name.take() else { return };
        let deployments: Api<Deployment> = Api::namespaced(self.cluster.client.clone(), SYSTEM);
        deployments.delete(&name, &DeleteParams::foreground()).await.expect("the Deployment is deleted");
        until("the other operator is gone", seconds(60), async || {
            deployments.get_opt(&name).await.ok()?.is_none().then_some(())
        })
        .await;
    }
}

impl Drop for Another {
    fn drop(&mut self) {
        if let Some(name) = self.name.take() {
            let _ = shell::kubectl(&["-n", SYSTEM, "delete", "deployment", &name, "--wait=false"]);
        }
    }
}
