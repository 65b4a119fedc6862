//! A second copy elsewhere, for when the first is lost.

use serde_json::json;

use crate::harness::*;

#[test]
fn restore_takes_the_copy_when_the_first_destination_is_lost() {
    scenario_within("backup_copies", Turn::Shared, seconds(300), async |world| {
        let database = Database::start(world, "a-password").await;
        let (first, second) = (Store::start(world, "first").await, Store::start(world, "second").await);
        let manifest = bot()
            .hot()
            .books_in_database(DATABASE_SECRET, 20)
            .backed_up(database.source(), first.destination())
            .with("/spec/backup/copies", json!([second.destination()]));
        let bot = world.apply(manifest).await;
        bot.until_trading().await;
        let before = database.books();
        let id = bot.back_up().await;
        assert_eq!(first.manifests(), std::slice::from_ref(&id));
        assert_eq!(second.manifests(), std::slice::from_ref(&id));
        let (one, two) = (format!("/artefacts/{id}"), format!("/artefacts/{id}"));
        assert_eq!(first.read(&first.key(&one)), second.read(&second.key(&two)), "the copy is another");

        first.0.destroy().await;
        let round = bot.begin_round("the database and the first destination are lost").await;
        database.query("drop table orders").expect("the table is dropped");
        bot.restore().await;
        bot.first_order_of_next(&round).await;
        let after = database.books();
        assert_eq!(after[..before.len()], before[..]);
        bot.until_trading().await;
    });
}

#[test]
fn copy_that_cannot_be_made_is_told_and_the_backup_counts() {
    scenario("backup_copy_fails", Turn::Shared, async |world| {
        let (first, second) = (Store::start(world, "first").await, Store::start(world, "second").await);
        let manifest = bot()
            .backed_up(super::noise(1), first.destination())
            .with("/spec/backup/copies", json!([second.destination()]));
        let bot = world.apply(manifest).await;
        bot.until_trading().await;
        second.fails("refuse");
        bot.begin_run_of(super::CRON_JOB, "doge-b-one-copy").await;
        assert_eq!(bot.program_of("doge-b-one-copy").await.exit_code, 0);
        let (reason, message) = bot.until_condition("BackupSucceeded", "True", "copy").await;
        assert_eq!(reason, "SucceededWithWarnings", "{message}");
        world.note("message", message);
        assert_eq!((first.manifests().len(), second.manifests().len()), (1, 0));
    });
}
