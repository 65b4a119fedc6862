//! The garbage collector and the end of namespaces: what the controller manager does after a DELETE.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::delete::{FOREGROUND, ORPHAN};
use super::kinds::{known, of_reference};
use super::store::{Id, State, kind_of};
use super::write::{How, metadata, text};

/// What is to be done with one object.
enum Todo {
    Delete(String),
    /// Replaces it; only for changes of its metadata.
    Write(Value),
}

impl State {
    /// Does what there is to do, until nothing is left.
    pub(super) fn collect_garbage(&mut self) {
        // A deletion may be what another one waits for; each round ends at least one object's wait.
        while std::mem::take(&mut self.litter) {
            let todo = self.to_collect();
            if todo.is_empty() {
                return;
            }
            for (id, todo) in todo {
                self.carry_out(&id, todo);
            }
        }
    }

    fn carry_out(&mut self, id: &Id, todo: Todo) {
        let kind = kind_of(id);
        match todo {
            Todo::Delete(uid) => {
                let options = json!({"preconditions": {"uid": uid}, "propagationPolicy": "Background"});
                // What has changed meanwhile is looked at in the next round.
                let _ = self.delete(kind, &id.1, &id.2, &options);
            }
            Todo::Write(new) => {
                if let Some(old) = self.objects.get(id).cloned() {
                    let _ = self.store(kind, &old, new, &How::default());
                }
            }
        }
    }

    fn to_collect(&self) -> Vec<(Id, Todo)> {
        let mut todo = Vec::new();
        let mut dependents: BTreeMap<&str, Vec<(&Id, &Arc<Value>)>> = BTreeMap::new();
        for (id, object) in &self.objects {
            for owner in owners(object) {
                dependents.entry(owner["uid"].as_str().unwrap_or_default()).or_default().push((id, object));
            }
        }
        for (id, object) in &self.objects {
            todo.extend(self.without_owner(id, object).map(|todo| (id.clone(), todo)));
            if object["metadata"].get("deletionTimestamp").is_some() {
                let its = dependents.get(text(object, "uid")).map(Vec::as_slice).unwrap_or_default();
                todo.extend(let_go(id, object, its));
            }
        }
        let namespaces = self.listed(known("namespaces"), None, self.version);
        for (id, namespace) in namespaces.iter().filter(|(_, n)| n["metadata"].get("deletionTimestamp").is_some()) {
            let contents: Vec<_> = self.objects.iter().filter(|(other, _)| other.1 == id.2).collect();
            if contents.is_empty() {
                let mut empty = Value::clone(namespace);
                empty["spec"] = json!({});
                todo.push((id.clone(), Todo::Write(empty)));
            }
            let alive =
                contents.into_iter().filter(|(_, object)| object["metadata"].get("deletionTimestamp").is_none());
            todo.extend(alive.map(|(id, object)| (id.clone(), Todo::Delete(text(object, "uid").to_owned()))));
        }
        todo
    }

    /// What lost all of its owners goes; what lost some forgets those.
    fn without_owner(&self, id: &Id, object: &Value) -> Option<Todo> {
        let all: Vec<&Value> = owners(object).collect();
        let there: Vec<&Value> = all.iter().copied().filter(|owner| self.is_there(owner, &id.1)).collect();
        if all.is_empty() || there.len() == all.len() {
            return None;
        }
        if there.is_empty() {
            let dying = object["metadata"].get("deletionTimestamp").is_some();
            return (!dying).then(|| Todo::Delete(text(object, "uid").to_owned()));
        }
        let mut new = object.clone();
        new["metadata"]["ownerReferences"] = json!(there);
        Some(Todo::Write(new))
    }

    /// An owner is in the namespace of what it owns, or in none.
    fn is_there(&self, owner: &Value, namespace: &str) -> bool {
        let said = |field: &str| owner[field].as_str().unwrap_or_default();
        // Whether an owner of an unknown kind exists nobody can tell.
        let Some(kind) = of_reference(said("apiVersion"), said("kind")) else { return true };
        let within = if kind.namespaced { namespace } else { "" };
        if kind.namespaced && namespace.is_empty() {
            return true;
        }
        self.get(kind, within, said("name")).is_some_and(|found| text(&found, "uid") == said("uid"))
    }
}

fn owners(object: &Value) -> impl Iterator<Item = &Value> {
    object["metadata"]["ownerReferences"].as_array().into_iter().flatten()
}

/// What an object that is being deleted waits for because of how it is deleted.
fn let_go(id: &Id, object: &Arc<Value>, dependents: &[(&Id, &Arc<Value>)]) -> Vec<(Id, Todo)> {
    let finalizers: Vec<&str> =
        object["metadata"]["finalizers"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let uid = text(object, "uid");
    let mut todo = Vec::new();
    if finalizers.contains(&ORPHAN) {
        for (id, dependent) in dependents {
            let mut new = Value::clone(dependent);
            let left: Vec<_> = owners(dependent).filter(|owner| owner["uid"] != uid).cloned().collect();
            match left.is_empty() {
                true => drop(metadata(&mut new).remove("ownerReferences")),
                false => new["metadata"]["ownerReferences"] = json!(left),
            }
            todo.push(((*id).clone(), Todo::Write(new)));
        }
        todo.push((id.clone(), Todo::Write(without(object, ORPHAN))));
    }
    if finalizers.contains(&FOREGROUND) {
        let blocks = |dependent: &Value| owners(dependent).any(|o| o["uid"] == uid && o["blockOwnerDeletion"] == true);
        if !dependents.iter().any(|(_, dependent)| blocks(dependent)) {
            todo.push((id.clone(), Todo::Write(without(object, FOREGROUND))));
        }
        let alive = dependents.iter().filter(|(_, dependent)| dependent["metadata"].get("deletionTimestamp").is_none());
        todo.extend(alive.map(|(id, dependent)| ((*id).clone(), Todo::Delete(text(dependent, "uid").to_owned()))));
    }
    todo
}

fn without(object: &Arc<Value>, finalizer: &str) -> Value {
    let mut new = Value::clone(object);
    let left: Vec<Value> =
        new["metadata"]["finalizers"].as_array().into_iter().flatten().filter(|f| **f != finalizer).cloned().collect();
    match left.is_empty() {
        true => drop(metadata(&mut new).remove("finalizers")),
        false => new["metadata"]["finalizers"] = json!(left),
    }
    new
}
