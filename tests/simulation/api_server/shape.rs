//! The form in which objects are stored: only fields that the kind has, nothing that is empty, and the defaults that the
//! product sees.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Map, Value, json};
use tradingbot::api::crds;

use super::failure::Failure;
use super::kinds::Kind;

/// Maps of texts, which are left out when they are empty; other objects may be empty and mean something.
const MAPS: [&str; 9] =
    ["labels", "annotations", "matchLabels", "nodeSelector", "data", "binaryData", "limits", "requests", "selector"];

/// Reads an object that a client sent.
pub(super) fn shape(kind: &Kind, mut object: Value) -> Result<Value, Failure> {
    if !object.is_object() {
        return Err(Failure::bad_request("the object provided is no object"));
    }
    let said = |name: &str| object[name].as_str().filter(|text| !text.is_empty()).map(ToOwned::to_owned);
    let (api_version, name) = (kind.api_version(), kind.kind);
    let right =
        said("apiVersion").is_none_or(|text| text == api_version) && said("kind").is_none_or(|text| text == name);
    if !right {
        let sent = format!("{}, Kind={}", said("apiVersion").unwrap_or_default(), said("kind").unwrap_or_default());
        let message = format!(
            "the API version and kind in the data ({sent}) do not match the expected ({api_version}, Kind={name})"
        );
        return Err(Failure::bad_request(message));
    }
    object["apiVersion"] = json!(api_version);
    object["kind"] = json!(name);
    let mut object = match kind.typed {
        Some(typed) => {
            let cannot = |error| {
                Failure::bad_request(format!(
                    "{name} in version \"{}\" cannot be handled as a {name}: {error}",
                    kind.version
                ))
            };
            precise_times(kind, &object).map_err(cannot)?;
            let mut object = typed(object).map_err(cannot)?;
            tidy(&mut object);
            object
        }
        None => {
            fit(schema_of(kind), &mut object);
            tidy(&mut object["metadata"]);
            object
        }
    };
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    Ok(object)
}

/// Times with microseconds are read with exactly six digits.
fn precise_times(kind: &Kind, object: &Value) -> Result<(), String> {
    if kind.kind != "Lease" {
        return Ok(());
    }
    for field in ["acquireTime", "renewTime"] {
        let Some(text) = object["spec"][field].as_str() else { continue };
        let digits = text.trim_end_matches('Z').split_once('.').map_or(0, |(_, fraction)| fraction.len());
        if digits != 6 {
            return Err(format!("parsing time \"{text}\" as \"2006-01-02T15:04:05.000000Z07:00\": cannot parse"));
        }
    }
    Ok(())
}

/// Leaves out what a Go program would not write.
fn tidy(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(tidy);
            fields.retain(|name, value| match value {
                Value::Null => false,
                Value::Array(items) => !items.is_empty(),
                Value::Object(fields) => !(fields.is_empty() && MAPS.contains(&name.as_str())),
                _ => true,
            });
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}

/// The schema of one of the product's kinds.
fn schema_of(kind: &Kind) -> &'static Value {
    static SCHEMAS: OnceLock<BTreeMap<String, Value>> = OnceLock::new();
    let all = SCHEMAS.get_or_init(|| {
        let schema = |crd: CustomResourceDefinition| {
            let schema = crd.spec.versions.first().and_then(|version| version.schema.clone());
            let schema = schema.and_then(|schema| schema.open_api_v3_schema);
            (crd.spec.names.plural, serde_json::to_value(schema).unwrap_or_default())
        };
        crds::all().into_iter().map(schema).collect()
    });
    all.get(kind.plural).unwrap_or(&Value::Null)
}

/// Prunes what the schema does not know, and puts its defaults in.
fn fit(schema: &Value, object: &mut Value) {
    let Value::Object(fields) = object else { return };
    // What every object has is no part of the schema.
    let apart: Vec<(&str, Value)> =
        ["apiVersion", "kind", "metadata"].into_iter().filter_map(|name| Some((name, fields.remove(name)?))).collect();
    fit_fields(schema, fields);
    fields.extend(apart.into_iter().map(|(name, value)| (name.to_owned(), value)));
}

fn fit_value(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(fields) => fit_fields(schema, fields),
        Value::Array(items) => items.iter_mut().for_each(|item| fit_value(&schema["items"], item)),
        _ => {}
    }
}

fn fit_fields(schema: &Value, fields: &mut Map<String, Value>) {
    if let Value::Object(properties) = &schema["properties"] {
        if schema["x-kubernetes-preserve-unknown-fields"] != true {
            fields.retain(|name, _| properties.contains_key(name));
        }
        for (name, property) in properties {
            // A default does not make its parent: that would need a default of its own.
            let missing = fields.get(name).is_none_or(|value| value.is_null() && property["nullable"] != true);
            match property.get("default").filter(|_| missing) {
                Some(default) => drop(fields.insert(name.clone(), default.clone())),
                None if missing => drop(fields.remove(name)),
                None => {}
            }
            if let Some(value) = fields.get_mut(name) {
                fit_value(property, value);
            }
        }
    } else if schema["additionalProperties"].is_object() {
        fields.values_mut().for_each(|value| fit_value(&schema["additionalProperties"], value));
    }
}

#[cfg(test)]
mod tests {
    use super::super::kinds::of_plural;
    use super::*;

    fn shaped(plural: &str, object: Value) -> Result<Value, Failure> {
        shape(of_plural(plural).unwrap(), object)
    }

    #[test]
    fn unknown_fields_and_empty_lists_are_dropped_and_empty_texts_are_kept() {
        let sent = json!({
            "metadata": {"name": "doge", "labels": {}, "finalizers": []},
            "spec": {"holderIdentity": "", "nonsense": 1}, "more": true,
        });
        let stored = shaped("leases", sent).unwrap();
        assert_eq!(stored["metadata"], json!({"name": "doge"}));
        assert_eq!(stored["spec"], json!({"holderIdentity": ""}));
        assert_eq!((stored["kind"].as_str(), stored.get("more")), (Some("Lease"), None));
    }

    #[test]
    fn a_time_without_microseconds_is_refused() {
        let with = |time| shaped("leases", json!({"spec": {"renewTime": time}})).map_err(|failure| failure.code);
        assert!(with("2026-01-01T00:00:00.000001Z").is_ok());
        assert_eq!(with("2026-01-01T00:00:00Z"), Err(400));
        assert_eq!(with("2026-01-01T00:00:00.001Z"), Err(400));
    }

    #[test]
    fn the_products_kinds_get_the_defaults_of_their_schema() {
        let bot = json!({"metadata": {"name": "doge"}, "spec": {"template": {}, "nonsense": 1}});
        let stored = shaped("tradingbots", bot).unwrap();
        assert_eq!(stored["spec"].get("nonsense"), None);
        assert_eq!(stored["spec"]["replicas"], 2);
    }
}
