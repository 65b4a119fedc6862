//! PATCH.

use json_patch::{AddOperation, Patch as Operations, PatchOperation};
use serde_json::Value;

use super::failure::Failure;
use super::kinds::Kind;
use super::request::Request;
use super::shape::shape;
use super::store::State;
use super::write::{How, Written, place, text};

impl State {
    /// PATCH, by the kind of patch that the content type names.
    pub(super) fn patch(
        &mut self,
        kind: &Kind,
        namespace: &str,
        name: &str,
        request: &Request,
        how: &How,
    ) -> Result<Written, Failure> {
        let body = &request.body;
        let unreadable = |error: serde_json::Error| Failure::bad_request(format!("error decoding patch: {error}"));
        if request.content_type == "application/apply-patch+yaml" {
            if request.parameter("fieldManager").is_empty() {
                let message = "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch";
                return Err(Failure { code: 422, reason: "Invalid", ..Failure::bad_request(message) });
            }
            // JSON is YAML, and clients written in Rust send JSON.
            let wanted = serde_json::from_slice(body).map_err(unreadable)?;
            return self.apply(kind, namespace, name, wanted, request.is_set("force"), how);
        }
        let Some(old) = self.get(kind, namespace, name) else { return Err(Failure::not_found(kind, name)) };
        let mut new = Value::clone(&old);
        match request.content_type.as_str() {
            "application/merge-patch+json" => {
                let patch = serde_json::from_slice(body).map_err(unreadable)?;
                json_patch::merge(&mut new, &patch);
            }
            "application/json-patch+json" => {
                let operations: Operations = serde_json::from_slice(body).map_err(unreadable)?;
                carry_out(&mut new, &operations.0)?;
            }
            other => return Err(Failure::unsupported(other)),
        }
        let mut new = shape(kind, new).map_err(|failure| Failure::unreadable(&failure.message))?;
        place(&mut new, kind, namespace, Some(name))?;
        let version = text(&new, "resourceVersion");
        if !version.is_empty() && version != text(&old, "resourceVersion") {
            return Err(Failure::modified(kind, name));
        }
        self.update(kind, &old, new, how)
    }
}

fn carry_out(object: &mut Value, operations: &[PatchOperation]) -> Result<(), Failure> {
    for operation in operations {
        let lenient = match operation {
            // The real one sets a field that it is to replace and that is not there.
            PatchOperation::Replace(replace) if is_field_to_set(object, &replace.path.to_string()) => {
                PatchOperation::Add(AddOperation { path: replace.path.clone(), value: replace.value.clone() })
            }
            other => other.clone(),
        };
        json_patch::patch(object, &[lenient]).map_err(|_| Failure::unprocessable())?;
    }
    Ok(())
}

fn is_field_to_set(object: &Value, path: &str) -> bool {
    let parent = path.rsplit_once('/').map(|(parent, _)| parent);
    parent.and_then(|parent| object.pointer(parent)).is_some_and(Value::is_object)
}
