//! The CustomResourceDefinitions, generated from the types, and the text of their files.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::{Value, json};

use super::bot::TradingBot;
use super::operation::TradingBotOperation;
use super::rules::{self, Rule};
use super::schema;

/// The first line of every generated file.
pub const GENERATED: &str = "# Generated from the Rust types by `make crds`. Do not edit.\n";

/// Both kinds.
pub fn all() -> Vec<CustomResourceDefinition> {
    vec![bot(), operation()]
}

/// The folders that the files of the kinds are in: for people, and inside the chart, because Helm reads nothing else.
pub const FOLDERS: [&str; 2] = ["crds", "charts/tradingbot-operator/files/crds"];

/// The files of each kind, by their paths in the repository.
pub fn files() -> Vec<(String, String)> {
    let text = |crd: &CustomResourceDefinition| GENERATED.to_owned() + &yaml(crd);
    let named: Vec<_> = all().iter().map(|crd| (format!("{}.yaml", crd.spec.names.plural), text(crd))).collect();
    FOLDERS
        .iter()
        .flat_map(|folder| named.iter().map(move |(name, text)| (format!("{folder}/{name}"), text.clone())))
        .collect()
}

/// An object as YAML.
pub fn yaml(object: &impl serde::Serialize) -> String {
    // Only maps with other keys than strings could fail, and the API has none.
    serde_saphyr::to_string(object).unwrap_or_default()
}

fn bot() -> CustomResourceDefinition {
    generated::<TradingBot>(
        |schema| {
            let spec = &mut schema["properties"]["spec"]["properties"];
            schema::refine_pod_template(&mut spec["template"]);
            schema::drop_descriptions_below(&mut spec["template"]);
            let job = &mut spec["reconciliation"]["properties"]["jobTemplate"];
            schema::refine_pod_template(&mut job["properties"]["spec"]["properties"]["template"]);
            job["properties"]["metadata"] =
                job["properties"]["spec"]["properties"]["template"]["properties"]["metadata"].clone();
            job["required"] = json!(["spec"]);
            schema::drop_descriptions_below(job);
            let claim = &mut spec["volumeClaimTemplates"]["items"]["properties"]["spec"];
            schema::refine_claim(claim);
            schema::drop_descriptions_below(claim);
            let policy = &mut spec["orderGate"]["properties"]["networkPolicy"];
            schema::refine_egress(&mut policy["properties"]["standbyEgress"]["items"]);
            let backup = &mut spec["backup"]["properties"];
            schema::drop_descriptions_below(&mut backup["resources"]);
            schema::refine_retention(&mut backup["schedules"]["items"]["properties"]["retention"]);
            schema::merge_by_name(&mut backup["schedules"]);
            schema::merge_by_name(&mut spec["recovery"]["properties"]["rules"]);
            schema::refine_shutdown(&mut spec["lifecycle"]["properties"]["shutdown"]);
            schema::merge_by_name(&mut spec["health"]["properties"]["checks"]);
            spec["reconciliation"]["properties"]["runOn"]["x-kubernetes-list-type"] = json!("set");
            spec["hooks"]["properties"]["promote"]["properties"]["http"]["properties"]["headers"]["x-kubernetes-list-type"] =
                json!("atomic");
        },
        &[rules::BOT, rules::BACKUP, rules::HEALTH, rules::RECOVERY],
    )
}

fn operation() -> CustomResourceDefinition {
    generated::<TradingBotOperation>(|_| {}, &[rules::OPERATION])
}

/// A kind's definition with its schema refined and its rules put in.
fn generated<K: CustomResourceExt>(refine: impl FnOnce(&mut Value), rules: &[&[Rule]]) -> CustomResourceDefinition {
    let mut crd = serde_json::to_value(K::crd()).unwrap_or_default();
    let schema = &mut crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    schema::refine(schema);
    refine(schema);
    let status = &mut schema["properties"]["status"];
    schema::refine_lists(status);
    schema::drop_defaults(status);
    schema::drop_descriptions_below(&mut status["properties"]["conditions"]);
    for rule in rules.iter().copied().flatten() {
        add(schema, rule);
    }
    #[expect(clippy::expect_used, reason = "the same for every run: the tests call it")]
    serde_json::from_value(crd).expect("a refined definition is a definition")
}

fn add(schema: &mut Value, rule: &Rule) {
    let Rule { at, rule, message, message_expression } = rule;
    #[expect(clippy::expect_used, reason = "the same for every run: the tests call it")]
    let node = schema.pointer_mut(at).expect("a rule is about a part of the schema");
    let mut entry = json!({"rule": rule, "message": message});
    if let Some(expression) = message_expression {
        entry["messageExpression"] = json!(expression);
    }
    if rule.contains("oldSelf.hasValue()") {
        // Asked also of an object that is new.
        entry["optionalOldSelf"] = json!(true);
    }
    match node["x-kubernetes-validations"].as_array_mut() {
        Some(entries) => entries.push(entry),
        None => node["x-kubernetes-validations"] = json!([entry]),
    }
}

/// Compares a generated file with the one in the repository; writes it instead with `UPDATE=1` in the environment.
#[cfg(test)]
pub(crate) fn check_file(path: &str, text: &str) {
    let full = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(full.parent().unwrap()).unwrap();
        return std::fs::write(&full, text).unwrap();
    }
    let found = std::fs::read_to_string(&full).unwrap_or_default();
    assert!(found == text, "{path} differs from what the types say. Run `make crds` and commit the result.");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_are_what_the_types_say() {
        for (path, text) in files() {
            check_file(&path, &text);
        }
    }

    #[test]
    fn client_side_apply_fits_into_its_annotation() {
        for crd in all() {
            let size = serde_json::to_string(&crd).unwrap().len();
            // The annotation holds the whole object as JSON, and all annotations together may have 256 KiB.
            assert!(size < 240 * 1024, "{} has {size} bytes", crd.spec.names.plural);
        }
    }

    #[test]
    fn nothing_is_stored_that_the_schema_does_not_know() {
        for crd in all() {
            let text = serde_json::to_string(&crd).unwrap();
            assert!(!text.contains("x-kubernetes-preserve-unknown-fields"), "{}", crd.spec.names.plural);
        }
    }
}
