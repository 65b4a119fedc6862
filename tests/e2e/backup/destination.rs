//! All that can be wrong with the place where backups are kept.

use serde_json::json;
use tradingbot::api::backup_status::FailureReason;

use super::{CRON_JOB, noise};
use crate::harness::*;

#[test]
fn whatever_is_wrong_with_the_destination_is_told_and_trading_goes_on() {
    scenario("backup_destination", Turn::Shared, async |world| {
        let store = Store::start(world, "store").await;
        let bot = world.apply(bot().backed_up(noise(20), store.destination())).await;
        bot.until_trading().await;
        let round = bot.begin_round("destinations fail").await;
        for (n, (what, reason)) in [
            ("refuses", FailureReason::DestinationRefused),
            ("is full", FailureReason::DestinationFull),
            ("has other keys", FailureReason::DestinationRefused),
        ]
        .into_iter()
        .enumerate()
        {
            match what {
                "refuses" => store.fails("refuse"),
                "is full" => store.fails("full 9000000"),
                _ => put_secret(world, "store", &keys("store", "not-the-key")).await,
            }
            let job = bot.begin_run_of(CRON_JOB, &format!("doge-b-fails-{n}")).await;
            for job in [job.clone(), format!("{job}-r")] {
                let program = bot.program_of(&job).await;
                assert_eq!(program.exit_code, 1, "{job}: {program:?}");
                assert!(
                    program.message.contains(&format!("{reason:?}")),
                    "the destination {what}: {}",
                    program.message
                );
            }
            let told = bot.until_reason("BackupSucceeded", "False", &format!("{reason:?}"), SOON).await;
            world.note(what, told);
            assert_eq!(
                store.manifests(),
                Vec::<String>::new(),
                "the destination {what}, and something passes for a backup"
            );
            store.fails("");
            put_secret(world, "store", &keys("store", "a-secret-key-of-the-store")).await;
        }
        // What was healed takes backups again; slowly at first.
        store.fails("delay 300");
        let job = bot.begin_run_of(CRON_JOB, "doge-b-slow").await;
        let program = bot.program_of(&job).await;
        assert_eq!(program.exit_code, 0, "{program:?}");
        store.fails("");
        bot.until_condition("BackupSucceeded", "True", "").await;
        assert_eq!(store.manifests().len(), 1);
        bot.assert_undisturbed_since(&round).await;
        let pause = bot.longest_pause_since(&round).await;
        assert!(pause < 1.0, "no order for {pause} s while destinations failed");
    });
}

#[test]
fn destination_that_cannot_be_reached_gets_its_backup_when_it_is_back() {
    scenario("backup_unreachable", Turn::Shared, async |world| {
        let store = Store::start(world, "store").await;
        let bot = world.apply(bot().backed_up(noise(1), store.destination())).await;
        bot.until_trading().await;
        let round = bot.begin_round("the destination is away").await;
        store.0.reachable(false).await;
        let job = bot.begin_run_of(CRON_JOB, "doge-b-away").await;
        let program = bot.program_of(&job).await;
        assert_eq!(program.exit_code, 1, "{program:?}");
        let told = bot.until_reason("BackupSucceeded", "False", "DestinationUnreachable", SOON).await;
        world.note("message", told);
        store.0.reachable(true).await;
        let again = bot.program_of(&format!("{job}-r")).await;
        assert_eq!(again.exit_code, 0, "{again:?}");
        bot.until_reason("BackupSucceeded", "True", "Succeeded", SOON).await;
        assert_eq!(store.manifests().len(), 1);
        bot.assert_undisturbed_since(&round).await;
        let pause = bot.longest_pause_since(&round).await;
        assert!(pause < 1.0, "no order for {pause} s while the destination was away");
    });
}

#[test]
fn secret_that_is_missing_is_told() {
    scenario("backup_no_secret", Turn::Shared, async |world| {
        let store = Store::start(world, "store").await;
        let mut destination = store.destination();
        destination["s3"]["secretName"] = json!("no-such-secret");
        let bot = world.apply(bot().backed_up(noise(1), destination)).await;
        bot.until_trading().await;
        let round = bot.begin_round("no keys").await;
        bot.begin_run_of(CRON_JOB, "doge-b-no-keys").await;
        // Kubernetes tries again and again, so a minute passes before it counts as wrong.
        let message = bot.until_reason("BackupSucceeded", "False", "CannotStart", seconds(100)).await;
        assert!(message.contains("Secret"), "{message}");
        world.note("message", message);
        bot.assert_undisturbed_since(&round).await;
    });
}
