//! Who owns which fields, and server-side apply.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::failure::Failure;
use super::fields::{FieldSet, Path, compare, merge, remove, spelled};
use super::kinds::Kind;
use super::shape::shape;
use super::store::State;
use super::write::{How, Written, metadata, place, text};

/// One entry of `metadata.managedFields`.
#[derive(Clone, Debug, PartialEq)]
struct Manager {
    name: String,
    operation: &'static str,
    api_version: String,
    subresource: String,
    time: String,
    fields: FieldSet,
}

fn managers(object: &Value) -> Vec<Manager> {
    let entries = object["metadata"]["managedFields"].as_array().into_iter().flatten();
    entries
        .map(|entry| {
            let text = |field: &str| entry[field].as_str().unwrap_or_default().to_owned();
            Manager {
                name: text("manager"),
                operation: if entry["operation"] == "Apply" { "Apply" } else { "Update" },
                api_version: text("apiVersion"),
                subresource: text("subresource"),
                time: text("time"),
                fields: FieldSet::from_value(&entry["fieldsV1"]),
            }
        })
        .collect()
}

fn write_down(object: &mut Value, mut managers: Vec<Manager>) {
    managers.retain(|manager| !manager.fields.is_empty() || manager.operation == "Apply");
    managers.sort_by_key(|manager| (manager.operation, manager.time.clone(), manager.name.clone()));
    let entries: Vec<Value> = managers
        .into_iter()
        .map(|manager| {
            let mut entry = json!({
                "manager": manager.name, "operation": manager.operation, "apiVersion": manager.api_version,
                "time": manager.time, "fieldsType": "FieldsV1", "fieldsV1": manager.fields.to_value(),
            });
            if !manager.subresource.is_empty() {
                entry["subresource"] = json!(manager.subresource);
            }
            entry
        })
        .collect();
    match entries.is_empty() {
        true => drop(metadata(object).remove("managedFields")),
        false => drop(metadata(object).insert("managedFields".into(), Value::Array(entries))),
    }
}

/// Where the entry of this writer is, made if need be.
fn entry_of(all: &mut Vec<Manager>, object: &Value, how: &How, operation: &'static str) -> usize {
    let subresource = how.subresource.clone().unwrap_or_default();
    let is_its = |m: &Manager| m.name == how.manager && m.operation == operation && m.subresource == subresource;
    all.iter().position(is_its).unwrap_or_else(|| {
        all.push(Manager {
            name: how.manager.clone(),
            operation,
            api_version: object["apiVersion"].as_str().unwrap_or_default().to_owned(),
            subresource,
            time: String::new(),
            fields: FieldSet::default(),
        });
        all.len() - 1
    })
}

/// Notes what a write other than an apply has changed: its fields are the writer's from now on, and nobody else's.
pub(super) fn update(old: &Value, new: &mut Value, how: &How, now: &str) {
    let mut all = managers(old);
    let changes = compare(old, new);
    let own = entry_of(&mut all, new, how, "Update");
    for (at, manager) in all.iter_mut().enumerate() {
        let before = manager.fields.clone();
        if at == own {
            manager.fields.0.extend(changes.set.iter().cloned());
        } else {
            manager.fields = manager.fields.without(&changes.set);
        }
        manager.fields = manager.fields.without(&changes.removed);
        if manager.fields != before && at == own {
            now.clone_into(&mut manager.time);
        }
    }
    write_down(new, all);
}

impl State {
    /// PATCH with what one manager wants of an object.
    pub(super) fn apply(
        &mut self,
        kind: &Kind,
        namespace: &str,
        name: &str,
        body: Value,
        force: bool,
        how: &How,
    ) -> Result<Written, Failure> {
        let mut wanted = shape(kind, body)?;
        place(&mut wanted, kind, namespace, Some(name))?;
        if wanted["metadata"].get("managedFields").is_some() {
            return Err(Failure::bad_request("metadata.managedFields must be nil"));
        }
        let now = self.wall().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let found = self.get(kind, namespace, name);
        let Some(old) = found else {
            let uid = text(&wanted, "uid");
            if !uid.is_empty() {
                let why =
                    format!("uid mismatch: the provided object specified uid {uid}, and no existing object was found");
                return Err(Failure::conflict(kind, name, &why));
            }
            let mut all = Vec::new();
            let own = entry_of(&mut all, &wanted, how, "Apply");
            all[own].fields = FieldSet::of(&wanted);
            all[own].time = now;
            write_down(&mut wanted, all);
            return self.add(kind, wanted, &How { manager: String::new(), ..how.clone() });
        };
        let version = text(&wanted, "resourceVersion");
        if !version.is_empty() && version != text(&old, "resourceVersion") {
            return Err(Failure::modified(kind, name));
        }
        let new = shape(kind, applied(&old, &wanted, force, how, &now)?)?;
        // Whose fields are whose is known already.
        self.update(kind, &old, new, &How { manager: String::new(), ..how.clone() })
    }
}

fn applied(old: &Arc<Value>, wanted: &Value, force: bool, how: &How, now: &str) -> Result<Value, Failure> {
    let mut all = managers(old);
    if all.is_empty() {
        let before = How { manager: "before-first-apply".into(), ..How::default() };
        let at = entry_of(&mut all, old, &before, "Update");
        all[at].fields = FieldSet::of(old);
        now.clone_into(&mut all[at].time);
    }
    let own = entry_of(&mut all, wanted, how, "Apply");
    let last = std::mem::replace(&mut all[own].fields, FieldSet::of(wanted));
    let mut new = merge(old, wanted);
    let is_owned = |path: &Path| all.iter().any(|manager| manager.fields.has_below(path));
    let orphans: BTreeSet<Path> = last.0.iter().filter(|path| !is_owned(path)).cloned().collect();
    remove(&mut new, &orphans);

    let changes = compare(old, &new);
    let mut conflicts = Vec::new();
    for (_, manager) in all.iter_mut().enumerate().filter(|(at, _)| *at != own) {
        let theirs = manager.fields.0.intersection(&changes.set);
        let who = format!("\"{}\" using {}", manager.name, manager.api_version);
        conflicts.extend(theirs.map(|path| (who.clone(), spelled(path))));
        manager.fields = manager.fields.without(&changes.set).without(&changes.removed);
    }
    if !force && !conflicts.is_empty() {
        return Err(Failure::owned_by_others(&conflicts));
    }
    let unchanged = all[own].fields == last;
    if !unchanged || !changes.set.is_empty() || !changes.removed.is_empty() {
        now.clone_into(&mut all[own].time);
    }
    write_down(&mut new, all);
    Ok(new)
}
