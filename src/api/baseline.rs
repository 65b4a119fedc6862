//! A version of the API stays what it was: today's schemas are compared with what `crds/baseline/` says of them, and only
//! what leaves stored objects valid may come in. `make api-baseline` writes it down.

use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Map, Value, json};

use super::crds;

/// What is known of one kind, by path: `.spec.hooks.promote`, with `[]` for an entry of a list and `{}` for one of a map.
type Paths = BTreeMap<String, Map<String, Value>>;

/// What makes a stored object valid or not, or gives it another meaning.
const KEPT: [&str; 26] = [
    "type",
    "format",
    "default",
    "enum",
    "pattern",
    "nullable",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "uniqueItems",
    "multipleOf",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "anyOf",
    "oneOf",
    "allOf",
    "not",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-preserve-unknown-fields",
];
/// Not a keyword of the schema: whether the object around needs it.
const REQUIRED: &str = "required";
/// Not a keyword either: the CEL of each rule.
const RULES: &str = "rules";

fn paths_of(crd: &CustomResourceDefinition) -> Paths {
    let crd = serde_json::to_value(crd).unwrap();
    let mut found = Paths::new();
    walk(&crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"], String::new(), false, &mut found);
    found
}

fn walk(schema: &Value, path: String, required: bool, found: &mut Paths) {
    let mut known: Map<String, Value> =
        KEPT.iter().filter_map(|key| Some(((*key).to_owned(), schema.get(*key)?.clone()))).collect();
    if required {
        known.insert(REQUIRED.into(), json!(true));
    }
    if let Some(rules) = schema["x-kubernetes-validations"].as_array() {
        known.insert(RULES.into(), rules.iter().map(|rule| rule["rule"].clone()).collect());
    }
    let needed = |name: &str| schema[REQUIRED].as_array().is_some_and(|names| names.iter().any(|n| n == name));
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        walk(property, format!("{path}.{name}"), needed(name), found);
    }
    for (key, mark) in [("items", "[]"), ("additionalProperties", "{}")] {
        if let Some(inner) = schema.get(key).filter(|inner| inner.is_object()) {
            walk(inner, format!("{path}{mark}"), false, found);
        }
    }
    found.insert(path, known);
}

/// The path of the object, list or map around.
fn around(path: &str) -> &str {
    let inner = path.strip_suffix("[]").or_else(|| path.strip_suffix("{}"));
    inner.or_else(|| path.rsplit_once('.').map(|(outer, _)| outer)).unwrap_or_default()
}

/// Why objects that were stored under `old` are not safe under `new`, a sentence each.
fn breaks(old: &Paths, new: &Paths) -> Vec<String> {
    let mut why = Vec::new();
    for (path, before) in old {
        match new.get(path) {
            None => why.push(format!("{path} is gone; a field is never removed or renamed within a version.")),
            Some(now) => why.extend(changes(path, before, now)),
        }
    }
    for (path, now) in new.iter().filter(|(path, _)| !old.contains_key(*path)) {
        if now.contains_key(REQUIRED) && old.contains_key(around(path)) {
            why.push(format!("{path} is new and required; stored objects do not have it. Give it a default."));
        }
    }
    // Each write of a status is a change of the root, so these rules are asked although the spec is as it was.
    let rules = |paths: &Paths| rules_at(paths, "");
    let known = rules(old);
    for rule in rules(new).into_iter().filter(|rule| !old.is_empty() && !known.contains(rule)) {
        if !rule.contains("oldSelf") {
            why.push(format!(
                "The rule '{rule}' at the root could keep the operator from writing a status: move it down."
            ));
        }
    }
    why
}

fn rules_at(paths: &Paths, path: &str) -> Vec<String> {
    let rules = paths.get(path).and_then(|known| known.get(RULES)).and_then(Value::as_array);
    rules.into_iter().flatten().filter_map(|rule| rule.as_str().map(ToOwned::to_owned)).collect()
}

