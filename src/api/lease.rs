//! The Lease object and [`LeaseRecord`]: the only place that knows which field and annotation holds what.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use serde::{Deserialize, Serialize};

use super::names::lease as key;
use crate::core::fitting::fitting;
use crate::core::ids::{BootId, Epoch, FencingToken, PodRef};
use crate::core::lease::{AgentState, LeaseRecord, OnApiServerLoss, OrderPath, Permit, Revoke, Terms};
use crate::core::shutdown::{MOST_STEPS, StepReport};

/// The longest text about the steps of a stop, in bytes; the admission policy of the chart knows it, too.
const LONGEST_SHUTDOWN: usize = 4096;
/// The longest text about the promote hook, in bytes, likewise.
const LONGEST_PROMOTION: usize = 1024;
/// How many characters of each message are kept: the first of these that makes the text short enough.
const KEPT_OF_MESSAGES: [usize; 5] = [usize::MAX, 280, 140, 40, 0];

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TermsAnnotation {
    renew_period_seconds: u64,
    renew_deadline_seconds: u64,
    on_api_server_loss: OnApiServerLoss,
}

/// What a Lease says. Fields that are absent or cannot be read are `None`: they disagree with every ledger, and so
/// are evidence of nothing.
pub fn read(lease: &Lease) -> LeaseRecord {
    let spec = lease.spec.as_ref();
    let empty = BTreeMap::new();
    let notes = lease.metadata.annotations.as_ref().unwrap_or(&empty);
    let note = |name: &str| notes.get(name).map(String::as_str);
    let duration = spec.and_then(|s| s.lease_duration_seconds).and_then(|s| u64::try_from(s).ok());
    let terms = note(key::TERMS).and_then(|text| serde_json::from_str::<TermsAnnotation>(text).ok());
    LeaseRecord {
        uid: lease.metadata.uid.clone().unwrap_or_default(),
        version: lease.metadata.resource_version.clone().unwrap_or_default(),
        holder: spec.and_then(|s| s.holder_identity.as_deref()).and_then(|text| text.parse::<PodRef>().ok()),
        epoch: note(key::EPOCH).and_then(Epoch::parse),
        token: note(key::TOKEN).and_then(FencingToken::parse),
        permit: note(key::PERMIT).map(|text| Permit::parse(Some(text))),
        revoke: Revoke::parse(note(key::REVOKE)),
        boot: note(key::BOOT).and_then(|text| text.parse::<BootId>().ok()),
        renew: note(key::RENEW).unwrap_or_default().to_owned(),
        state: AgentState::parse(note(key::STATE)),
        path: OrderPath::parse(note(key::PATH)),
        health: note(key::HEALTH).unwrap_or_default().to_owned(),
        recovery: note(key::RECOVERY).unwrap_or_default().to_owned(),
        reason: note(key::REASON).unwrap_or_default().to_owned(),
        shutdown: note(key::SHUTDOWN).map(shutdown_from).unwrap_or_default(),
        promotion: note(key::PROMOTION).and_then(promotion_from),
        successor: note(key::SUCCESSOR).and_then(|text| text.parse::<BootId>().ok()),
        terms: duration.zip(terms).map(|(seconds, terms)| Terms {
            lease_duration: Duration::from_secs(seconds),
            renew_period: Duration::from_secs(terms.renew_period_seconds),
            renew_deadline: Duration::from_secs(terms.renew_deadline_seconds),
            on_api_server_loss: terms.on_api_server_loss,
        }),
        transitions: spec.and_then(|s| s.lease_transitions).and_then(|n| u32::try_from(n).ok()).unwrap_or_default(),
    }
}

