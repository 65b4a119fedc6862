//! Backups that went bad where they are kept.

use serde_json::json;
use tradingbot::api::operation::OperationPhase;

use super::{noise, runner};
use crate::harness::*;

/// Refused while it is checked: trading was never interrupted.
async fn assert_not_restored(bot: &Bot, id: &str) -> String {
    let round = bot.begin_round("a restore of a bad backup").await;
    let asked = bot.ask_to_restore(Some(id)).await;
    let ended = bot.until_ended(&asked).await;
    assert_eq!(ended.phase, OperationPhase::Failed, "{ended:?}");
    bot.assert_undisturbed_since(&round).await;
    let message = ended.message.expect("it says why");
    assert!(message.contains(id), "it does not name the backup: {message}");
    message
}

#[test]
fn corrupted_artefact_is_found_and_never_restored() {
    scenario("backup_corrupted", Turn::Shared, async |world| {
        let store = Store::start(world, "store").await;
        let manifest = bot()
            .backed_up(noise(3), store.destination())
            .with("/spec/backup/restore", runner("cat >/dev/null"))
            .with("/spec/backup/verification", json!({"schedule": "0 0 1 1 *"}));
        let bot = world.apply(manifest).await;
        bot.until_trading().await;
        let good = bot.back_up().await;
        bot.begin_run_of("doge-verify", "doge-verify-good").await;
        assert_eq!(bot.program_of("doge-verify-good").await.exit_code, 0);
        bot.until_condition("BackupVerified", "True", "found good").await;

        let bad = bot.back_up().await;
        assert_ne!(good, bad);
        store.flip(&store.key(&format!("/artefacts/{bad}")));
        bot.begin_run_of("doge-verify", "doge-verify-bad").await;
        let (reason, message) = bot.until_condition("BackupVerified", "False", &bad).await;
        assert_eq!(reason, "Damaged", "{message}");
        assert!(bot.until_event("VerificationFailed").await.contains(&bad));
        let backups =
            bot.until("the status names it", SOON, |s| s.backup.as_ref().is_some_and(|b| b.damaged.contains(&bad)));
        let backups = backups.await.backup.expect("it was just seen");
        assert!(!backups.newest.contains(&bad), "{backups:?}");
        world.note("message", message);
        world.note("refused", assert_not_restored(&bot, &bad).await);
        // The newest good one is the one before.
        let ended = bot.restore().await;
        assert!(ended.message.as_ref().is_some_and(|m| m.contains(&good)), "{ended:?}");
        bot.until_trading().await;
    });
}

#[test]
fn artefact_that_went_bad_unnoticed_is_found_before_anybody_stops() {
    scenario("backup_corrupted_unnoticed", Turn::Shared, async |world| {
        let store = Store::start(world, "store").await;
        let bot = world
            .apply(
                bot().backed_up(noise(3), store.destination()).with("/spec/backup/restore", runner("cat >/dev/null")),
            )
            .await;
        bot.until_trading().await;
        let id = bot.back_up().await;
        store.flip(&store.key(&format!("/artefacts/{id}")));
        world.note("refused", assert_not_restored(&bot, &id).await);
    });
}

#[test]
fn artefact_that_was_cut_is_found_too() {
    scenario("backup_cut", Turn::Shared, async |world| {
        let store = Store::start(world, "store").await;
        let manifest = bot()
            .backed_up(noise(1), store.destination())
            .with("/spec/backup/verification", json!({"schedule": "0 0 1 1 *"}));
        let bot = world.apply(manifest).await;
        bot.until_trading().await;
        bot.back_up().await;
        let bad = bot.back_up().await;
        store.cut(&store.key(&format!("/artefacts/{bad}")));
        bot.begin_run_of("doge-verify", "doge-verify-cut").await;
        let (reason, message) = bot.until_condition("BackupVerified", "False", &bad).await;
        assert_eq!(reason, "Damaged", "{message}");
        world.note("message", message);
        // It is told once; the next one proves what is left.
        bot.begin_run_of("doge-verify", "doge-verify-rest").await;
        bot.until_condition("BackupVerified", "True", "found good").await;
        assert_eq!(bot.backups().await.damaged, [bad]);
    });
}

#[test]
fn manifest_edited_by_hand_is_no_backup() {
    scenario("backup_edited_manifest", Turn::Shared, async |world| {
        let store = Store::start(world, "store").await;
        let bot = world
            .apply(
                bot().backed_up(noise(1), store.destination()).with("/spec/backup/restore", runner("cat >/dev/null")),
            )
            .await;
        bot.until_trading().await;
        let id = bot.back_up().await;
        let key = store.key(&format!("/manifests/{id}.json"));
        let written = store.read(&key);
        let text = String::from_utf8(written.clone()).expect("JSON");
        let epoch = format!("\"epoch\":{}", store.manifest(&id).epoch);
        let edited =
            text.replace(&format!("{epoch},"), "\"epoch\":99,").replace(&epoch.replace(':', ": "), "\"epoch\": 99");
        assert_ne!(edited, text, "nothing was edited: {text}");
        store.write(&key, edited.as_bytes());
        world.note("refused", assert_not_restored(&bot, &id).await);
        // Another backup counts it no more, and leaves it where it is.
        let other = bot.back_up().await;
        let backups = bot.backups().await;
        assert_eq!((backups.count, backups.newest.clone()), (1, vec![other]), "{backups:?}");
        assert_eq!(store.manifests().len(), 2);
        store.write(&key, &written);
        let asked = bot.ask_to_restore(Some(&id)).await;
        assert_eq!(bot.until_ended(&asked).await.phase, OperationPhase::Succeeded);
        bot.until_trading().await;
    });
}
