//! Events in their older form, `v1`: they are stored as those of `events.k8s.io`, whose fields have other names.

use serde_json::{Value, json};

/// Names in `v1`, and in `events.k8s.io/v1`.
const FIELDS: [(&str, &str); 8] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("reportingComponent", "reportingController"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("fieldPath", "fieldPath"),
];

fn renamed(
    mut event: Value,
    api_version: &str,
    name: impl Fn(&(&'static str, &'static str)) -> (&'static str, &'static str),
) -> Value {
    if let Value::Object(fields) = &mut event {
        for (from, to) in FIELDS.iter().map(name) {
            if let Some(value) = fields.remove(from) {
                fields.insert(to.to_owned(), value);
            }
        }
        fields.insert("apiVersion".into(), json!(api_version));
    }
    event
}

/// To the older form.
pub(super) fn to_older(event: Value) -> Value {
    renamed(event, "v1", |(older, newer)| (*newer, *older))
}

/// From the older form.
pub(super) fn from_older(event: Value) -> Value {
    renamed(event, "events.k8s.io/v1", |(older, newer)| (*older, *newer))
}
