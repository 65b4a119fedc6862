//! Restores that are refused, and those that fail half-way.

use kube::api::PostParams;
use serde_json::json;
use tradingbot::api::bot_status::{Block, Phase};
use tradingbot::api::operation::OperationPhase;

use super::{command, runner};
use crate::harness::*;

#[test]
fn restore_that_fails_half_way_blocks_until_another_succeeds() {
    scenario("restore_fails", Turn::Shared, async |world| {
        let store = Store::start(world, "store").await;
        let manifest = bot()
            .hot()
            .backed_up(command("echo the state of the bot"), store.destination())
            .with("/spec/backup/restore", runner("cat >/dev/null; echo the disk is full >&2; exit 3"));
        let bot = world.apply(manifest).await;
        bot.until_trading().await;
        bot.back_up().await;
        let round = bot.begin_round("a restore that fails half-way").await;
        let asked = bot.ask_to_restore(None).await;
        let ended = bot.until_ended(&asked).await;
        assert_eq!(ended.phase, OperationPhase::Failed, "{ended:?}");
        let blocked = bot.until_phase(Phase::Blocked).await;
        assert_eq!(blocked.blocked, Some(Block::RestoreFailed), "{blocked:?}");
        assert!(blocked.trading.is_none(), "the ledger still names somebody");
        assert!(blocked.message.contains("the disk is full"), "{}", blocked.message);
        world.note("message", &blocked.message);
        let quiet = bot.mark("blocked").await;
        let still = bot.exchange.try_wait(seconds(3), &bot.at(&format!("since={}", quiet.seq))).await;
        assert!(still.is_none(), "somebody trades on half a restore: {still:?}");

        bot.change_backup(json!({"restore": runner("[ \"$(cat)\" = 'the state of the bot' ]")})).await;
        bot.restore().await;
        bot.first_order_of_next(&round).await;
        bot.until_trading().await;
    });
}

#[test]
fn person_may_say_that_a_failed_restore_does_not_matter() {
    scenario("restore_fails_forced", Turn::Shared, async |world| {
        let store = Store::start(world, "store").await;
        let manifest = bot()
            .backed_up(command("echo state"), store.destination())
            .with("/spec/backup/restore", runner("cat >/dev/null; exit 3"));
        let bot = world.apply(manifest).await;
        bot.until_trading().await;
        bot.back_up().await;
        let round = bot.begin_round("a restore that fails half-way").await;
        let asked = bot.ask_to_restore(None).await;
        assert_eq!(bot.until_ended(&asked).await.phase, OperationPhase::Failed);
        bot.until_phase(Phase::Blocked).await;
        let forced = bot.ask("Failover", None).await;
        bot.first_order_of_next(&round).await;
        assert_eq!(bot.until_ended(&forced).await.phase, OperationPhase::Succeeded);
        bot.until_trading().await;
    });
}

#[test]
fn restore_without_the_bots_name_or_of_nothing_is_refused() {
    scenario("restore_refused", Turn::Shared, async |world| {
        let store = Store::start(world, "store").await;
        let bot = world
            .apply(
                bot()
                    .backed_up(command("echo state"), store.destination())
                    .with("/spec/backup/restore", runner("cat >/dev/null")),
            )
            .await;
        bot.until_trading().await;
        let object = json!({
            "apiVersion": "tradingbot.io/v1alpha1", "kind": "TradingBotOperation",
            "metadata": {"generateName": "doge-"},
            "spec": {"botName": "doge", "type": "Restore", "restore": {"confirm": "shiba"}},
        });
        let object = serde_json::from_value(object).expect("an operation");
        let operations = world.cluster.ours("TradingBotOperation", &world.namespace);
        let refusal = operations.create(&PostParams::default(), &object).await.expect_err("it is refused").to_string();
        assert!(refusal.contains("confirm"), "{refusal}");

        let round = bot.begin_round("a restore where there is no backup").await;
        let asked = bot.ask_to_restore(None).await;
        let ended = bot.until_ended(&asked).await;
        assert_eq!(ended.phase, OperationPhase::Failed, "{ended:?}");
        world.note("message", ended.message.unwrap_or_default());
        bot.assert_undisturbed_since(&round).await;
    });
}