/// Writes a record into a Lease: what the operator PUTs. Every annotation of ours is written, also the empty ones,
/// because a JSON Patch can only pin and replace what is there. What is not ours is kept.
///
/// `granted`: whether this write is a grant, which sets `acquireTime` and `renewTime`.
pub fn write(record: &LeaseRecord, lease: &mut Lease, granted: Option<Timestamp>) {
    let spec = lease.spec.get_or_insert_default();
    spec.holder_identity = Some(record.holder.as_ref().map(PodRef::to_string).unwrap_or_default());
    spec.lease_transitions = i32::try_from(record.transitions).ok();
    if let Some(terms) = &record.terms {
        spec.lease_duration_seconds = i32::try_from(terms.lease_duration.as_secs()).ok();
    }
    if let Some(now) = granted {
        spec.acquire_time = Some(MicroTime(now));
        spec.renew_time = Some(MicroTime(now));
    }
    lease.metadata.uid = (!record.uid.is_empty()).then(|| record.uid.clone());
    lease.metadata.resource_version = (!record.version.is_empty()).then(|| record.version.clone());
    let notes = lease.metadata.annotations.get_or_insert_default();
    let mut set = |name: &str, value: String| notes.insert(name.to_owned(), value);
    set(key::EPOCH, record.epoch.map(|e| e.to_string()).unwrap_or_default());
    set(key::TOKEN, record.token.map(|t| t.to_string()).unwrap_or_default());
    set(key::PERMIT, record.effective_permit().as_str().to_owned());
    set(key::REVOKE, record.revoke.as_str().to_owned());
    set(key::BOOT, record.boot.as_ref().map(BootId::to_string).unwrap_or_default());
    set(key::RENEW, record.renew.clone());
    set(key::STATE, record.state.as_str().to_owned());
    set(key::PATH, record.path.to_string());
    set(key::HEALTH, record.health.clone());
    set(key::RECOVERY, record.recovery.clone());
    set(key::REASON, record.reason.clone());
    set(key::SHUTDOWN, shutdown_text(&record.shutdown));
    set(key::PROMOTION, record.promotion.as_ref().map(promotion_text).unwrap_or_default());
    set(key::SUCCESSOR, record.successor.as_ref().map(BootId::to_string).unwrap_or_default());
    if let Some(terms) = &record.terms {
        let text = TermsAnnotation {
            renew_period_seconds: terms.renew_period.as_secs(),
            renew_deadline_seconds: terms.renew_deadline.as_secs(),
            on_api_server_loss: terms.on_api_server_loss,
        };
        set(key::TERMS, serde_json::to_string(&text).unwrap_or_default());
    }
}

/// What the annotation says of a stop's steps. Without any it is empty.
pub fn shutdown_text(steps: &[StepReport]) -> String {
    if steps.is_empty() {
        return String::new();
    }
    let with = |kept| steps.iter().map(|step| kept_of(step, kept)).collect::<Vec<_>>();
    fitting(LONGEST_SHUTDOWN, &KEPT_OF_MESSAGES, with)
}

/// What the annotation says of the promote hook.
pub fn promotion_text(step: &StepReport) -> String {
    fitting(LONGEST_PROMOTION, &KEPT_OF_MESSAGES, |kept| kept_of(step, kept))
}

fn kept_of(step: &StepReport, kept: usize) -> StepReport {
    StepReport { message: cut(&step.message, kept), ..step.clone() }
}

/// A text that no agent of ours would have written says nothing.
fn shutdown_from(text: &str) -> Vec<StepReport> {
    let steps = (text.len() <= LONGEST_SHUTDOWN).then(|| serde_json::from_str::<Vec<StepReport>>(text).ok()).flatten();
    steps.filter(|steps| steps.len() <= MOST_STEPS).unwrap_or_default()
}

fn promotion_from(text: &str) -> Option<StepReport> {
    (text.len() <= LONGEST_PROMOTION).then(|| serde_json::from_str(text).ok()).flatten()
}

