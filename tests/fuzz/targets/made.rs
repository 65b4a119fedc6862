//! Objects that a schema accepts, made up from the schema itself: what the API server lets through is what an operator
//! must cope with.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::source::Source;

/// Deeper a pod template is not worth the time.
const DEPTH: usize = 14;

/// A value that the schema accepts; its rules in CEL are not asked.
pub fn value(schema: &Value, s: &mut Source<'_>) -> Value {
    of(schema, s, 0)
}

fn of(schema: &Value, s: &mut Source<'_>, depth: usize) -> Value {
    if let Some(words) = schema["enum"].as_array() {
        return s.one_of(words);
    }
    if schema["x-kubernetes-int-or-string"] == true {
        return s.one_of(&[json!(1), json!("1Gi"), json!("50%"), json!(8080)]);
    }
    match schema["type"].as_str() {
        Some("object") => Value::Object(object(schema, s, depth)),
        Some("array") => Value::Array(array(schema, s, depth)),
        Some("string") => Value::String(text(schema, s)),
        Some("integer") => json!(integer(schema, s)),
        Some("number") => json!(1.5),
        Some("boolean") => json!(s.flag()),
        other => panic!("a schema of the type {other:?}: say here what it accepts"),
    }
}

fn object(schema: &Value, s: &mut Source<'_>, depth: usize) -> Map<String, Value> {
    let required: BTreeSet<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut made = Map::new();
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        // The deeper, the less of what may be left out.
        if required.contains(name.as_str()) || depth < DEPTH && s.seldom(2 + depth) {
            made.insert(name.clone(), of(property, s, depth + 1));
        }
    }
    if schema["additionalProperties"].is_object() {
        for key in s.some(2, |s| s.one_of(&["app", "example.com/key", "storage", "cpu"])) {
            made.insert(key.into(), of(&schema["additionalProperties"], s, depth + 1));
        }
    }
    made
}

/// At most a few entries; where they are merged by key, each key once.
fn array(schema: &Value, s: &mut Source<'_>, depth: usize) -> Vec<Value> {
    let bound = |name: &str| schema[name].as_u64().and_then(|n| usize::try_from(n).ok());
    let least = bound("minItems").unwrap_or(0);
    let most = bound("maxItems").unwrap_or(3).min(least + 2);
    let length = least + s.below(most - least + 1);
    let mut made: Vec<Value> = (0..length).map(|_| of(&schema["items"], s, depth + 1)).collect();
    let keys: Vec<&str> =
        schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let is_set = schema["x-kubernetes-list-type"] == "set";
    let mut seen = BTreeSet::new();
    made.retain(|entry| match keys.as_slice() {
        [] => !is_set || seen.insert(entry.to_string()),
        keys => seen.insert(keys.iter().map(|key| entry[key].to_string() + "/").collect()),
    });
    made
}

fn integer(schema: &Value, s: &mut Source<'_>) -> i64 {
    let wide = schema["format"] == "int64";
    let largest = if wide { i64::MAX } else { i64::from(i32::MAX) };
    let smallest = if wide { i64::MIN } else { i64::from(i32::MIN) };
    // Bounds are floats in a schema, and small.
    let bound = |name: &str| schema[name].as_f64().map(|bound| bound as i64);
    let (least, most) = (bound("minimum").unwrap_or(smallest), bound("maximum").unwrap_or(largest));
    let default = schema["default"].as_i64().unwrap_or(1);
    let small = i64::try_from(s.between(0, 100)).unwrap_or_default();
    s.one_of(&[default, small, small, least, most]).clamp(least, most)
}

fn text(schema: &Value, s: &mut Source<'_>) -> String {
    if schema["format"] == "date-time" {
        return "2026-11-24T02:00:00Z".into();
    }
    let bound = |name: &str| schema[name].as_u64().and_then(|n| usize::try_from(n).ok());
    let (least, most) = (bound("minLength").unwrap_or(0), bound("maxLength"));
    let Some(pattern) = schema["pattern"].as_str() else {
        let short = s.one_of(&["bot", "data", "a", "", "B", "x.y/z", "0 2 * * *", "é "]);
        let fitting: String = short.chars().take(most.unwrap_or(100)).collect();
        return if fitting.len() < least { "bot".chars().cycle().take(least.max(3)).collect() } else { fitting };
    };
    of_pattern(pattern, least, most.unwrap_or(63), s)
}

/// Something that a pattern of the schema means: of every length, because that is where names stop fitting.
fn of_pattern(pattern: &str, least: usize, most: usize, s: &mut Source<'_>) -> String {
    let fixed: &[&str] = match pattern {
        p if p.starts_with("^age1") => &["age1aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"],
        p if p.starts_with("^https?") => &["https://s3.example:9000", "http://[::1]"],
        p if p.starts_with("^[0-9]{8}T") => &["20261124T020000Z-daily-003f"],
        p if p.starts_with("^/") => &["/data/db.sqlite", "/data/a/b"],
        "^[A-Z]{1,20}$" => &["POST", "GET"],
        _ => &[],
    };
    if !fixed.is_empty() {
        return s.one_of(fixed).into();
    }
    let letter = if pattern.contains("a-z") || !pattern.contains("A-Z") { 'a' } else { 'A' };
    let least = least.max(1);
    let length = s.one_of(&[least, most, 5, 10]).clamp(least, most);
    let mut made: Vec<char> = (0..length).map(|_| if s.seldom(8) { '0' } else { letter }).collect();
    made[0] = letter;
    if pattern.contains("[-") && length > 2 && s.flag() {
        made[length / 2] = '-';
    }
    made.into_iter().collect()
}
