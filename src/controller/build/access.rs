//! What agents may do: read, watch and patch their own bot's Lease, and nothing else.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject};

use super::common::{name, unowned};
use crate::api::bot::TradingBot;

/// The name of the agents' ServiceAccount, Role and RoleBinding.
pub fn agent_access_name(bot: &str) -> String {
    format!("{bot}-agent")
}

/// The account that the bot's pods run under: the template's, or one of our own.
pub fn account_name(bot: &TradingBot) -> String {
    template_account(bot).map_or_else(|| agent_access_name(name(bot)), ToOwned::to_owned)
}

/// The account that the template names.
pub fn template_account(bot: &TradingBot) -> Option<&str> {
    let pod = bot.spec.template.spec.as_ref()?;
    pod.service_account_name.as_deref().or(pod.service_account.as_deref()).filter(|name| !name.is_empty())
}

/// Made also where the template names another: pods of an earlier template may still run under it.
pub fn service_account(bot: &TradingBot) -> ServiceAccount {
    ServiceAccount {
        metadata: unowned(bot, agent_access_name(name(bot))),
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
    let all: BTreeSet<String> =
        accounts.iter().cloned().chain([agent_access_name(name(bot)), account_name(bot)]).collect();
    let subject = |account: String| Subject {
        kind: "ServiceAccount".into(),
        name: account,
        namespace: bot.metadata.namespace.clone(),
        api_group: None,
    };
    RoleBinding {
        metadata: unowned(bot, agent_access_name(name(bot))),
        role_ref: RoleRef {
            api_group: "rbac.authorization.k8s.io".into(),
            kind: "Role".into(),
            name: agent_access_name(name(bot)),
        },
        subjects: Some(all.into_iter().map(subject).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::*;

    fn bound(bot: &TradingBot, accounts: &[&str]) -> Vec<String> {
        let accounts = accounts.iter().map(|a| (*a).to_owned()).collect();
        role_binding(bot, &accounts).subjects.unwrap().into_iter().map(|s| s.name).collect()
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
    fn the_account_that_pods_run_under_is_bound_also_while_it_changes() {
        let mut bot = fixtures::smallest();
        assert_eq!(bound(&bot, &[]), ["doge-jpy-agent"]);
        bot.spec.template.spec.as_mut().unwrap().service_account_name = Some("trader".into());
        assert_eq!(bound(&bot, &["old-trader"]), ["doge-jpy-agent", "old-trader", "trader"]);
    }
}
