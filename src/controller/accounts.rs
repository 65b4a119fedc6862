//! What is read about the account of one bot, after the bot itself: its Lease, what other bots say of it, and whether
//! the bot that holds it is still there.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use futures::future::try_join_all;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{ApiResource, ListParams, Object};
use kube::{Api, Client, ResourceExt};
use serde::{Deserialize, Serialize};

use super::call::{CallError, call};
use super::registry::BotKey;
use super::scope::Scope;
use crate::api::account_lease;
use crate::api::bot::TradingBot;
use crate::api::bot_status::AccountState;
use crate::api::names::LABEL_BOT;
use crate::api::record::record_from;
use crate::core::account::{AccountRecord, BotRef, Holder};
use crate::core::failover::{AccountSeen, Claim, HolderSeen, Record, needs_claims};
use crate::core::lease::LeaseRecord;

/// Which account each bot has, as its worker saw it last: who is to be woken when an account's Lease changes.
#[derive(Debug, Default)]
pub struct Accounts(Mutex<BTreeMap<BotKey, String>>);

impl Accounts {
    fn note(&self, key: &BotKey, account: Option<String>) {
        let mut all = self.lock();
        match account {
            Some(account) => all.insert(key.clone(), account),
            None => all.remove(key),
        };
    }

    /// The bots of this account.
    pub fn bots_of(&self, account: &str) -> Vec<BotKey> {
        self.lock().iter().filter(|(_, theirs)| *theirs == account).map(|(key, _)| key.clone()).collect()
    }

