//! What the status says of the active's checks: what its agent has written into the Lease.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::conditions::Verdict;
use crate::api::bot::Health;
use crate::api::bot_status::{CheckStatus, HealthStatus};
use crate::core::failover::{Observation, Record};
use crate::core::health::{Duty, Noted, Standing, fails, noted};
use crate::core::lease::{AgentState, LeaseRecord};

/// How the active's checks stand. `None`: none runs where the bot trades. `before`: what the status said.
pub fn status(
    health: &Health,
    record: &Record,
    seen: &Observation,
    before: Option<&HealthStatus>,
    now: Timestamp,
) -> Option<HealthStatus> {
    let told = told(record, seen);
    let of_active = health.checks.iter().filter(|check| check.applies_to.includes(Duty::Active));
    let checks: Vec<_> = of_active
        .map(|check| {
            let entry = told.as_ref().map(|all| all.iter().find(|entry| entry.name == check.name));
            let (standing, entry) = match entry {
                None => (Standing::Unknown, None),
                Some(None) => (Standing::Passing, None),
                Some(Some(entry)) => (entry.standing(), Some(entry)),
            };
            let state = standing.as_str();
            let kept = before.and_then(|before| {
                let same = before.checks.iter().find(|kept| kept.name == check.name && kept.state == state)?;
                same.since_time.clone()
            });
            let since = entry.and_then(|entry| entry.since.parse().ok()).map(Time);
            CheckStatus {
                name: check.name.clone(),
                state: state.to_owned(),
                since_time: since.or(kept).or(Some(Time(now))),
                message: entry.map(|entry| entry.error.clone()).unwrap_or_default(),
            }
        })
        .collect();
    (!checks.is_empty()).then_some(HealthStatus { checks })
}

/// What the agent says that trades; `None`: nobody trades, or it cannot be read.
fn told(record: &Record, seen: &Observation) -> Option<Vec<Noted>> {
    let ledger = record.trading.as_ref()?;
    let is_its = |lease: &&LeaseRecord| {
        lease.is_held_by(&ledger.pod.uid) && lease.epoch == Some(ledger.epoch) && lease.state == AgentState::Active
    };
    noted(&seen.lease.as_ref().filter(is_its)?.health)
}

