//! What the status says of the active's checks and of what was done about them: what its agent has written into the Lease.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use kube::runtime::events::{Event, EventType};

use super::conditions::Verdict;
use crate::api::bot::Health;
use crate::api::bot_status::{CheckStatus, HealthStatus, Remedy, RemedyResult, RemedyStatus};
use crate::core::failover::{Observation, Record};
use crate::core::health::{Duty, Noted, Standing, fails, noted};
use crate::core::lease::{AgentState, LeaseRecord};
use crate::core::recovery::heard;

/// How many remedies of agents a status keeps.
const KEPT_REMEDIES: usize = 10;

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
    let remedies = remedies(seen, before);
    (!checks.is_empty()).then_some(HealthStatus { checks, remedies })
}

/// The last remedies that agents took: those that were known, and what the Lease says now. It says so to the end, when it
/// is released and names nobody any more.
fn remedies(seen: &Observation, before: Option<&HealthStatus>) -> Vec<RemedyStatus> {
    let mut all = before.map(|before| before.remedies.clone()).unwrap_or_default();
    let Some((lease, epoch)) = seen.lease.as_ref().and_then(|lease| Some((lease, lease.epoch?))) else { return all };
    let uid = lease.boot.as_ref().map(|boot| &boot.pod_uid);
    let pod = seen.pods.iter().find(|pod| Some(&pod.uid) == uid).map(|pod| &pod.name);
    let pod = lease.holder.as_ref().map(|holder| &holder.name).or(pod);
    for said in heard(&lease.recovery) {
        let Ok(time) = said.time.parse().map(Time) else { continue };
        let remedy = RemedyStatus {
            time,
            pod: pod.cloned().unwrap_or_default(),
            epoch: epoch.0,
            rule: said.rule,
            remedy: said.remedy,
            check: said.check,
            result: said.result,
            message: said.message,
        };
        match all.iter_mut().find(|known| is_the_same(known, &remedy)) {
            // Whoever has released may be gone.
            Some(known) => *known = RemedyStatus { pod: std::mem::take(&mut known.pod), ..remedy },
            None => all.insert(0, remedy),
        }
    }
    all.truncate(KEPT_REMEDIES);
    all
}

fn is_the_same(one: &RemedyStatus, other: &RemedyStatus) -> bool {
    let key = |of: &RemedyStatus| (of.epoch, of.time.clone(), of.rule.clone());
    key(one) == key(other)
}

/// What a status tells of remedies that the one before did not: that one was taken, and what came of it.
pub fn news(before: &[RemedyStatus], after: &[RemedyStatus]) -> Vec<Event> {
    let mut events = Vec::new();
    for of in after.iter().rev() {
        let RemedyStatus { pod, rule, check, message, .. } = of;
        let done = match of.remedy {
            Remedy::Hook => "a recovery hook was called at",
            _ => "the bot's process was restarted on",
        };
        let mut tell = |type_, reason: &str, note: String| {
            let action = format!("Epoch{}", of.epoch);
            events.push(Event { type_, reason: reason.into(), action, note: Some(note), secondary: None });
        };
        let was = before.iter().find(|known| is_the_same(known, of));
        if was.is_none() {
            let note = format!("The check {check} failed, and by the rule {rule} {done} {pod}: {message}");
            tell(EventType::Warning, "RemedyTaken", note);
        }
        if was.is_none_or(|was| was.result != of.result) {
            let at = of.time.0.strftime("%Y-%m-%dT%H:%M:%SZ");
            match of.result {
                RemedyResult::Unknown => {}
                RemedyResult::Helped => {
                    let note = format!("The checks of the rule {rule} pass after what was done on {pod} at {at}.");
                    tell(EventType::Normal, "RemedyHelped", note);
                }
                RemedyResult::DidNotHelp => {
                    let note = format!("The check {check} goes on failing after what was done on {pod} at {at}.");
                    tell(EventType::Warning, "RemedyDidNotHelp", note);
                }
            }
        }
    }
    events
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
    use crate::core::recovery::RemedyReport;
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

    #[test]
    fn what_an_agent_did_is_kept_and_told_once_with_what_came_of_it() {
        let note = |second: u32, result: RemedyResult| {
            let one = RemedyReport {
                time: format!("2026-11-24T12:00:{second:02}Z"),
                rule: "blind".into(),
                remedy: Remedy::RestartProcess,
                check: "price".into(),
                result,
                message: "No answer within 2 s.".into(),
            };
            crate::core::recovery::told(&[one])
        };
        let told = |note: String, before: Option<&HealthStatus>| {
            let (_, mut seen) = seen("", AgentState::Released);
            let record = Record::default();
            let lease = seen.lease.as_mut().unwrap();
            lease.recovery = note;
            // Once it is released, it names nobody, and nobody is in the ledger.
            lease.holder = lease.holder.take().filter(|_| before.is_none());
            status(&health(), &record, &seen, before, Timestamp::from_second(1).unwrap()).unwrap()
        };
        let reasons = |before: Option<&HealthStatus>, after: &HealthStatus| {
            let known = before.map_or(&[][..], |before| &before.remedies);
            news(known, &after.remedies).into_iter().map(|event| event.reason).collect::<Vec<_>>()
        };
        let first = told(note(1, RemedyResult::Unknown), None);
        assert_eq!((first.remedies.len(), first.remedies[0].pod.as_str(), first.remedies[0].epoch), (1, "doge-0", 3));
        assert_eq!(reasons(None, &first), ["RemedyTaken"]);
        assert_eq!(told(note(1, RemedyResult::Unknown), Some(&first)), first);
        let helped = told(note(1, RemedyResult::Helped), Some(&first));
        assert_eq!(helped.remedies.len(), 1);
        assert_eq!(reasons(Some(&first), &helped), ["RemedyHelped"]);
        assert!(reasons(Some(&helped), &helped).is_empty());
        // Another epoch's Lease says nothing of it any more; what was known stays.
        let second = told(note(2, RemedyResult::DidNotHelp), Some(&helped));
        assert_eq!(reasons(Some(&helped), &second), ["RemedyTaken", "RemedyDidNotHelp"]);
        assert_eq!(
            second.remedies.iter().map(|of| of.result).collect::<Vec<_>>(),
            [RemedyResult::DidNotHelp, RemedyResult::Helped]
        );
        assert_eq!(told(String::new(), Some(&second)).remedies, second.remedies);
        let all = (3..60).fold(second, |before, second| told(note(second, RemedyResult::Helped), Some(&before)));
        assert_eq!(all.remedies.len(), KEPT_REMEDIES);
    }
}