    /// Forgets a bot that is gone; answers the others of its account.
    pub fn left(&self, key: &BotKey) -> Vec<BotKey> {
        let account = self.lock().remove(key);
        account.map(|account| self.bots_of(&account)).unwrap_or_default()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<BotKey, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The account's Lease as an object, and everything about it as facts.
#[derive(Clone, Debug, Default)]
pub struct AccountObserved {
    /// The Lease.
    pub lease: Option<Lease>,
    /// The facts; `None` where the bot has no account.
    pub facts: Option<AccountSeen>,
}

/// Reads the account that `bot` holds, or else the one that it wants. `bot` must have been read before: see
/// [`AccountSeen`].
///
/// # Errors
/// What became of the read that failed.
pub async fn observe(
    client: &Client,
    operator_namespace: &str,
    scope: &Scope,
    accounts: &Accounts,
    bot: &TradingBot,
    own_lease: Option<&LeaseRecord>,
) -> Result<AccountObserved, CallError> {
    let me = BotRef {
        namespace: bot.namespace().unwrap_or_default(),
        name: bot.name_any(),
        uid: bot.uid().unwrap_or_default(),
    };
    let record = record_from(&bot.status.clone().unwrap_or_default());
    let wanted = bot.spec.account.as_ref().map(|account| account.name.clone());
    let held = record.account.as_ref().filter(|view| view.state == AccountState::Held).map(|view| view.name.clone());
    let name = held.or(wanted);
    accounts.note(&BotKey::new(me.namespace.clone(), me.name.clone()), name.clone());
    let Some(name) = name else { return Ok(AccountObserved::default()) };
    let leases = Api::<Lease>::namespaced(client.clone(), operator_namespace);
    let object = call(leases.get_opt(&account_lease::name_of(&name))).await?;
    let lease = object.as_ref().map(|object| account_lease::read(&name, object));
    let claims = match needs_claims(&record, &me, lease.as_ref(), own_lease) {
        true => Some(claims(client, scope, &name, &me).await?),
        false => None,
    };
    let holder = match said_to_hold(lease.as_ref(), &record).filter(|holder| *holder != me) {
        Some(holder) => Some(find(client, holder).await?),
        None => None,
    };
    Ok(AccountObserved { lease: object, facts: Some(AccountSeen { name, me, lease, claims, holder }) })
}

/// The bot that the Lease names; where it was deleted or garbled, the one that our status remembers.
fn said_to_hold(lease: Option<&AccountRecord>, record: &Record) -> Option<BotRef> {
    match lease.filter(|lease| lease.is_intact()).map(|lease| &lease.holder) {
        Some(Holder::Bot(bot)) => Some(bot.clone()),
        Some(Holder::Nobody | Holder::Unreadable) => None,
        None => record.account.as_ref().and_then(|view| view.holder.clone()),
    }
}

async fn find(client: &Client, bot: BotRef) -> Result<HolderSeen, CallError> {
    let bots = Api::<TradingBot>::namespaced(client.clone(), &bot.namespace);
    let leases = Api::<Lease>::namespaced(client.clone(), &bot.namespace);
    let (found, lease) =
        tokio::try_join!(call(bots.get_metadata_opt(&bot.name)), call(leases.get_metadata_opt(&bot.name)))?;
    let exists = found.as_ref().is_some_and(|found| found.metadata.uid.as_ref() == Some(&bot.uid));
    let lease = lease.filter(|lease| lease.labels().get(LABEL_BOT) == Some(&bot.name));
    let lease_version = lease.and_then(|lease| lease.metadata.resource_version);
    Ok(HolderSeen { exists, name_taken: found.is_some() && !exists, lease_version, bot })
}

/// What of a bot says whether it holds an account; everything else of it is not read.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct SpecPart {
    account: Option<Named>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
struct StatusPart {
    account: Option<Named>,
    trading: Option<TradingPart>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Named {
    name: String,
    state: Option<AccountState>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct TradingPart {}

/// Bots of all namespaces that are looked after, this one left out, that hold the account or may trade on it, by their own status.
async fn claims(client: &Client, scope: &Scope, account: &str, me: &BotRef) -> Result<Vec<Claim>, CallError> {
    let kind = ApiResource::erase::<TradingBot>(&());
    let apis: Vec<Api<Object<SpecPart, StatusPart>>> = scope.each(|namespace| match namespace {
        None => Api::all_with(client.clone(), &kind),
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &kind),
    });
    let all = ListParams::default();
    let listed = try_join_all(apis.iter().map(|bots| call(bots.list(&all)))).await?;
    let bots = listed.iter().flat_map(|list| &list.items);
    let others = bots.filter(|bot| bot.metadata.uid.as_ref() != Some(&me.uid));
    Ok(others.filter_map(|bot| claim(bot, account)).collect())
}

fn claim(bot: &Object<SpecPart, StatusPart>, account: &str) -> Option<Claim> {
    let status = bot.status.as_ref()?;
    let held = status.account.as_ref().filter(|of| of.state == Some(AccountState::Held));
    let trading = status.trading.is_some();
    let claims = match held {
        Some(held) => held.name == account,
        // It came to trade under an operator that knew nothing of accounts.
        None => trading && bot.spec.account.as_ref().is_some_and(|of| of.name == account),
    };
    let bot = BotRef {
        namespace: bot.metadata.namespace.clone().unwrap_or_default(),
        name: bot.metadata.name.clone().unwrap_or_default(),
        uid: bot.metadata.uid.clone().unwrap_or_default(),
    };
    claims.then_some(Claim { bot, trading })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn claimed(spec: serde_json::Value, status: serde_json::Value) -> Option<bool> {
        let bot = json!({
            "apiVersion": "tradingbot.io/v1alpha1", "kind": "TradingBot",
            "metadata": {"name": "doge", "namespace": "a", "uid": "u"}, "spec": spec, "status": status,
        });
        claim(&serde_json::from_value(bot).unwrap(), "main").map(|claim| claim.trading)
    }

    #[test]
    fn a_bot_claims_what_its_status_says_it_holds_or_trades_on() {
        let (wants, trading) = (json!({"account": {"name": "main", "sharing": "Exclusive"}}), json!({"epoch": 1}));
        assert_eq!(claimed(wants.clone(), json!({"account": {"name": "main", "state": "Waiting"}})), None);
        assert_eq!(claimed(json!({}), json!({"account": {"name": "main", "state": "Held"}})), Some(false));
        assert_eq!(claimed(wants.clone(), json!({"account": {"name": "other", "state": "Held"}})), None);
        assert_eq!(claimed(wants, json!({"trading": trading})), Some(true));
        assert_eq!(claimed(json!({}), json!({"trading": trading})), None);
    }

    #[test]
    fn the_others_of_an_account_are_known_when_one_leaves() {
        let all = Accounts::default();
        let (a, b) = (BotKey::new("a", "doge"), BotKey::new("b", "doge"));
        all.note(&a, Some("main".into()));
        all.note(&b, Some("main".into()));
        assert_eq!(all.left(&a), std::slice::from_ref(&b));
        assert_eq!(all.bots_of("main"), [b]);
    }
}
