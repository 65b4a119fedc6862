//! What the operator and the agents asked of the API server during the whole suite, from its audit log, against what they
//! may ask. `tests/all` runs it last, on the cluster on which the suite ran.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader};

use serde_json::Value;

use super::documented;
use super::table::{Grant, Row, grants, resource};
use crate::harness::{ON_PURPOSE, cluster_env, say};

const OPERATOR: &str = "system:serviceaccount:tradingbot-system:tradingbot-operator";
/// Bots of scenarios are in namespaces that begin like this, and nothing else in them asks the API server.
const AGENTS: &str = "system:serviceaccount:e2e-";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    Operator,
    Agents,
}

/// What the audit log says of the two.
#[derive(Debug, Default)]
struct Used {
    allowed: BTreeMap<Who, BTreeSet<Grant>>,
    /// What RBAC refused, how often, and the first time as a sentence.
    refused: BTreeMap<(Who, Grant), (u64, String)>,
    requests: BTreeMap<Who, u64>,
}

impl Used {
    /// Takes in one line.
    fn note(&mut self, event: &Value) {
        let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let user = text("/user/username");
        let who = match user {
            OPERATOR => Who::Operator,
            user if user.starts_with(AGENTS) => Who::Agents,
            _ => return,
        };
        if text("/userAgent").starts_with(ON_PURPOSE) {
            return;
        }
        *self.requests.entry(who).or_default() += 1;
        let object = |field: &str| text(&format!("/objectRef/{field}")).to_owned();
        let kind = match object("subresource") {
            part if part.is_empty() => object("resource"),
            part => format!("{}/{part}", object("resource")),
        };
        // What is no object is an address such as /version.
        let what = if kind.is_empty() { text("/requestURI").to_owned() } else { resource(&object("apiGroup"), &kind) };
        let grant = (what, text("/verb").to_owned());
        // Of RBAC alone: what admission refuses was allowed by it.
        match text("/annotations/authorization.k8s.io~1decision") {
            "allow" => {
                let used = self.allowed.entry(who).or_default();
                // An apply that makes the object is allowed only to who may create it, and is logged as a patch.
                let created = event.pointer("/responseStatus/code").and_then(Value::as_u64) == Some(201);
                if grant.1 == "patch" && created {
                    used.insert((grant.0.clone(), "create".into()));
                }
                // These are asked about while such an object is written, and logged as that write alone. Whether they are
                // needed is for the reason in the table to say.
                let asked = match grant.0.as_str() {
                    "roles.rbac.authorization.k8s.io" => Some("escalate"),
                    "rolebindings.rbac.authorization.k8s.io" => Some("bind"),
                    _ => None,
                };
                if let Some(verb) = asked.filter(|_| created) {
                    used.insert(("roles.rbac.authorization.k8s.io".into(), verb.into()));
                }
                used.insert(grant);
            }
            "forbid" => {
                let sentence = || {
                    let (name, namespace) = (object("name"), object("namespace"));
                    format!("{user} asked to {} {} '{name}' in '{namespace}'", grant.1, grant.0)
                };
                self.refused.entry((who, grant.clone())).or_insert_with(|| (0, sentence())).0 += 1;
            }
            // Nothing was decided about rights: the API server did not get that far.
            _ => {}
        }
    }

    /// What is granted and was never used, and what was refused for want of a verb.
    fn complaints(&self, who: Who, rows: &[Row]) -> Vec<String> {
        let granted = grants(rows);
        let none = BTreeSet::new();
        let used = self.allowed.get(&who).unwrap_or(&none);
        let unused = granted.difference(used).map(|(what, verb)| {
            format!("{who:?}: '{verb}' on {what} was never used: take it away, or add a scenario that needs it")
        });
        let missing = self.refused.iter().filter(|((of, _), _)| *of == who).filter_map(|((_, grant), (n, first))| {
            // The Role of a bot goes with it, so an agent that outlives it is refused what it otherwise may do.
            let gone = who == Who::Agents && granted.contains(grant);
            // And an API server that has just started refuses what it has not learnt yet.
            let not_yet = granted.contains(grant) && used.contains(grant);
            (!gone && !not_yet).then(|| format!("{who:?}: RBAC refused {n} requests, the first: {first}"))
        });
        unused.chain(missing).collect()
    }
}

