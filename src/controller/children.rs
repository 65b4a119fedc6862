//! Keeps the objects around a bot's pods as they should be, and writes only what is not.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use k8s_openapi::Resource as _;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::build;
use super::call::{CallError, call};
use super::observe::{Observed, is_controlled_by};
use super::watches::{ChildKey, child_version};
use super::worker::Operator;
use crate::api::bot::TradingBot;
use crate::api::names::LABEL_BOT;

/// The field manager of what is applied.
const MANAGER: &str = "tradingbot-operator";

/// What was applied, and what the watch knew then.
#[derive(Debug, Default)]
pub struct Children {
    applied: BTreeMap<ChildKey, Applied>,
}

#[derive(Debug)]
struct Applied {
    wanted: String,
    /// The version that our write left behind.
    left: String,
    /// What the watch had seen before it: as long as it still says so, it has not caught up. `None`: it has.
    behind: Option<Option<String>>,
}

impl Children {
    /// Applies every child that is missing or not as wanted.
    ///
    /// # Errors
    /// What became of the first write that failed, as a sentence that names the object.
    pub async fn keep(&mut self, operator: &Operator, observed: &Observed) -> Result<(), CallError> {
        let bot = &observed.bot;
        let accounts = observed.pods.iter().filter_map(|pod| pod.spec.as_ref()?.service_account_name.clone()).collect();
        let api_server = operator.world.api_server.addresses();
        let build::Children { services, service_accounts, role, role_binding, budget, policy } =
            build::children(bot, &accounts, &api_server);
        let wanted: BTreeSet<_> = service_accounts.iter().filter_map(|a| a.metadata.name.clone()).collect();
        for account in service_accounts {
            self.keep_one(operator, bot, account).await?;
        }
        self.keep_one(operator, bot, role).await?;
        self.keep_one(operator, bot, role_binding).await?;
        for account in self.slot_accounts(operator, bot).difference(&wanted) {
            self.remove_one::<ServiceAccount>(operator, bot, account).await?;
        }
        for service in services {
            self.keep_one(operator, bot, service).await?;
        }
        self.keep_one(operator, bot, budget).await?;
        match policy {
            Some(policy) => self.keep_one(operator, bot, policy).await,
            // One that is there stays while it is not known how a new one would look.
            None if build::policy_wanted(bot).is_some() => Ok(()),
            None => {
                let name = build::policy_name(bot.metadata.name.as_deref().unwrap_or_default());
                self.remove_one::<NetworkPolicy>(operator, bot, &name).await
            }
        }
    }

    /// Lets one account read the exchange's keys, or nobody, and answers which. Nobody: there is no binding at all.
    ///
    /// # Errors
    /// What became of the first write that failed, as a sentence that names the object.
    pub async fn keep_credentials(
        &mut self,
        operator: &Operator,
        bot: &TradingBot,
        reader: Option<String>,
    ) -> Result<Option<String>, CallError> {
        let name = build::credentials_name(bot.metadata.name.as_deref().unwrap_or_default());
        if reader.is_none() {
            // First of all: whoever had it loses it.
            self.remove_one::<RoleBinding>(operator, bot, &name).await?;
        }
        match build::credentials_role(bot) {
            None => self.remove_one::<Role>(operator, bot, &name).await?,
            // The finalizer removes it.
            Some(_) if bot.metadata.deletion_timestamp.is_some() => {}
            // Also while nobody may read: so that it is known before the first grant whether it can be given at all.
            Some(role) => self.keep_one(operator, bot, role).await?,
        }
        if let Some(account) = &reader {
            self.keep_one(operator, bot, build::credentials_binding(bot, account.clone())).await?;
        }
        Ok(reader)
    }

    /// The slots' accounts that there are, as far as the watch and our own writes tell.
    fn slot_accounts(&self, operator: &Operator, bot: &TradingBot) -> BTreeSet<String> {
        let namespace = bot.metadata.namespace.as_deref().unwrap_or_default();
        let mut names = operator.world.children.names(ServiceAccount::KIND, namespace);
        names.extend(self.written(ServiceAccount::KIND, namespace));
        names.retain(|name| build::slot_of_account(bot.metadata.name.as_deref().unwrap_or_default(), name).is_some());
        names
    }

