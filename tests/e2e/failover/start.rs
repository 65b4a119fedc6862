//! The first start of a bot, and what is there afterwards.

use k8s_openapi::api::core::v1::{Service, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::Role;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use tradingbot::api::bot_status::{Phase, Reason, Trigger};

use crate::harness::*;

#[test]
fn first_start_reconciles_then_one_trades() {
    scenario("first_start", Turn::Shared, async |world| {
        let bot = world.apply(bot().reconciled()).await;
        let status = bot.until_trading().await;
        let active = status.active.expect("one trades");
        assert_eq!((status.phase, status.epoch, status.standbys.summary.as_str()), (Phase::Active, 1, "1/1"));
        let ledger = status.trading.expect("the ledger says who");
        assert_eq!((ledger.epoch, &ledger.pod, ledger.lease_duration_seconds), (1, &active.pod, 5));
        let first = &status.failover.history[0];
        assert_eq!((first.trigger, first.reason, status.failover.total), (Trigger::FirstStart, Reason::FirstStart, 0));
        for (kind, wanted) in
            [("Available", "True"), ("StandbyReady", "True"), ("Reconciled", "True"), ("TemplateAccepted", "True")]
        {
            let found = status.conditions.iter().find(|c| c.type_ == kind);
            let found = found.unwrap_or_else(|| panic!("the condition {kind} is missing"));
            assert_eq!(found.status, wanted, "{kind}: {}", found.message);
            assert!(found.message.ends_with('.'), "{kind} says no sentence: {}", found.message);
        }
        let order = bot.exchange.last(&bot.at("")).await.expect("an order");
        assert_eq!((order.token, order.epoch), (Some(ledger.token), Some(1)));
        roles_and_children_are_there(world, &bot, &active.pod).await;
    });
}

async fn roles_and_children_are_there(world: &World, bot: &Bot, active: &str) {
    until("every pod has its role label", SOON, async || {
        let pods = bot.pods().await;
        let right = |p: &k8s_openapi::api::core::v1::Pod| {
            let role = p.labels().get("tradingbot.io/role").map(String::as_str);
            role == Some(if p.name_any() == active { "active" } else { "standby" })
        };
        (pods.len() == 2 && pods.iter().all(right)).then_some(())
    })
    .await;
    let (client, ns) = (world.cluster.client.clone(), world.namespace.as_str());
    let services: Api<Service> = Api::namespaced(client.clone(), ns);
    for name in ["doge-active", "doge-members"] {
        assert!(services.get_opt(name).await.expect("an answer").is_some(), "there is no Service {name}");
    }
    let budgets: Api<PodDisruptionBudget> = Api::namespaced(client.clone(), ns);
    assert_eq!(budgets.list(&ListParams::default()).await.expect("budgets").items.len(), 1);
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), ns);
    assert!(accounts.list(&ListParams::default()).await.expect("accounts").items.len() >= 2);
    // An agent may reach its own bot's Lease and no other.
    let roles: Api<Role> = Api::namespaced(client, ns);
    let roles = roles.list(&ListParams::default()).await.expect("roles").items;
    let rules: Vec<_> = roles.iter().flat_map(|r| r.rules.iter().flatten()).collect();
    let leases = |r: &&&k8s_openapi::api::rbac::v1::PolicyRule| {
        r.resources.as_ref().is_some_and(|all| all.iter().any(|x| x == "leases"))
    };
    assert!(rules.iter().any(|r| leases(&r)), "agents may not reach their Lease");
    for rule in rules.iter().filter(leases) {
        assert_eq!(rule.resource_names.as_deref(), Some(&["doge".to_owned()][..]), "{rule:?}");
    }
}
