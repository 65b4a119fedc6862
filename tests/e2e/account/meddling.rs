//! The Lease of an account is deleted or changed by hand; and two bots that start at once.

use k8s_openapi::api::coordination::v1::Lease;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use serde_json::json;
use tradingbot::api::bot_status::Block;

use super::{assert_nobody_else_trades, assert_waits_for, second_of};
use crate::harness::*;

const SYSTEM: &str = "tradingbot-system";

#[test]
fn account_lease_deleted_or_edited_lets_nobody_trade_beside_the_holder() {
    scenario("account_lease_meddled_with", Turn::Shared, async |world| {
        let first = world.apply(bot().account("meddled")).await;
        first.until_trading().await;
        let second = second_of(world, &first, bot().account("meddled")).await;
        let leases: Api<Lease> = Api::namespaced(world.cluster.client.clone(), SYSTEM);
        let name = "account-meddled";
        let holder = async || {
            let lease = leases.get_opt(name).await.ok()??;
            lease.spec?.holder_identity
        };
        let ours = holder().await.expect("the account is held");
        assert!(ours.starts_with(&format!("{}/doge/", first.namespace)), "{ours}");
        let uid = world.cluster.ours("TradingBot", &second.namespace).get("doge").await.expect("it is there").uid();
        let theirs = format!("{}/doge/{}", second.namespace, uid.expect("a uid"));
        let edits = [
            ("deleted", None),
            ("the holder cleared", Some(json!({"spec": {"holderIdentity": ""}}))),
            ("garbled", Some(json!({"spec": {"holderIdentity": "somebody"}}))),
            ("another holder", Some(json!({"spec": {"holderIdentity": theirs}}))),
            ("blank", Some(json!({"metadata": {"annotations": null}, "spec": null}))),
        ];
        for (what, edit) in edits {
            let round = first.begin_round(what).await;
            match edit {
                None => drop(leases.delete(name, &DeleteParams::default()).await.expect("it is deleted")),
                Some(edit) => {
                    let changed = leases.patch(name, &PatchParams::default(), &Patch::Merge(edit)).await;
                    let _: Lease = changed.expect("it is changed");
                }
            }
            until("the Lease is written again", SOON, async || (holder().await? == ours).then_some(())).await;
            first.assert_undisturbed_since(&round).await;
            assert_nobody_else_trades(&first, &round).await;
            let token = leases.get(name).await.expect("it is there").annotations().get("tradingbot.io/token").cloned();
            assert_eq!(token, Some(round.token().to_string()), "{what}: the account's token");
        }
        assert_waits_for(&second, &first).await;
    });
}

#[test]
fn of_two_bots_that_start_at_once_one_trades() {
    scenario("account_two_at_once", Turn::Shared, async |world| {
        let (first, second) =
            tokio::join!(world.apply(bot().account("at-once")), world.apply_elsewhere(bot().account("at-once")));
        first.exchange.wait("one of them trades", SOON, &first.at("")).await;
        let waits = |s: &tradingbot::api::bot_status::TradingBotStatus| s.blocked == Some(Block::AccountHeld);
        let holder = until("the other waits", SOON, async || {
            let (a, b) = (first.status().await, second.status().await);
            match (waits(&a), waits(&b)) {
                (false, true) => Some((&first, &second)),
                (true, false) => Some((&second, &first)),
                _ => None,
            }
        });
        let (holder, waiting) = holder.await;
        holder.until_trading().await;
        assert_waits_for(waiting, holder).await;
        let round = holder.begin_round("one goes on").await;
        assert_nobody_else_trades(holder, &round).await;
    });
}
