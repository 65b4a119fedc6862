//! What is there at the end of a scenario, without what must differ from run to run: epochs, tokens, uids, versions,
//! times, and names that are made of them.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::scenario::BOT;
use crate::world::World;
use crate::world::cluster::text;
use crate::world::plan::NAMESPACE;

/// Kinds of objects that belong to a bot.
const KINDS: [&str; 12] = [
    "tradingbots",
    "tradingbotoperations",
    "leases",
    "pods",
    "jobs",
    "services",
    "serviceaccounts",
    "roles",
    "rolebindings",
    "poddisruptionbudgets",
    "networkpolicies",
    "cronjobs",
];

/// Fields that say when, which or how often, and not what. The steps of an operation are told by whoever carries them
/// out: one whose teller has died is not told.
const DIFFER: [&str; 21] = [
    "resourceVersion",
    "uid",
    "creationTimestamp",
    "managedFields",
    "durationMilliseconds",
    "averageMilliseconds",
    "token",
    "fenced",
    "leaseTransitions",
    "containerID",
    "boot",
    "podUID",
    "fromUID",
    "toUID",
    "targetMet",
    "steps",
    "node",
    "nodeName",
    "tradingbot.io/slot",
    "tradingbot.io/token",
    "tradingbot.io/renew",
];

/// The objects of all bots, each under its kind and name.
pub fn of(world: &World) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    for kind in KINDS {
        let objects = world.site.api.all(kind);
        let ours = objects.into_iter().filter(|object| text(object, "/metadata/namespace") == NAMESPACE);
        for object in ours {
            let plain = Plain { world };
            let name = plain.text(text(&object, "/metadata/name"));
            let mut key = format!("{kind}/{name}");
            while all.contains_key(&key) {
                key.push('+');
            }
            all.insert(key, plain.value(&object));
        }
    }
    all
}

/// What differs, a line each.
pub fn differences(wanted: &BTreeMap<String, Value>, found: &BTreeMap<String, Value>) -> Vec<String> {
    let mut lines = Vec::new();
    for (key, object) in wanted {
        match found.get(key) {
            None => lines.push(format!("{key} is missing")),
            Some(other) => compare(key, object, other, &mut lines),
        }
    }
    lines.extend(found.keys().filter(|key| !wanted.contains_key(*key)).map(|key| format!("{key} is too much")));
    lines
}

fn compare(path: &str, wanted: &Value, found: &Value, lines: &mut Vec<String>) {
    match (wanted, found) {
        (Value::Object(wanted), Value::Object(found)) => {
            let none = Value::Null;
            let keys: std::collections::BTreeSet<&String> = wanted.keys().chain(found.keys()).collect();
            for key in keys {
                let at = |map: &'_ Map<String, Value>| map.get(key).cloned().unwrap_or_else(|| none.clone());
                compare(&format!("{path}.{key}"), &at(wanted), &at(found), lines);
            }
        }
        (Value::Array(wanted), Value::Array(found)) if wanted.len() == found.len() => {
            for (number, (wanted, found)) in wanted.iter().zip(found).enumerate() {
                compare(&format!("{path}[{number}]"), wanted, found, lines);
            }
        }
        (wanted, found) if wanted != found => lines.push(format!("{path} is {found}, not {wanted}")),
        _ => {}
    }
}

/// Makes the same of what differs from run to run.
struct Plain<'a> {
    world: &'a World,
}

impl Plain<'_> {
    fn value(&self, value: &Value) -> Value {
        match value {
            Value::Object(map) => {
                let kept = map.iter().filter(|(key, _)| !differs(key));
                Value::Object(kept.map(|(key, value)| (key.clone(), self.value(value))).collect())
            }
            Value::Array(list) => Value::Array(list.iter().map(|value| self.value(value)).collect()),
            Value::String(string) => Value::String(self.text(string)),
            other => other.clone(),
        }
    }

    /// Slots are named by what their pods are, and everything that is a number or looks like an id is the same.
    fn text(&self, text: &str) -> String {
        let mut words = Vec::new();
        let mut slot_follows = false;
        for word in text.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
            let end = word.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(word.len());
            let (inner, separator) = word.split_at(end);
            let is_number = !inner.is_empty() && inner.chars().all(|c| c.is_ascii_digit());
            let is_id = inner.len() >= 4
                && inner.chars().all(|c| c.is_ascii_hexdigit())
                && inner.contains(|c: char| c.is_ascii_digit());
            words.push(match inner {
                _ if is_number && slot_follows => self.slot(inner).to_owned(),
                _ if is_number || is_id => "#".to_owned(),
                _ => inner.to_owned(),
            });
            slot_follows = separator == "-" && inner == BOT;
            words.push(separator.to_owned());
        }
        words.concat()
    }

    /// What the pod of a slot is.
    fn slot(&self, number: &str) -> &'static str {
        let name = format!("{BOT}-{number}");
        if self.world.status(BOT, "/trading/pod") == name {
            "active"
        } else if self.world.site.api.get("pods", NAMESPACE, &name).is_some() {
            "standby"
        } else {
            "gone"
        }
    }
}

fn differs(key: &str) -> bool {
    let key_of_time_or_number = ["Time", "edAt", "Epoch", "epoch"].iter().any(|end| key.ends_with(end));
    key_of_time_or_number || DIFFER.contains(&key)
}
