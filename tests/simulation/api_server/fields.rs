//! Sets of fields, and what of two objects differs by them: the part of server-side apply that knows which lists are
//! merged item by item and which count as a whole.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

/// `f:name` of a field, `k:{…}` of a list's item by its keys, `v:…` of an item by its value.
pub(super) type Path = Vec<String>;

/// Fields by their paths, as `metadata.managedFields` writes them down.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct FieldSet(pub(super) BTreeSet<Path>);

/// How the parts of a value belong together.
#[derive(Clone, Copy, PartialEq)]
enum Relation {
    /// It has one owner.
    Atomic,
    /// Each field or key has its own.
    Granular,
    /// Each item has its own, by these fields of it.
    Keyed(&'static [&'static str]),
    /// Each item has its own, by its value.
    Set,
}

/// Objects that count as a whole: selectors, and references to other objects.
const WHOLE: [&str; 13] = [
    "selector",
    "podSelector",
    "namespaceSelector",
    "labelSelector",
    "nodeSelector",
    "roleRef",
    "secretKeyRef",
    "configMapKeyRef",
    "fieldRef",
    "resourceFieldRef",
    "dataSource",
    "dataSourceRef",
    "claimRef",
];

fn relation(path: &[String], value: &Value) -> Relation {
    let name = |at: usize| path.get(at).map_or("", |part| part.trim_start_matches("f:"));
    let last = name(path.len().wrapping_sub(1));
    match value {
        Value::Object(_) if WHOLE.contains(&last) => Relation::Atomic,
        Value::Object(_) => Relation::Granular,
        Value::Array(_) => match last {
            "finalizers" => Relation::Set,
            "ownerReferences" => Relation::Keyed(&["uid"]),
            "containers" | "initContainers" | "volumes" | "env" | "imagePullSecrets" | "secrets" => {
                Relation::Keyed(&["name"])
            }
            "volumeMounts" => Relation::Keyed(&["mountPath"]),
            "volumeDevices" => Relation::Keyed(&["devicePath"]),
            "conditions" => Relation::Keyed(&["type"]),
            "hostAliases" => Relation::Keyed(&["ip"]),
            "topologySpreadConstraints" => Relation::Keyed(&["topologyKey", "whenUnsatisfiable"]),
            "ports" if path.len() == 2 && name(0) == "spec" => Relation::Keyed(&["port", "protocol"]),
            "ports" => Relation::Keyed(&["containerPort", "protocol"]),
            _ => Relation::Atomic,
        },
        _ => Relation::Atomic,
    }
}

fn item_key(item: &Value, keys: &[&str]) -> String {
    let of = |key: &str| match item.get(key) {
        Some(value) => value.clone(),
        // The only key that has a default.
        None if key == "protocol" => json!("TCP"),
        None => Value::Null,
    };
    let fields: Map<String, Value> = keys.iter().map(|key| ((*key).to_owned(), of(key))).collect();
    format!("k:{}", Value::Object(fields))
}

/// The parts of a value that have owners of their own; `None`: it counts as a whole.
fn parts(path: &[String], value: &Value) -> Option<Vec<(String, Value)>> {
    match (relation(path, value), value) {
        (Relation::Granular, Value::Object(fields)) => {
            Some(fields.iter().map(|(name, value)| (format!("f:{name}"), value.clone())).collect())
        }
        (Relation::Keyed(keys), Value::Array(items)) => {
            Some(items.iter().map(|item| (item_key(item, keys), item.clone())).collect())
        }
        (Relation::Set, Value::Array(items)) => {
            Some(items.iter().map(|item| (format!("v:{item}"), item.clone())).collect())
        }
        _ => None,
    }
}

fn part<'a>(parts: &'a [(String, Value)], step: &str) -> Option<&'a Value> {
    parts.iter().find(|(other, _)| other == step).map(|(_, value)| value)
}

fn is_item(step: &str) -> bool {
    !step.starts_with("f:")
}

/// Fields that nobody owns.
fn is_stripped(path: &[String]) -> bool {
    const OF_METADATA: [&str; 9] = [
        "f:name",
        "f:namespace",
        "f:creationTimestamp",
        "f:selfLink",
        "f:uid",
        "f:generation",
        "f:managedFields",
        "f:resourceVersion",
        "f:clusterName",
    ];
    match path {
        [] => true,
        [one] => ["f:apiVersion", "f:kind", "f:metadata"].contains(&one.as_str()),
        [first, second, ..] => first == "f:metadata" && OF_METADATA.contains(&second.as_str()),
    }
}

