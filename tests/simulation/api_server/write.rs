//! Creating, replacing and changing objects: what the server sets itself, what it keeps apart, and what it refuses.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::defaults;
use super::failure::Failure;
use super::kinds::{Kind, known};
use super::managed;
use super::shape::shape;
use super::store::{State, id_of};

/// How a write is to be done.
#[derive(Clone, Debug, Default)]
pub(super) struct How {
    /// Everything but storing it.
    pub(super) dry: bool,
    /// Who writes, for the ownership of fields.
    pub(super) manager: String,
    /// The subresource that is written.
    pub(super) subresource: Option<String>,
}

/// An object as answered, and whether it is new.
pub(super) type Written = (Arc<Value>, bool);

/// Fields of the metadata that only the server sets.
const KEPT: [&str; 6] =
    ["uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds", "namespace"];

pub(super) fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object["metadata"][field].as_str().unwrap_or_default()
}

impl State {
    /// POST.
    pub(super) fn create(&mut self, kind: &Kind, namespace: &str, body: Value, how: &How) -> Result<Written, Failure> {
        let mut object = shape(kind, body)?;
        place(&mut object, kind, namespace, None)?;
        if text(&object, "name").is_empty() && !text(&object, "generateName").is_empty() {
            let name = format!("{}{}", text(&object, "generateName"), self.random.suffix());
            object["metadata"]["name"] = json!(name);
        }
        if !text(&object, "resourceVersion").is_empty() {
            return Err(Failure::without_reason("resourceVersion should not be set on objects to be created"));
        }
        self.add(kind, object, how)
    }