/// The condition `Healthy`.
pub(super) fn condition(health: &Health, status: &HealthStatus) -> Verdict {
    let kind = "Healthy";
    let is = |standing: Standing| move |check: &&CheckStatus| check.state == standing.as_str();
    let critical = |check: &&CheckStatus| health.checks.iter().any(|of| of.name == check.name && of.critical);
    let sentences = |failing: Vec<&CheckStatus>| {
        let one = |check: &&CheckStatus| {
            let since = check.since_time.as_ref().map(|at| at.0.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
            fails(&check.name, since.unwrap_or_default(), &check.message)
        };
        failing.iter().map(one).collect::<Vec<_>>().join(" ")
    };
    let failing: Vec<_> = status.checks.iter().filter(is(Standing::Failing)).collect();
    let (important, other): (Vec<_>, Vec<_>) = failing.into_iter().partition(critical);
    let unknown: Vec<_> = status.checks.iter().filter(is(Standing::Unknown)).filter(critical).collect();
    let (word, reason, message) = if !important.is_empty() {
        ("False", "ChecksFail", sentences(important))
    } else if !unknown.is_empty() {
        let names: Vec<_> = unknown.iter().map(|check| check.name.as_str()).collect();
        let message = format!("Not known yet, or nobody trades: {}.", names.join(", "));
        ("Unknown", "NotKnownYet", message)
    } else if !other.is_empty() {
        ("True", "OthersFail", format!("Every critical check passes. {}", sentences(other)))
    } else {
        ("True", "ChecksPass", format!("{} of {0} checks pass.", status.checks.len()))
    };
    Verdict { kind, status: word, reason, message }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::failover::Ledger;
    use crate::core::ids::{Epoch, FencingToken, PodRef};
    use crate::core::lease::OnApiServerLoss;
    use std::time::Duration;

    fn health() -> Health {
        serde_json::from_value(serde_json::json!({"checks": [
            {"name": "price", "tcp": {"port": 1}},
            {"name": "log", "tcp": {"port": 1}, "critical": false},
            {"name": "ping", "tcp": {"port": 1}, "appliesTo": "Standby"},
        ]}))
        .unwrap()
    }

    fn seen(note: &str, state: AgentState) -> (Record, Observation) {
        let pod = PodRef { name: "doge-0".into(), uid: "u0".into() };
        let ledger = Ledger {
            epoch: Epoch(3),
            token: FencingToken(7),
            pod: pod.clone(),
            boot: None,
            lease_duration: Duration::from_secs(10),
            on_api_server_loss: OnApiServerLoss::Stop,
        };
        let lease = LeaseRecord {
            holder: Some(pod),
            epoch: Some(Epoch(3)),
            state,
            health: note.into(),
            ..LeaseRecord::default()
        };
        let record = Record { trading: Some(ledger), ..Record::default() };
        (record, Observation { lease: Some(lease), ..Observation::default() })
    }

    fn told(note: &str, state: AgentState, before: Option<&HealthStatus>, second: i64) -> HealthStatus {
        let (record, seen) = seen(note, state);
        status(&health(), &record, &seen, before, Timestamp::from_second(second).unwrap()).unwrap()
    }

    #[test]
    fn the_status_says_what_the_active_says_and_keeps_its_times() {
        let first = told("", AgentState::Active, None, 1);
        let states: Vec<_> = first.checks.iter().map(|check| (&*check.name, &*check.state)).collect();
        assert_eq!(states, [("price", "Passing"), ("log", "Passing")], "not what a standby checks");
        let same = told("", AgentState::Active, Some(&first), 2);
        assert_eq!(same, first, "nothing is written that is not new");
        let note = r#"[{"name":"price","since":"2026-11-24T12:00:00Z","error":"No answer within 2 s."}]"#;
        let failing = told(note, AgentState::Active, Some(&first), 3);
        assert_eq!(failing.checks[0].message, "No answer within 2 s.");
        assert_eq!(failing.checks[0].since_time.as_ref().unwrap().0.to_string(), "2026-11-24T12:00:00Z");
        assert_eq!(failing.checks[1], first.checks[1]);
    }

    #[test]
    fn nothing_is_known_of_a_bot_that_does_not_trade() {
        for (note, state) in [("", AgentState::Promoting), ("nonsense", AgentState::Active)] {
            let all = told(note, state, None, 1).checks;
            assert!(all.iter().all(|check| check.state == "Unknown"), "{all:?}");
        }
        let none = Health::default();
        let (record, seen) = seen("", AgentState::Active);
        assert_eq!(status(&none, &record, &seen, None, Timestamp::UNIX_EPOCH), None);
    }

    #[test]
    fn the_condition_is_about_the_critical_checks_and_says_why() {
        let said = |note: &str| {
            let verdict = condition(&health(), &told(note, AgentState::Active, None, 1));
            (verdict.status, verdict.reason, verdict.message)
        };
        assert_eq!(said("").0, "True");
        let price = r#"[{"name":"price","since":"2026-11-24T12:00:00Z","error":"No answer within 2 s."}]"#;
        let message = "Check price fails since 2026-11-24T12:00:00Z: No answer within 2 s.";
        assert_eq!(said(price), ("False", "ChecksFail", message.to_owned()));
        let (status, reason, _) = said(r#"[{"name":"log","since":"2026-11-24T12:00:00Z","error":"Large."}]"#);
        assert_eq!((status, reason), ("True", "OthersFail"));
        assert_eq!(said(r#"[{"name":"price"}]"#).0, "Unknown");
    }
}
