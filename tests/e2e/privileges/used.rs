//! What the operator and the agents asked of the API server during the whole suite, from its audit log, against what they
//! may ask. `tests/all` runs it last, on the cluster on which the suite ran.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader};

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::documented;
use super::table::{Grant, Row, grants, resource};
use crate::harness::{ON_PURPOSE, cluster_env, say};

const OPERATOR: &str = "system:serviceaccount:tradingbot-system:tradingbot-operator";
/// Bots of scenarios are in namespaces that begin like this, and nothing else in them asks the API server.
const AGENTS: &str = "system:serviceaccount:e2e-";

/// The API server itself. It lists the bindings when it starts; what it has not learnt yet it refuses.
const API_SERVER: (&str, &str) = ("system:apiserver", "rolebindings.rbac.authorization.k8s.io");
/// It answers others a tenth of a second before it asks, and more where the machine is busy; then it learns what it asked for.
const AROUND_A_START: SignedDuration = SignedDuration::from_secs(3);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    Operator,
    Agents,
}

/// What an account asked for, without the time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Asked {
    who: Who,
    grant: Grant,
    account: String,
    namespace: String,
    name: String,
}

/// What the audit log says of the two.
#[derive(Debug, Default)]
struct Used {
    allowed: BTreeMap<Who, BTreeSet<Grant>>,
    /// The first time that an account was allowed something on an object.
    first: BTreeMap<Asked, Timestamp>,
    /// What RBAC refused, and when.
    refused: Vec<(Asked, Timestamp)>,
    /// When an API server started.
    starts: Vec<Timestamp>,
    requests: BTreeMap<Who, u64>,
}