fn changes(path: &str, before: &Map<String, Value>, now: &Map<String, Value>) -> Vec<String> {
    let keys: std::collections::BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let changed = keys.into_iter().filter(|key| before.get(*key) != now.get(*key));
    let said = changed.filter_map(|key| {
        let (old, new) = (before.get(key), now.get(key));
        let fine = match key.as_str() {
            RULES => true,
            REQUIRED | "pattern" | "uniqueItems" | "multipleOf" | "exclusiveMinimum" | "exclusiveMaximum" => {
                new.is_none()
            }
            "enum" => match (old.and_then(Value::as_array), new.and_then(Value::as_array)) {
                (_, None) => true,
                (Some(old), Some(new)) => old.iter().all(|value| new.contains(value)),
                (None, Some(_)) => false,
            },
            "minimum" | "minLength" | "minItems" | "minProperties" => bound(new, old, |new, old| new <= old),
            "maximum" | "maxLength" | "maxItems" | "maxProperties" => bound(new, old, |new, old| new >= old),
            _ => false,
        };
        let text = |value: Option<&Value>| value.map_or("nothing".to_owned(), ToString::to_string);
        (!fine).then(|| format!("{path}: {key} was {} and is {}.", text(old), text(new)))
    });
    said.collect()
}

fn bound(new: Option<&Value>, old: Option<&Value>, looser: impl Fn(f64, f64) -> bool) -> bool {
    match (new.and_then(Value::as_f64), old.and_then(Value::as_f64)) {
        (None, _) => true,
        (Some(new), Some(old)) => looser(new, old),
        (Some(_), None) => false,
    }
}

/// One path a line, so that a change of the API is a few lines of difference.
fn text(kinds: &BTreeMap<String, Paths>) -> String {
    let kinds: Vec<String> = kinds
        .iter()
        .map(|(kind, paths)| {
            let lines: Vec<String> =
                paths.iter().map(|(path, known)| format!("    {}: {}", json!(path), json!(known))).collect();
            format!("  {}: {{\n{}\n  }}", json!(kind), lines.join(",\n"))
        })
        .collect();
    format!("{{\n{}\n}}\n", kinds.join(",\n"))
}

/// By the version's name.
fn today() -> BTreeMap<String, BTreeMap<String, Paths>> {
    let mut versions: BTreeMap<String, BTreeMap<String, Paths>> = BTreeMap::new();
    for crd in crds::all() {
        let [version] = crd.spec.versions.as_slice() else { panic!("say here how several versions are compared") };
        versions.entry(version.name.clone()).or_default().insert(crd.spec.names.kind.clone(), paths_of(&crd));
    }
    versions
}

/// What differs without harm: for whoever adds it to decide that it was meant.
fn additions(old: &Paths, new: &Paths) -> Vec<String> {
    let mut added: Vec<String> =
        new.keys().filter(|path| !old.contains_key(*path)).map(|path| format!("new: {path}")).collect();
    for path in new.keys() {
        let known = rules_at(old, path);
        let fresh = rules_at(new, path).into_iter().filter(|rule| !known.contains(rule));
        added.extend(fresh.map(|rule| {
            format!("new rule at '{path}', for which objects that break it keep only what is not changed at '{path}': {rule}")
        }));
    }
    added
}

#[test]
fn a_version_only_grows() {
    for (version, kinds) in today() {
        let path = format!("crds/baseline/{version}.json");
        let full = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(&path);
        let found = std::fs::read_to_string(&full).unwrap_or_else(|_| "{}".into());
        let baseline: BTreeMap<String, Paths> = serde_json::from_str(&found).expect("the baseline is JSON");
        let (mut why, mut added) = (Vec::new(), Vec::new());
        for (kind, old) in &baseline {
            let new = kinds.get(kind).cloned().unwrap_or_default();
            why.extend(breaks(old, &new).into_iter().map(|sentence| format!("{kind}: {sentence}")));
            added.extend(additions(old, &new).into_iter().map(|what| format!("{kind}: {what}")));
        }
        assert!(
            why.is_empty(),
            "{version} would not be what it was (docs/reference/api-versions.md):\n{}",
            why.join("\n")
        );
        let now = text(&kinds);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::create_dir_all(full.parent().unwrap()).unwrap();
            std::fs::write(&full, now).unwrap();
        } else {
            assert!(
                found == now,
                "{version} has grown. If that is meant, run `make api-baseline`:\n{}",
                added.join("\n")
            );
        }
    }
}