fn read() -> Option<Used> {
    let path = cluster_env().get("AUDIT_LOG")?;
    let file = File::open(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut used = Used::default();
    for line in BufReader::new(file).lines() {
        let line = line.expect("the audit log can be read");
        // An API server that was killed may have been writing.
        if let Ok(event) = serde_json::from_str(&line) {
            used.note(&event);
        }
    }
    Some(used)
}

#[test]
#[ignore = "it judges a whole run of the suite: tests/all runs it after that"]
fn every_verb_was_used_and_none_was_missing() {
    let Some(mut used) = read() else {
        say("This cluster's API server writes no audit log that can be read: which verbs were used is not known.");
        return;
    };
    for who in [Who::Operator, Who::Agents] {
        say(&format!("{who:?}: {} requests", used.requests.get(&who).copied().unwrap_or_default()));
    }
    for ((who, (what, verb)), (n, _)) in &used.refused {
        say(&format!("{who:?}: RBAC refused to {verb} {what} {n} times"));
    }
    let (operator, agents) = (documented("the operator"), [documented("an agent"), documented("the active")].concat());
    // The operator gives the agents their rights, for which it has to hold them.
    used.allowed.entry(Who::Operator).or_default().extend(grants(&documented("an agent")));
    let mut complaints = used.complaints(Who::Operator, &operator);
    complaints.extend(used.complaints(Who::Agents, &agents));
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(user: &str, verb: &str, decision: &str, agent: &str) -> Value {
        json!({
            "verb": verb, "user": {"username": user}, "userAgent": agent,
            "objectRef": {"resource": "leases", "apiGroup": "coordination.k8s.io", "name": "doge", "namespace": "e2e-x"},
            "responseStatus": {"code": if decision == "forbid" { 403 } else { 200 }},
            "annotations": {"authorization.k8s.io/decision": decision},
        })
    }

    fn rows(verbs: &[&str]) -> Vec<Row> {
        let verbs = verbs.iter().map(|v| (*v).to_owned()).collect();
        let (resource, place) = ("leases.coordination.k8s.io".to_owned(), "everywhere".to_owned());
        vec![Row { resource, verbs, names: vec![], place, why: String::new() }]
    }

    fn of(events: &[Value]) -> Used {
        let mut used = Used::default();
        events.iter().for_each(|event| used.note(event));
        used
    }

    #[test]
    fn verbs_that_are_unused_or_missing_are_told() {
        let used = of(&[event(OPERATOR, "get", "allow", ""), event(OPERATOR, "delete", "forbid", "")]);
        let complaints = used.complaints(Who::Operator, &rows(&["get", "patch"]));
        let [unused, missing] = &complaints[..] else { panic!("{complaints:?}") };
        assert!(unused.contains("'patch' on leases.coordination.k8s.io was never used"), "{unused}");
        assert!(missing.contains("asked to delete leases.coordination.k8s.io 'doge'"), "{missing}");
        assert_eq!(used.complaints(Who::Operator, &rows(&["get"])).len(), 1, "only what is missing");
    }

    #[test]
    fn apply_that_makes_an_object_uses_create_too() {
        let mut made = event(OPERATOR, "patch", "allow", "");
        made["responseStatus"]["code"] = json!(201);
        assert_eq!(of(&[made]).complaints(Who::Operator, &rows(&["create", "patch"])), Vec::<String>::new());
        let changed = event(OPERATOR, "patch", "allow", "");
        assert_eq!(of(&[changed]).complaints(Who::Operator, &rows(&["create", "patch"])).len(), 1);
    }

    #[test]
    fn what_scenarios_do_with_other_peoples_tokens_counts_neither_way() {
        let agent = format!("{AGENTS}x:doge-agent");
        let used = of(&[event(&agent, "delete", "forbid", ON_PURPOSE), event(&agent, "get", "allow", ON_PURPOSE)]);
        assert_eq!(used.complaints(Who::Agents, &rows(&["get"])).len(), 1, "get was not used by the agent");
        assert_eq!(used.complaints(Who::Agents, &[]), Vec::<String>::new());
    }

    #[test]
    fn agent_may_be_refused_what_its_role_granted_until_it_went() {
        let used = of(&[event(&format!("{AGENTS}x:doge-agent"), "get", "forbid", "")]);
        // One complaint: it was never used. Allowed for nobody else.
        assert_eq!(used.complaints(Who::Agents, &rows(&["get"])).len(), 1);
        let operator = of(&[event(OPERATOR, "get", "forbid", "")]);
        assert_eq!(operator.complaints(Who::Operator, &rows(&["get"])).len(), 2);
    }
}