    /// Makes an object that has its place.
    pub(super) fn add(&mut self, kind: &Kind, mut object: Value, how: &How) -> Result<Written, Failure> {
        self.admit(kind, &object)?;
        defaults::fill(kind, &mut object);
        let name = text(&object, "name").to_owned();
        if name.is_empty() {
            return Err(Failure::invalid(
                kind,
                "",
                "metadata.name",
                "FieldValueRequired",
                "Required value: name or generateName is required",
            ));
        }
        let namespace = text(&object, "namespace").to_owned();
        if self.get(kind, &namespace, &name).is_some() {
            return Err(Failure::exists(kind, &name));
        }
        let uid = self.random.uid();
        let now = self.wall().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        strip(
            &mut object["metadata"],
            &["resourceVersion", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"],
        );
        let meta = metadata(&mut object);
        meta.insert("uid".into(), json!(uid));
        meta.insert("creationTimestamp".into(), json!(now));
        match kind.generation {
            true => meta.insert("generation".into(), json!(1)),
            false => meta.remove("generation"),
        };
        defaults::begin(kind, &mut object, &mut self.random);
        if how.manager_counts(kind) {
            managed::update(&json!({}), &mut object, how, &now);
        }
        let id = id_of(kind, &object);
        if how.dry {
            metadata(&mut object).remove("resourceVersion");
            return Ok((Arc::new(object), true));
        }
        let stored = self.put(id, object);
        if kind.kind == "Namespace" {
            // Its account is made by a controller, which nobody waits for here.
            let account = json!({"metadata": {"name": "default"}});
            self.create(known("serviceaccounts"), &name, account, &How::default())?;
        }
        Ok((stored, true))
    }

    /// What admission looks at before the object itself.
    fn admit(&self, kind: &Kind, object: &Value) -> Result<(), Failure> {
        if !kind.namespaced {
            return Ok(());
        }
        let (namespace, name) = (text(object, "namespace"), text(object, "name"));
        let namespaces = known("namespaces");
        let Some(found) = self.get(namespaces, "", namespace) else {
            return Err(Failure::not_found(namespaces, namespace));
        };
        if found["metadata"].get("deletionTimestamp").is_some() {
            let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
            return Err(Failure::forbidden(kind, name, &why));
        }
        if kind.kind != "Pod" {
            return Ok(());
        }
        let spec = &object["spec"];
        let said = spec["serviceAccountName"].as_str().or(spec["serviceAccount"].as_str());
        let account = said.filter(|name| !name.is_empty()).unwrap_or("default");
        let accounts = known("serviceaccounts");
        if self.get(accounts, namespace, account).is_none() {
            let why = format!(
                "error looking up service account {namespace}/{account}: serviceaccount \"{account}\" not found"
            );
            return Err(Failure::forbidden(kind, name, &why));
        }
        Ok(())
    }

    /// PUT.
    pub(super) fn replace(
        &mut self,
        kind: &Kind,
        namespace: &str,
        name: &str,
        body: Value,
        how: &How,
    ) -> Result<Written, Failure> {
        let mut new = shape(kind, body)?;
        place(&mut new, kind, namespace, Some(name))?;
        let (uid, version) = (text(&new, "uid").to_owned(), text(&new, "resourceVersion").to_owned());
        let Some(old) = self.get(kind, namespace, name) else {
            if !kind.put_creates || how.subresource.is_some() {
                return Err(Failure::not_found(kind, name));
            }
            if !uid.is_empty() {
                return Err(Failure::precondition(kind, namespace, name, &uid, ""));
            }
            return self.add(kind, new, how);
        };
        if !uid.is_empty() && uid != text(&old, "uid") {
            return Err(Failure::precondition(kind, namespace, name, &uid, text(&old, "uid")));
        }
        if version.is_empty() && !kind.unconditional {
            return Err(Failure::unversioned(kind, name));
        }
        if !version.is_empty() && version != text(&old, "resourceVersion") {
            return Err(Failure::modified(kind, name));
        }
        self.update(kind, &old, new, how)
    }

    /// Puts a new state of an object in the place of the old one.
    pub(super) fn update(
        &mut self,
        kind: &Kind,
        old: &Arc<Value>,
        mut new: Value,
        how: &How,
    ) -> Result<Written, Failure> {
        let name = text(old, "name").to_owned();
        let uid = text(&new, "uid").to_owned();
        if !uid.is_empty() && uid != text(old, "uid") {
            let why = format!("Invalid value: \"{uid}\": field is immutable");
            return Err(Failure::invalid(kind, &name, "metadata.uid", "FieldValueInvalid", &why));
        }
        keep_apart(kind, old, &mut new, how.subresource.as_deref());
        if how.subresource.is_none() {
            defaults::carry_over(kind, old, &mut new);
            defaults::fill(kind, &mut new);
        }
        immutable(kind, old, &new)?;
        new["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"].clone();
        for field in KEPT {
            match old["metadata"].get(field) {
                Some(value) => new["metadata"][field] = value.clone(),
                None => drop(metadata(&mut new).remove(field)),
            }
        }
        let dying = old["metadata"].get("deletionTimestamp").is_some();
        if dying {
            no_new_finalizers(kind, old, &new)?;
        }
        if kind.generation && contents(old) != contents(&new) {
            new["metadata"]["generation"] = json!(old["metadata"]["generation"].as_i64().unwrap_or_default() + 1);
        }
        if how.manager_counts(kind) {
            let now = self.wall().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
            managed::update(old, &mut new, how, &now);
        }
        self.store(kind, old, new, how)
    }

    /// Stores the new state, unless it is the old one, or ends an object that only its finalizers kept.
    pub(super) fn store(&mut self, kind: &Kind, old: &Arc<Value>, new: Value, how: &How) -> Result<Written, Failure> {
        if **old == new {
            return Ok((old.clone(), false));
        }
        if how.dry {
            return Ok((Arc::new(new), false));
        }
        let id = id_of(kind, old);
        let meta = &new["metadata"];
        let waits =
            meta.get("finalizers").is_some() || meta["deletionGracePeriodSeconds"].as_i64().unwrap_or_default() > 0;
        if meta.get("deletionTimestamp").is_some() && !waits && !holds_contents(kind, &new) {
            // What is gone is told as it was last.
            self.objects.insert(id.clone(), Arc::new(new));
            return Ok((self.erase(&id).unwrap_or_else(|| old.clone()), false));
        }
        Ok((self.put(id, new), false))
    }
}

impl How {
    fn manager_counts(&self, kind: &Kind) -> bool {
        kind.managed && !self.manager.is_empty()
    }
}

/// Takes fields away.
pub(super) fn strip(object: &mut Value, fields: &[&str]) {
    if let Value::Object(all) = object {
        all.retain(|name, _| !fields.contains(&name.as_str()));
    }
}

/// A namespace goes when its contents are gone.
pub(super) fn holds_contents(kind: &Kind, object: &Value) -> bool {
    kind.kind == "Namespace" && object["spec"].get("finalizers").is_some()
}

pub(super) fn metadata(object: &mut Value) -> &mut Map<String, Value> {
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    object["metadata"].as_object_mut().unwrap_or_else(|| unreachable!("it was made an object above"))
}

/// Name and namespace are what the path says.
pub(super) fn place(object: &mut Value, kind: &Kind, namespace: &str, name: Option<&str>) -> Result<(), Failure> {
    if let Some(name) = name {
        let said = text(object, "name").to_owned();
        if said.is_empty() {
            object["metadata"]["name"] = json!(name);
        } else if said != name {
            let message = format!("the name of the object ({said}) does not match the name on the URL ({name})");
            return Err(Failure::bad_request(message));
        }
    }
    if !kind.namespaced {
        metadata(object).remove("namespace");
        return Ok(());
    }
    let said = text(object, "namespace");
    if !said.is_empty() && said != namespace {
        let message = "the namespace of the provided object does not match the namespace sent on the request";
        return Err(Failure::bad_request(message));
    }
    object["metadata"]["namespace"] = json!(namespace);
    Ok(())
}

/// A write of the status changes nothing else, and a write of all else no status.
fn keep_apart(kind: &Kind, old: &Value, new: &mut Value, subresource: Option<&str>) {
    let set = |new: &mut Value, field: &str, value: Option<&Value>| match value {
        Some(value) => new[field] = value.clone(),
        None => drop(new.as_object_mut().map(|new| new.remove(field))),
    };
    match subresource {
        Some("status") => {
            let status = new.get("status").cloned();
            let meta = new["metadata"].clone();
            *new = old.clone();
            set(new, "status", status.as_ref());
            if !kind.is_custom() {
                new["metadata"] = meta;
            }
        }
        _ if kind.status => set(new, "status", old.get("status")),
        _ => {}
    }
}

/// Everything but metadata and status.
fn contents(object: &Value) -> Vec<(&String, &Value)> {
    let fields = object.as_object().into_iter().flatten();
    fields.filter(|(name, _)| !["metadata", "status"].contains(&name.as_str())).collect()
}

fn finalizers(object: &Value) -> Vec<&str> {
    object["metadata"]["finalizers"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn no_new_finalizers(kind: &Kind, old: &Value, new: &Value) -> Result<(), Failure> {
    let before = finalizers(old);
    let fresh: Vec<_> = finalizers(new).into_iter().filter(|name| !before.contains(name)).collect();
    if fresh.is_empty() {
        return Ok(());
    }
    let why = format!(
        "Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{{\"{}\"}}",
        fresh.join("\", \"")
    );
    Err(Failure::invalid(kind, text(old, "name"), "metadata.finalizers", "FieldValueForbidden", &why))
}

/// The fields that never change, of those that the product writes.
fn immutable(kind: &Kind, old: &Value, new: &Value) -> Result<(), Failure> {
    let (field, before, after) = match kind.kind {
        "RoleBinding" => ("roleRef", &old["roleRef"], &new["roleRef"]),
        "Job" => ("spec.template", &old["spec"]["template"], &new["spec"]["template"]),
        _ => return Ok(()),
    };
    if before == after {
        return Ok(());
    }
    let why = format!(
        "Invalid value: {after}: {}",
        if kind.kind == "Job" { "field is immutable" } else { "cannot change roleRef" }
    );
    Err(Failure::invalid(kind, text(old, "name"), field, "FieldValueInvalid", &why))
}
