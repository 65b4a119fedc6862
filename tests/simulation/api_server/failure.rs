//! What the API server answers when it does not do what was asked: a `Status`, in the words of the real one where the
//! product or a person reads them.

use serde_json::{Value, json};

use super::kinds::Kind;

/// A refusal.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Failure {
    pub(super) code: u16,
    pub(super) reason: &'static str,
    pub(super) message: String,
    pub(super) details: Value,
}

impl Failure {
    fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Failure {
        Failure { code, reason, message: message.into(), details: Value::Null }
    }

    fn about(code: u16, reason: &'static str, kind: &Kind, name: &str, message: String) -> Failure {
        let mut details = json!({"name": name, "kind": kind.plural});
        if !kind.group.is_empty() {
            details["group"] = json!(kind.group);
        }
        Failure { details, ..Failure::new(code, reason, message) }
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Failure {
        Failure::new(400, "BadRequest", message)
    }

    /// There is no such kind or subresource.
    pub(super) fn no_such_resource() -> Failure {
        Failure {
            details: json!({}),
            ..Failure::new(404, "NotFound", "the server could not find the requested resource")
        }
    }

    pub(super) fn not_found(kind: &Kind, name: &str) -> Failure {
        Failure::about(404, "NotFound", kind, name, format!("{} \"{name}\" not found", kind.qualified()))
    }

    pub(super) fn method_not_allowed() -> Failure {
        let message = "the server does not allow this method on the requested resource";
        Failure { details: json!({}), ..Failure::new(405, "MethodNotAllowed", message) }
    }

    pub(super) fn exists(kind: &Kind, name: &str) -> Failure {
        Failure::about(409, "AlreadyExists", kind, name, format!("{} \"{name}\" already exists", kind.qualified()))
    }

    pub(super) fn conflict(kind: &Kind, name: &str, why: &str) -> Failure {
        let message = format!("Operation cannot be fulfilled on {} \"{name}\": {why}", kind.qualified());
        Failure::about(409, "Conflict", kind, name, message)
    }

    /// The object has another version than the writer thought.
    pub(super) fn modified(kind: &Kind, name: &str) -> Failure {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Failure::conflict(kind, name, why)
    }

    /// A PUT of another object than the one that is there.
    pub(super) fn precondition(kind: &Kind, namespace: &str, name: &str, wanted: &str, found: &str) -> Failure {
        let key = format!("/registry/{}/{namespace}/{name}", kind.plural);
        let why = format!(
            "StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: \
             UID in precondition: {wanted}, UID in object meta: {found}"
        );
        Failure::conflict(kind, name, &why)
    }

    /// A DELETE of another object than the one that is there.
    pub(super) fn another(kind: &Kind, name: &str, what: &str, wanted: &str, found: &str) -> Failure {
        let become_of = if what == "UID" { "deleted and then recreated" } else { "modified" };
        let message = format!(
            "Operation cannot be fulfilled on {} \"{name}\": the {what} in the precondition ({wanted}) does not match the \
             {what} in record ({found}). The object might have been {become_of}",
            kind.qualified_kind()
        );
        let mut failure = Failure::about(409, "Conflict", kind, name, message);
        failure.details["kind"] = json!(kind.kind);
        failure
    }

    /// A PUT of a kind that must say which version it replaces.
    pub(super) fn unversioned(kind: &Kind, name: &str) -> Failure {
        let (field, why) = ("metadata.resourceVersion", "Invalid value: 0: must be specified for an update");
        let message = format!("{} \"{name}\" is invalid: {field}: {why}", kind.qualified());
        let mut failure = Failure::about(422, "Invalid", kind, name, message);
        failure.details["causes"] = json!([{"reason": "FieldValueInvalid", "message": why, "field": field}]);
        failure
    }

    /// What a patch makes of an object cannot be read.
    pub(super) fn unreadable(error: &str) -> Failure {
        let why = format!("Invalid value: {error}");
        let causes = json!([{"reason": "FieldValueInvalid", "message": why, "field": "patch"}]);
        Failure {
            details: json!({"causes": causes}),
            ..Failure::new(422, "Invalid", format!(" \"\" is invalid: patch: {why}"))
        }
    }

    pub(super) fn forbidden(kind: &Kind, name: &str, why: &str) -> Failure {
        Failure::about(403, "Forbidden", kind, name, format!("{} \"{name}\" is forbidden: {why}", kind.qualified()))
    }

    /// The contents are not valid; `reason` is the cause's, such as `FieldValueInvalid`.
    pub(super) fn invalid(kind: &Kind, name: &str, field: &str, reason: &str, why: &str) -> Failure {
        let message = format!("{} \"{name}\" is invalid: {field}: {why}", kind.qualified_kind());
        let mut details = json!({"name": name, "kind": kind.kind});
        if !kind.group.is_empty() {
            details["group"] = json!(kind.group);
        }
        details["causes"] = json!([{"reason": reason, "message": why, "field": field}]);
        Failure { details, ..Failure::new(422, "Invalid", message) }
    }

    /// A patch that can be read and does not fit the object.
    pub(super) fn unprocessable() -> Failure {
        let message = "the server rejected our request due to an error in our request";
        Failure { details: json!({}), ..Failure::new(422, "Invalid", message) }
    }

    pub(super) fn unsupported(content_type: &str) -> Failure {
        let message = format!("the body of the request was in an unknown format: {content_type}");
        Failure::new(415, "UnsupportedMediaType", message)
    }

    /// An error that the real server, too, passes on as it is.
    pub(super) fn without_reason(message: impl Into<String>) -> Failure {
        Failure::new(500, "", message)
    }

    /// The past that was asked for is forgotten.
    pub(super) fn expired(message: impl Into<String>) -> Failure {
        Failure::new(410, "Expired", message)
    }

    /// A version that is not there yet.
    pub(super) fn too_large_version(wanted: u64, current: u64) -> Failure {
        let message = format!("Too large resource version: {wanted}, current: {current}");
        let causes = json!([{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]);
        Failure {
            details: json!({"causes": causes, "retryAfterSeconds": 1}),
            ..Failure::new(504, "Timeout", format!("Timeout: {message}"))
        }
    }

    /// Other writers own fields that this one applies without force.
    pub(super) fn owned_by_others(conflicts: &[(String, String)]) -> Failure {
        let mut lines: Vec<String> = Vec::new();
        let mut last = None;
        for (manager, field) in conflicts {
            if last != Some(manager) {
                lines.push(format!("conflicts with {manager}:"));
                last = Some(manager);
            }
            lines.push(format!("- {field}"));
        }
        let message = match conflicts {
            [(manager, field)] => format!("Apply failed with 1 conflict: conflict with {manager}: {field}"),
            _ => format!("Apply failed with {} conflicts: {}", conflicts.len(), lines.join("\n")),
        };
        let causes: Vec<Value> = conflicts
            .iter()
            .map(|(manager, field)| json!({"reason": "FieldManagerConflict", "message": format!("conflict with {manager}"), "field": field}))
            .collect();
        Failure { details: json!({"causes": causes}), ..Failure::new(409, "Conflict", message) }
    }

    /// What a link answers in the API server's place.
    pub(super) fn of_code(code: u16) -> Failure {
        let (reason, message) = match code {
            400 => ("BadRequest", "the server rejected our request for an unknown reason"),
            401 => ("Unauthorized", "Unauthorized"),
            403 => ("Forbidden", "the request is forbidden"),
            404 => ("NotFound", "the server could not find the requested resource"),
            409 => (
                "Conflict",
                "the object has been modified; please apply your changes to the latest version and try again",
            ),
            410 => ("Expired", "The resourceVersion for the provided watch is too old."),
            422 => ("Invalid", "the server rejected our request due to an error in our request"),
            429 => ("TooManyRequests", "Too many requests, please try again later."),
            503 => ("ServiceUnavailable", "the server is currently unable to handle the request"),
            504 => ("Timeout", "Timeout: request did not complete within requested timeout"),
            _ => ("InternalError", "Internal error occurred: etcdserver: request timed out"),
        };
        Failure::new(code, reason, message)
    }

    /// As it is sent.
    pub(super) fn to_status(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code,
        });
        if self.reason.is_empty() {
            status.as_object_mut().map(|status| status.remove("reason"));
        }
        if !self.details.is_null() {
            status["details"] = self.details.clone();
        }
        status
    }
}

/// The answer to a DELETE that left nothing.
pub(super) fn deleted(kind: &Kind, name: &str, uid: &str) -> Value {
    let mut details = json!({"name": name, "kind": kind.plural, "uid": uid});
    if !kind.group.is_empty() {
        details["group"] = json!(kind.group);
    }
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}
