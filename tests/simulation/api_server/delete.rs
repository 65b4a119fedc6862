//! DELETE: preconditions, grace periods, finalizers, and what becomes of dependents.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::failure::{Failure, deleted};
use super::kinds::Kind;
use super::store::{State, id_of};
use super::write::{holds_contents, text};

/// The finalizers by which the garbage collector is asked to let dependents be, or to delete them first.
pub(super) const ORPHAN: &str = "orphan";
pub(super) const FOREGROUND: &str = "foregroundDeletion";

impl State {
    /// DELETE with the options that came as its body; answers with what is sent back.
    pub(super) fn delete(
        &mut self,
        kind: &Kind,
        namespace: &str,
        name: &str,
        options: &Value,
    ) -> Result<Value, Failure> {
        let Some(old) = self.get(kind, namespace, name) else { return Err(Failure::not_found(kind, name)) };
        for (what, said, found) in [("UID", "uid", "uid"), ("ResourceVersion", "resourceVersion", "resourceVersion")] {
            if let Some(wanted) = options["preconditions"][said].as_str()
                && wanted != text(&old, found)
            {
                return Err(Failure::another(kind, name, what, wanted, text(&old, found)));
            }
        }
        let dry = options["dryRun"].as_array().is_some_and(|all| !all.is_empty());
        let (grace, end) = self.grace(kind, &old, options);
        let finalizers = finalizers(kind, &old, options);
        if grace == 0 && finalizers.is_empty() && !holds_contents(kind, &old) {
            let gone = if dry { Some(old.clone()) } else { self.erase(&id_of(kind, &old)) };
            let gone = gone.unwrap_or(old);
            return Ok(if kind.returned { Value::clone(&gone) } else { deleted(kind, name, text(&gone, "uid")) });
        }
        let mut new = Value::clone(&old);
        let meta = &mut new["metadata"];
        let generation = meta["generation"].as_i64().filter(|_| meta.get("deletionTimestamp").is_none());
        if let Some(generation) = generation {
            meta["generation"] = json!(generation + 1);
        }
        meta["deletionTimestamp"] = json!(end);
        meta["deletionGracePeriodSeconds"] = json!(grace);
        if !finalizers.is_empty() {
            meta["finalizers"] = json!(finalizers);
        }
        if kind.kind == "Namespace" {
            new["status"]["phase"] = json!("Terminating");
        }
        if dry || *old == new {
            return Ok(new);
        }
        let stored: Arc<Value> = self.put(id_of(kind, &old), new);
        Ok(Value::clone(&stored))
    }

    /// How many seconds the kubelet is given, and until when that is.
    fn grace(&self, kind: &Kind, old: &Value, options: &Value) -> (i64, String) {
        let at = |from: Timestamp, seconds| {
            let end = from + SignedDuration::from_secs(seconds);
            (seconds, end.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
        };
        let now = self.wall();
        let asked = options["gracePeriodSeconds"].as_i64().map(|seconds| if seconds < 0 { 1 } else { seconds });
        let earlier = old["metadata"]["deletionGracePeriodSeconds"].as_i64();
        let until = text(old, "deletionTimestamp");
        if let (Some(earlier), Ok(end)) = (earlier, until.parse::<Timestamp>()) {
            // A later DELETE may shorten the time, never lengthen it, nor make it pass.
            let shorter = asked.filter(|asked| *asked < earlier);
            return match shorter {
                None => (earlier, until.to_owned()),
                Some(0) => at(now, 0),
                Some(shorter) if end + SignedDuration::from_secs(shorter - earlier) < now => (1, at(now, 0).1),
                Some(shorter) => (shorter, at(end, shorter - earlier).1),
            };
        }
        let over = ["Succeeded", "Failed"].contains(&old["status"]["phase"].as_str().unwrap_or_default());
        let placed = old["spec"]["nodeName"].as_str().is_some_and(|node| !node.is_empty());
        if kind.kind != "Pod" || over || !placed {
            return at(now, 0);
        }
        at(now, asked.or(old["spec"]["terminationGracePeriodSeconds"].as_i64()).unwrap_or(30))
    }
}

/// Which finalizers the object has when it is being deleted in the way that is asked for.
fn finalizers(kind: &Kind, old: &Value, options: &Value) -> Vec<String> {
    let now = old["metadata"]["finalizers"].as_array().into_iter().flatten();
    let mut all: Vec<String> = now.filter_map(Value::as_str).map(ToOwned::to_owned).collect();
    let asked = match options["propagationPolicy"].as_str() {
        Some("Orphan") => Some(ORPHAN),
        Some("Foreground") => Some(FOREGROUND),
        Some(_) => None,
        // Jobs are the only kind whose dependents are let be when nothing is said.
        None if kind.kind == "Job" => Some(ORPHAN),
        None => return all,
    };
    all.retain(|name| name != ORPHAN && name != FOREGROUND);
    all.extend(asked.map(ToOwned::to_owned));
    all
}
