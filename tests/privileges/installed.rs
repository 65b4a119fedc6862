//! What is installed: the roles in manifests/install.yaml, and those that the operator makes for each bot.

use std::collections::BTreeSet;
use std::path::Path;

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, Subject};
use serde_json::{Value, json};
use tradingbot::api::bot::TradingBot;
use tradingbot::controller::build;

use super::table::{EVERYWHERE, Row, resource};

/// What stands for a bot's name.
pub const BOT: &str = "<bot>";
const OPERATOR: &str = "tradingbot-operator";
const NAMESPACE: &str = "tradingbot-system";
const AGGREGATE: &str = "rbac.authorization.k8s.io/aggregate-to-";

/// The namespace, roles and bindings of an installation.
#[derive(Default)]
pub struct Installed {
    /// Those that it makes.
    pub namespaces: Vec<Namespace>,
    cluster_roles: Vec<ClusterRole>,
    cluster_bindings: Vec<ClusterRoleBinding>,
    roles: Vec<Role>,
    bindings: Vec<RoleBinding>,
}

impl Installed {
    /// Those of manifests/install.yaml.
    pub fn read() -> Installed {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/install.yaml");
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut found = Installed::default();
        for document in text.split("\n---\n") {
            // The definitions of kinds are long, and none of them is a role.
            if document.contains("kind: CustomResourceDefinition") {
                continue;
            }
            let object: Value = serde_saphyr::from_str(document).expect("install.yaml is YAML");
            match object["kind"].as_str() {
                Some("Namespace") => found.namespaces.push(typed(object)),
                Some("ClusterRole") => found.cluster_roles.push(typed(object)),
                Some("ClusterRoleBinding") => found.cluster_bindings.push(typed(object)),
                Some("Role") => found.roles.push(typed(object)),
                Some("RoleBinding") => found.bindings.push(typed(object)),
                _ => {}
            }
        }
        found
    }

    /// What the operator's account may do, without reasons.
    pub fn operator(&self) -> Vec<Row> {
        let is_operator = |subjects: &Option<Vec<Subject>>| {
            let this = |s: &Subject| {
                s.kind == "ServiceAccount" && s.name == OPERATOR && s.namespace.as_deref() == Some(NAMESPACE)
            };
            subjects.iter().flatten().any(this)
        };
        let mut rows = Vec::new();
        for binding in self.cluster_bindings.iter().filter(|b| is_operator(&b.subjects)) {
            let role = self.cluster_roles.iter().find(|r| r.metadata.name.as_deref() == Some(&binding.role_ref.name));
            let role = role.unwrap_or_else(|| panic!("there is no ClusterRole {}", binding.role_ref.name));
            rows.extend(rows_of(role.rules.as_deref().unwrap_or_default(), EVERYWHERE));
        }
        for binding in self.bindings.iter().filter(|b| is_operator(&b.subjects)) {
            let (name, namespace) =
                (&binding.role_ref.name, binding.metadata.namespace.as_deref().expect("a namespace"));
            let here = |r: &&Role| {
                r.metadata.name.as_ref() == Some(name) && r.metadata.namespace.as_deref() == Some(namespace)
            };
            let role = self.roles.iter().find(here).unwrap_or_else(|| panic!("{namespace} has no Role {name}"));
            rows.extend(rows_of(role.rules.as_deref().unwrap_or_default(), namespace));
        }
        rows
    }

    /// What the cluster's own role for people of this name gains, without reasons.
    pub fn people(&self, role: &str) -> Vec<Row> {
        let label = format!("{AGGREGATE}{role}");
        let joins =
            |r: &&ClusterRole| r.metadata.labels.as_ref().is_some_and(|l| l.get(&label).is_some_and(|v| v == "true"));
        let rules = self.cluster_roles.iter().filter(joins).flat_map(|r| r.rules.iter().flatten());
        rows_of(&rules.cloned().collect::<Vec<_>>(), EVERYWHERE)
    }

    /// Roles that nobody is bound to, and that join no role for people: a rule in them is in no table.
    pub fn unused_roles(&self) -> Vec<String> {
        let bound: BTreeSet<&str> = self
            .cluster_bindings
            .iter()
            .map(|b| b.role_ref.name.as_str())
            .chain(self.bindings.iter().map(|b| b.role_ref.name.as_str()))
            .collect();
        let joins = |r: &ClusterRole| r.metadata.labels.iter().flatten().any(|(key, _)| key.starts_with(AGGREGATE));
        let cluster = self.cluster_roles.iter().filter(|r| !joins(r)).map(|r| r.metadata.name.clone());
        let all = cluster.chain(self.roles.iter().map(|r| r.metadata.name.clone()));
        all.flatten().filter(|name| !bound.contains(name.as_str())).collect()
    }
}

/// What the operator lets every agent of a bot do, without reasons.
pub fn agent() -> Vec<Row> {
    let children = build::children(&bot(), &BTreeSet::new(), &BTreeSet::new());
    rows_of(children.role.rules.as_deref().unwrap_or_default(), "its namespace")
}

/// What the agent whose pod is granted besides, while it is, without reasons.
pub fn active() -> Vec<Row> {
    let role = build::credentials_role(&bot()).expect("the bot has keys");
    rows_of(role.rules.as_deref().unwrap_or_default(), "its namespace")
}

fn bot() -> TradingBot {
    let container = json!({"name": "bot", "image": "bot:1", "command": ["/bot"]});
    let bot = json!({
        "apiVersion": "tradingbot.io/v1alpha1", "kind": "TradingBot",
        "metadata": {"name": BOT, "namespace": "bots", "uid": "u"},
        "spec": {"template": {"spec": {"containers": [container]}}, "credentials": {"secretName": "<secretName>"}},
    });
    serde_json::from_value(bot).expect("a bot")
}

fn typed<K: serde::de::DeserializeOwned>(object: Value) -> K {
    let name = object["metadata"]["name"].clone();
    serde_json::from_value(object).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn rows_of(rules: &[PolicyRule], place: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    for rule in rules {
        assert!(rule.non_resource_urls.as_ref().is_none_or(Vec::is_empty), "no table shows URLs: {rule:?}");
        for group in rule.api_groups.iter().flatten() {
            for kind in rule.resources.iter().flatten() {
                rows.push(Row {
                    resource: resource(group, kind),
                    verbs: rule.verbs.clone(),
                    names: rule.resource_names.clone().unwrap_or_default(),
                    place: place.to_owned(),
                    why: String::new(),
                });
            }
        }
    }
    rows
}
