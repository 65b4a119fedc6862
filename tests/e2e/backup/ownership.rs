//! Whose backups are whose.

use kube::ResourceExt;
use kube::api::Api;
use serde_json::json;
use tradingbot::api::bot::TradingBot;
use tradingbot::api::operation::OperationPhase;

use super::{noise, runner};
use crate::harness::*;

async fn uid(bot: &Bot) -> String {
    let api: Api<TradingBot> = Api::namespaced(bot.cluster.client.clone(), &bot.namespace);
    api.get(&bot.name).await.expect("the bot is there").uid().expect("it has a uid")
}

#[test]
fn two_bots_with_one_prefix_do_not_disturb_each_other() {
    scenario("backup_one_prefix", Turn::Shared, async |world| {
        let store = Store::start(world, "store").await;
        let manifest = |name: &str| {
            let mut destination = store.destination();
            destination["prefix"] = json!("shared/by/all");
            bot().named(name).backed_up(noise(1), destination).with("/spec/backup/restore", runner("cat >/dev/null"))
        };
        let (doge, shiba) = (world.apply(manifest("doge")).await, world.apply(manifest("shiba")).await);
        doge.until_trading().await;
        shiba.until_trading().await;
        let (of_doge, of_shiba) = (doge.back_up().await, shiba.back_up().await);
        assert_eq!(doge.backups().await.newest, std::slice::from_ref(&of_doge));
        assert_eq!(shiba.backups().await.newest, std::slice::from_ref(&of_shiba));
        let folder = |bot: &str| format!("shared/by/all/{}/{bot}/", world.namespace);
        let stray: Vec<String> = store
            .objects()
            .into_iter()
            .filter(|key| !key.starts_with(&folder("doge")) && !key.starts_with(&folder("shiba")))
            .collect();
        assert_eq!(stray, Vec::<String>::new());
        // What is another's cannot be restored.
        let asked = doge.ask_to_restore(Some(&of_shiba)).await;
        let ended = doge.until_ended(&asked).await;
        assert_eq!(ended.phase, OperationPhase::Failed, "{ended:?}");
        let asked = doge.ask_to_restore(Some(&of_doge)).await;
        assert_eq!(doge.until_ended(&asked).await.phase, OperationPhase::Succeeded);
        doge.until_trading().await;
    });
}

#[test]
fn bot_made_again_leaves_its_predecessors_backups_alone_until_it_takes_over() {
    scenario("backup_made_again", Turn::Shared, async |world| {
        let store = Store::start(world, "store").await;
        let manifest =
            || bot().backed_up(noise(1), store.destination()).with("/spec/backup/restore", runner("cat >/dev/null"));
        let first = world.apply(manifest()).await;
        first.until_trading().await;
        let id = first.back_up().await;
        let predecessor = uid(&first).await;
        let kept = store.objects();
        first.delete().await;
        first.until_gone().await;

        let mark = json!({"text": "the bot is made again", "account": "doge", "recreated": true});
        first.exchange.mark(mark).await;
        let bot = world.apply(manifest()).await;
        bot.until_trading().await;
        let ended = bot.fail_to_back_up().await;
        let message = ended.message.unwrap_or_default();
        assert!(message.contains("takeOverFrom") && message.contains(&predecessor), "{message}");
        assert_eq!(store.objects(), kept, "something of the predecessor's was touched");
        world.note("message", message);

        bot.change_backup(json!({"takeOverFrom": predecessor})).await;
        let later = until("a backup is made", SOON, async || {
            let asked = bot.ask("Backup", None).await;
            (bot.until_ended(&asked).await.phase == OperationPhase::Succeeded).then_some(())
        });
        later.await;
        assert_eq!(store.manifests().len(), 2);
        assert!(store.manifests().contains(&id));
        let asked = bot.ask_to_restore(Some(&id)).await;
        let ended = bot.until_ended(&asked).await;
        assert_eq!(ended.phase, OperationPhase::Succeeded, "{ended:?}");
        bot.until_trading().await;
    });
}