impl Used {
    /// Takes in one line.
    fn note(&mut self, event: &Value) {
        let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let object = |field: &str| text(&format!("/objectRef/{field}")).to_owned();
        let kind = match object("subresource") {
            part if part.is_empty() => object("resource"),
            part => format!("{}/{part}", object("resource")),
        };
        // What is no object is an address such as /version.
        let what = if kind.is_empty() { text("/requestURI").to_owned() } else { resource(&object("apiGroup"), &kind) };
        let at: Timestamp = text("/requestReceivedTimestamp").parse().expect("every line has its time");
        let user = text("/user/username");
        let who = match user {
            OPERATOR => Who::Operator,
            user if user.starts_with(AGENTS) => Who::Agents,
            user if (user, &*what) == API_SERVER => return self.starts.push(at),
            _ => return,
        };
        if text("/userAgent").starts_with(ON_PURPOSE) {
            return;
        }
        *self.requests.entry(who).or_default() += 1;
        let grant = (what, text("/verb").to_owned());
        let asked = Asked {
            who,
            grant: grant.clone(),
            account: user.to_owned(),
            namespace: object("namespace"),
            name: object("name"),
        };
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
                let also = match grant.0.as_str() {
                    "roles.rbac.authorization.k8s.io" => Some("escalate"),
                    "rolebindings.rbac.authorization.k8s.io" => Some("bind"),
                    _ => None,
                };
                if let Some(verb) = also.filter(|_| created) {
                    used.insert(("roles.rbac.authorization.k8s.io".into(), verb.into()));
                }
                used.insert(grant);
                let first = self.first.entry(asked).or_insert(at);
                *first = at.min(*first);
            }
            "forbid" => self.refused.push((asked, at)),
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
        let mut missing: BTreeMap<&Grant, Vec<&(Asked, Timestamp)>> = BTreeMap::new();
        for refusal in self.refused.iter().filter(|(asked, _)| asked.who == who) {
            if !granted.contains(&refusal.0.grant) || !self.is_excused(&refusal.0, refusal.1) {
                missing.entry(&refusal.0.grant).or_default().push(refusal);
            }
        }
        let missing = missing.iter().map(|((what, verb), all)| {
            let (Asked { account, namespace, name, .. }, at) = all[0];
            let n = all.len();
            format!(
                "{who:?}: RBAC refused {n} requests, the first: {account} asked to {verb} {what} '{name}' in \
                 '{namespace}' at {at}"
            )
        });
        unused.chain(missing).collect()
    }

    /// Whether it may be refused what it is documented to hold.
    fn is_excused(&self, asked: &Asked, at: Timestamp) -> bool {
        let starting = |start: &Timestamp| at.duration_since(*start).abs() <= AROUND_A_START;
        // The Role of a bot goes with it: an agent that outlives it is refused what it was allowed until then.
        let outlives = || asked.who == Who::Agents && self.first.get(asked).is_some_and(|first| *first < at);
        self.starts.iter().any(starting) || outlives()
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
    let mut refused: BTreeMap<(Who, &Grant), u64> = BTreeMap::new();
    for (asked, _) in &used.refused {
        *refused.entry((asked.who, &asked.grant)).or_default() += 1;
    }
    for ((who, (what, verb)), n) in refused {
        say(&format!("{who:?}: RBAC refused to {verb} {what} {n} times"));
    }
    say(&format!("API servers started: {}", used.starts.len()));
    assert!(!used.starts.is_empty(), "the audit log does not tell when API servers start");
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

    /// At this second of a minute, in this namespace.
    fn event_at(second: u32, namespace: &str, user: &str, verb: &str, decision: &str) -> Value {
        json!({
            "verb": verb, "user": {"username": user}, "userAgent": "",
            "requestReceivedTimestamp": format!("2026-11-24T12:00:{second:02}.000000Z"),
            "objectRef": {
                "resource": "leases", "apiGroup": "coordination.k8s.io", "name": "doge", "namespace": namespace,
            },
            "responseStatus": {"code": if decision == "forbid" { 403 } else { 200 }},
            "annotations": {"authorization.k8s.io/decision": decision},
        })
    }

    fn event(user: &str, verb: &str, decision: &str, agent: &str) -> Value {
        let mut event = event_at(0, "e2e-x", user, verb, decision);
        event["userAgent"] = json!(agent);
        event
    }

    /// An API server starts.
    fn start_at(second: u32) -> Value {
        let mut event = event_at(second, "", API_SERVER.0, "list", "allow");
        event["objectRef"] = json!({"resource": "rolebindings", "apiGroup": "rbac.authorization.k8s.io"});
        event
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
        let user = format!("{AGENTS}x:doge-agent");
        let agent = |second, namespace, decision| event_at(second, namespace, &user, "get", decision);
        let complaints = |events: &[Value]| of(events).complaints(Who::Agents, &rows(&["get"])).len();
        assert_eq!(complaints(&[agent(1, "e2e-x", "allow"), agent(50, "e2e-x", "forbid")]), 0);
        // Not before it was granted, and not where it never was: there the right is missing.
        assert_eq!(complaints(&[agent(50, "e2e-x", "allow"), agent(1, "e2e-x", "forbid")]), 1);
        assert_eq!(complaints(&[agent(1, "e2e-x", "allow"), agent(50, "e2e-y", "forbid")]), 1);
        let other = event_at(1, "e2e-x", &format!("{AGENTS}x:other-agent"), "get", "allow");
        assert_eq!(complaints(&[other, agent(50, "e2e-x", "forbid")]), 1);
        let mut another = agent(50, "e2e-x", "forbid");
        another["objectRef"]["name"] = json!("account");
        assert_eq!(complaints(&[agent(1, "e2e-x", "allow"), another]), 1);
    }

    #[test]
    fn api_server_that_has_just_started_may_refuse_what_is_documented() {
        let operator = |second, decision| event_at(second, "e2e-x", OPERATOR, "get", decision);
        let complaints = |events: &[Value]| of(events).complaints(Who::Operator, &rows(&["get"]));
        for second in [17, 20, 23] {
            let events = [operator(1, "allow"), operator(second, "forbid"), start_at(20), operator(50, "allow")];
            assert_eq!(complaints(&events), Vec::<String>::new(), "{second}");
        }
        // The operator's rights are there for as long as it is: what it was allowed otherwise is no excuse.
        for second in [16, 24] {
            let events = [operator(1, "allow"), start_at(20), operator(second, "forbid"), operator(50, "allow")];
            let [missing] = &complaints(&events)[..] else { panic!("at second {second}") };
            assert!(missing.contains("asked to get leases.coordination.k8s.io 'doge' in 'e2e-x'"), "{missing}");
        }
        let undocumented = event_at(20, "e2e-x", OPERATOR, "delete", "forbid");
        assert_eq!(complaints(&[operator(1, "allow"), start_at(20), undocumented]).len(), 1);
    }
}
