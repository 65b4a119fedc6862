//! Makes generated schemas fit for the API server: small, without surprises in server-side apply, and bounded, so that
//! CEL rules over them stay within their budget.

use serde_json::{Value, json};

/// Lists that are merged by key, by the name of the list and of what it is in. These are the keys that Kubernetes uses
/// for the same lists in a pod.
const LIST_KEYS: [(&str, &[&str]); 13] = [
    ("containers", &["name"]),
    ("initContainers", &["name"]),
    ("volumes", &["name"]),
    ("imagePullSecrets", &["name"]),
    ("hostAliases", &["ip"]),
    ("schedulingGates", &["name"]),
    ("resourceClaims", &["name"]),
    ("topologySpreadConstraints", &["topologyKey", "whenUnsatisfiable"]),
    ("env", &["name"]),
    ("ports", &["containerPort", "protocol"]),
    ("volumeMounts", &["mountPath"]),
    ("volumeDevices", &["devicePath"]),
    ("conditions", &["type"]),
];

/// Where a key of a list may be left out, what it then is. Kubernetes wants one for every key that is not required.
const KEY_DEFAULTS: [(&str, &str, &str); 2] = [("imagePullSecrets", "name", ""), ("ports", "protocol", "TCP")];

/// The longest lists of a pod template; without bounds every rule over them would be refused as too costly.
const LONGEST: [(&str, u32); 7] = [
    ("containers", 20),
    ("initContainers", 20),
    ("volumes", 50),
    ("volumeMounts", 100),
    ("ports", 100),
    ("env", 500),
    ("conditions", 20),
];

/// Walks through a schema and everything in it.
pub fn refine(schema: &mut Value) {
    each(schema, &mut |node| {
        // A null then reads as absent, and is dropped on write.
        node.remove("nullable");
        let unsigned = node.get("format").and_then(Value::as_str).is_some_and(|f| f.starts_with("uint"));
        if unsigned {
            // The API server knows only signed formats, and warns of others at every apply.
            node.insert("format".into(), json!("int64"));
            node.entry("minimum").or_insert(json!(0));
        }
        if let Some(Value::String(text)) = node.get_mut("description") {
            *text = text.replace('\n', " ");
        }
    });
}

/// A status is written whole; what is not there was never said.
pub fn drop_defaults(schema: &mut Value) {
    each(schema, &mut |node| {
        node.remove("default");
    });
}

/// Drops the descriptions below a schema and keeps its own.
pub fn drop_descriptions_below(schema: &mut Value) {
    let own = schema.get("description").cloned();
    each(schema, &mut |node| {
        node.remove("description");
    });
    if let (Some(own), Some(node)) = (own, schema.as_object_mut()) {
        node.insert("description".into(), own);
    }
}

/// Makes the lists of a pod template mergeable and bounded, requires its `spec`, and leaves out what no template may
/// have.
pub fn refine_pod_template(template: &mut Value) {
    refine_lists(template);
    let Some(node) = template.as_object_mut() else { return };
    node.insert("required".into(), json!(["spec"]));
    let Some(properties) = node.get_mut("properties").and_then(Value::as_object_mut) else { return };
    properties.insert("metadata".into(), template_metadata());
    if let Some(pod) = properties.get_mut("spec").and_then(|s| s.get_mut("properties")).and_then(Value::as_object_mut) {
        pod.remove("ephemeralContainers");
        if let Some(grace) = pod.get_mut("terminationGracePeriodSeconds") {
            grace["minimum"] = json!(0);
        }
        if let Some(containers) = pod.get_mut("containers") {
            containers["minItems"] = json!(1);
        }
        for list in ["containers", "initContainers"] {
            if let Some(name) = pod.get_mut(list).and_then(|c| c.pointer_mut("/items/properties/name")) {
                name["maxLength"] = json!(63);
            }
        }
        if let Some(name) = pod.get_mut("volumes").and_then(|c| c.pointer_mut("/items/properties/name")) {
            name["maxLength"] = json!(63);
        }
    }
}

/// What a volume claim needs, where Kubernetes would say so only when a claim is made.
pub fn refine_claim(claim: &mut Value) {
    claim["required"] = json!(["accessModes", "resources"]);
    let modes = &mut claim["properties"]["accessModes"];
    modes["minItems"] = json!(1);
    modes["items"]["enum"] = json!(["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"]);
}

/// Bounds the rules of a NetworkPolicy, as they have to be for CEL.
pub fn refine_egress(rule: &mut Value) {
    for list in ["to", "ports"] {
        rule["properties"][list]["maxItems"] = json!(50);
    }
    rule["properties"]["to"]["items"]["properties"]["ipBlock"]["properties"]["cidr"]["maxLength"] = json!(50);
}

/// Leaves a retention of zero to a rule, which says more than a bound does.
pub fn refine_retention(retention: &mut Value) {
    for amount in ["count", "days", "weeks", "months"] {
        retention["properties"][amount]["minimum"] = json!(0);
    }
}

/// Leaves a step without a timeout to a rule, which says more than `Required value` does.
pub fn refine_shutdown(steps: &mut Value) {
    merge_by_name(steps);
    if let Some(timeout) = steps.pointer_mut("/items/properties/timeoutSeconds").and_then(Value::as_object_mut) {
        timeout.remove("default");
    }
}

/// Makes a list mergeable by the names in it.
pub fn merge_by_name(list: &mut Value) {
    list["x-kubernetes-list-type"] = json!("map");
    list["x-kubernetes-list-map-keys"] = json!(["name"]);
}

/// Makes lists mergeable by key and bounded.
pub fn refine_lists(schema: &mut Value) {
    each(schema, &mut |node| {
        let Some(properties) = node.get_mut("properties").and_then(Value::as_object_mut) else { return };
        for (name, keys) in LIST_KEYS {
            let Some(list) = properties.get_mut(name).filter(|p| p["type"] == "array") else { continue };
            list["x-kubernetes-list-type"] = json!("map");
            list["x-kubernetes-list-map-keys"] = json!(keys);
        }
        for (name, key, default) in KEY_DEFAULTS {
            if let Some(key) = properties.get_mut(name).and_then(|l| l.pointer_mut(&format!("/items/properties/{key}")))
            {
                key["default"] = json!(default);
            }
        }
        for (name, longest) in LONGEST {
            if let Some(list) = properties.get_mut(name).filter(|p| p["type"] == "array") {
                list["maxItems"] = json!(longest);
            }
        }
    });
}

/// What a template's metadata can say. Tools write `creationTimestamp: null`, which is let through.
fn template_metadata() -> Value {
    let texts = json!({"type": "object", "additionalProperties": {"type": "string"}});
    json!({
        "type": "object",
        "properties": {
            "labels": texts, "annotations": texts,
            "creationTimestamp": {"type": "string", "format": "date-time", "nullable": true},
        },
    })
}

/// Calls `change` for every schema in `schema`, itself first.
fn each(schema: &mut Value, change: &mut impl FnMut(&mut serde_json::Map<String, Value>)) {
    let Some(node) = schema.as_object_mut() else { return };
    change(node);
    if let Some(properties) = node.get_mut("properties").and_then(Value::as_object_mut) {
        properties.values_mut().for_each(|property| each(property, change));
    }
    for name in ["items", "additionalProperties", "not"] {
        if let Some(inner) = node.get_mut(name) {
            each(inner, change);
        }
    }
    for name in ["allOf", "anyOf", "oneOf"] {
        if let Some(all) = node.get_mut(name).and_then(Value::as_array_mut) {
            all.iter_mut().for_each(|inner| each(inner, change));
        }
    }
}