#[test]
fn there_is_one_version_which_is_served_and_stored_and_needs_no_conversion() {
    for crd in crds::all() {
        let [version] = crd.spec.versions.as_slice() else { panic!("{} has several versions", crd.spec.names.kind) };
        assert_eq!((version.name.as_str(), version.served, version.storage), ("v1alpha1", true, true));
        assert!(crd.spec.conversion.as_ref().is_none_or(|conversion| conversion.strategy == "None"));
    }
}

mod tests {
    use super::*;

    type Change = fn(&mut Value);

    fn paths(schema: &Value) -> Paths {
        let mut found = Paths::new();
        walk(schema, String::new(), false, &mut found);
        found
    }

    fn schema() -> Value {
        json!({"type": "object", "required": ["template"], "properties": {
            "template": {"type": "object"},
            "replicas": {"type": "integer", "default": 2, "minimum": 0, "maximum": 10},
            "mode": {"type": "string", "enum": ["Warm", "Hot"]},
            "hosts": {"type": "array", "items": {"type": "string", "maxLength": 260}},
        }})
    }

    fn broken_by(change: impl FnOnce(&mut Value)) -> Vec<String> {
        let mut later = schema();
        change(&mut later);
        breaks(&paths(&schema()), &paths(&later))
    }

    #[test]
    fn what_stored_objects_could_not_bear_is_named() {
        let cases: [(&str, Change); 10] = [
            (".mode is gone", |s| drop(s["properties"].as_object_mut().unwrap().remove("mode"))),
            (".replicas: type was", |s| s["properties"]["replicas"]["type"] = json!("string")),
            (".replicas: default was 2 and is 3", |s| s["properties"]["replicas"]["default"] = json!(3)),
            (".mode: default was nothing", |s| s["properties"]["mode"]["default"] = json!("Hot")),
            (".replicas: maximum was 10 and is 9", |s| s["properties"]["replicas"]["maximum"] = json!(9)),
            (".mode: enum was", |s| s["properties"]["mode"]["enum"] = json!(["Warm"])),
            (".mode: required was nothing", |s| s["required"] = json!(["template", "mode"])),
            (".hosts[]: pattern was nothing", |s| s["properties"]["hosts"]["items"]["pattern"] = json!("a")),
            (".account is new and required", |s| {
                s["properties"]["account"] = json!({"type": "string"});
                s["required"] = json!(["template", "account"]);
            }),
            ("at the root could keep the operator from", |s| {
                s["x-kubernetes-validations"] = json!([{"rule": "self.replicas > 1"}]);
            }),
        ];
        for (sentence, change) in cases {
            let why = broken_by(change);
            assert!(why.len() == 1 && why[0].contains(sentence), "{sentence}: {why:?}");
        }
    }

    #[test]
    fn what_leaves_them_as_they_are_may_come_in() {
        let cases: [Change; 5] = [
            |s| {
                // What a new object needs is asked of nobody who does not use it.
                let gate = json!({"type": "object", "required": ["host"], "properties": {"host": {"type": "string"}}});
                s["properties"]["gate"] = gate;
            },
            |s| s["properties"]["mode"]["enum"] = json!(["Warm", "Hot", "Cold"]),
            |s| s["properties"]["replicas"]["maximum"] = json!(20),
            |s| s["properties"]["hosts"]["x-kubernetes-validations"] = json!([{"rule": "size(self) > 1"}]),
            |s| s["x-kubernetes-validations"] = json!([{"rule": "self.replicas >= oldSelf.replicas"}]),
        ];
        for change in cases {
            assert_eq!(broken_by(change), Vec::<String>::new());
        }
    }
}
