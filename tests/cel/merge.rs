//! What somebody who is no agent would write to a bot's Lease; the end-to-end suite tries the same with real tokens.

use serde_json::{Value, json};

/// A merge patch: holder unless `None`, and annotations of ours.
pub fn merge(holder: Option<&str>, notes: &[(&str, &str)]) -> Value {
    let mut patch = json!({"metadata": {"annotations": {}}});
    for (name, value) in notes {
        patch["metadata"]["annotations"][format!("tradingbot.io/{name}")] = json!(value);
    }
    if let Some(holder) = holder {
        patch["spec"]["holderIdentity"] = json!(holder);
    }
    patch
}
