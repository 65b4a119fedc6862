//! The Lease of an account and [`AccountRecord`]: the only place that knows which field and annotation holds what.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::names::{LABEL_ACCOUNT, lease as key};
use crate::core::account::{AccountRecord, BotRef, Holder, LONGEST_LEASE};
use crate::core::ids::{Epoch, FencingToken};
use crate::core::lease::OnApiServerLoss;
use crate::core::time::Wall;

/// The name of an account's Lease, in the operator's namespace.
pub fn name_of(account: &str) -> String {
    format!("account-{account}")
}

/// What an account's Lease says. What is absent or cannot be read counts as the worse: the longest duration, and an
/// agent that trades on without the API server.
pub fn read(account: &str, lease: &Lease) -> AccountRecord {
    let spec = lease.spec.as_ref();
    let empty = BTreeMap::new();
    let notes = lease.metadata.annotations.as_ref().unwrap_or(&empty);
    let note = |name: &str| notes.get(name).map(String::as_str);
    let seconds = spec.and_then(|s| s.lease_duration_seconds).and_then(|s| u64::try_from(s).ok()).filter(|s| *s > 0);
    let since = spec.and_then(|s| s.acquire_time.as_ref()).map(|time| time.0.as_millisecond());
    AccountRecord {
        name: account.to_owned(),
        uid: lease.metadata.uid.clone().unwrap_or_default(),
        version: lease.metadata.resource_version.clone().unwrap_or_default(),
        holder: match spec.and_then(|s| s.holder_identity.as_deref()).unwrap_or_default() {
            "" => Holder::Nobody,
            text => text.parse::<BotRef>().map_or(Holder::Unreadable, Holder::Bot),
        },
        epoch: note(key::EPOCH).and_then(Epoch::parse),
        token: note(key::TOKEN).and_then(FencingToken::parse),
        lease_duration: seconds.map_or(LONGEST_LEASE, Duration::from_secs),
        on_api_server_loss: note(key::ON_API_SERVER_LOSS)
            .and_then(|text| text.parse().ok())
            .unwrap_or(OnApiServerLoss::Continue),
        since: since.and_then(|millis| u64::try_from(millis).ok()).map(Wall),
        transitions: spec.and_then(|s| s.lease_transitions).and_then(|n| u32::try_from(n).ok()).unwrap_or_default(),
    }
}

/// Writes a record into a Lease: what the operator creates or PUTs. What is not ours is kept.
pub fn write(record: &AccountRecord, lease: &mut Lease) {
    let AccountRecord {
        name,
        uid,
        version,
        holder,
        epoch,
        token,
        lease_duration,
        on_api_server_loss,
        since,
        transitions,
    } = record;
    let some = |text: &String| (!text.is_empty()).then(|| text.clone());
    let meta = &mut lease.metadata;
    (meta.name, meta.uid, meta.resource_version) = (Some(name_of(name)), some(uid), some(version));
    meta.labels.get_or_insert_default().insert(LABEL_ACCOUNT.into(), name.clone());
    let notes = meta.annotations.get_or_insert_default();
    notes.insert(key::EPOCH.into(), epoch.map(|e| e.to_string()).unwrap_or_default());
    notes.insert(key::TOKEN.into(), token.map(|t| t.to_string()).unwrap_or_default());
    notes.insert(key::ON_API_SERVER_LOSS.into(), on_api_server_loss.as_str().into());
    let spec = lease.spec.get_or_insert_default();
    spec.holder_identity = Some(match holder {
        Holder::Bot(bot) => bot.to_string(),
        Holder::Nobody | Holder::Unreadable => String::new(),
    });
    // Rounded up: a wait may be too long, never too short.
    spec.lease_duration_seconds = i32::try_from(lease_duration.as_millis().div_ceil(1000)).ok();
    spec.lease_transitions = i32::try_from(*transitions).ok();
    let at = since.and_then(|wall| i64::try_from(wall.0).ok()).and_then(|ms| Timestamp::from_millisecond(ms).ok());
    spec.acquire_time = at.map(MicroTime);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> AccountRecord {
        AccountRecord {
            name: "kraken-main".into(),
            uid: "lease-uid".into(),
            version: "42".into(),
            holder: Holder::Bot("trading-a/doge/uid-1".parse().unwrap()),
            epoch: Some(Epoch(7)),
            token: Some(FencingToken(99)),
            lease_duration: Duration::from_secs(10),
            on_api_server_loss: OnApiServerLoss::Stop,
            since: Some(Wall(1_795_000_000_123)),
            transitions: 3,
        }
    }

    #[test]
    fn records_survive_the_round_trip() {
        for record in [full(), AccountRecord { holder: Holder::Nobody, since: None, ..full() }] {
            let mut lease = Lease::default();
            write(&record, &mut lease);
            let text = serde_json::to_string(&lease).unwrap();
            assert_eq!(read("kraken-main", &serde_json::from_str(&text).unwrap()), record);
            assert_eq!(lease.metadata.name.as_deref(), Some("account-kraken-main"));
        }
    }

    #[test]
    fn what_is_missing_counts_as_the_worse_and_a_garbled_holder_as_nothing() {
        let blank = read("a", &Lease::default());
        assert!(!blank.is_intact());
        assert_eq!((blank.lease_duration, blank.on_api_server_loss), (LONGEST_LEASE, OnApiServerLoss::Continue));
        let mut lease = Lease::default();
        write(&full(), &mut lease);
        lease.spec.as_mut().unwrap().holder_identity = Some("somebody".into());
        let garbled = read("kraken-main", &lease);
        assert_eq!((garbled.holder.clone(), garbled.is_intact()), (Holder::Unreadable, false));
    }
}
