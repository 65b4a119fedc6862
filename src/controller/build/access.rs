//! What agents may do: read, watch and patch their own bot's Lease, and nothing else.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject};

use super::common::{name, unowned};
use super::pod::slot_of;
use crate::api::bot::TradingBot;

/// The name of the agents' Role and RoleBinding, and what the accounts of the slots begin with.
pub fn agent_access_name(bot: &str) -> String {
    format!("{bot}-agent")
}

/// The account of a slot's pod, where the template names none: what one pod may do, another may not.
pub fn slot_account_name(bot: &str, slot: u32) -> String {
    format!("{}-{slot}", agent_access_name(bot))
}

/// The slot whose account has that name.
pub fn slot_of_account(bot: &str, account: &str) -> Option<u32> {
    slot_of(&agent_access_name(bot), account)
}

/// The account that a slot's pod runs under: the template's, or the slot's own.
pub fn account_name(bot: &TradingBot, slot: u32) -> String {
    template_account(bot).map_or_else(|| slot_account_name(name(bot), slot), ToOwned::to_owned)
}

/// The account that the template names.
pub fn template_account(bot: &TradingBot) -> Option<&str> {
    let pod = bot.spec.template.spec.as_ref()?;
    pod.service_account_name.as_deref().or(pod.service_account.as_deref()).filter(|name| !name.is_empty())
}

/// The slots that need an account of ours: those that are wanted, and those whose pods run under one.
pub fn account_slots(bot: &TradingBot, accounts: &BTreeSet<String>) -> BTreeSet<u32> {
    let wanted = if template_account(bot).is_none() { 0..bot.spec.replicas } else { 0..0 };
    wanted.chain(accounts.iter().filter_map(|account| slot_of_account(name(bot), account))).collect()
}

/// The account of a slot.
pub fn slot_account(bot: &TradingBot, slot: u32) -> ServiceAccount {
    ServiceAccount {
        metadata: unowned(bot, slot_account_name(name(bot), slot)),
        // The agent has a token of its own; nothing else in the pod needs one.
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}

pub fn role(bot: &TradingBot) -> Role {
    let verbs = ["get", "watch", "patch"].map(str::to_owned).to_vec();
    Role {
        metadata: unowned(bot, agent_access_name(name(bot))),
        rules: Some(vec![PolicyRule {
            api_groups: Some(vec!["coordination.k8s.io".into()]),
            resources: Some(vec!["leases".into()]),
            resource_names: Some(vec![name(bot).to_owned()]),
            verbs,
            non_resource_urls: None,
        }]),
    }
}

/// Binds the accounts of present and future pods: the agent's token is one of its pod's account.
pub fn role_binding(bot: &TradingBot, accounts: &BTreeSet<String>) -> RoleBinding {
    let slots = account_slots(bot, accounts);
    let own = slots.into_iter().map(|slot| slot_account_name(name(bot), slot));
    let all: BTreeSet<String> =
        accounts.iter().cloned().chain(own).chain(template_account(bot).map(ToOwned::to_owned)).collect();
    binding(bot, agent_access_name(name(bot)), all)
}

/// Binds accounts to the Role of the same name.
pub fn binding(bot: &TradingBot, name: String, accounts: impl IntoIterator<Item = String>) -> RoleBinding {
    let subject = |account: String| Subject {
        kind: "ServiceAccount".into(),
        name: account,
        namespace: bot.metadata.namespace.clone(),
        api_group: None,
    };
    RoleBinding {
        metadata: unowned(bot, name.clone()),
        role_ref: RoleRef { api_group: "rbac.authorization.k8s.io".into(), kind: "Role".into(), name },
        subjects: Some(accounts.into_iter().map(subject).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::*;

    fn named(accounts: &[&str]) -> BTreeSet<String> {
        accounts.iter().map(|a| (*a).to_owned()).collect()
    }

    fn bound(bot: &TradingBot, accounts: &[&str]) -> Vec<String> {
        role_binding(bot, &named(accounts)).subjects.unwrap().into_iter().map(|s| s.name).collect()
    }

    #[test]
    fn agents_may_touch_their_own_lease_only() {
        let role = role(&fixtures::smallest());
        let [rule] = role.rules.as_deref().unwrap() else { panic!("one rule") };
        assert_eq!(rule.resource_names.as_deref(), Some(&["doge-jpy".to_owned()][..]));
        assert_eq!(rule.verbs, ["get", "watch", "patch"]);
        assert!(role.metadata.owner_references.is_none());
    }

    #[test]
    fn every_slot_has_an_account_for_as_long_as_it_is_wanted_or_its_pod_is_there() {
        let mut bot = fixtures::smallest();
        assert_eq!(bound(&bot, &[]), ["doge-jpy-agent-0", "doge-jpy-agent-1"]);
        assert_eq!(bound(&bot, &["doge-jpy-agent-7"]), ["doge-jpy-agent-0", "doge-jpy-agent-1", "doge-jpy-agent-7"]);
        assert_eq!(account_slots(&bot, &named(&["doge-jpy-agent-7"])), [0, 1, 7].into());
        bot.spec.replicas = 1;
        assert_eq!(account_slots(&bot, &named(&[])), [0].into());
        assert_eq!(slot_of_account("doge", "doge-jpy-agent-1"), None, "another bot's");
    }

    #[test]
    fn the_account_that_pods_run_under_is_bound_also_while_it_changes() {
        let mut bot = fixtures::smallest();
        bot.spec.template.spec.as_mut().unwrap().service_account_name = Some("trader".into());
        assert_eq!(bound(&bot, &["old-trader", "doge-jpy-agent-1"]), ["doge-jpy-agent-1", "old-trader", "trader"]);
        assert_eq!(account_slots(&bot, &named(&["doge-jpy-agent-1"])), [1].into());
        assert_eq!(account_name(&bot, 1), "trader");
    }
}
