//! What all children of a bot have in common: names, labels and the owner.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, OwnerReference};
use kube::Resource;
use kube::core::ObjectMeta;

use crate::api::bot::TradingBot;
use crate::api::names::{LABEL_BOT, LABEL_COMPONENT};

/// The value of `LABEL_COMPONENT` on a bot's pods.
pub const COMPONENT_BOT: &str = "bot";
/// Its value on reconciliation Jobs and their pods.
pub const COMPONENT_RECONCILIATION: &str = "reconciliation";
/// Its value on the CronJobs and Jobs of backups and verifications, and on their pods.
pub const COMPONENT_BACKUP: &str = "backup";
/// Its value on the Jobs of restores and their pods.
pub const COMPONENT_RESTORE: &str = "restore";
const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "tradingbot-operator");

pub fn name(bot: &TradingBot) -> &str {
    bot.metadata.name.as_deref().unwrap_or_default()
}

pub fn namespace(bot: &TradingBot) -> &str {
    bot.metadata.namespace.as_deref().unwrap_or_default()
}

pub fn labels(bot: &TradingBot) -> BTreeMap<String, String> {
    [(LABEL_BOT, name(bot)), MANAGED_BY].map(|(k, v)| (k.to_owned(), v.to_owned())).into()
}

/// What every pod of the bot has, and nothing else has.
pub fn pod_labels(bot: &TradingBot) -> BTreeMap<String, String> {
    [(LABEL_BOT, name(bot)), (LABEL_COMPONENT, COMPONENT_BOT)].map(|(k, v)| (k.to_owned(), v.to_owned())).into()
}

pub fn pod_selector(bot: &TradingBot) -> LabelSelector {
    LabelSelector { match_labels: Some(pod_labels(bot)), match_expressions: None }
}

/// The metadata of a child that goes when the bot goes.
pub fn owned(bot: &TradingBot, name: String) -> ObjectMeta {
    ObjectMeta { owner_references: owner(bot).map(|o| vec![o]), ..unowned(bot, name) }
}

/// The metadata of a child without an owner, which the finalizer removes last: a foreground delete would take it from
/// a living agent at once (design, rule 14).
pub fn unowned(bot: &TradingBot, name: String) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: bot.metadata.namespace.clone(),
        labels: Some(labels(bot)),
        ..ObjectMeta::default()
    }
}

fn owner(bot: &TradingBot) -> Option<OwnerReference> {
    bot.controller_owner_ref(&())
}
