//! The books of a bot in a database.

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use tradingbot::api::operation::OperationPhase;

use crate::harness::*;

#[test]
fn destroyed_database_is_restored_row_by_row() {
    scenario("backup_postgresql", Turn::Shared, async |world| {
        let database = Database::start(world, "a-password").await;
        let store = Store::start(world, "store").await;
        let bot = bot()
            .hot()
            .reconciled()
            .books_in_database(DATABASE_SECRET, 50)
            .backed_up(database.source(), store.destination());
        let bot = world.apply(bot).await;
        let before = bot.until_trading().await;
        until("it has written a hundred rows", SOON, async || (database.books().len() >= 100).then_some(())).await;

        let first = database.books();
        let id = bot.back_up().await;
        let last = database.books();
        assert_eq!(store.manifests(), std::slice::from_ref(&id));
        assert_eq!(store.artefacts(), std::slice::from_ref(&id));

        let round = bot.begin_round("the books are destroyed").await;
        database.query("drop table orders").expect("the table is dropped");
        let operation = bot.ask_to_restore(None).await;
        let resumed = bot.first_order_of_next(&round).await;
        let ended = bot.until_ended(&operation).await;
        assert_eq!(ended.phase, OperationPhase::Succeeded, "{ended:?}");
        assert!(
            ended.message.as_ref().is_some_and(|m| m.contains(&id)),
            "it does not say what was restored: {ended:?}"
        );

        let of_before = |rows: Vec<String>| -> Vec<String> {
            let token = format!("|{}|", round.token());
            rows.into_iter().filter(|row| row.contains(&token)).collect()
        };
        let restored = of_before(database.books());
        assert!(restored.len() >= first.len(), "{} rows, and {} before the backup", restored.len(), first.len());
        assert!(restored.len() <= last.len(), "rows that were written after the backup");
        let other = restored.iter().zip(&last).find(|(restored, written)| restored != written);
        assert!(other.is_none(), "a row is not as it was: {other:?}");
        world.note("rows restored", restored.len());

        // The exchange knows more orders than the books; a reconciliation has looked at it before anybody trades.
        let after = bot.until_moved_beyond(before.epoch).await;
        assert!(after.reconciliation.is_some(), "{after:?}");
        let rows = database.books();
        assert!(rows.len() > restored.len(), "the bot does not write into the books that were restored");

        let apply =
            bot.jobs("restore").await.into_iter().map(|job| job.name_any()).find(|name| name.contains("-restore-"));
        let program = bot.program_of(&apply.expect("the Job is kept")).await;
        assert_eq!(program.exit_code, 0, "{program:?}");
        let millisecond = |time: Timestamp| u64::try_from(time.as_millisecond()).expect("a time after 1970");
        let stopped = bot.exchange.last_order_of(&round).await;
        // The kubelet says whole seconds.
        assert!(stopped.wall_milliseconds < millisecond(program.started) + 1000, "it traded while it was restored");
        assert!(resumed.wall_milliseconds >= millisecond(program.finished), "it traded before the restore had ended");
        world.note("s without trading", seconds_between(&stopped, &resumed));
        bot.until_trading().await;
    });
}