/// The first characters of a text, and a mark where more followed.
fn cut(text: &str, kept: usize) -> String {
    match text.char_indices().nth(kept) {
        None => text.to_owned(),
        Some(_) => text.chars().take(kept.saturating_sub(1)).chain((kept > 0).then_some('…')).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::shutdown::StepResult;

    fn step(name: &str, message: &str) -> StepReport {
        StepReport { name: name.into(), result: StepResult::TimedOut, milliseconds: 60_001, message: message.into() }
    }

    fn full() -> LeaseRecord {
        LeaseRecord {
            uid: "lease-uid".into(),
            version: "42".into(),
            holder: Some(PodRef { name: "doge-0".into(), uid: "u0".into() }),
            epoch: Some(Epoch(7)),
            token: Some(FencingToken(99)),
            permit: Some(Permit::Trade),
            revoke: Revoke::Now,
            boot: Some(BootId { pod_uid: "u0".into(), nonce: "n".into() }),
            renew: "u0/n/3".into(),
            state: AgentState::Active,
            path: OrderPath::Bypassed("10.0.0.3:8080".into()),
            health: r#"[{"name":"price","since":"2026-11-24T12:00:00Z"}]"#.into(),
            recovery: "[]".into(),
            reason: String::new(),
            shutdown: vec![step("cancel-orders", "it did not end.")],
            promotion: Some(step("promote", "it did not end.")),
            successor: None,
            terms: Some(Terms {
                lease_duration: Duration::from_secs(10),
                renew_period: Duration::from_secs(2),
                renew_deadline: Duration::from_secs(6),
                on_api_server_loss: OnApiServerLoss::Stop,
            }),
            transitions: 7,
        }
    }

    #[test]
    fn a_record_survives_the_round_trip() {
        let mut lease = Lease::default();
        write(&full(), &mut lease, Some(Timestamp::UNIX_EPOCH));
        assert_eq!(read(&lease), full());
    }

    #[test]
    fn a_blank_lease_says_nothing() {
        let record = read(&Lease::default());
        assert_eq!(record, LeaseRecord::default());
        assert_eq!(record.effective_permit(), Permit::Revoke);
    }

    #[test]
    fn nonsense_in_annotations_reads_as_absent() {
        let mut lease = Lease::default();
        write(&full(), &mut lease, None);
        let notes = lease.metadata.annotations.as_mut().unwrap();
        for name in [key::EPOCH, key::BOOT, key::TERMS, key::PERMIT] {
            notes.insert(name.into(), "nonsense".into());
        }
        let record = read(&lease);
        assert_eq!((record.epoch, record.boot.clone(), record.terms), (None, None, None));
        assert_eq!(record.permit, Some(Permit::Revoke));
    }

    #[test]
    fn what_steps_came_to_is_cut_to_what_may_be_written() {
        let text = shutdown_text(&[step("flush", "it said no.")]);
        assert_eq!(text, r#"[{"name":"flush","result":"TimedOut","milliseconds":60001,"message":"it said no."}]"#);
        for message in ["x".repeat(5_000), "\u{1}ü".repeat(600), "\"".repeat(700)] {
            let steps = vec![step(&"n".repeat(63), &message); MOST_STEPS];
            let text = shutdown_text(&steps);
            assert!(text.len() <= LONGEST_SHUTDOWN && text.contains('…'), "{} bytes", text.len());
            let read = shutdown_from(&text);
            assert_eq!(read.iter().map(|step| step.result).collect::<Vec<_>>(), [StepResult::TimedOut; MOST_STEPS]);
            assert_eq!(shutdown_text(&read), text, "what was read is written again as it is");
        }
        assert_eq!(shutdown_text(&[]), "");
    }

    #[test]
    fn what_the_promote_hook_came_to_is_cut_to_what_may_be_written() {
        let said = promotion_text(&step("promote", "it said no."));
        assert_eq!(said, r#"{"name":"promote","result":"TimedOut","milliseconds":60001,"message":"it said no."}"#);
        for message in ["x".repeat(5_000), "\u{1}ü".repeat(600), "\"".repeat(700)] {
            let text = promotion_text(&step("promote", &message));
            assert!(text.len() <= LONGEST_PROMOTION && text.contains('…'), "{} bytes", text.len());
            let read = promotion_from(&text).unwrap();
            assert_eq!((read.name.as_str(), read.result), ("promote", StepResult::TimedOut));
            assert_eq!(promotion_text(&read), text, "what was read is written again as it is");
        }
        let long = serde_json::to_string(&step("promote", &"x".repeat(1_024))).unwrap();
        for text in ["", "nonsense", "[]", "{}", r#"{"name":"promote","result":"Fine","milliseconds":1}"#, &long] {
            assert_eq!(promotion_from(text), None, "{text}");
        }
    }

    #[test]
    fn what_no_agent_would_write_of_its_steps_says_nothing() {
        let ten = serde_json::to_string(&vec![step("s", ""); MOST_STEPS + 1]).unwrap();
        let long = serde_json::to_string(&[step("s", &"x".repeat(4_096))]).unwrap();
        for text in ["", "nonsense", "{}", "[{}]", r#"[{"name":"s","result":"Fine","milliseconds":1}]"#, &ten, &long] {
            assert_eq!(shutdown_from(text), [], "{text}");
        }
    }

    #[test]
    fn a_number_that_we_would_write_in_another_way_reads_as_absent() {
        let mut lease = Lease::default();
        write(&full(), &mut lease, None);
        let notes = lease.metadata.annotations.as_mut().unwrap();
        notes.insert(key::EPOCH.into(), "+7".into());
        notes.insert(key::TOKEN.into(), "099".into());
        let record = read(&lease);
        assert_eq!((record.epoch, record.token), (None, None));
    }
}