impl FieldSet {
    /// The fields that an object sets.
    pub(super) fn of(object: &Value) -> FieldSet {
        let mut set = FieldSet::default();
        collect(&mut Vec::new(), object, &mut set.0);
        set.0.retain(|path| !is_stripped(path));
        set
    }

    /// Whether the path or anything below it is in the set.
    pub(super) fn has_below(&self, path: &[String]) -> bool {
        self.0.range(path.to_vec()..).next().is_some_and(|found| found.starts_with(path))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn without(&self, other: &BTreeSet<Path>) -> FieldSet {
        FieldSet(self.0.difference(other).cloned().collect())
    }

    /// In the form of `fieldsV1`.
    pub(super) fn to_value(&self) -> Value {
        let mut tree = Map::new();
        for path in &self.0 {
            insert(&mut tree, path);
        }
        Value::Object(tree)
    }

    /// From the form of `fieldsV1`.
    pub(super) fn from_value(tree: &Value) -> FieldSet {
        let mut set = FieldSet::default();
        read(&mut Vec::new(), tree, &mut set.0);
        set
    }
}

fn insert(tree: &mut Map<String, Value>, path: &[String]) {
    let Some((first, rest)) = path.split_first() else { return };
    // Paths come in order: a field that is a member before what is below it.
    let is_member = tree.contains_key(first);
    let Value::Object(child) = tree.entry(first.clone()).or_insert_with(|| json!({})) else { return };
    if rest.is_empty() {
        return;
    }
    if is_member && child.is_empty() {
        child.insert(".".into(), json!({}));
    }
    insert(child, rest);
}

fn read(path: &mut Path, tree: &Value, set: &mut BTreeSet<Path>) {
    let Value::Object(children) = tree else { return };
    if (children.is_empty() || children.contains_key(".")) && !path.is_empty() {
        set.insert(path.clone());
    }
    for (step, child) in children.iter().filter(|(step, _)| *step != ".") {
        path.push(step.clone());
        read(path, child, set);
        path.pop();
    }
}

fn collect(path: &mut Path, value: &Value, set: &mut BTreeSet<Path>) {
    let Some(parts) = parts(path, value) else {
        set.insert(path.clone());
        return;
    };
    for (step, value) in parts {
        path.push(step.clone());
        let empty = value.is_null() || value.as_object().is_some_and(Map::is_empty);
        if empty || is_item(&step) {
            set.insert(path.clone());
        }
        if !value.is_null() {
            collect(path, &value, set);
        }
        path.pop();
    }
}

/// What of an object became another.
#[derive(Clone, Debug, Default)]
pub(super) struct Changes {
    /// New or of another value.
    pub(super) set: BTreeSet<Path>,
    /// No longer there.
    pub(super) removed: BTreeSet<Path>,
}

/// Compares two states of an object.
pub(super) fn compare(old: &Value, new: &Value) -> Changes {
    let mut changes = Changes::default();
    differ(&mut Vec::new(), Some(old), Some(new), &mut changes);
    changes.set.retain(|path| !is_stripped(path));
    changes.removed.retain(|path| !is_stripped(path));
    changes
}

fn differ(path: &mut Path, old: Option<&Value>, new: Option<&Value>, changes: &mut Changes) {
    let (before, after) = (old.and_then(|value| parts(path, value)), new.and_then(|value| parts(path, value)));
    match (old, new) {
        (None, None) => return,
        (None, Some(_)) => drop(changes.set.insert(path.clone())),
        (Some(_), None) => drop(changes.removed.insert(path.clone())),
        (Some(old), Some(new)) if old == new => return,
        (Some(_), Some(_)) if before.is_none() || after.is_none() => drop(changes.set.insert(path.clone())),
        _ => {}
    }
    let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
    let steps: BTreeSet<&String> = before.iter().chain(&after).map(|(step, _)| step).collect();
    for step in steps {
        path.push(step.clone());
        differ(path, part(&before, step), part(&after, step), changes);
        path.pop();
    }
}

/// Puts what one object sets into another.
pub(super) fn merge(live: &Value, wanted: &Value) -> Value {
    merge_at(&mut Vec::new(), live, wanted)
}

fn merge_at(path: &mut Path, live: &Value, wanted: &Value) -> Value {
    match (relation(path, wanted), live, wanted) {
        (Relation::Granular, Value::Object(live), Value::Object(wanted)) => {
            let mut merged = live.clone();
            for (name, value) in wanted {
                path.push(format!("f:{name}"));
                let value = match live.get(name) {
                    Some(before) => merge_at(path, before, value),
                    None => value.clone(),
                };
                merged.insert(name.clone(), value);
                path.pop();
            }
            Value::Object(merged)
        }
        (Relation::Keyed(_) | Relation::Set, Value::Array(_), Value::Array(_)) => {
            let before = parts(path, live).unwrap_or_default();
            let after = parts(path, wanted).unwrap_or_default();
            let mut merged = Vec::new();
            for (step, value) in &before {
                path.push(step.clone());
                merged.push(part(&after, step).map_or_else(|| value.clone(), |wanted| merge_at(path, value, wanted)));
                path.pop();
            }
            merged
                .extend(after.iter().filter(|(step, _)| part(&before, step).is_none()).map(|(_, value)| value.clone()));
            Value::Array(merged)
        }
        _ => wanted.clone(),
    }
}

/// Takes fields out of an object.
pub(super) fn remove(object: &mut Value, paths: &BTreeSet<Path>) {
    // In this order an item goes before the fields of it by which it is found.
    for path in paths {
        take(object, &mut Vec::new(), path);
    }
}

fn take(value: &mut Value, at: &mut Path, path: &[String]) {
    let Some((step, rest)) = path.split_first() else { return };
    let found = parts(at, value).and_then(|parts| parts.iter().position(|(other, _)| other == step));
    match (value, found) {
        (Value::Object(fields), _) => {
            let name = step.trim_start_matches("f:");
            if rest.is_empty() {
                fields.remove(name);
            } else if let Some(child) = fields.get_mut(name) {
                at.push(step.clone());
                take(child, at, rest);
            }
        }
        (Value::Array(items), Some(index)) => {
            if rest.is_empty() {
                items.remove(index);
            } else {
                at.push(step.clone());
                take(&mut items[index], at, rest);
            }
        }
        _ => {}
    }
}

/// As errors write a path: `.spec.ports[port=443,protocol="TCP"].name`.
pub(super) fn spelled(path: &[String]) -> String {
    let mut text = String::new();
    for step in path {
        match step.split_at(2) {
            ("f:", name) => text.push_str(&format!(".{name}")),
            ("k:", keys) => {
                let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
                let keys: Vec<_> = keys.iter().map(|(name, value)| format!("{name}={value}")).collect();
                text.push_str(&format!("[{}]", keys.join(",")));
            }
            (_, value) => text.push_str(&format!("[={value}]")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(ports: Value) -> Value {
        json!({"kind": "Service", "metadata": {"name": "s", "labels": {"a": "1"}}, "spec": {"ports": ports, "selector": {"x": "y"}}})
    }

    #[test]
    fn fields_are_written_down_as_the_api_server_does() {
        let set = FieldSet::of(&service(json!([{"port": 80, "name": "web"}])));
        let tree = json!({
            "f:metadata": {"f:labels": {"f:a": {}}},
            "f:spec": {
                "f:ports": {r#"k:{"port":80,"protocol":"TCP"}"#: {".": {}, "f:name": {}, "f:port": {}}},
                "f:selector": {},
            },
        });
        assert_eq!(set.to_value(), tree);
        assert_eq!(FieldSet::from_value(&tree), set);
    }

    #[test]
    fn items_are_merged_by_their_keys_and_removed_by_them() {
        let live = service(json!([{"port": 80, "protocol": "TCP", "nodePort": 1}, {"port": 81, "protocol": "TCP"}]));
        let merged = merge(&live, &service(json!([{"port": 80, "name": "web"}, {"port": 82}])));
        let ports = json!([
            {"port": 80, "protocol": "TCP", "nodePort": 1, "name": "web"}, {"port": 81, "protocol": "TCP"}, {"port": 82}
        ]);
        assert_eq!(merged["spec"]["ports"], ports);
        let changes = compare(&live, &merged);
        assert!(changes.removed.is_empty());
        let named = changes.set.iter().map(|path| spelled(path)).find(|path| path.ends_with("name"));
        assert_eq!(named.as_deref(), Some(r#".spec.ports[port=80,protocol="TCP"].name"#));
        let mut back = merged;
        remove(&mut back, &changes.set);
        assert_eq!(back, live);
    }

    #[test]
    fn a_selector_counts_as_a_whole() {
        let mut other = service(json!([]));
        other["spec"]["selector"]["z"] = json!("1");
        let changes = compare(&service(json!([])), &other);
        assert_eq!(changes.set.iter().map(|path| spelled(path)).collect::<Vec<_>>(), [".spec.selector"]);
    }
}