    /// The uid of an object that was applied.
    pub(super) fn uid_of(&self, key: &ChildKey) -> Option<String> {
        let (uid, _) = self.applied.get(key)?.left.split_once('/')?;
        Some(uid.to_owned())
    }

    /// The names of the objects of a kind that were applied.
    pub(super) fn written(&self, kind: &'static str, namespace: &str) -> BTreeSet<String> {
        let written = self.applied.keys().filter(|(of, within, _)| *of == kind && within == namespace);
        written.map(|(_, _, name)| name.clone()).collect()
    }

    /// Removes a child that is wanted no more; one of that name that is not ours is left alone.
    pub(super) async fn remove_one<K>(
        &mut self,
        operator: &Operator,
        bot: &TradingBot,
        name: &str,
    ) -> Result<(), CallError>
    where
        K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
            + k8s_openapi::Resource
            + Clone
            + DeserializeOwned
            + Debug,
    {
        let namespace = bot.metadata.namespace.clone().unwrap_or_default();
        let key = (K::KIND, namespace.clone(), name.to_owned());
        if operator.world.children.of(&key).is_none() && !self.applied.contains_key(&key) {
            return Ok(());
        }
        let api = Api::<K>::namespaced(operator.client.clone(), &namespace);
        if let Some(there) = call(api.get_metadata_opt(name)).await?
            && is_ours(&there.metadata, bot)
        {
            operator.leadership.check()?;
            let this_one = Preconditions { uid: there.metadata.uid, resource_version: None };
            let params = DeleteParams { preconditions: Some(this_one), ..DeleteParams::default() };
            match call(api.delete(name, &params)).await {
                Ok(_) | Err(CallError::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        self.applied.remove(&key);
        Ok(())
    }

    /// Applies a child that is missing or not as wanted.
    pub(super) async fn keep_one<K>(
        &mut self,
        operator: &Operator,
        bot: &TradingBot,
        object: K,
    ) -> Result<(), CallError>
    where
        K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
            + k8s_openapi::Resource
            + Clone
            + DeserializeOwned
            + Serialize
            + Debug,
    {
        let namespace = bot.metadata.namespace.clone().unwrap_or_default();
        let name = object.meta().name.clone().unwrap_or_default();
        let key = (K::KIND, namespace.clone(), name.clone());
        let wanted = serde_json::to_string(&object).unwrap_or_default();
        let seen = operator.world.children.of(&key);
        if let Some(applied) = self.applied.get_mut(&key)
            && applied.wanted == wanted
        {
            if seen.as_ref() == Some(&applied.left) {
                applied.behind = None;
                return Ok(());
            }
            if applied.behind.as_ref() == Some(&seen) {
                return Ok(());
            }
        }
        let api = Api::<K>::namespaced(operator.client.clone(), &namespace);
        if let Some(there) = call(api.get_metadata_opt(&name)).await?
            && !is_ours(&there.metadata, bot)
        {
            let sentence = format!(
                "{} {name} is there already and belongs to something else; delete or rename it, or name the bot otherwise.",
                K::KIND
            );
            return Err(CallError::Refused(sentence));
        }
        operator.leadership.check()?;
        let params = PatchParams::apply(MANAGER).force();
        let written = call(api.patch(&name, &params, &Patch::Apply(&object))).await.map_err(|error| match error {
            CallError::Refused(why) => CallError::Refused(format!("{} {name} cannot be applied: {why}", K::KIND)),
            other => other,
        })?;
        let left = child_version(written.meta());
        self.applied.insert(key, Applied { wanted, left, behind: Some(seen) });
        Ok(())
    }
}

/// What carries no owner (design, rule 14) is known by the bot's label.
pub(super) fn is_ours(meta: &kube::api::ObjectMeta, bot: &TradingBot) -> bool {
    let uid = bot.metadata.uid.as_deref().unwrap_or_default();
    let labelled = meta.labels.as_ref().and_then(|l| l.get(LABEL_BOT)) == bot.metadata.name.as_ref();
    let owned = meta.owner_references.as_ref().is_some_and(|owners| !owners.is_empty());
    labelled && (!owned || is_controlled_by(meta, uid))
}
