//! Leases as anybody with the right to write them could leave them: JSON of the object.

use std::collections::BTreeMap;

use k8s_openapi::api::coordination::v1::Lease;

use crate::product::api::names::lease as key;
use crate::product::api::{account_lease, lease as bot_lease};
use crate::product::core::account::Holder;
use crate::product::core::health::{LONGEST_NOTE, noted};
use crate::product::core::ids::LARGEST_NUMBER;
use crate::product::core::lease::{AgentState, LeaseRecord, Permit, ReleaseReason};
use crate::product::core::recovery::{MOST_REMEDIES, heard};

fn notes(lease: &Lease) -> BTreeMap<String, String> {
    lease.metadata.annotations.clone().unwrap_or_default()
}

fn holder(lease: &Lease) -> Option<&str> {
    lease.spec.as_ref()?.holder_identity.as_deref()
}

/// The Lease of a bot.
pub fn of_bot(data: &[u8]) {
    let Ok(lease) = serde_json::from_slice::<Lease>(data) else { return };
    let record = bot_lease::read(&lease);
    let notes = notes(&lease);
    let note = |name: &str| notes.get(name).map(String::as_str);
    // Nothing is understood but what we write ourselves, to the letter.
    match note(key::PERMIT) {
        Some("Prepare") => assert_eq!(record.permit, Some(Permit::Prepare)),
        Some("Trade") => assert_eq!(record.permit, Some(Permit::Trade)),
        _ => assert_eq!(record.effective_permit(), Permit::Revoke),
    }
    let same = |value: Option<String>, text: Option<&str>| assert!(value.is_none() || value.as_deref() == text);
    same(record.holder.as_ref().map(ToString::to_string), holder(&lease));
    same(record.epoch.map(|e| e.to_string()), note(key::EPOCH));
    same(record.token.map(|t| t.to_string()), note(key::TOKEN));
    same(record.boot.as_ref().map(ToString::to_string), note(key::BOOT));
    same(record.successor.as_ref().map(ToString::to_string), note(key::SUCCESSOR));
    if let Some(all) = noted(&record.health) {
        assert!(record.health.len() <= LONGEST_NOTE && all.len() <= LONGEST_NOTE);
    }
    let remedies = heard(&record.recovery);
    assert!(remedies.iter().all(|of| of.remedy.is_agents()) && remedies.len() <= MOST_REMEDIES);
    if record.state != AgentState::Unknown {
        assert_eq!(Some(record.state.as_str()), note(key::STATE));
    }
    if let Some(reason) = ReleaseReason::parse(&record.reason) {
        assert!(record.reason.starts_with(reason.as_str()));
    }
    // What was read is written and read again as it is; only that no permit is none is then said in so many words.
    let mut again = Lease::default();
    bot_lease::write(&record, &mut again, None);
    let text = serde_json::to_vec(&again).expect("a Lease is JSON");
    let stored: Lease = serde_json::from_slice(&text).expect("a Lease is read again");
    assert_eq!(bot_lease::read(&stored), LeaseRecord { permit: Some(record.effective_permit()), ..record });
}

/// The Lease of an account.
pub fn of_account(data: &[u8]) {
    let Ok(lease) = serde_json::from_slice::<Lease>(data) else { return };
    let record = account_lease::read("kraken-main", &lease);
    let notes = notes(&lease);
    let text = holder(&lease).unwrap_or_default();
    match &record.holder {
        Holder::Nobody => assert!(text.is_empty(), "'{text}' holds an account and is read as nobody"),
        Holder::Bot(bot) => assert_eq!(bot.to_string(), text),
        Holder::Unreadable => assert!(!record.is_intact()),
    }
    for (number, name) in [(record.epoch.map(|e| e.0), key::EPOCH), (record.token.map(|t| t.0), key::TOKEN)] {
        if let Some(number) = number {
            assert_eq!(Some(number.to_string()), notes.get(name).cloned());
        }
    }
    assert!(!record.lease_duration.is_zero(), "a bot that holds an account is waited for");
    let mut again = Lease::default();
    account_lease::write(&record, &mut again);
    let stored = account_lease::read("kraken-main", &again);
    // A holder that cannot be read is written as nobody: only who takes an account writes it.
    assert!(stored.holder == record.holder || record.holder == Holder::Unreadable);
    assert_eq!(stored.lease_duration, record.lease_duration);
    assert_eq!((stored.epoch, stored.token), (record.epoch, record.token));
    assert_eq!(stored.on_api_server_loss, record.on_api_server_loss);
    assert_eq!(stored.since, record.since);
    assert!(record.epoch.is_none_or(|e| e.is_plausible() == (e.0 <= LARGEST_NUMBER)));
}
